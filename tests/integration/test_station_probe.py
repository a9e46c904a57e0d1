"""`refsys station probe`: what is seen of stations that keep to the standard, and of those that do not."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from refsys.core.errors import ConfigurationError, RefsysError, Unreachable
from refsys.infra.settings import AuthSettings, InboxSettings, Settings
from refsys.ingestion.probing import Report, probe
from refsys.simulation.files import EdipStation, XbipStation
from refsys.simulation.station import Basic, CadipStation, OAuth2, Redirect, Station
from refsys.simulation.station.content import Held
from tests.main_called import Done, caller
from tests.stranger import stranger

SESSION = "S1A_20241114143038056552"
CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
Call = Callable[..., Done]


async def probed(kind: str, url: str, **inbox: Any) -> Report:
    return await probe(InboxSettings(id="it", type=kind, url=url, **inbox), Settings())


def answers(report: Report) -> dict[str, str]:
    return {seen.question: seen.answer for seen in report.seen}


async def test_a_cadip_station_that_keeps_to_the_standard() -> None:
    async with CadipStation() as station:
        session = station.session(SESSION)
        session.publish_channel(1, 2)
        report = await probed("cadip", station.url)
        asked = len(station.journal.requests())
    seen = answers(report)
    assert seen["clock"] == "as ours, within 2 s"
    assert seen["$metadata"].startswith("given")
    assert seen["$orderby"] == seen["$count=true"] == "understood"
    assert seen["SessionId in (…)"] == "understood, 0 entries"
    assert seen["PublicationDate ge"] == "understood, 1 entries"
    assert seen["$expand=QualityInfo"] == seen["$expand=Files"] == "understood"
    assert seen["an empty answer"] == '{"value": []}'
    assert seen["Range"] == "understood"
    assert seen["$value redirects"] == "none"
    assert seen["EvictionDate"].startswith("20")
    assert (report.odata, report.redirect_hosts, report.advice) == ({}, [], [])
    assert asked < 25


async def test_a_station_with_habits() -> None:
    async with CadipStation() as station:
        for second in range(7):
            station.session(f"S1A_2024111414303{second}056552").publish_channel(1, 1)
        refused = frozenset({"ge", "le", "in", "$count", "$expand"})
        station.speak(page_limit=3, next_links=False, refuses=refused, empty_list=True)
        report = await probed("cadip", station.url)
    seen = answers(report)
    assert seen["$top=1000"] == "pages are cut at 3 entries"
    assert seen["@odata.nextLink"] == "none, pages are counted"
    assert seen["$skip"] == "understood"
    assert seen["PublicationDate gt"].startswith("understood")
    for refused in ("PublicationDate ge", "PublicationDate le", "SessionId in (…)", "$count=true", "$expand=Files"):
        assert seen[refused].startswith("refused: answered 400"), refused
    assert seen["an empty answer"] == "[]"
    assert report.odata == {"count": False, "expand": False}
    assert report.advice == ["page_size = 3   # its pages have no more entries"]


async def test_a_prip_with_tokens_that_redirects() -> None:
    there = OAuth2(user="us", password="secret")
    async with Station(auth=there, algorithms=("MD5", "BLAKE3")) as station:
        station.offer(Held(b"x" * 100), name="S1A_X.SAFE.zip")
        station.faults.on_download(Redirect(), times=None)
        auth = AuthSettings(kind="oauth2", user="us", password=SecretStr("secret"), token_url=station.token_url)
        report = await probed("prip", station.url, auth=auth)
    seen = answers(report)
    assert seen["token"] == "obtained, and accepted"
    assert seen["$value redirects"] == "307, on the same host"
    assert seen["Range"] == "understood"
    assert seen["Checksum"] == "MD5, BLAKE3"


async def test_a_host_that_files_are_redirected_to_and_that_wants_credentials_is_named() -> None:
    async with stranger() as there, stranger() as elsewhere:
        entry = {"Id": "7", "name": "x", "creationDate": "2024-11-14T14:30:00Z", "ContentLength": 1}
        there.answer("/Products", body=orjson.dumps({"value": [entry]}))
        there.answer("/Products(7)/$value", 307, Location=f"{elsewhere.url}/file")
        elsewhere.answer("/file", 401)
        report = await probed("prip", there.url)
    assert report.redirect_hosts == [elsewhere.url.removeprefix("http://")]
    assert report.odata["publication_date"] == "creationDate"
    assert report.odata["product_name"] == "name"
    seen = answers(report)
    assert seen["$skip"] == "ignored"
    assert seen["$count=true"] == "ignored"
    assert seen["an empty answer"] == "is not empty: $filter is ignored"


async def test_the_difference_of_clocks_is_told() -> None:
    async with stranger() as there:
        late = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        there.answer("/Products", body=b"[]", Date=late)
        seen = answers(await probed("prip", there.url))
    ahead = seen["clock"].removesuffix(" s ahead of ours")
    assert 3590 <= int(ahead) <= 3601
    assert seen["an empty answer"] == "[]"


@pytest.mark.parametrize("body", [b"<html>", b'{"value": 7}', b'{"value": [null, 7, "x"]}', b"[[]]"])
async def test_no_answer_makes_it_fall_over(body: bytes) -> None:
    async with stranger() as there:
        for path in ("/Sessions", "/Files"):
            there.answer(path, body=body)
        with contextlib.suppress(RefsysError):
            assert (await probed("cadip", there.url)).seen


async def test_a_station_that_refuses_us_is_told_as_elsewhere() -> None:
    async with CadipStation(auth=Basic("us", "secret")) as station:
        with pytest.raises(Unreachable, match="set the inbox's auth"):
            await probed("cadip", station.url)
    with pytest.raises(ConfigurationError, match="there is no station to ask"):
        await probed("folder", "/tmp")


async def test_a_webdav_server() -> None:
    async with XbipStation() as station:
        station.session(SESSION).publish_channel(1, 2)
        seen = answers(await probed("xbip", station.url))
    assert seen["PROPFIND Depth: 1"].startswith("understood, ")
    assert seen["PROPFIND Depth: infinity"].startswith("understood, ")
    assert seen["Range"] == "understood"


@pytest.mark.parametrize("security", ["ftp", "ftps"])
async def test_an_ftp_server(security: str) -> None:
    certificate = CERTIFICATE if security == "ftps" else None
    async with EdipStation(certificate=certificate) as station:
        station.session(SESSION).publish_channel(1, 1)
        seen = answers(await probed("edip", station.url, verify_tls=False))
    assert "MLST" in seen["FEAT"]
    assert seen["MLSD"] == seen["REST"] == "understood"
    told = {"ftp": "in the clear, as the control connection", "ftps": "TLS, the session is taken up"}
    assert seen["data connections"] == told[security]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return caller(tmp_path, monkeypatch, capsys)


@pytest.fixture
def settings_file(tmp_path: Path) -> Iterator[Path]:
    with CadipStation(page_limit=3) as station:
        for second in range(7):
            station.session(f"S1A_2024111414303{second}056552")
        station.speak(refuses=frozenset({"$count"}))
        file = tmp_path / "refsys.toml"
        file.write_text(
            f'[[station]]\nname = "SGS"\nconnections = 3\n\n[[inbox]]\nid = "svalbard"\ntype = "cadip"\n'
            f'url = "{station.url}"\nstation = "SGS"\n'
        )
        yield file


def test_the_command_prints_a_table_and_a_section_that_can_be_pasted(call: Call, settings_file: Path) -> None:
    done = call("--config", settings_file, "station", "probe", "SGS")
    assert "pages are cut at 3 entries" in done.stdout
    profile = done.stdout[done.stdout.index("[[station]]") :]
    assert tomllib.loads(profile) == {"station": [{"name": "SGS", "connections": 3, "odata": {"count": False}}]}
    assert "# page_size = 3" in profile
    told = orjson.loads(call("--config", settings_file, "station", "probe", "svalbard", "--json").stdout)
    assert told["odata"] == {"count": False}
    assert {"question": "$orderby", "answer": "understood"} in told["seen"]


def test_the_command_says_which_names_there_are(call: Call, settings_file: Path) -> None:
    done = call("--config", settings_file, "station", "probe", "nobody", code=2)
    assert "one of SGS, svalbard" in done.stderr
