"""DSIBs: made of complete channels where stations deliver none, read where they do, replaced where both happens."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from blake3 import blake3

from refsys.catalogue import commands
from refsys.catalogue import service as catalogue
from refsys.catalogue.store import fetch_current
from refsys.core.products import Arrival, FileEntry
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage, object_key
from refsys.ingestion.model import Offer, Remote, SessionSaid
from refsys.ingestion.sessions import fetch_session, note_offers, note_stored, session_file_of
from refsys.ingestion.sessions.deadlines import pass_deadlines
from refsys.ingestion.sessions.dsib import dsib_name, make_dsib, read_dsib
from refsys.ingestion.sessions.making import session_stages
from refsys.missions import load_types
from tests.sessions import BEGAN, NAME, block_name, channel_of, grow_older, offer, offered, session_of, stored
from tests.working import nothing_left, running

DSIB_1 = dsib_name(NAME, 1, "04")
SAID = SessionSaid(
    NAME,
    False,
    channels=2,
    station_unit="4",
    downlink_start=datetime(2024, 11, 14, 14, 30, 44, 18_000, tzinfo=UTC),
    downlink_stop=datetime(2024, 11, 14, 14, 32, 52, 465_000, tzinfo=UTC),
)


@asynccontextmanager
async def workers(dsn: str, pool: asyncpg.Pool, storage: Storage) -> AsyncIterator[None]:
    """The stages of sessions, and the one that describes what arrives, until nothing is left to do."""
    await pool.execute("DELETE FROM work.subscription WHERE event <> 'product.arrived'")
    stages = [*session_stages(pool, storage), *catalogue.stages(pool, storage, load_types())]
    async with running(dsn, pool, *stages):
        yield
        await nothing_left(pool)


async def bring(
    pool: asyncpg.Pool, storage: Storage, name: str, data: bytes, *, version: str = "v1", retransfer: bool = False
) -> None:
    """A small file of a session, offered by a station, fetched and stored."""
    at = datetime.now(UTC)
    each = Offer(name, version, name, len(data), at, session=session_file_of(name, retransfer=retransfer))
    base = f"attempts/{hashlib.sha256(data).hexdigest()[:20]}{version}"
    with storage.batch() as batch:
        batch.put(object_key(base, name), data)
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    files = (FileEntry(name, len(data), 0, md5, blake3(data).digest()),)
    async with pool.acquire() as connection, connection.transaction():
        await note_offers(connection, "xbip", [each])
    arrival = Arrival(name, base, files, "xbip", on_change="revise")
    async with pool.acquire() as connection, connection.transaction():
        content = await commands.arrive(connection, arrival, priority=50)
        await note_stored(connection, Remote(1, "xbip", "fetching", each, 50, at), content)


async def dsib_of(pool: asyncpg.Pool, storage: Storage, name: str = DSIB_1) -> bytes | None:
    """The bytes of a DSIB in the catalogue."""
    async with pool.acquire() as connection:
        product = await fetch_current(connection, name)
        if product is None:
            return None
        base = await connection.fetchval("SELECT base FROM catalogue.content WHERE id = $1", product.content_id)
    return storage.read(object_key(base, name))


def names(count: int, channel: int = 1) -> list[str]:
    return [block_name(number, channel) for number in range(1, count + 1)]


async def test_a_complete_channel_gets_a_dsib_and_another_where_a_late_block_changes_it(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    blocks = [offer(number, final=number == 3) for number in (1, 2, 3)]
    await offered(pool, *blocks, said=[SAID])
    async with workers(dsn, pool, storage):
        await stored(pool, *blocks[:2])
        await nothing_left(pool)
        assert await dsib_of(pool, storage) is None
        await stored(pool, blocks[2])
    first = await dsib_of(pool, storage)
    assert first is not None
    said = read_dsib(first, name=DSIB_1)
    assert (said.names, said.size_bytes) == (tuple(names(3)), 30 * 2044)
    assert (said.start, said.stop) == (SAID.downlink_start, SAID.downlink_stop)
    async with workers(dsn, pool, storage):
        await offered(pool, *blocks, offer(4, final=True), said=[SAID])
        await stored(pool, *blocks)
    assert await dsib_of(pool, storage) == first
    async with workers(dsn, pool, storage):
        await stored(pool, offer(4, final=True))
    again = await dsib_of(pool, storage)
    assert again is not None
    assert read_dsib(again, name=DSIB_1).names == tuple(names(4))
    async with pool.acquire() as connection:
        product = await fetch_current(connection, DSIB_1)
        session = await fetch_session(connection, NAME)
    assert product is not None
    assert (product.type_id, product.attributes["blockNames"]) == ("session-information", names(4))
    assert session is not None
    assert [each.dsib for each in session.channels] == ["refsys"]


async def test_the_bytes_of_a_made_dsib_do_not_depend_on_the_order_of_what_came(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    """Two sessions of the same facts, told in opposite orders."""
    made = []
    for name, order in ((NAME, 1), (NAME.replace("56552", "56553"), -1)):
        blocks = [replace(each, published_at=BEGAN) for each in channel_of(4, 1, session=name)][::order]
        await offered(pool, *blocks, said=[replace(SAID, session=name)] if order > 0 else ())
        async with workers(dsn, pool, storage):
            await stored(pool, *blocks)
            await nothing_left(pool)
            await offered(pool, said=[replace(SAID, session=name)])
        data = await dsib_of(pool, storage, dsib_name(name, 1, "04"))
        assert data is not None
        made.append(data.replace(name.encode(), b""))
    assert made[0] == made[1]


async def test_a_stations_dsib_completes_a_channel_and_replaces_the_made_one(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    blocks = channel_of(2, 1)
    await offered(pool, *blocks)
    async with workers(dsn, pool, storage):
        await stored(pool, *blocks)
    own = make_dsib(NAME, BEGAN, BEGAN + timedelta(minutes=2), 13 * 2044, names(2), "the station's")
    async with workers(dsn, pool, storage):
        await bring(pool, storage, DSIB_1, own)
        for number in (2, 1):
            await bring(pool, storage, block_name(number, 2), b"\0" * 2044)
        assert not (await session_of(pool)).channels[1].is_complete, "nobody said which block is the last"
        await bring(pool, storage, dsib_name(NAME, 2, "04"), make_dsib(NAME, BEGAN, BEGAN, 1, names(2, 2), ""))
    assert await dsib_of(pool, storage) == own
    session = await session_of(pool)
    assert (session.state, [each.dsib for each in session.channels]) == ("complete", ["station", "station"])
    assert session.downlink_stop == BEGAN + timedelta(minutes=2)
    assert session.problems == ("channel 2: has 4088 bytes, the data_size of its DSIB is 1",)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"<a>", "cannot be read"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "entities"),
        (make_dsib(NAME, BEGAN, BEGAN, 1, ["../../etc/passwd"], ""), "names no block of its channel"),
        (b"", "cannot be read"),
    ],
)
async def test_a_dsib_that_cannot_be_read_is_told_with_the_session(
    dsn: str, pool: asyncpg.Pool, storage: Storage, data: bytes, problem: str
) -> None:
    await offered(pool, *channel_of(2, 1))
    async with workers(dsn, pool, storage):
        await bring(pool, storage, DSIB_1, data)
    session = await session_of(pool)
    assert session.state == "announced"
    assert problem in session.problems[0]
    sound = make_dsib(NAME, BEGAN, BEGAN, 1, names(2), "")
    async with workers(dsn, pool, storage):
        await bring(pool, storage, DSIB_1, sound, version="v2")
    session = await session_of(pool)
    assert (session.problems, session.channels[0].missing) == ((), (1, 2))


async def test_what_is_handed_over_incomplete_gets_a_dsib_of_what_is_there(
    dsn: str, pool: asyncpg.Pool, storage: Storage, settings: Settings
) -> None:
    blocks = channel_of(4, 1)
    await offered(pool, *blocks)
    await stored(pool, blocks[0], blocks[3])
    await grow_older(pool, 6000)
    async with workers(dsn, pool, storage):
        await pass_deadlines(settings, pool, load_types())
    data = await dsib_of(pool, storage)
    assert data is not None
    assert b"blocks 2-3 missing" in data
    assert read_dsib(data, name=DSIB_1).names == (block_name(1), block_name(4))


async def test_a_retransfer_with_the_same_dsib_reads_it_from_where_it_is(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    own = make_dsib(NAME, BEGAN, BEGAN, 2 * 2044, names(2), "")
    for retransfer in (False, True):
        async with workers(dsn, pool, storage):
            await bring(pool, storage, DSIB_1, own, retransfer=retransfer, version=f"v{retransfer}")
        assert (await session_of(pool, retransfer)).channels[0].expected == 2
