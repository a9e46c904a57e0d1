"""`refsys compare`: what another hub has otherwise, found in windows of time, whatever the hub's limits and manners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from aiohttp import web

from refsys.catalogue.comparison import comparing
from refsys.catalogue.comparison import there as other_side
from refsys.core.times import format_instant, parse_instant
from refsys.infra.postgres import create_pool
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.simulation.samples import make_many
from refsys.simulation.station import Answer, Cut, Station
from refsys.web.app import create_app
from tests.catalogue_rows import START, Row, insert_rows
from tests.conftest import database
from tests.integration.test_inboxes import folder
from tests.main_called import Done, caller
from tests.pipeline import running_pipeline
from tests.stored_products import TYPES
from tests.stranger import stranger
from tests.web import served

Call = Callable[..., Any]
SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12, 40], [12, 42], [10, 42], [10, 40]]]}
DAYS = ("--since", "2024-01-01", "--until", "2024-02-01")


@pytest.fixture
def compare(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`refsys compare --with …`; nobody waits for seconds between two tries."""
    monkeypatch.setattr("refsys.catalogue.takeover.odata._PAUSE_S", 0.01)
    call = caller(tmp_path, monkeypatch, capsys)

    async def run(url: str, *words: str, code: int) -> Done:
        settings = ("--state", tmp_path / "state", "--set", f"database_url={dsn}")
        return await asyncio.to_thread(call, *settings, "compare", "--with", url, *words, code=code)

    return run


@pytest.fixture
async def hub(
    postgres_server: EmbeddedPostgres, template: str, settings: Settings, storage: Storage
) -> AsyncIterator[tuple[str, asyncpg.Pool]]:
    """Another system of ours: its address and its database."""
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute(f"CREATE DATABASE compared TEMPLATE {template} STRATEGY FILE_COPY")
    pool = await create_pool(database(postgres_server.dsn, "compared"))
    async with served(create_app(pool=pool, storage=storage, types=TYPES, settings=settings)) as port:
        yield f"http://127.0.0.1:{port}", pool
    pool.terminate()
    await connection.execute("DROP DATABASE compared WITH (FORCE)")
    await connection.close()


def grd(number: int, *, days: float = 0.0, **changes: Any) -> Row:
    start = START + timedelta(days=days, seconds=number)
    name = f"S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_051903_{number:06X}_ABCD.SAFE"
    row = Row(name, sensing_start=start, sensing_stop=start + timedelta(seconds=25), package_name=f"{name}.zip")
    row.attributes = {"productType": "IW_GRDH_1S", "orbitNumber": 51903, "polarisationChannels": ["VV", "VH"]}
    return replace(row, **changes)


async def enter(pool: asyncpg.Pool, rows: Sequence[Row]) -> None:
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)


def outcomes(done: Done) -> tuple[dict[str, tuple[str, dict[str, Any]]], dict[str, Any]]:
    """By name: outcome and differences; and the summary."""
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    *found, summary = lines
    assert summary["outcome"] == "summary"
    return {line["name"].split("_")[7]: (line["outcome"], line["differences"]) for line in found}, summary


@pytest.mark.parametrize("root", ["/odata/v1", "/prip/odata/v1/Products"])
async def test_everything_that_differs_is_told_with_both_values(
    pool: asyncpg.Pool, hub: tuple[str, asyncpg.Pool], compare: Call, root: str
) -> None:
    url, other_pool = hub
    same = [grd(number) for number in range(5)]
    await enter(pool, [
        *same, grd(10), grd(11, online=False, package_size=999), grd(12, days=3), grd(13), grd(14, footprint=SQUARE),
        grd(15, visibility="internal"), grd(16, attributes={"orbitNumber": 7, "polarisationChannels": ["VH", "VV"]}),
        # of the same product the other hub is not sure of the last digits
        grd(17, sensing_start=START + timedelta(seconds=17, microseconds=999_400)),
    ])  # fmt: skip
    west = {"type": "Polygon", "coordinates": [[[-60, 40], [-58, 40], [-58, 42], [-60, 42], [-60, 40]]]}
    await enter(other_pool, [
        *same, grd(11), grd(12, days=12), grd(14, footprint=west), grd(15), grd(16), grd(20),
        grd(17, sensing_start=START + timedelta(seconds=17, microseconds=999_900)),
    ])  # fmt: skip
    options = ("--what", "size,checksum,sensing,online,footprint", "--attributes", "orbitNumber,polarisationChannels")
    found, summary = outcomes(await compare(f"{url}{root}", *DAYS, *options, "--json", code=1))
    shifted = [format_instant(START + timedelta(days=days, seconds=12)) for days in (3, 12)]
    assert {number: outcome for number, (outcome, _) in found.items()} == {
        "00000A": "extra", "00000B": "different", "00000C": "different", "00000D": "extra", "00000E": "different",
        "00000F": "missing", "000010": "different", "000014": "missing",
    }  # fmt: skip
    assert found["00000B"][1] == {"size": [999, 1000], "online": [False, True]}
    assert found["00000C"][1]["sensing start"] == shifted
    assert found["00000E"][1]["footprint"][0] == "0% of it is common"
    assert found["000010"][1] == {"attribute orbitNumber": [7, 51903]}
    assert {name: summary[name] for name in ("equal", "missing", "extra", "different", "unreadable")} == {
        "equal": 6, "missing": 2, "extra": 2, "different": 4, "unreadable": 0,
    }  # fmt: skip
    assert summary["dialect"] == ("prip" if "prip" in root else "cdse")


async def test_equal_catalogues_are_equal_in_windows_of_any_size(
    pool: asyncpg.Pool, hub: tuple[str, asyncpg.Pool], compare: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, other_pool = hub
    rows = [grd(number, days=number % 3) for number in range(30)]
    # many that start in one second, which no window can divide
    rows += [grd(number, sensing_start=START + timedelta(days=20, milliseconds=number)) for number in range(100, 115)]
    await enter(pool, rows)
    await enter(other_pool, rows)
    for module in (comparing, other_side):
        monkeypatch.setattr(module, "MOST", 12)
    monkeypatch.setattr(other_side, "PAGE", 5)
    monkeypatch.setattr(comparing, "_PAGE", 7)
    for root in ("/odata/v1", "/prip/odata/v1"):
        done = await compare(f"{url}{root}", *DAYS, code=0)
        assert "45 equal, 0 missing, 0 extra, 0 different, 0 unreadable" in done.stdout


async def test_types_and_filters_are_asked_of_both(
    pool: asyncpg.Pool, hub: tuple[str, asyncpg.Pool], compare: Call
) -> None:
    url, other_pool = hub
    raw = "S1A_IW_RAW__0SDV_20240101T000000_20240101T000032_051903_0645E1_28CD.SAFE"
    extra = Row(raw, product_type="IW_RAW__0S", package_name=f"{raw}.zip", attributes={"productType": "IW_RAW__0S"})
    await enter(pool, [grd(1), grd(2, online=False), extra])
    await enter(other_pool, [grd(1), grd(2)])
    for root in ("/odata/v1", "/prip/odata/v1"):
        await compare(f"{url}{root}", *DAYS, code=1)
        narrowed = await compare(f"{url}{root}", *DAYS, "--type", "IW_GRDH_1S", "--what", "size", code=0)
        assert "2 equal, 0 missing, 0 extra, 0 different" in narrowed.stdout
        # the filter finds it there and not here: it is different, not missing
        filtered = await compare(f"{url}{root}", *DAYS, "--filter", "Online eq true and contains(Name,'GRDH')", code=1)
        assert "1 equal, 0 missing, 0 extra, 1 different" in filtered.stdout
        assert "online: False, True" in filtered.stdout
    wrong = await compare(f"{url}/odata/v1", *DAYS, "--filter", "Nmae eq 'x'", code=2)
    assert "--filter, at position 1" in wrong.stderr
    assert "did you mean Name?" in wrong.stderr


async def test_a_station_is_compared_in_spite_of_cut_connections_and_requests_for_patience(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage, compare: Call, tmp_path: Path
) -> None:
    products = sorted(make_many(tmp_path / "made", 3, size_bytes=60_000))
    place = tmp_path / "inbox"
    place.mkdir()
    # a station that gives pages of two, and no links to the next
    async with Station(page_limit=2, next_links=False) as station:
        for product in products:
            station.offer(product)
        for product in products[:2]:
            product.rename(place / product.name)
        async with running_pipeline(settings, [folder(place)], pool=pool, dsn=dsn, storage=storage) as pipeline:
            rows = await pipeline.published(*(product.name for product in products[:2]))
        for product in products[:2]:
            (place / product.name).rename(product)
        starts = [row["sensing_start"] for row in rows]
        # the station tells sensing times by the second, as the names have them
        words = ("--since", format_instant(min(starts) - timedelta(days=40)), "--what", "online")
        words += ("--until", format_instant(max(starts) + timedelta(days=1)))
        for fault in (Cut(at_byte=20), Answer(429, retry_after_s=0), Answer(503)):
            station.faults.on_listing(fault, after=2)
        done = await compare(station.url, *words, "--json", code=1)
        assert station.faults.pending == 0
        lines = [orjson.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert [(line["outcome"], line["name"]) for line in lines[:-1]] == [("missing", f"{products[2].name}.zip")]
        assert lines[-1] | {"equal": 2, "missing": 1, "extra": 0, "different": 0, "dialect": "prip"} == lines[-1]


async def test_a_hub_whose_lists_end_is_asked_for_less_and_one_that_fails_says_so(
    pool: asyncpg.Pool, compare: Call
) -> None:
    """It is like the Data Space: lists end behind some products, without a link, and further `$skip` is refused."""
    rows = [grd(number * 3600) for number in range(30)]
    await enter(pool, rows)
    entities = [
        {
            "Id": str(row.id), "Name": row.name, "S3Path": "/eodata", "PublicationDate": "2024-01-01T01:00:00.000000Z",
            "ContentDate": {"Start": format_instant(row.sensing_start), "End": format_instant(row.sensing_stop)},
        }
        for row in rows
        if row.sensing_start and row.sensing_stop
    ]  # fmt: skip
    async with stranger() as station:
        station.answers["/odata/Products"] = lambda request: listing(request, entities)
        done = await compare(f"{station.url}/odata", *DAYS, code=0)
        assert "30 equal" in done.stdout
        assert max(len(asked.target) for asked in station.asked) < 2000

        entities[4] = {"Id": 5, "Name": None, "ContentDate": entities[4]["ContentDate"]}
        entities[5] = {"Id": "x", "Name": "../../etc/passwd", "ContentDate": entities[5]["ContentDate"]}
        told = await compare(f"{station.url}/odata", *DAYS, code=1)
        assert "28 equal, 1 missing, 2 extra, 0 different, 1 unreadable" in told.stdout

        station.answer("/odata/Products", 200, b"<html>login")
        failed = await compare(f"{station.url}/odata", *DAYS, code=2)
        assert "that is not JSON" in failed.stderr
        assert failed.stdout == ""
    assert (await compare(f"{station.url}/odata", *DAYS, code=2)).stderr.startswith("refsys: 127.0.0.1: cannot be")


def listing(request: web.Request, entities: list[dict[str, Any]], *, limit: int = 8) -> web.Response:
    """At most `limit` of a window, three to a page."""
    options = request.query
    words = options.get("$filter", "").split()
    skip = int(options.get("$skip", 0))
    if skip >= limit:
        return web.json_response({"detail": [{"loc": ["query", "$skip"]}]}, status=422)
    chosen = entities
    if "ContentDate/Start" in words:
        start, stop = (parse_instant(words[words.index(op) + 1]) for op in ("ge", "lt"))
        chosen = [each for each in entities if _is_within(each, start, stop)]
    elif "eq" in words:
        chosen = []
    page: dict[str, Any] = {"value": chosen[skip : skip + 3]}
    if skip + 3 < len(chosen):
        page["@odata.nextLink"] = str(request.url.update_query({"$skip": str(skip + 3)}))
    return web.json_response(page)


def _is_within(entity: dict[str, Any], start: datetime, stop: datetime) -> bool:
    return start <= parse_instant(entity["ContentDate"]["Start"]) < stop


async def test_what_cannot_be_meant_is_told_before_anything_is_compared(
    hub: tuple[str, asyncpg.Pool], compare: Call
) -> None:
    url = f"{hub[0]}/odata/v1"
    for words, told in (
        (("--since", "2024-02-01", "--until", "2024-01-01"), "--since is not before --until"),
        (("--since", "soon"), "--since soon: is no date"),
        (("--what", "colour"), "--what colour"),
        (("--attributes", "orbitNumbr"), "--attributes orbitNumbr"),
        (("--inbox", "nobody"), "there is no inbox nobody"),
    ):
        assert told in (await compare(url, *words, code=2)).stderr
    assert "is no http URL" in (await compare("file:///etc", code=2)).stderr
    assert "$top cannot be given" in (await compare(f"{url}/Products?$top=1", code=2)).stderr
