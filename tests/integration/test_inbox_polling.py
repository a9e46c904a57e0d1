"""Inboxes that look by themselves: failing, paused, sent back in time, with other rules, compared at night."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from refsys.core.errors import ConfigurationError, Unreachable
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.storage import Storage
from refsys.ingestion.inboxes import polling
from refsys.ingestion.inboxes.polling import Inbox, Room
from tests.looking import NOW, TYPES, Shelf, look, offer, remembered, settings_of, states
from tests.waiting import wait_for

Watch = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def watch(pool: asyncpg.Pool, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Inboxes at sources of the test, for the time of the block."""

    @contextlib.asynccontextmanager
    async def watching(changes: dict[str, Any] | None = None, **sources: Shelf | Exception) -> AsyncIterator[None]:
        async def opened(inbox: InboxSettings, *_: Any) -> Any:
            source = sources[inbox.id]
            if isinstance(source, Exception):
                raise source
            return source

        monkeypatch.setattr(polling, "open_source", opened)
        stop, room, stations = asyncio.Event(), Room(storage, settings), Stations(settings, pool)
        inboxes = [settings_of(name, **({"poll_s": 0.05} | (changes or {}))) for name in sources]
        watched = [Inbox(settings, each, pool, TYPES, room, stations) for each in inboxes]
        tasks = [asyncio.create_task(each.watch(stop)) for each in watched]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            await stations.close()

    return watching


async def inbox_row(pool: asyncpg.Pool, inbox: str = "x") -> asyncpg.Record:
    row = await pool.fetchrow("SELECT * FROM ingestion.inbox WHERE id = $1", inbox)
    assert row is not None
    return row


async def test_an_inbox_that_cannot_even_be_opened_keeps_no_other_from_looking(
    watch: Watch, pool: asyncpg.Pool
) -> None:
    async with watch(bad=ConfigurationError("no such library"), good=Shelf([offer("a")])):
        await wait_for(lambda: remembered(pool, "good", state="queued"))

        async def failed_twice() -> bool:
            return bool(await pool.fetchval("SELECT failures > 1 FROM ingestion.inbox WHERE id = 'bad'"))

        await wait_for(failed_twice)
    assert (await inbox_row(pool, "bad"))["problem"] == "no such library"


async def test_a_look_that_breaks_off_keeps_what_it_has_and_goes_back_for_the_rest(
    watch: Watch, pool: asyncpg.Pool
) -> None:
    offers = [offer(f"{n:02}", minutes=n) for n in range(9)]
    shelf = Shelf(offers, piece=3, faults=[Unreachable("cut")], hides=timedelta(0))
    async with watch(x=shelf):
        await wait_for(lambda: remembered(pool, "x"))
        await wait_for(lambda: len(shelf.memories) > 2)
    assert [memory.cursor for memory in shelf.memories[:3]] == [None, None, offers[-1].published_at]
    assert [name for name, _ in await states(pool)] == [each.name for each in offers]


async def test_nothing_is_looked_at_or_queued_while_it_is_paused(watch: Watch, pool: asyncpg.Pool) -> None:
    shelf = Shelf([offer("a")])
    await look(pool, "x", offer("b"))
    await pool.execute("UPDATE ingestion.inbox SET paused_at = clock_timestamp()")
    async with watch(x=shelf):

        async def has_judged() -> bool:
            return (await inbox_row(pool))["rules"] is not None

        await wait_for(has_judged)
        assert shelf.memories == []
        assert await states(pool) == [("b", "waiting")]
        await pool.execute("UPDATE ingestion.inbox SET paused_at = NULL")
        await wait_for(lambda: remembered(pool, name="a", state="queued"))


async def test_a_backfill_is_one_look_from_there_on(watch: Watch, pool: asyncpg.Pool) -> None:
    await look(pool, "x", offer("new"))
    back = NOW - timedelta(days=9)
    await pool.execute("UPDATE ingestion.inbox SET back_to = $1, cursor = $2", back, NOW)
    shelf = Shelf([offer("old", minutes=-5 * 24 * 60), offer("new")], hides=timedelta(0), faults=[Unreachable("cut")])
    async with watch(x=shelf):
        await wait_for(lambda: len(shelf.memories) > 2)
    assert [memory.cursor for memory in shelf.memories[:3]] == [back, back, NOW]
    assert {name for name, _ in await states(pool)} == {"old", "new"}
    row = await inbox_row(pool)
    assert (row["back_to"], row["cursor"]) == (None, NOW)


async def test_other_rules_judge_anew_what_was_left_alone_or_waits(watch: Watch, pool: asyncpg.Pool) -> None:
    first, second = offer("a.zip"), offer("b.zip")
    await look(pool, "x", first, second, match="a.*")
    before = settings_of("x", match="a.*", since="2024-01-01T00:00:00Z")
    rules = {name: getattr(before, name) for name in ("match", "ignore", "mission", "since", "window")}
    await pool.execute("UPDATE ingestion.inbox SET rules = $1, cursor = $2", rules | {"window_auxiliaries": False}, NOW)
    shelf = Shelf([first, second], hides=timedelta(0))
    async with watch({"match": "b.*", "since": "2023-01-01T00:00:00Z"}, x=shelf):
        await wait_for(lambda: remembered(pool, name="b.zip", state="queued"))
        await wait_for(lambda: len(shelf.memories) > 1)
    assert await states(pool) == [("a.zip", "filtered"), ("b.zip", "queued")]
    # what was published before the old `since` was never listed
    assert shelf.memories[0].cursor is not None
    assert shelf.memories[0].cursor.year == 2023
    assert (await inbox_row(pool))["rules"]["match"] == "b.*"


@pytest.mark.parametrize("counted", [2, None], ids=["the station counts", "it does not count"])
async def test_what_looks_missed_is_found_by_the_nightly_comparison(
    watch: Watch, pool: asyncpg.Pool, counted: int | None
) -> None:
    await look(pool, "x", offer("a", minutes=-3))
    await pool.execute("UPDATE ingestion.inbox SET cursor = $1, reconciled_at = $2", NOW, NOW - timedelta(days=2))
    shelf = Shelf([offer("late", minutes=-9), offer("a", minutes=-3)], counted=counted, hides=timedelta(0))
    async with watch(x=shelf):
        await wait_for(lambda: remembered(pool, name="late"))
        await wait_for(lambda: len(shelf.memories) > 1)
    assert shelf.memories[0].cursor is None
    assert shelf.memories[1].cursor == NOW
    told = (await inbox_row(pool))["reconciled"]
    assert told == {"station": counted, "known": 1, "listed": 2, "missing": 1}


async def test_a_station_whose_count_agrees_is_not_listed_anew(watch: Watch, pool: asyncpg.Pool) -> None:
    await look(pool, "x", offer("a", minutes=-3))
    await pool.execute("UPDATE ingestion.inbox SET cursor = $1, reconciled_at = $2", NOW, NOW - timedelta(days=2))
    shelf = Shelf([offer("a", minutes=-3)], counted=1, hides=timedelta(0))
    async with watch(x=shelf):
        await wait_for(lambda: shelf.memories)
    assert shelf.memories[0].cursor == NOW
    assert (await inbox_row(pool))["reconciled"] == {"station": 1, "known": 1, "listed": None, "missing": 0}
