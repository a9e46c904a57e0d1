"""Files of stations, read by threads: ranges, lies about them, cuts, silence, and connections that are used again."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from refsys.core.errors import Gone, Overloaded, Permanent, RefsysError, Unreachable
from refsys.infra.settings import AuthSettings, InboxSettings, Settings, StationSettings
from refsys.infra.stations import Stations
from refsys.infra.stations import limits as station_limits
from refsys.infra.stations import wire as station_wire
from refsys.infra.stations.client import HttpStream, StationClient, client_of
from refsys.simulation.station import OAuth2, Redirect, Station
from refsys.simulation.station.content import Held
from refsys.simulation.station.faults import TokensDie
from tests.stranger import stranger
from tests.waiting import wait_for
from tests.wire_station import WireStation, range_asked, wire_station

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
BODY = bytes(range(256)) * 4096
TAG = '"v1"'


def client(url: str, auth: AuthSettings | None = None, **changes: Any) -> StationClient:
    return StationClient("the station", auth or AuthSettings(), **({"url": url, "read_timeout_s": 10.0} | changes))


def drain(stream: HttpStream, piece: int = 100_000) -> bytes:
    """Everything of a stream; closes it."""
    with contextlib.closing(stream):
        buffer, body = memoryview(bytearray(piece)), bytearray()
        while count := stream.readinto(buffer):
            body += buffer[:count]
        return bytes(body)


def fetch(asking: StationClient, url: str, *span: Any) -> tuple[int, int | None, str, bytes]:
    stream = asking.open_stream(url, *span)
    return stream.start, stream.size_bytes, stream.tag, drain(stream)


async def asked(station: WireStation, *span: Any, **changes: Any) -> tuple[int, int | None, str, bytes]:
    async with client(station.url, **changes) as asking:
        return await asyncio.to_thread(fetch, asking, f"{station.url}/p", *span)


def head(status: str, *lines: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


async def ranged(told: str, writer: asyncio.StreamWriter) -> None:
    """As nginx answers."""
    asked_for = range_asked(told).removeprefix("bytes=")
    if not asked_for or (f"If-Range: {TAG}" not in told and "If-Range" in told):
        writer.write(head("200 OK", f"Content-Length: {len(BODY)}", f"ETag: {TAG}") + BODY)
        return
    first, _, last = asked_for.partition("-")
    start, stop = int(first), min(len(BODY), int(last) + 1 if last else len(BODY))
    if start >= len(BODY):
        writer.write(head("416 No", f"Content-Range: bytes */{len(BODY)}", "Content-Length: 2") + b"no")
        return
    lines = (f"Content-Range: bytes {start}-{stop - 1}/{len(BODY)}", f"Content-Length: {stop - start}", f"ETag: {TAG}")
    writer.write(head("206 Part", *lines) + BODY[start:stop])


@pytest.mark.parametrize(
    ("span", "start", "body"),
    [
        ((), 0, BODY),
        ((0, None, TAG), 0, BODY),
        ((1000,), 1000, BODY[1000:]),
        ((1000, 5000, TAG), 1000, BODY[1000:5000]),
        ((0, 10), 0, BODY[:10]),
        ((1000, 10**9), 1000, BODY[1000:]),
        ((1000, 5000, '"older"'), 0, BODY),
        ((len(BODY), None, TAG), len(BODY), b""),
        ((len(BODY) + 1, None, TAG), 0, BODY),
    ],
)
async def test_what_is_asked_for_comes_or_everything(span: tuple[Any, ...], start: int, body: bytes) -> None:
    async with wire_station(ranged) as station:
        assert (await asked(station, *span))[::3] == (start, body)


async def test_a_stream_tells_size_and_tag() -> None:
    async with wire_station(ranged) as station:
        assert (await asked(station))[:3] == (0, len(BODY), TAG)
        assert (await asked(station, 10, 20))[:3] == (10, len(BODY), TAG)


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Range: bytes 7-15/1048576", "Content-Length: 9"),
        ("Content-Range: bytes 6-15/1048576", "Content-Length: 11"),
        ("Content-Range: bytes 6-15/12", "Content-Length: 10"),
        ("Content-Range: bytes 6-5/1048576", "Content-Length: 0"),
        ("Content-Range: lines 6-15/1048576", "Content-Length: 10"),
        ("Content-Range: bytes 6-15/1048576", "Content-Length: 10", 'ETag: "v2"'),
        ("Content-Length: 10", "Content-Type: multipart/byteranges; boundary=x"),
    ],
)
async def test_a_part_of_something_else_is_not_taken(lines: tuple[str, ...]) -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        if range_asked(told):
            writer.write(head("206 Part", *lines) + b"x" * 11)
        else:
            await ranged(told, writer)

    async with wire_station(say) as station:
        assert await asked(station, 6, 16, TAG) == (0, len(BODY), TAG, BODY)


async def test_who_knows_no_ranges_begins_at_zero() -> None:
    async with wire_station(head("200 OK", "Content-Length: 4") + b"abcd") as station:
        assert await asked(station, 2, 4) == (0, 4, "", b"abcd")


async def test_more_than_was_asked_for_is_left_alone() -> None:
    answer = head("206 Part", "Content-Range: bytes 2-9/10", "Content-Length: 8") + b"cdefghij"
    async with wire_station(answer) as station:
        assert await asked(station, 2, 4) == (2, 10, "", b"cd")
        assert await asked(station, 2, 4) == (2, 10, "", b"cd")


@pytest.mark.parametrize(
    ("told", "tag"), [('ETag: W/"v1"', ""), ("ETag: v1", ""), ('ETag: "a b"', ""), ('ETag: "é"', '"é"')]
)
async def test_only_a_strong_tag_names_content(told: str, tag: str) -> None:
    async with wire_station(head("200 OK", "Content-Length: 1", told).decode().encode("latin-1") + b"x") as station:
        assert (await asked(station))[2] == tag


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            head("200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: x\r\n\r\n",
            b"abcdefg",
        ),
        (head("200 OK", "Connection: close") + b"to the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
        (head("100 Continue") + head("200 OK", "Content-Length: 2") + b"ok", b"ok"),
        (head("200 OK", "Content-Length: 0"), b""),
    ],
)
async def test_bodies_of_every_kind(answer: bytes, body: bytes) -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if b"Content-Length" not in answer and b"chunked" not in answer:
            writer.close()

    async with wire_station(say) as station:
        assert (await asked(station))[3] == body


@pytest.mark.parametrize(
    "answer",
    [
        head("200 OK", "Content-Length: 10") + b"abc",
        head("200 OK", "Transfer-Encoding: chunked") + b"a\r\nabc",
        head("200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n",
        head("200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\nzz\r\n",
    ],
)
async def test_what_came_before_a_cut_is_given_and_the_cut_told(answer: bytes) -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    def read(asking: StationClient) -> bytes:
        stream = asking.open_stream(f"{station.url}/p")
        buffer = memoryview(bytearray(100))
        with contextlib.closing(stream):
            count = stream.readinto(buffer)
            for _ in range(2):
                with pytest.raises(OSError):
                    stream.readinto(buffer)
        return bytes(buffer[:count])

    async with wire_station(say) as station, client(station.url) as asking:
        assert await asyncio.to_thread(read, asking) == b"abc"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (head("404 No", "Content-Length: 0"), Gone),
        (head("403 No", "Content-Length: 4") + b"hush", RefsysError),
        (head("429 No", "Retry-After: 7"), Overloaded),
        (head("500 No"), Unreachable),
        (head("204 Nothing"), Permanent),
        (head("206 Part", "Content-Range: bytes 0-3/4", "Content-Length: 4") + b"abcd", Permanent),
        (head("416 No", "Content-Length: 0"), Permanent),
        (head("302 There", "Location: ftp://x/"), Permanent),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", Unreachable),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", Unreachable),
        (b"", Unreachable),
    ],
)
async def test_a_refusal_means_the_same_as_elsewhere(answer: bytes, kind: type[RefsysError]) -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with wire_station(say) as station:
        with pytest.raises(kind) as caught:
            await asked(station)
    assert caught.value.subject == "the station"
    assert caught.value.advice


async def test_nobody_there() -> None:
    async with wire_station(b"") as station:
        pass
    with pytest.raises(Unreachable) as caught:
        await asked(station)
    assert caught.value.message == f"cannot be reached: Connection refused ({station.url.removeprefix('http://')})"


async def test_connections_are_used_again_and_closed_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_wire, "IDLE_S", 0.2)
    async with wire_station(ranged) as station, client(station.url) as asking:
        for start in (0, 10, 20):
            await asyncio.to_thread(fetch, asking, f"{station.url}/p", start)
        assert (len(station.heads), station.connections) == (3, 1)
        await wait_for(lambda: station.open_connections == 0, 10)
        await asyncio.to_thread(fetch, asking, f"{station.url}/p")
        assert station.connections == 2


async def test_a_kept_connection_that_the_station_ended_is_replaced() -> None:
    asked_before: list[str] = []

    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        if len(asked_before) % 2:  # it takes the second request of a connection, and hangs up
            asked_before.append(told)
            writer.close()
        else:
            asked_before.append(told)
            await ranged(told, writer)

    async with wire_station(say) as station, client(station.url) as asking:
        for _ in range(2):
            assert (await asyncio.to_thread(fetch, asking, f"{station.url}/p"))[3] == BODY
        assert station.connections == 2


async def test_what_nobody_asked_for_is_no_answer_to_the_next_request() -> None:
    """A body longer than it says, which begins like an answer."""
    junk = head("200 OK", "Content-Length: 4") + b"evil"
    async with (
        wire_station(head("200 OK", "Content-Length: 4") + b"good" + junk) as station,
        client(station.url) as asking,
    ):
        for _ in range(5):
            assert (await asyncio.to_thread(fetch, asking, f"{station.url}/p"))[3] == b"good"


async def test_close_wakes_a_thread_that_waits() -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head("200 OK", "Content-Length: 10") + b"abc")

    async with wire_station(say) as station, client(station.url, read_timeout_s=60.0) as asking:
        stream = await asyncio.to_thread(asking.open_stream, f"{station.url}/p")
        buffer = memoryview(bytearray(3))
        assert await asyncio.to_thread(stream.readinto, buffer) == 3
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            stream.readinto(buffer)

        waiting = asyncio.create_task(asyncio.to_thread(wait))
        await asyncio.to_thread(begun.wait)
        stream.close()
        async with asyncio.timeout(10):
            with pytest.raises(OSError, match=r"closed on our side|was closed"):
                await waiting
        await wait_for(lambda: station.open_connections == 0, 10)


async def test_silence_is_a_cut() -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(head("200 OK", "Content-Length: 10") + b"abc")

    async with wire_station(say) as station:
        with pytest.raises(OSError, match=r"nothing came for 0\.1 s"):
            await asked(station, read_timeout_s=0.1)


async def drip(told: str, writer: asyncio.StreamWriter) -> None:
    writer.write(head("200 OK", "Content-Length: 1000000"))
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_a_peer_that_drips_does_not_hold_us_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station_limits, "RATE_WINDOW_S", 0.2)
    async with wire_station(drip) as station:
        async with asyncio.timeout(20):
            with pytest.raises(OSError, match="10000 a second are the least"):
                await asked(station, least_bytes_per_s=10_000)


async def test_a_head_that_drips_in_ends_too() -> None:
    async def say(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(b"y")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with wire_station(say) as station:
        async with asyncio.timeout(20):
            with pytest.raises(Unreachable, match="no whole answer in time"):
                await asked(station, read_timeout_s=0.03, connect_timeout_s=0.1)


async def test_threads_share_the_tokens_of_the_loop_and_renew_them_once() -> None:
    numbers = iter(range(1, 100))
    good: set[str] = {"token-1"}
    async with stranger() as station:

        def grant(request: web.Request) -> web.Response:
            return web.json_response({"access_token": f"token-{next(numbers)}", "expires_in": 3600})

        def give(request: web.Request) -> web.Response:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return web.Response(body=BODY) if token in good else web.Response(status=401)

        station.answers |= {"/token": grant, "/p": give}
        auth = AuthSettings(kind="oauth2", user="a", password=SecretStr("b"), token_url=f"{station.url}/token")
        async with client(station.url, auth) as asking:
            for token in ("token-1", "token-2"):
                good.clear()
                good.add(token)
                bodies = await asyncio.gather(*(asyncio.to_thread(fetch, asking, f"{station.url}/p") for _ in range(8)))
                assert {body for *_, body in bodies} == {BODY}
        assert len(station.asked_at("/token")) == 2


async def test_redirects_keep_the_range_and_our_credentials_at_home() -> None:
    auth = AuthSettings(kind="basic", user="anna", password=SecretStr("secret"))
    async with stranger() as station, wire_station(ranged) as elsewhere:
        station.answer("/p", 307, Location=f"{elsewhere.url}/q?sig=%2F")
        async with client(station.url, auth) as asking:
            found = await asyncio.to_thread(fetch, asking, f"{station.url}/p", 10, 20)
        assert found == (10, len(BODY), TAG, BODY[10:20])
        assert station.asked[0].headers["Authorization"].startswith("Basic ")
        assert elsewhere.heads[0].startswith("GET /q?sig=%2F HTTP/1.1\r\n")
        assert range_asked(elsewhere.heads[0]) == "bytes=10-19"
        assert "Authorization" not in elsewhere.heads[0]


async def test_tls_is_verified_and_its_streams_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with stranger(tls) as station:
        station.answer("/p", body=BODY)
        async with client(station.url) as asking:
            with pytest.raises(Unreachable, match="self-signed certificate") as caught:
                await asyncio.to_thread(asking.open_stream, f"{station.url}/p")
        assert "verify_tls" in caught.value.advice
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        async with client(station.url) as asking:
            for _ in range(2):
                body = (await asyncio.to_thread(fetch, asking, f"{station.url}/p"))[3]
                assert hashlib.md5(body).digest() == hashlib.md5(BODY).digest()


async def test_a_file_comes_whole_though_tokens_die_in_its_midst_and_it_lies_on_another_host() -> None:
    async with Station(auth=OAuth2(user="us", password="secret"), other_host="127.0.0.2") as station:
        offered = station.offer(Held(BODY), name="S1A_X.SAFE.zip")
        station.faults.on_download(TokensDie(300_000), times=2)
        station.faults.on_download(Redirect(), times=None)
        auth = AuthSettings(kind="oauth2", user="us", password=SecretStr("secret"), token_url=station.token_url)
        inbox = InboxSettings(id="it", type="prip", url=station.url, station="NSG", auth=auth)
        url = f"{station.url}/Products({offered.id})/$value"

        def resumed(asking: StationClient) -> bytes:
            body, tag, buffer = bytearray(), "", memoryview(bytearray(50_000))
            while len(body) < len(BODY):
                with contextlib.closing(asking.open_stream(url, len(body), None, tag)) as stream:
                    assert stream.start == len(body)
                    tag = stream.tag
                    with contextlib.suppress(OSError):
                        while count := stream.readinto(buffer):
                            body += buffer[:count]
            return bytes(body)

        named = Settings(inbox=(inbox,), station=(StationSettings(name="NSG", redirect_hosts=("127.0.0.2",)),))
        for settings in (named, Settings(inbox=(inbox,))):
            stations = Stations(settings)
            async with client_of(inbox, settings, stations) as asking:
                if settings is named:
                    assert await asyncio.to_thread(resumed, asking) == BODY
                else:
                    with pytest.raises(Unreachable) as caught:
                        await asyncio.to_thread(asking.open_stream, url)
                    assert "does 127.0.0.2 belong into redirect_hosts" in caught.value.advice
            await stations.close()
