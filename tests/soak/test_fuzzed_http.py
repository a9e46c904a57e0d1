"""Whatever the running system is asked, it answers: nothing of 5xx but 503, in time, and no bytes for strangers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from refsys.catalogue.search import BUDGET_S
from refsys.simulation.samples import make_samples
from tests.up import INBOX, System, await_up, started
from tests.waiting import wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

PRODUCTS = 9
SCHEMATHESIS_S = 300
#: Beyond the budget of the database: reading, writing, and a busy machine.
SLACK_S = 3.0
LONG = settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

OPTIONS = ("$filter", "$orderby", "$top", "$skip", "$count", "$expand", "$select", "$skiptoken", "$format", "$search")
STAC_OPTIONS = (
    "filter",
    "filter-lang",
    "bbox",
    "datetime",
    "limit",
    "sortby",
    "fields",
    "q",
    "ids",
    "intersects",
    "page",
)
PLACES = (
    *(
        "/odata/v1/Products",
        "/odata/v1/Products/$count",
        "/odata/v1/DeletedProducts",
        "/odata/v1/Attributes(SENTINEL-1)",
    ),
    *(
        "/odata/v1/$metadata",
        "/odata/v1/Products(KEY)",
        "/odata/v1/Products(KEY)/Nodes",
        "/odata/v1/Subscriptions/Info",
    ),
    *("/prip/odata/v1/Products", "/prip/odata/v1/Products(KEY)", "/prip/odata/v1/Products/$count"),
    *("/stac/search", "/stac/collections", "/stac/collections/sentinel-2-l2a/items", "/stac/queryables"),
)
WORDS = """
    Name ContentDate/Start ContentLength Collection/Name Online Id nothing a/Value any( all( ( ) , ' '' / : ;
    contains(Name,'S1') startswith( endswith( tolower(Name) length(Name) year(ContentDate/Start) desc
    2024-09-01 2024-09-01T00:00:00Z 9999-12-31T23:59:59.999999Z 0000-00-00 99999999999999999999 -1 1e400
    NaN null true 1 0 10000 1000 Attributes Assets Locations * json cql2-text cql2-json datetime ../..
    180,-90,-180,90 0,0,0 [] {} eo:cloud_cover<=10 POINT(200
"""
PIECES = (
    *WORDS.split(),
    *(f" {word} " for word in ("eq", "ne", "lt", "ge", "and", "or", "not", "in", "has")),
    "\0",
    "\ud83d",
    "Attributes/OData.CSC.StringAttribute/any(a:a/Name eq 'productType' and a/Value eq 'GRD')",
    "OData.CSC.Intersects(area=geography'SRID=4326;POINT(1 1)')",
    "POLYGON((0 0,1 0,1 1,0 0))",
    "S_INTERSECTS(geometry,POINT(0 0))",
    "T_AFTER(datetime,TIMESTAMP('2024-01-01T00:00:00Z'))",
    '{"op":"=","args":[{"property":"id"},"x"]}',
    '{"op":"not","args":[]}',
)
text = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=12).map("".join)
value = text | st.text(max_size=30)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system with a few products, where strangers may search and nothing else."""
    folder = tmp_path_factory.mktemp("fuzzed")
    make_samples(folder / "inbox", count=PRODUCTS)
    config = '[auth]\nanonymous = "search"\n' + INBOX.format(folder=folder / "inbox")
    with started(folder / "state", config=config) as system:
        await_up(system)
        wait_until(lambda: are_published(system.run.url), 120, "the products are published")
        yield system
        logged = "".join(path.read_text("utf-8") for path in (folder / "state/logs").glob("api*"))
        assert "request.failed" not in logged


@cache
def products(url: str) -> list[dict[str, str]]:
    return list(httpx.get(f"{url}/odata/v1/Products", timeout=20).raise_for_status().json()["value"])


def are_published(url: str) -> bool:
    answer = httpx.get(f"{url}/odata/v1/Products/$count", timeout=20)
    return answer.status_code == 200 and str(PRODUCTS) in answer.text


def ask(url: str, target: bytes, method: str = "GET") -> tuple[int, bytes, float]:
    """Status, the whole answer, and seconds; the target goes out as it is."""
    parts = httpx.URL(url)
    began = time.monotonic()
    with socket.create_connection((parts.host, parts.port), timeout=60) as link:
        link.sendall(method.encode() + b" " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: link.recv(65_536), b""))
    return int(answer.split(b" ", 2)[1]), answer, time.monotonic() - began


def written(text: str, how: str) -> bytes:
    """As clients write it: encoded whole, hardly, or not at all where the bytes can stand in a first line."""
    coded = text.encode("utf-8", "surrogatepass")
    if how == "quoted":
        return quote(coded, safe="").encode()
    if how == "hardly":
        return quote(coded, safe="[]$=&:%(),'/;").encode()
    return re.sub(rb"[\x00-\x20\x7f#]", b"+", coded)


@LONG
@given(
    place=st.sampled_from(PLACES),
    pairs=st.lists(st.tuples(st.sampled_from((*OPTIONS, *STAC_OPTIONS)) | st.text(max_size=5), value), max_size=5),
    how=st.sampled_from(("quoted", "hardly", "raw")),
    method=st.sampled_from(("GET", "GET", "GET", "HEAD", "POST")),
)
@example(place="/odata/v1/Products", pairs=[("$filter", "(" * 3000)], how="quoted", method="GET")
def test_no_query_breaks_it_or_takes_longer_than_its_budget(
    system: System, place: str, pairs: list[tuple[str, str]], how: str, method: str
) -> None:
    query = b"&".join(written(name, how) + b"=" + written(text, how) for name, text in pairs)
    key = products(system.run.url)[0]["Id"]
    status, answer, took_s = ask(system.run.url, place.replace("KEY", key).encode() + b"?" + query, method)
    assert status < 500 or (status == 503 and b"retry-after" in answer.lower()), answer[:500]
    assert took_s < BUDGET_S + SLACK_S


@LONG
@given(data=st.data())
def test_no_way_to_write_a_download_gives_bytes_to_strangers(system: System, data: st.DataObject) -> None:
    product = next(product for product in products(system.run.url) if product["Name"].endswith(".SAFE"))
    key, name = product["Id"], product["Name"]
    ways = (
        f"/odata/v1/Products({key})/$value",
        f"/odata/v1/Products('{key}')/$value",
        f"/odata/v1/Products({key})/$zip",
        f"/odata/v1/Products({key})/Nodes({name})/$value",
        f"/odata/v1/Products({key})/Nodes({name})/Nodes(manifest.safe)/$value",
        f"/prip/odata/v1/Products({key})/$value",
    )
    target = data.draw(st.sampled_from(ways))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(target)))
        change = data.draw(st.sampled_from(("encode", "again", "insert", "case", "cut")))
        letter = target[at : at + 1]
        if change == "encode" and letter:
            target = f"{target[:at]}%{ord(letter):02X}{target[at + 1 :]}"
        elif change == "again":
            target = target.replace("%", "%25") if "%" in target else target.replace("$", "%2524")
        elif change == "insert":
            more = (
                "/",
                "//",
                "/.",
                "/..",
                ";",
                "%2F",
                "%00",
                "?",
                "?x=/Assets(1)/$value",
                "/Assets(1)",
                "()",
                " ",
                "\\",
            )
            target = target[:at] + data.draw(st.sampled_from(more)) + target[at:]
        elif change == "case":
            target = target[:at] + target[at:].swapcase()
        else:
            target = target[:at] + target[at + 1 :]
    method = data.draw(st.sampled_from(("GET", "HEAD", "POST", "get")))
    status, answer, _ = ask(system.run.url, re.sub(r"[\x00-\x20]", "", target).encode(), method)
    body = answer.partition(b"\r\n\r\n")[2]
    assert status < 500, (target, answer[:300])
    assert not body.startswith((b"PK", b"<?xml")), (target, answer[:300])
    assert b"content-disposition" not in answer.partition(b"\r\n\r\n")[0].lower(), (target, answer[:300])


def test_the_stac_api_answers_as_its_description_says(system: System, tmp_path: Path) -> None:
    words = [
        *(str(Path(sys.executable).with_name("schemathesis")), "run", f"{system.run.url}/stac/api", "--no-color"),
        *("--checks", CHECKS, "--max-time", str(SCHEMATHESIS_S), "--max-examples", "300", "--seed", "1"),
        *("--phases", "examples,coverage,fuzzing", "--warnings", "off", "--request-timeout", "30", "--no-shrink"),
        *("--suppress-health-check", "all", "--max-failures", "20"),
    ]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, timeout=SCHEMATHESIS_S + 300, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:]
