"""What inboxes and processes share of a station: connections over a database, the breaker, bytes a second, a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from refsys.core.errors import Overloaded, Unreachable
from refsys.infra.settings import AuthSettings, InboxSettings, Settings, StationSettings
from refsys.infra.stations import Station, Stations
from refsys.infra.stations import sharing as stations_module
from refsys.infra.stations.client import client_of
from tests.stranger import stranger
from tests.waiting import wait_for
from tests.wire_station import wire_station

BODY = bytes(100_000)
CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"


def settings_of(url: str, **limits: Any) -> Settings:
    inboxes = [InboxSettings(id=name, type="prip", url=url, station="SGS") for name in ("one", "two")]
    return Settings(inbox=tuple(inboxes), station=(StationSettings(name="SGS", **limits),))


@contextlib.asynccontextmanager
async def processes(pool: asyncpg.Pool, count: int, **limits: Any) -> AsyncIterator[list[Station]]:
    """The station as so many processes have it."""
    settings = settings_of("http://127.0.0.1:1", **limits)
    made = [Stations(settings, pool) for _ in range(count)]
    yield [each.of(settings.inbox[0]) for each in made]
    for each in made:
        await each.close()


async def taken(pool: asyncpg.Pool) -> int:
    count: int = await pool.fetchval(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::int::oid"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        0x7374_6174,
    )
    return count


async def test_inboxes_that_name_a_station_share_it_and_others_do_not() -> None:
    settings = settings_of("http://127.0.0.1:1")
    alone = InboxSettings(id="three", type="prip", url="http://127.0.0.1:1")
    stations = Stations(settings)
    one, two = (stations.of(inbox) for inbox in settings.inbox)
    assert one is two
    assert stations.of(alone) is not one
    await stations.close()


async def test_processes_have_no_more_connections_together_than_the_station_gives(pool: asyncpg.Pool) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def use(station: Station) -> None:
        nonlocal now, most
        for _ in range(20):
            with station.connection():
                with lock:
                    now += 1
                    most = max(most, now)
                threading.Event().wait(0.001)
                with lock:
                    now -= 1

    async with processes(pool, 2, connections=3) as stations:
        await asyncio.gather(*(asyncio.to_thread(use, station) for station in stations for _ in range(4)))
        assert most <= 3
        await wait_for(lambda: taken(pool))


async def test_what_is_not_used_is_given_back(pool: asyncpg.Pool) -> None:
    async with processes(pool, 1, connections=3) as [station]:
        held = [await asyncio.to_thread(station.take) for _ in range(3)]
        assert await taken(pool) == 3
        for each in held:
            station.free(each)

        async def none_is() -> bool:
            return await taken(pool) == 0

        await wait_for(none_is)


async def test_a_process_keeps_a_connection_for_the_next_file(pool: asyncpg.Pool) -> None:
    async with processes(pool, 1, connections=3) as [station]:
        first = await asyncio.to_thread(station.take)
        station.free(first)
        assert await asyncio.to_thread(station.take) is first


@pytest.mark.parametrize("connections", [1, 2])
async def test_a_listing_goes_before_the_downloads_of_another_process(pool: asyncpg.Pool, connections: int) -> None:
    """Downloads take every connection as soon as it is free; the listing gets one all the same."""
    stop = threading.Event()

    def download(station: Station) -> None:
        while not stop.is_set():
            with station.connection():
                stop.wait(0.02)

    async with processes(pool, 2, connections=connections) as [poller, worker]:
        running = [asyncio.create_task(asyncio.to_thread(download, worker)) for _ in range(4)]
        try:
            await wait_for(lambda: taken(pool))
            for _ in range(3):
                async with asyncio.timeout(15), poller.listing():
                    pass
        finally:
            stop.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*running)


async def test_who_waits_too_long_is_told_so(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stations_module, "PATIENCE_S", 0.3)
    async with processes(pool, 2, connections=1) as [one, two]:
        held = await asyncio.to_thread(one.take)
        with pytest.raises(Overloaded, match="1 connections") as caught:
            await asyncio.to_thread(two.take)
        assert caught.value.retry_after_s == 0.3
        with pytest.raises(Overloaded):
            async with two.listing():
                pass
        one.free(held)


async def test_who_waits_when_the_process_ends_is_told_so(pool: asyncpg.Pool) -> None:
    async with processes(pool, 1, connections=1) as [station]:
        await asyncio.to_thread(station.take)
        waiting = asyncio.create_task(asyncio.to_thread(station.take))
        await wait_for(lambda: station._waiting[False])
        await station.close()
        async with asyncio.timeout(10):
            with pytest.raises(Overloaded):
                await waiting


async def test_the_connections_of_a_dead_process_are_free(pool: asyncpg.Pool) -> None:
    async with processes(pool, 2, connections=1) as [one, two]:
        await asyncio.to_thread(one.take)
        [pid] = [
            row["pid"] for row in await pool.fetch("SELECT pid FROM pg_locks WHERE classid = $1::int::oid", 0x73746174)
        ]
        one._locks._is_closed = True  # it will not come back
        await pool.execute("SELECT pg_terminate_backend($1)", pid)
        async with asyncio.timeout(20):
            two.free(await asyncio.to_thread(two.take))


async def test_a_process_takes_its_share_of_the_bytes(pool: asyncpg.Pool) -> None:
    async with processes(pool, 2, connections=4, bytes_per_s=10**9) as [one, two]:
        for station in (one, one, one, two):
            await asyncio.to_thread(station.take)
        assert await one._locks.share(one._keys) == 0.75
        assert await two._locks.share(two._keys) == 0.25


async def test_bytes_come_no_faster_than_they_may_over_all_inboxes() -> None:
    async with stranger() as there:
        there.answer("/p", body=BODY)
        settings = settings_of(there.url, bytes_per_s=400_000)
        stations = Stations(settings)
        async with contextlib.AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(client_of(inbox, settings, stations)) for inbox in settings.inbox
            ]

            def fetch(number: int) -> int:
                with contextlib.closing(clients[number % 2].open_stream(f"{there.url}/p")) as stream:
                    buffer, total = memoryview(bytearray(10_000)), 0
                    while count := stream.readinto(buffer):
                        total += count
                    return total

            begun = time.monotonic()
            assert await asyncio.gather(*(asyncio.to_thread(fetch, number) for number in range(4))) == [100_000] * 4
            assert time.monotonic() - begun > 0.7
        await stations.close()


async def test_the_breaker_is_one_for_all_inboxes_and_for_listings_and_files() -> None:
    async with stranger() as there:
        there.answer("/p", 503, Retry_After="3600")
        settings = settings_of(there.url)
        stations = Stations(settings)
        one, two = (client_of(inbox, settings, stations) for inbox in settings.inbox)
        async with one, two:
            with pytest.raises(Overloaded):
                await one.get_json(f"{there.url}/p")
            with pytest.raises(Unreachable, match="is left alone") as caught:
                await two.get_json(f"{there.url}/p")
            assert caught.value.retry_after_s == pytest.approx(3600, abs=60)
            with pytest.raises(Unreachable, match="is left alone"):
                await asyncio.to_thread(two.open_stream, f"{there.url}/p")
        assert len(there.asked) == 1
        await stations.close()


async def test_a_station_that_fails_is_left_alone_and_then_asked_once() -> None:
    async with stranger() as there:
        there.answer("/p", 500)
        settings = settings_of(there.url, breaker_failures=2, breaker_s=0.5)
        stations = Stations(settings)
        async with client_of(settings.inbox[0], settings, stations) as asking:
            for _ in range(2):
                with pytest.raises(Unreachable, match="answered 500"):
                    await asyncio.to_thread(asking.open_stream, f"{there.url}/p")
            with pytest.raises(Unreachable, match="is left alone"):
                await asking.get_json(f"{there.url}/p")
            there.answer("/p")

            async def is_back() -> bool:
                with contextlib.suppress(Unreachable):
                    return bool(await asking.get_json(f"{there.url}/p") == {})
                return False

            await wait_for(is_back)
        assert len(there.asked) == 3
        await stations.close()


async def test_answers_about_one_file_do_not_end_it_all() -> None:
    async with stranger() as there:
        there.answer("/p", 400)
        settings = settings_of(there.url, breaker_failures=2)
        stations = Stations(settings)
        async with client_of(settings.inbox[0], settings, stations) as asking:
            for path in ("/gone", "/p") * 3:
                with pytest.raises(Exception, match="answered 40"):
                    await asyncio.to_thread(asking.open_stream, there.url + path)
            there.answer("/p")
            assert await asking.get_json(f"{there.url}/p") == {}
        await stations.close()


async def test_credentials_follow_redirects_to_hosts_that_the_settings_name() -> None:
    async with stranger() as there, stranger() as elsewhere, stranger() as foreign:
        auth = AuthSettings(kind="oauth2", user="a", password=SecretStr("b"), token_url=f"{there.url}/token")
        there.answer("/token", body='{"access_token": "token-1"}')
        there.answer("/p", 307, Location=f"{elsewhere.url}/q")
        elsewhere.answer("/q", 307, Location=f"{foreign.url}/r")
        foreign.answer("/r", body=BODY)
        settings = settings_of(there.url, redirect_hosts=(elsewhere.url.removeprefix("http://"),))
        stations = Stations(settings)
        inbox = settings.inbox[0].model_copy(update={"auth": auth})
        async with client_of(inbox, settings, stations) as asking:
            stream = await asyncio.to_thread(asking.open_stream, f"{there.url}/p", 10, 20)
            stream.close()
            async with asking.get(f"{there.url}/p") as response:
                assert response.status == 200
        assert [asked.headers["Authorization"] for asked in elsewhere.asked] == ["Bearer token-1"] * 2
        assert [asked.headers.get("Authorization") for asked in foreign.asked] == [None] * 2
        assert elsewhere.asked[0].headers["Range"] == foreign.asked[0].headers["Range"] == "bytes=10-19"
        await stations.close()


async def test_everything_goes_through_the_proxy() -> None:
    async def proxy(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with wire_station(proxy) as there:
        settings = settings_of("http://station.invalid:81/odata/v1", proxy=there.url)
        stations = Stations(settings)
        async with client_of(settings.inbox[0], settings, stations) as asking:
            url = "http://station.invalid:81/odata/v1/Products?$top=1"
            assert await asking.get_json(url) == {}
            stream = await asyncio.to_thread(asking.open_stream, url)
            assert stream.readinto(memoryview(bytearray(10))) == 2
        firsts = [told.split("\r\n")[0] for told in there.heads]
        assert firsts == [f"GET {url} HTTP/1.1"] * 2
        assert all("Host: station.invalid:81\r\n" in told for told in there.heads)
        await stations.close()


@contextlib.asynccontextmanager
async def tunnels() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that connects to what it is asked for; its URL, and the first lines that it got."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0])
        host, port = asked[-1].split(" ")[1].split(":")
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_tls_goes_through_the_proxy_in_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with stranger(tls) as there, tunnels() as (proxy, asked):
        there.answer("/p", body=b"[]")
        settings = settings_of(there.url, proxy=proxy)
        stations = Stations(settings)
        async with client_of(settings.inbox[0], settings, stations) as asking:
            assert await asking.get_json(f"{there.url}/p") == []
            stream = await asyncio.to_thread(asking.open_stream, f"{there.url}/p")
            assert await asyncio.to_thread(stream.readinto, memoryview(bytearray(10))) == 2
        assert asked == [f"CONNECT {there.url.removeprefix('https://')} HTTP/1.1"] * 2
        assert len(there.asked) == 2
        await stations.close()


async def test_a_proxy_that_refuses_is_told_as_such() -> None:
    async def refuse(told: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 403 Not for you\r\nContent-Length: 0\r\n\r\n")

    async with wire_station(refuse) as there:
        settings = settings_of("https://station.invalid/odata/v1", proxy=there.url)
        stations = Stations(settings)
        async with client_of(settings.inbox[0], settings, stations) as asking:
            with pytest.raises(Unreachable, match="403 Not for you"):
                await asyncio.to_thread(asking.open_stream, "https://station.invalid/odata/v1/p")
            with pytest.raises(Unreachable, match="403"):
                await asking.get_json("https://station.invalid/odata/v1/p")
        assert [told.split("\r\n")[0] for told in there.heads] == ["CONNECT station.invalid:443 HTTP/1.1"] * 2
        await stations.close()
