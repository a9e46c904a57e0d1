"""How many downloads a user has at the same time, over all processes, and what frees a slot: every kind of end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import signal
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import ClassVar
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest
from pydantic import SecretStr

from refsys.distribution import slots
from refsys.distribution.slots import AllTaken, Slots
from refsys.infra.settings import AccessSettings, HttpSettings, UserSettings
from refsys.infra.storage import Reader, Storage
from refsys.infra.storage.local import LocalStorage
from refsys.runtime.supervisor import running_system
from tests.published import Server, publish, serving
from tests.waiting import wait_for

#: More than all buffers between a server and a client that does not read.
LARGE = {"measurement/a.tiff": bytes(48 * 2**20)}
USERS = tuple(UserSettings(name=name, password=SecretStr("right")) for name in ("anna", "ben"))
#: The session that holds a process's slots.
_SESSIONS = """
SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1919247987
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.fixture
async def large(pool: asyncpg.Pool, storage: Storage) -> UUID:
    return await publish(pool, storage, LARGE)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


@pytest.fixture(autouse=True)
async def little_patience(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Whatever was begun ends with the test."""
    monkeypatch.setattr(slots, "PATIENCE_S", 0.3)
    yield
    while Begun.all:
        left = Begun.all.pop()
        left.reset()
        with contextlib.suppress(ConnectionError):
            await left.writer.wait_closed()


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:right'.encode()).decode()}"}


class Begun:
    """A download of which the head was read, and nothing more."""

    all: ClassVar[list[Begun]] = []

    def __init__(self, status: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.status = status
        self.reader = reader
        self.writer = writer
        self.all.append(self)

    def reset(self) -> None:
        """End it as a program does that is killed."""
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


async def begin(port: int, identity: UUID, **headers: str) -> Begun:
    """Ask for the product's package, and read as little as can be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**12)
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET /odata/v1/Products({identity})/$value HTTP/1.1\r\nHost: x\r\n{named}\r\n".encode())
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    return Begun(int(head.split()[1]), reader, writer)


async def taken(pool: asyncpg.Pool, count: int) -> None:
    """Wait until so many slots are taken."""

    async def is_so() -> bool:
        return bool(await pool.fetchval("SELECT distribution.slots_taken()") == count)

    await wait_for(is_so, message=f"{count} slots taken")


async def test_one_more_than_the_limit_is_refused_until_one_ends(large, storage, pool, settings, client) -> None:
    async with serving(pool, storage, settings, per_user=2) as server:
        first, second = await begin(server.port, large), await begin(server.port, large)
        assert (first.status, second.status) == (200, 200)
        refused = await client.get(server.value(large))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"] == {
            "code": "TooManyRequests",
            "message": "2 downloads at the same time are all that one user may have; end one, or wait",
        }
        first.close()
        assert (await client.get(server.value(large), headers={"range": "bytes=0-3"})).content == b"PK\3\4"
        second.close()
        await taken(pool, 0)


async def test_what_sends_no_bytes_takes_no_slot(large, storage, pool, settings, client) -> None:
    async with serving(pool, storage, settings, per_user=1) as server:
        url, running = server.value(large), await begin(server.port, large)
        head = await client.head(url)
        assert head.status_code == 200
        for headers, status in (
            ({"if-none-match": head.headers["etag"]}, 304),
            ({"if-match": '"other"'}, 412),
            ({"range": "bytes=999999999-"}, 416),
        ):
            assert (await client.get(url, headers=headers)).status_code == status
        assert (await client.get(f"{server.url}/odata/v1/Products({large})/Nodes")).status_code == 200
        assert (await client.get(url)).status_code == 429
        running.close()


async def test_users_have_slots_of_their_own_wherever_they_come_from(large, storage, pool, settings, client) -> None:
    signed = settings.model_copy(update={"auth": AccessSettings(user=USERS, anonymous="all")})
    async with serving(pool, storage, signed, per_user=1) as server:
        running = [
            await begin(server.port, large, **as_user("anna")),
            await begin(server.port, large, **as_user("ben")),
            await begin(server.port, large),
            await begin(server.port, large, X_Forwarded_For="198.51.100.7"),
            await begin(server.port, large, X_Forwarded_For="2001:db8:1:2::7"),
        ]
        assert [download.status for download in running] == [200] * 5
        for headers in (
            as_user("anna"),
            as_user("anna") | {"X-Forwarded-For": "203.0.113.9"},
            {},
            {"X-Forwarded-For": "198.51.100.7"},
            {"X-Forwarded-For": "::ffff:198.51.100.7"},
            {"X-Forwarded-For": "2001:db8:1:2:ffff::1"},  # the same host may use all of its network's addresses
        ):
            assert (await client.get(server.value(large), headers=headers)).status_code == 429
        for download in running:
            download.reset()


async def test_all_processes_count_together(large, storage, pool, settings, client) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(pool, storage, settings, per_user=3)) for _ in range(3)]
        running = [await begin(server.port, large) for server in servers]
        for server in servers:
            assert (await client.get(server.value(large))).status_code == 429
        running[0].reset()
        again = await begin(servers[2].port, large)
        assert again.status == 200
        for download in (*running, again):
            download.reset()


@pytest.mark.parametrize("end", ["reset", "close"])
async def test_who_goes_on_right_after_a_connection_died_is_never_refused(
    large, storage, pool, settings, end: str
) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(pool, storage, settings, per_user=1)) for _ in range(2)]
        for attempt in range(30):
            running = await begin(servers[attempt % 2].port, large, Range=f"bytes={attempt}-")
            assert running.status == 206
            await running.reader.read(attempt * 10_000 + 1)
            getattr(running, end)()


async def test_a_slot_is_free_at_once_although_a_read_for_it_hangs(large, storage, pool, settings) -> None:
    hanging = Hanging(storage)
    async with serving(pool, hanging, settings, per_user=1) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"GET /odata/v1/Products({large})/$value HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await wait_for(hanging.is_read.is_set)
        await taken(pool, 1)
        writer.transport.abort()
        await taken(pool, 0)
        hanging.may_go_on.set()


class Hanging(LocalStorage):
    """Storage that answers only when it is let."""

    def __init__(self, storage: LocalStorage) -> None:
        super().__init__(storage.root)
        self.is_read, self.may_go_on = threading.Event(), threading.Event()

    def open(self, key: str) -> Reader:
        self.is_read.set()
        self.may_go_on.wait(20)
        return super().open(key)


async def test_a_client_that_takes_nothing_is_cut_and_one_that_takes_little_is_not(
    large, storage, pool, settings
) -> None:
    async with serving(pool, storage, settings, stall_s=0.4, per_user=2) as server:
        stalled, slow = await begin(server.port, large), await begin(server.port, large)
        received = 0

        async def is_cut() -> bool:
            nonlocal received
            received += len(await slow.reader.read(2**18))
            return bool(await pool.fetchval("SELECT distribution.slots_taken()") == 1)

        await wait_for(is_cut)
        received += len(await slow.reader.read(2**18))
        assert not slow.reader.at_eof()
        with contextlib.suppress(ConnectionError):
            assert len(await stalled.reader.read(-1)) < 48 * 2**20
        slow.reset()


async def test_downloads_go_on_and_stay_counted_when_the_session_is_lost(
    large, storage, pool, settings, client
) -> None:
    async with serving(pool, storage, settings, per_user=1) as server:
        running = await begin(server.port, large)
        [lost] = [row["pid"] for row in await pool.fetch(_SESSIONS)]
        await pool.execute("SELECT pg_terminate_backend($1)", lost)

        async def is_another() -> bool:
            return [row["pid"] for row in await pool.fetch(_SESSIONS)] not in ([], [lost])

        await wait_for(is_another)
        assert (await client.get(server.value(large))).status_code == 429
        left = 48 * 2**20
        while left > 0:
            data = await running.reader.read(2**20)
            assert data
            left -= len(data)
        running.close()
        await taken(pool, 0)
        assert (await client.get(server.value(large), headers={"range": "bytes=0-3"})).status_code == 206


async def test_a_killed_process_leaves_no_slot_taken(dsn, large, storage, pool, settings, client) -> None:
    own = settings.model_copy(
        update={"database_url": SecretStr(dsn), "http": HttpSettings(processes=2), "download": per_user(1)}
    )
    async with running_system(own, roles=["api"]) as system:
        server = Server(int(system.url.rpartition(":")[2]))
        running = await begin(server.port, large)
        assert (await client.get(server.value(large))).status_code == 429
        port = running.writer.get_extra_info("sockname")[1]
        pids = [pid for name, pid in system.pids().items() if name.startswith("api")]
        [serves] = [
            pid
            for pid in pids
            if any(found.raddr and found.raddr.port == port for found in psutil.Process(pid).net_connections())
        ]
        psutil.Process(serves).send_signal(signal.SIGKILL)
        await taken(pool, 0)

        async def is_served() -> bool:
            with contextlib.suppress(httpx.TransportError):
                found = await client.get(server.value(large), headers={"range": "bytes=0-3"})
                assert found.status_code == 206
                return True
            return False

        await wait_for(is_served)


def per_user(count: int) -> object:
    from refsys.infra.settings import DownloadSettings

    return DownloadSettings(per_user=count)


async def test_nobody_waits_in_vain_behind_very_many(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "PATIENCE_S", 30.0)
    process = Slots(pool, 1)
    first = await process.take_for("user anna")
    waiting = [asyncio.create_task(process.take_for("user anna")) for _ in range(slots.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(AllTaken):
        await process.take_for("user anna")
    first.free()
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await process.close()


async def test_a_slot_that_is_freed_twice_is_not_freed_for_the_next_one(pool: asyncpg.Pool) -> None:
    process = Slots(pool, 1)
    first = await process.take_for("user anna")
    first.free()
    await process.take_for("user anna")
    first.free()
    with pytest.raises(AllTaken):
        await process.take_for("user anna")
    await process.close()


async def test_without_a_limit_every_download_is_counted_all_the_same(pool: asyncpg.Pool) -> None:
    process = Slots(pool, 0)
    held = [await process.take_for("address 127.0.0.1") for _ in range(20)]
    await taken(pool, 20)
    for slot in held:
        slot.free()
    await taken(pool, 0)
    await process.close()
