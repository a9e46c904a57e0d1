"""Servers of files that say what they should not: nothing is lost, nothing is invented, nobody is led elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from refsys.core.errors import Permanent, Transient
from refsys.infra.settings import FetchSettings
from refsys.ingestion.model import Offer
from refsys.ingestion.protocols import edip, ftpclient
from tests.file_drops import begin, drained, look, opened, read, until_cut
from tests.ftp_script import Script, scripted
from tests.stranger import Stranger, stranger
from tests.waiting import wait_for

FILE = (
    "<D:propstat><D:prop><D:resourcetype/><D:getcontentlength>5</D:getcontentlength>"
    "<D:getlastmodified>Wed, 25 Nov 2026 14:00:00 GMT</D:getlastmodified></D:prop>"
    "<D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
)
FOLDER = (
    "<D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop>"
    "<D:status>HTTP/1.1 200 OK</D:status></D:propstat>"
    "<D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>"
)


def entry(href: str, told: str = FILE) -> str:
    return f"<D:response><D:href>{href}</D:href>{told}</D:response>"


def multistatus(*entries: str) -> str:
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(entries)}</D:multistatus>'


@pytest.fixture
async def dav() -> AsyncIterator[Stranger]:
    async with stranger() as dav:
        yield dav


def inbox(dav: Stranger, **changes: Any) -> dict[str, Any]:
    return {"type": "xbip", "url": f"{dav.url}/NOMINAL", **changes}


def answers(*entries: str, status: int = 207) -> Any:
    return lambda request: web.Response(status=status, text=multistatus(*entries), content_type="application/xml")


@pytest.mark.parametrize(
    "form",
    ["{url}/NOMINAL/{path}", "/NOMINAL/{path}", "//127.0.0.1/NOMINAL/{path}", "{path}", "/behind/a/proxy/{path}"],
)
async def test_hrefs_of_every_form_are_understood(form: str, dav: Stranger) -> None:
    own = "/behind/a/proxy/" if "proxy" in form else "/NOMINAL/"
    paths = ["S1A/ch_1/a%20b.raw", "S1A/%C3%BC%2Bx.raw", "S1A/ch%5f1/100%2541.raw"]
    entries = [entry(form.format(url=dav.url, path=path)) for path in paths]
    dav.answers["/NOMINAL/"] = answers(entry(own, FOLDER), *entries)
    async with opened(**inbox(dav)) as source:
        found, is_whole = await look(source)
    assert is_whole
    assert found.keys() == {"S1A/ch_1/a b.raw", "S1A/ü+x.raw", "S1A/ch_1/100%41.raw"}


async def test_entries_that_lead_elsewhere_are_passed_over(dav: Stranger) -> None:
    strange = ["/etc/passwd", "/NOMINAL/../x.raw", "/NOMINAL/a/..%2f..%2fx", "/NOMINAL/%00", "/NOMINAL/%FF.raw"]
    strange += ["/NOMINALLY/x.raw", "", "http://[", "/NOMINAL/" + "n" * 2000]
    dav.answers["/NOMINAL/"] = answers(
        entry("/NOMINAL/", FOLDER), *map(entry, strange), entry("/NOMINAL/good.raw"), entry("/NOMINAL/line%0Abreak")
    )
    async with opened(**inbox(dav)) as source:
        found, is_whole = await look(source)
    assert is_whole
    assert found.keys() == {"good.raw", "line\nbreak"}


@pytest.mark.parametrize(
    ("told", "is_whole"),
    [
        ("<D:status>HTTP/1.1 403 Forbidden</D:status>", False),
        ("<D:status>HTTP/1.1 500 Oops</D:status>", False),
        ("<D:status>HTTP/1.1 404 Not Found</D:status>", True),
    ],
)
async def test_an_entry_that_cannot_be_told_makes_the_listing_less(told: str, is_whole: bool, dav: Stranger) -> None:
    dav.answers["/NOMINAL/"] = answers(
        entry("/NOMINAL/", FOLDER), entry("/NOMINAL/a.raw"), entry("/NOMINAL/secret", told)
    )
    async with opened(**inbox(dav)) as source:
        assert [*(await look(source))] == [{"a.raw": (await look(source))[0]["a.raw"]}, is_whole]


def one_by_one(refusal: Any) -> Any:
    """A server that refuses to list everything at once."""

    def answer(request: web.Request) -> web.Response:
        if request.headers["Depth"] == "infinity":
            told: web.Response = refusal(request)
            return told
        entries = {
            "/NOMINAL/": [entry("/NOMINAL/S1A/", FOLDER), entry("/NOMINAL/gone/", FOLDER), entry("/NOMINAL/a.raw")],
            "/NOMINAL/S1A/": [entry("/NOMINAL/S1A/ch%201/", FOLDER)],
            "/NOMINAL/S1A/ch 1/": [entry("/NOMINAL/S1A/ch%201/b.raw")],
        }[request.path]
        made: web.Response = answers(entry(request.path.replace(" ", "%20"), FOLDER), *entries)(request)
        return made

    return answer


@pytest.mark.parametrize(
    ("refusal", "remembered"),
    [
        (lambda request: web.Response(status=403), True),
        (lambda request: web.Response(status=400), True),
        (lambda request: web.Response(status=507), False),
        (answers(entry("/NOMINAL/", "<D:status>HTTP/1.1 507 Insufficient Storage</D:status>")), True),
    ],
    ids=["403", "400", "507", "507 inside"],
)
async def test_a_server_that_does_not_list_all_at_once_is_walked(refusal: Any, remembered: bool, dav: Stranger) -> None:
    for path in ("/NOMINAL/", "/NOMINAL/S1A/", "/NOMINAL/S1A/ch 1/"):
        dav.answers[path] = one_by_one(refusal)
    async with opened(**inbox(dav)) as source:
        for _ in range(2):
            found, is_whole = await look(source)
            assert found.keys() == {"a.raw", "S1A/ch 1/b.raw"}
            assert not is_whole  # one folder went meanwhile
    depths = [asked.headers["Depth"] for asked in dav.asked if asked.target == "/NOMINAL/"]
    assert depths == ["infinity", "1", "1"] if remembered else ["infinity", "1"] * 2


@pytest.mark.parametrize(
    "body",
    [
        multistatus(entry("/NOMINAL/", FOLDER), entry("/NOMINAL/a.raw"))[:-5],
        "<html><body>Log in</body></html>",
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + multistatus(entry("/NOMINAL/&e;")),
        multistatus("<D:response>" + "<D:href>x</D:href>" * 300_000 + "</D:response>"),
        multistatus(),
        "",
    ],
    ids=["cut", "html", "entity", "huge", "nothing named", "empty"],
)
async def test_what_is_no_listing_is_told(body: str, dav: Stranger) -> None:
    dav.answers["/NOMINAL/"] = lambda request: web.Response(status=207, text=body, content_type="application/xml")
    async with opened(**inbox(dav)) as source:
        with pytest.raises(Transient, match="what cannot be read"):
            await look(source)
    assert len(dav.asked) == 1, "another question would not help"


async def test_an_endless_tree_is_given_up(dav: Stranger) -> None:
    def deeper(request: web.Request) -> web.Response:
        if request.headers["Depth"] != "1":
            return web.Response(status=403)
        made: web.Response = answers(entry(request.path, FOLDER), entry(f"{request.path}x/", FOLDER))(request)
        return made

    for depth in range(40):
        dav.answers["/NOMINAL/" + "x/" * depth] = deeper
    async with opened(**inbox(dav)) as source:
        with pytest.raises(Transient, match="deeper than"):
            await look(source)


async def test_a_listing_of_200_000_files_is_taken(dav: Stranger) -> None:
    async def many(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=207, headers={"Content-Type": "application/xml"})
        await response.prepare(request)
        first, last = multistatus("|").split("|")
        await response.write((first + entry("/NOMINAL/", FOLDER)).encode())
        thousand = "".join(entry(f"/NOMINAL/|/{n}.raw") for n in range(1000))
        for part in range(200):
            await response.write(thousand.replace("|", str(part)).encode())
        await response.write(last.encode())
        return response

    dav.answers["/NOMINAL/"] = many
    async with opened(**inbox(dav)) as source:
        found, is_whole = await look(source)
    assert is_whole
    assert len(found) == 200_000


LINE = b"-rw-r--r-- 1 ftp ftp 5 Nov 25 2020 "


def ftp(script: Script, **changes: Any) -> dict[str, Any]:
    return {"type": "edip", "url": script.url, **changes}


async def test_names_that_lead_elsewhere_and_links_are_passed_over() -> None:
    lines = [LINE + name for name in (b"good.raw", b"..", b"../up", b"a/b", b"\xff.raw", b"n" * 2000)]
    lines += [b"lrwxrwxrwx 1 ftp ftp 5 Nov 25 2020 link -> /etc", b"drwxr-xr-x 2 ftp ftp 5 Nov 25 2020 .."]
    with scripted(Script({"/": b"\r\n".join([b"total 1", *lines, b""])})) as server:
        async with opened(**ftp(server)) as source:
            found, is_whole = await look(source)
        assert is_whole
        assert found.keys() == {"good.raw"}
        assert [asked for asked in server.asked if asked.startswith("CWD")] == ["CWD /"]


async def test_a_line_that_says_nothing_makes_the_listing_less() -> None:
    with scripted(Script({"/": LINE + b"broken\nin two.raw\r\n" + LINE + b"good.raw"})) as server:
        async with opened(**ftp(server)) as source:
            found, is_whole = await look(source)
    assert not is_whole
    assert found.keys() == {"broken", "good.raw"}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (Script({"/": b"Nov 25 x y z\r\n"}), "form that is not understood"),
        (Script({"/": LINE + b"a.raw\r\n"}, ends_with="426 broken"), "426"),
        (Script({"/": LINE + b"a.raw\r\n"}, ends_with="550 failed"), "550"),
        (Script({"/": LINE + b"a.raw\r\n"}, replies={"CWD": "421 going down"}), "lower the connections"),
        (Script({"/": b"x" * 10_000}), "without end"),
        (Script({"/": LINE}, drip=True), "no answer in time"),
        (Script({"/": LINE}, replies={"PASV": "227 nonsense", "EPSV": "229 nonsense"}), "229|227"),
    ],
    ids=["unknown form", "broken off", "failed", "421", "endless line", "drips", "no port"],
)
async def test_a_listing_of_ftp_that_is_not_whole_is_none(script: Script, told: str) -> None:
    with scripted(script) as server:
        async with opened(FetchSettings(read_timeout_s=0.05), **ftp(server)) as source:
            with pytest.raises((Transient, Permanent), match=told) as caught:
                await look(source)
    assert str(caught.value).startswith("Svalbard: ")


async def test_the_data_come_from_the_host_that_was_asked() -> None:
    """The server names another one for passive connections."""
    with scripted(Script({"/": LINE + b"a.raw\r\n"}, {"/a.raw": b"12345"}, replies={"EPSV": "500 what?"})) as server:
        async with opened(**ftp(server)) as source:
            offer = (await look(source))[0]["a.raw"]
            assert await read(source, offer) == b"12345"


async def test_a_server_that_takes_rest_and_ignores_it_is_found_out() -> None:
    data = bytes(range(256)) * 40
    listing = LINE.replace(b" 5 ", b" %d " % len(data)) + b"a.raw\r\n"
    with scripted(Script({"/": listing}, {"/a.raw": data}, ignores_rest=True)) as server:
        async with opened(**ftp(server)) as source:
            offer = (await look(source))[0]["a.raw"]
            first = await begin(source, offer, start=5000)
            assert first.start == 5000
            await asyncio.to_thread(until_cut, first)
            second = await begin(source, offer, start=5000)
            assert second.start == 0
            assert await asyncio.to_thread(drained, second) == data


@pytest.mark.parametrize("ends_with", ["426 broken", "451 disk", "550 gone"])
async def test_a_transfer_has_ended_well_only_where_the_server_says_so(ends_with: str) -> None:
    script = Script({"/": LINE + b"a.raw\r\n"}, {"/a.raw": b"12345"})
    with scripted(script) as server:
        async with opened(**ftp(server)) as source:
            offer = (await look(source))[0]["a.raw"]
            script.ends_with = ends_with
            stream = await begin(source, offer)
            assert await asyncio.to_thread(until_cut, stream) == b"12345"


async def test_no_name_becomes_a_command() -> None:
    script = Script({"/": LINE + b"a.raw\r\n"})
    with scripted(script) as server:
        async with opened(**ftp(server)) as source:
            await look(source)
            with pytest.raises(Permanent, match="cannot be asked for"):
                await begin(source, Offer(remote_id="a", version="5/x", name="a", path="a\r\nDELE a.raw"))
            await look(source)
    assert not [asked for asked in server.asked if "DELE" in asked]


async def test_a_connection_that_the_server_ended_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftpclient, "_FRESH_S", 0.0)
    script = Script({"/": LINE + b"a.raw\r\n"}, replies={"NOOP": "421 you were away too long"})
    with scripted(script) as server:
        async with opened(**ftp(server)) as source:
            for _ in range(3):
                assert (await look(source))[1]
    assert script.asked.count("USER anonymous") > 3


async def test_connections_that_nobody_uses_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftpclient, "IDLE_S", 0.05)
    monkeypatch.setattr(edip, "IDLE_S", 0.05)
    with scripted(Script({"/": LINE + b"a.raw\r\n"})) as server:
        async with opened(**ftp(server)) as source:
            await look(source)
            await wait_for(lambda: not server.connected)
            assert (await look(source))[1]
