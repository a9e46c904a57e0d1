"""The change feed: its order while publishers run at once, durable cursors, whose eyes, and `refsys feed`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from refsys.catalogue import commands, feed, rules
from refsys.catalogue.audit import Deed
from refsys.catalogue.rules import About, Kind
from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.postgres import connect
from tests.main_called import caller
from tests.publishers import (
    CURSOR,
    SEEN,
    ByDate,
    Publishers,
    check_by_position,
    check_feed,
    make_packaged,
    missed_by_date,
    numbered,
    take_batch,
    until,
)
from tests.up import REFSYS, environment
from tests.waiting import wait_for

# as publication would be without its lock: dates and positions as they are asked for
WITHOUT_LOCK = """
CREATE SEQUENCE public.position;
CREATE OR REPLACE FUNCTION catalogue.lock_feed(OUT last_position bigint, OUT instant timestamptz) LANGUAGE sql AS
    $$SELECT nextval('public.position') - 1, clock_timestamp()$$;
"""


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


async def publish(connection: asyncpg.Connection, *numbers: int) -> list[Any]:
    """Publish products; returns their ids."""
    found = []
    for number in numbers:
        identity, content_id = await make_packaged(connection, numbered(number))
        assert await commands.publish(connection, identity, content_id)
        found.append(identity)
    return found


async def announce(connection: asyncpg.Connection, what: str, *ids: Any) -> None:
    await connection.fetch("SELECT * FROM catalogue.announce($1, $2, 'why')", ids, what)


async def waits_for_feed(pool: asyncpg.Pool) -> bool:
    found: bool = await pool.fetchval("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    return found


async def test_four_publishers_and_live_harvesters_miss_nothing_and_see_nothing_twice(
    dsn: str, pool: asyncpg.Pool
) -> None:
    await pool.execute(SEEN)
    publishers = Publishers(dsn)
    readers = [await connect(dsn) for _ in range(3)]
    await feed.open_cursor(readers[0], CURSOR)
    by_date = ByDate(readers[2])
    harvesters = [
        # two share a cursor
        asyncio.create_task(until(publishers.done, lambda: take_batch(readers[0]))),
        asyncio.create_task(until(publishers.done, lambda: take_batch(readers[1]))),
        asyncio.create_task(until(publishers.done, by_date.look)),
    ]
    async with publishers.running():
        await wait_for(lambda: len(publishers.published) >= 300, 60)
    await asyncio.gather(*harvesters)
    changes = await check_feed(pool)
    await check_by_position(pool, changes)
    assert missed_by_date(by_date, changes) == []
    assert {change["kind"] for change in changes} == {"created", "modified", "superseded", "withdrawn"}
    for reader in readers:
        await reader.close()


@pytest.mark.parametrize("locked", [True, False], ids=["as it is", "without the lock"])
async def test_who_publishes_waits_for_who_began_before(
    dsn: str, pool: asyncpg.Pool, connection: asyncpg.Connection, locked: bool
) -> None:
    """Without the lock the same harvesters miss one, by position and by date: these tests can fail."""
    if not locked:
        await pool.execute(WITHOUT_LOCK)
    (first, first_content), (second, second_content) = [await make_packaged(connection, numbered(n)) for n in (1, 2)]
    harvester = await connect(dsn)
    by_date = ByDate(harvester)

    async def publish_second() -> None:
        async with pool.acquire() as other:
            await commands.publish(other, second, second_content)

    slow = connection.transaction()
    await slow.start()
    await commands.publish(connection, first, first_content)
    later = asyncio.create_task(publish_second())
    await wait_for(lambda: waits_for_feed(pool) if locked else later.done())
    position = (await feed.next_batch(harvester, 0)).position
    await by_date.look()
    await slow.commit()
    await later
    seen = await feed.read(harvester, position)
    await by_date.look()
    changes = [dict(row) for row in await pool.fetch("SELECT * FROM catalogue.change ORDER BY position")]
    missed = [] if locked else [first]
    assert [change.product_id for change in seen] == ([first, second] if locked else [])
    assert [identity for identity, _ in missed_by_date(by_date, changes)] == missed
    await harvester.close()


async def test_an_effect_and_its_cursor_are_committed_together_or_not_at_all(
    pool: asyncpg.Pool, connection: asyncpg.Connection
) -> None:
    await pool.execute(SEEN)
    await publish(connection, 1, 2, 3)
    assert await feed.open_cursor(connection, CURSOR) == 0
    assert await take_batch(connection, limit=2) == 2
    failing = connection.transaction()
    await failing.start()
    batch = await feed.fetch(connection, CURSOR)
    assert [change.position for change in batch.changes] == [3]
    await feed.advance(connection, CURSOR, batch.position, after=batch.after)
    await failing.rollback()
    assert [(cursor.position, cursor.behind) for cursor in await feed.cursors(connection)] == [(2, 1)]
    assert await take_batch(connection) == 1
    assert await feed.open_cursor(connection, CURSOR, position=1) == 3, "it is not new"


async def test_a_second_reader_of_a_cursor_waits_and_takes_what_follows(
    pool: asyncpg.Pool, connection: asyncpg.Connection
) -> None:
    await pool.execute(SEEN)
    await publish(connection, *range(4))
    await feed.open_cursor(connection, CURSOR)
    async with pool.acquire() as other:
        async with connection.transaction():
            batch = await feed.fetch(connection, CURSOR, limit=3)
            second = asyncio.create_task(take_batch(other))
            waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            await wait_for(lambda: pool.fetchval(waiting))
            await feed.advance(connection, CURSOR, batch.position, after=batch.after)
        assert await second == 1


async def test_a_cursor_that_somebody_else_moved_is_not_moved(connection: asyncpg.Connection) -> None:
    await publish(connection, 1, 2)
    await feed.open_cursor(connection, CURSOR)
    batch = await feed.next_batch(connection, 0)
    await feed.reset(connection, CURSOR, 1)
    with pytest.raises(RefsysError, match="was moved from 0 to 1 by somebody else"):
        await feed.advance(connection, CURSOR, batch.position, after=batch.after)
    with pytest.raises(ValueError, match="does not go back"):
        await feed.advance(connection, CURSOR, 0, after=1)
    await feed.forget(connection, CURSOR)
    for call in (feed.advance(connection, CURSOR, 2, after=1), feed.reset(connection, CURSOR, 1)):
        with pytest.raises(RefsysError, match="there is no such cursor"):
            await call
    for name, position in (("", 0), ("a b", 0), ("a", 3), ("a", -1)):
        with pytest.raises(ConfigurationError):
            await feed.open_cursor(connection, name, position=position)


async def test_a_reader_for_users_sees_only_what_they_may_see_and_passes_over_the_rest(
    connection: asyncpg.Connection,
) -> None:
    hidden, shown, taken = await publish(connection, 1, 2, 3)
    await announce(connection, "withdrawn", taken)
    about = About(name=numbered(1))
    await rules.add(connection, Kind.VISIBILITY, about, Deed("me", "a test"), visibility="internal")
    everything = await feed.read(connection, 0)
    assert [(c.kind, c.product_id, c.cause) for c in everything] == [
        ("created", hidden, None),
        ("created", shown, None),
        ("created", taken, None),
        ("withdrawn", taken, "why"),
    ]
    assert (everything[0].name, everything[0].product_type) == (numbered(1), "IW_GRDH_1S")
    assert [change.position for change in await feed.read(connection, 0, public=True)] == [2, 3, 4]
    assert [change.position for change in await feed.read(connection, 0, kinds=["withdrawn"])] == [4]
    assert [change.position for change in await feed.newest(connection, limit=2)] == [3, 4]
    # what is passed over is not looked at again
    assert (await feed.next_batch(connection, 0, kinds=["evicted"])).position == 4
    assert (await feed.next_batch(connection, 0, limit=1, public=True)).position == 2
    with pytest.raises(ConfigurationError, match="'made' is no kind of change"):
        await feed.read(connection, 0, kinds=["made"])


@pytest.fixture
def refsys(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    call = caller(tmp_path, monkeypatch, capsys)

    async def run(*words: str, code: int = 0) -> Any:
        return await asyncio.to_thread(call, "--set", f"database_url={dsn}", "feed", *words, code=code)

    return run


async def test_the_command_lists_changes_and_cursors(
    connection: asyncpg.Connection, refsys: Callable[..., Any]
) -> None:
    assert "nothing has changed" in (await refsys("list")).stdout
    ids = await publish(connection, *range(5))
    await announce(connection, "withdrawn", ids[0])
    lines = (await refsys("list", "--after", "1", "--kind", "created", "--limit", "2", "--json")).stdout.splitlines()
    found = [orjson.loads(line) for line in lines]
    assert [(line["position"], line["product_id"]) for line in found] == [(2, str(ids[1])), (3, str(ids[2]))]
    assert found[0] | {"at": "", "product_id": ""} == {
        "position": 2, "at": "", "kind": "created", "product_id": "", "name": numbered(1),
        "product_type": "IW_GRDH_1S", "cause": None,
    }  # fmt: skip
    told = (await refsys("list", "--limit", "1")).stdout
    assert told.split()[0] == "6"
    assert f"withdrawn   {numbered(0)}  why" in told
    await feed.open_cursor(connection, "mine", position=2)
    (line,) = (await refsys("cursors", "--json")).stdout.splitlines()
    assert orjson.loads(line) | {"moved_at": ""} == {"name": "mine", "position": 2, "moved_at": "", "behind": 4}
    assert "5" in (await refsys("cursors", "--reset", "mine", "--to", "5")).stdout
    assert "not 7" in (await refsys("cursors", "--reset", "mine", "--to", "7", code=2)).stderr
    assert "there are no cursors" in (await refsys("cursors", "--forget", "mine")).stdout
    assert "there is no such cursor" in (await refsys("cursors", "--forget", "mine", code=1)).stderr
    assert "belong together" in (await refsys("cursors", "--reset", "mine", code=2)).stderr
    assert "is no position" in (await refsys("follow", "--from", "yesterday", code=2)).stderr


def follow(dsn: str, *words: str, output: int | Any) -> subprocess.Popen[bytes]:
    command = [*REFSYS, "--set", f"database_url={dsn}", "feed", "follow", "--json", *words]
    return subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, env=environment())


async def test_follow_goes_on_where_its_cursor_is_and_ends_when_asked(
    dsn: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    ids = await publish(connection, *range(3))
    log = tmp_path / "log"

    def positions() -> list[int]:
        return [orjson.loads(line)["position"] for line in log.read_bytes().splitlines()]

    words = ("--cursor", "mine", "--from", "1")
    with log.open("wb") as output, follow(dsn, *words, output=output) as process:
        await wait_for(lambda: positions() == [2, 3])
        await announce(connection, "modified", ids[0])
        await wait_for(lambda: positions() == [2, 3, 4])
        with follow(dsn, "--cursor", "mine", output=subprocess.DEVNULL) as second:
            _, told = second.communicate(timeout=30)
            assert (second.returncode, b"is followed by another process" in told) == (1, True)
        process.send_signal(signal.SIGTERM)
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    await announce(connection, "modified", ids[1])
    with log.open("ab") as output, follow(dsn, *words, output=output) as process:
        await wait_for(lambda: positions() == [2, 3, 4, 5])
        process.send_signal(signal.SIGINT)
        assert (process.wait(30), process.stderr.read()) == (0, b"")
    assert [cursor.position for cursor in await feed.cursors(connection)] == [5]


async def test_follow_ends_when_its_reader_is_gone_and_counts_only_what_it_could_print(
    dsn: str, connection: asyncpg.Connection
) -> None:
    ids = await publish(connection, *range(10))
    # more than a pipe holds: it stops in the middle of it
    for _ in range(60):
        await announce(connection, "modified", *ids)
    reader, writer = os.pipe()
    with follow(dsn, "--cursor", "mine", "--from", "start", output=writer) as process:
        os.close(writer)
        first = b""
        while first.count(b"\n") < 3:
            first += await asyncio.to_thread(os.read, reader, 200)
        os.close(reader)
        assert (await asyncio.to_thread(process.wait, 30), process.stderr.read()) == (0, b"")
    (cursor,) = await feed.cursors(connection)
    assert 3 <= cursor.position < await feed.last_position(connection)
    # and one that has nothing to print sees it too
    reader, writer = os.pipe()
    with follow(dsn, output=writer) as process:
        os.close(writer)
        os.close(reader)
        assert await asyncio.to_thread(process.wait, 30) == 0
