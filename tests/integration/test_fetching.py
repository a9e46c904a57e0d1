"""From a queued offer to a stored one: what each outcome leaves in the memory, the catalogue and storage."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from refsys.core.errors import Overloaded, Unreachable
from refsys.infra.settings import FetchSettings, InboxSettings, Settings, WorkSettings
from refsys.infra.storage import Storage, StorageFull, s3
from refsys.infra.work import Runner
from refsys.ingestion import service
from refsys.ingestion.fetching import bringing, incoming
from refsys.ingestion.model import Offer, Part, SessionFile, Source, Stream
from tests.byte_source import ByteSource
from tests.integration.test_s3_storage import answering
from tests.stored_products import TYPES
from tests.waiting import wait_for

WORK = WorkSettings(backoff_s=0.01, backoff_limit_s=0.02, lease_s=10.0, stop_s=5.0, max_attempts=2)
INBOX = InboxSettings(id="here", type="folder", url="/nowhere", concurrency=4)
SMALL = b"a restituted orbit"
LARGE = bytes(range(256)) * 2**16  # 16 MiB


def orbit(number: int) -> str:
    return f"S1A_OPER_AUX_RESORB_OPOD_20260101T0000{number:02}_V20260101T000000_20260101T010000.EOF"


def offer(number: int, data: bytes = SMALL, **changes: Any) -> Offer:
    checksums = {"MD5": hashlib.md5(data).hexdigest(), "CRC-99": "ff"}
    return replace(Offer(str(number), "1", orbit(number), len(data), checksums=checksums), **changes)


class Shelf:
    """Several byte sources as one source, by remote id."""

    has_ranges = True

    def __init__(self, **sources: ByteSource) -> None:
        self.sources = {name.removeprefix("_"): source for name, source in sources.items()}

    def parts(self, offer: Offer) -> list[Part]:
        return [Part("", offer.size_bytes)]

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        return self.sources[offer.remote_id].open(offer, part, start, stop, tag)

    async def prepare(self, offer: Offer) -> None:
        return None

    async def close(self) -> None:
        return None


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "_PAUSE_S", 0.0)


@pytest.fixture
def fetching(
    pool: asyncpg.Pool, dsn: str, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractAsyncContextManager[None]]:
    """Run the stage of the inbox on a source for the time of the block."""

    @asynccontextmanager
    async def run(source: Source, *, into: Storage = storage, work: WorkSettings = WORK) -> AsyncIterator[None]:
        async def opened(*_: Any) -> Source:
            return source

        monkeypatch.setattr(bringing, "open_source", opened)
        changed = settings.model_copy(
            update={"inbox": (INBOX,), "work": work, "fetch": FetchSettings(range_bytes=2**20)}
        )
        stop = asyncio.Event()
        stages = service.stages(changed, pool, into, TYPES)
        running = asyncio.create_task(Runner(pool, dsn, stages, work, "w").run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    return run


async def queue(pool: asyncpg.Pool, *offers: Offer) -> list[int]:
    """Rows of these offers, and one step for all of them; returns their ids."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("INSERT INTO ingestion.inbox (id) VALUES ('here') ON CONFLICT DO NOTHING")
        ids = [
            await connection.fetchval(
                "INSERT INTO ingestion.remote (inbox, remote_id, version, name, product, state, size, checksums,"
                " priority, session_name, retransfer, channel, block)"
                " VALUES ('here', $1, $2, $3, $3, 'queued', $4, $5, 50, $6, $7, $8, $9) RETURNING id",
                each.remote_id, each.version, each.name, each.size_bytes, each.checksums,
                each.session and each.session.session, bool(each.session and each.session.retransfer),
                each.session and each.session.channel, each.session and each.session.block,
            )
            for each in offers
        ]  # fmt: skip
        await enqueue(connection, ids, offers[0].name)
    return ids


async def enqueue(connection: asyncpg.Connection, ids: list[int], key: str) -> None:
    payload = {"remote_id": ids[0]} if len(ids) == 1 else {"remote_ids": ids}
    await connection.execute("SELECT work.enqueue('ingestion.fetch.here', $1, $2, 50, NULL, 1)", key, payload)


async def rows_once(pool: asyncpg.Pool, *states: str) -> list[asyncpg.Record]:
    """The rows of the memory, in their order, once they are in these states."""

    async def look() -> list[asyncpg.Record] | None:
        rows = await pool.fetch("SELECT * FROM ingestion.remote ORDER BY id")
        return rows if [row["state"] for row in rows] == list(states) else None

    try:
        return await wait_for(look, 15)
    except AssertionError:
        raise AssertionError([(row["state"], row["problem"]) for row in await _all(pool)]) from None


async def _all(pool: asyncpg.Pool) -> list[asyncpg.Record]:
    return list(await pool.fetch("SELECT * FROM ingestion.remote ORDER BY id"))


async def stored(pool: asyncpg.Pool, storage: Storage) -> dict[str, bytes]:
    """What the catalogue knows, with the bytes that storage has of it; there are no others in storage."""
    files = await pool.fetch(
        "SELECT f.*, c.base FROM catalogue.file f JOIN catalogue.content c ON c.id = f.content_id ORDER BY f.path"
    )
    found = {file["path"]: storage.read(f"{file['base']}/{file['path']}") for file in files}
    assert len(found) == len(files) == len(list(storage.list("")))
    for file in files:
        assert (file["md5"], file["size"]) == (hashlib.md5(found[file["path"]]).digest(), len(found[file["path"]]))
    return found


async def steps(pool: asyncpg.Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT state, key FROM work.step WHERE stage LIKE 'ingestion%' ORDER BY id")
    return [(row["state"], row["key"]) for row in rows]


async def test_files_of_one_step_are_stored_together_and_one_that_fails_gets_a_step_of_its_own(
    pool: asyncpg.Pool, storage: Storage, fetching: Any
) -> None:
    shelf = Shelf(**{f"_{number}": ByteSource(SMALL + bytes([number])) for number in range(6)})
    offers = [offer(number, SMALL + bytes([number])) for number in range(6)]
    offers[2] = replace(offers[2], checksums={"MD5": "0" * 32})
    await queue(pool, *offers)
    async with fetching(shelf):
        rows = await rows_once(pool, "stored", "stored", "failed", "stored", "stored", "stored")
    assert "0000 was announced" in rows[2]["problem"]
    assert await steps(pool) == [("parked", orbit(2))]
    assert await stored(pool, storage) == {orbit(number): SMALL + bytes([number]) for number in (0, 1, 3, 4, 5)}
    events = await pool.fetch("SELECT key FROM work.event WHERE event = 'product.arrived' ORDER BY id")
    assert [row["key"] for row in events] == [orbit(number) for number in (0, 1, 3, 4, 5)]


@pytest.mark.parametrize(
    ("problem", "least_s"), [(Unreachable("is away"), 0.0), (Overloaded("later", retry_after_s=100), 99.0)]
)
async def test_a_station_that_is_away_is_nobodys_fault(
    problem: Exception, least_s: float, pool: asyncpg.Pool, storage: Storage, fetching: Any
) -> None:
    def refuse(number: int) -> None:
        raise problem

    await queue(pool, offer(1))
    async with fetching(Shelf(_1=ByteSource(SMALL, before=refuse))):
        [row] = await rows_once(pool, "waiting")
    assert await steps(pool) == []
    assert (row["tries"], row["problem"], row["token"]) == (1, str(problem), None)
    pause = await pool.fetchval("SELECT extract(epoch FROM $1 - clock_timestamp())::float8", row["not_before"])
    assert least_s - 1 <= pause <= least_s + 1
    assert await stored(pool, storage) == {}


async def test_storage_that_fails_is_nobodys_fault(
    pool: asyncpg.Pool, storage: Storage, fetching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from refsys.infra.storage.localbatch import LocalBatch

    def full(self: LocalBatch) -> None:
        raise StorageFull("has no room left")

    await queue(pool, *[offer(number) for number in range(3)])
    with monkeypatch.context() as patched:
        patched.setattr(LocalBatch, "commit", full)
        async with fetching(Shelf(**{f"_{number}": ByteSource(SMALL) for number in range(3)})):
            rows = await rows_once(pool, "waiting", "waiting", "waiting")
    assert {row["problem"] for row in rows} == {"has no room left"}
    assert await steps(pool) == []
    assert await stored(pool, storage) == {}


async def test_what_the_station_says_thrice_to_have_no_more_is_expired(pool: asyncpg.Pool, fetching: Any) -> None:
    [identity] = await queue(pool, offer(1))
    async with fetching(Shelf(_1=ByteSource(SMALL, tag="gone"))):
        for _ in range(2):
            await rows_once(pool, "waiting")
            await pool.execute("UPDATE ingestion.remote SET state = 'queued'")
            async with pool.acquire() as connection:
                await enqueue(connection, [identity], orbit(1))
        [row] = await rows_once(pool, "expired")
    assert "is gone" in row["why"]
    assert await steps(pool) == []


async def test_a_large_file_is_gone_on_with_by_the_next_attempt(
    pool: asyncpg.Pool, storage: Storage, fetching: Any
) -> None:
    source = ByteSource(LARGE, cuts=[10_000_000, 0, 0, 0], has_ranges=False)
    shelf = Shelf(_1=source)
    shelf.has_ranges = False
    [identity] = await queue(pool, offer(1, LARGE))
    async with fetching(shelf):
        await rows_once(pool, "waiting")
    async with fetching(shelf):
        await pool.execute("UPDATE ingestion.remote SET state = 'queued'")
        async with pool.acquire() as connection:
            await enqueue(connection, [identity], orbit(1))
        await rows_once(pool, "stored")
    assert source.asked[-1].start == 10_000_000
    assert source.sent_bytes == len(LARGE)
    assert await stored(pool, storage) == {orbit(1): LARGE}


async def test_a_large_file_whose_checksum_is_wrong_once_is_fetched_twice(
    pool: asyncpg.Pool, storage: Storage, fetching: Any
) -> None:
    def heal(number: int) -> None:
        if source.sent_bytes >= len(LARGE):
            source.data = LARGE

    source = ByteSource(LARGE[:-1] + b"?", before=heal)
    await queue(pool, offer(1, LARGE))
    async with fetching(Shelf(_1=source)):
        await rows_once(pool, "stored")
    assert source.sent_bytes == 2 * len(LARGE)
    assert await stored(pool, storage) == {orbit(1): LARGE}


async def test_the_late_commit_of_a_frozen_worker_is_void(pool: asyncpg.Pool, storage: Storage, fetching: Any) -> None:
    reached, goes_on = threading.Event(), threading.Event()

    def freeze(number: int) -> None:
        if number == 0:
            reached.set()
            goes_on.wait(20)

    source = ByteSource(SMALL, before=freeze)
    await queue(pool, offer(1))
    async with fetching(Shelf(_1=source)):
        await wait_for(reached.is_set)
        # another worker took the step over, and is done
        await pool.execute("UPDATE work.step SET token = gen_random_uuid()")
        await pool.execute("UPDATE ingestion.remote SET token = gen_random_uuid()")
        goes_on.set()
        await wait_for(lambda: source.sent_bytes)
        await wait_for(lambda: not list(storage.list("")))
    [row] = await _all(pool)
    assert (row["state"], row["content_id"]) == ("fetching", None)
    assert await stored(pool, storage) == {}
    await pool.execute("UPDATE work.step SET lease_until = clock_timestamp() - interval '1 minute'")
    async with fetching(Shelf(_1=source), work=WORK.model_copy(update={"lease_s": 1.0})):
        await rows_once(pool, "stored")
    assert await stored(pool, storage) == {orbit(1): SMALL}


async def test_a_retransferred_block_revises_what_was_published(pool: asyncpg.Pool, fetching: Any) -> None:
    name = "DCS_01_S1A_20200105072204030888_ch1_DSDB_00001.raw"
    file = SessionFile("S1A_20200105072204030888", True, 1, 1)
    await queue(pool, offer(1, name=name, session=file))
    async with fetching(Shelf(_1=ByteSource(SMALL))):
        await rows_once(pool, "stored")
    assert await pool.fetchval("SELECT on_change FROM catalogue.content") == "revise"


async def test_large_files_go_to_s3_as_they_come(pool: asyncpg.Pool, s3_gateway: Any, fetching: Any) -> None:
    bucket = s3_gateway.storage("some")
    await queue(pool, offer(1, LARGE + b"1"), offer(2, LARGE + b"2"))
    async with fetching(Shelf(_1=ByteSource(LARGE + b"1"), _2=ByteSource(LARGE + b"2")), into=bucket):
        await rows_once(pool, "stored", "stored")
    assert await stored(pool, bucket) == {orbit(1): LARGE + b"1", orbit(2): LARGE + b"2"}


async def test_s3_that_is_busy_is_nobodys_fault(
    pool: asyncpg.Pool, s3_gateway: Any, fetching: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_RETRY", {**s3._RETRY, "max_retries": 0})
    body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    with answering(503, body) as (endpoint, _):
        busy = s3.S3Storage.of("s3://bucket", s3_gateway.settings.model_copy(update={"endpoint": endpoint}))
        await queue(pool, offer(1), offer(2, LARGE))
        async with fetching(Shelf(_1=ByteSource(SMALL), _2=ByteSource(LARGE)), into=busy):
            rows = await rows_once(pool, "waiting", "waiting")
    assert all("S3 refused" in row["problem"] for row in rows)
    assert await steps(pool) == []
