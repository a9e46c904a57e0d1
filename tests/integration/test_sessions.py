"""Sessions in PostgreSQL: what is noted of them, in whichever order, ends in one state and is told once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from refsys.infra.settings import InboxSettings, SessionPolicy, SessionSettings, Settings
from refsys.ingestion.model import SessionSaid
from refsys.ingestion.sessions import list_handovers, list_sessions, open_sessions
from refsys.ingestion.sessions.deadlines import pass_deadlines
from refsys.missions import TypeRegistry, load_types
from tests.sessions import (
    BEGAN,
    NAME,
    block_name,
    blocks_of,
    channel_of,
    grow_older,
    offer,
    offered,
    real_session,
    session_of,
    stored,
    told,
    without_quality,
)


@pytest.fixture(scope="module")
def types() -> TypeRegistry:
    return load_types()


async def test_the_real_session_in_the_order_of_its_publication(pool: asyncpg.Pool, shared_data: Path) -> None:
    real = real_session(shared_data)
    await offered(pool, said=[without_quality(real.said)])
    finals = [each.session.is_final for each in real.offers if each.session is not None and each.session.channel == 2]
    assert finals.index(True) == len(finals) - 2, "the final block of channel 2 was published before another"
    for each in real.offers:
        assert (await session_of(pool)).state != "complete"
        await offered(pool, each)
        await stored(pool, each)
    session, blocks = await session_of(pool), await blocks_of(pool)
    assert (session.state, session.satellite) == ("complete", "S1A")
    assert [(each.expected, each.stored, each.is_complete) for each in session.channels] == [(19, 19, True)] * 2
    assert sum(each.stored_bytes for each in session.channels) == 5767640648 + 5742382940
    assert session.problems == ()
    assert (blocks.is_complete, blocks.gaps) == (True, {1: (), 2: ()})
    assert [(each.channel, each.block) for each in blocks.blocks] == [(c, b) for c in (1, 2) for b in range(1, 20)]
    await offered(pool, *real.offers, said=[real.said])
    assert [each for each in await told(pool) if each[0] != "session.channel_complete"] == [
        ("session.begun", NAME, 0),
        ("session.complete", NAME, 1),
    ]
    assert len(await told(pool, "session.channel_complete")) == 2


async def test_the_real_session_in_any_order(pool: asyncpg.Pool, shared_data: Path) -> None:
    real = real_session(shared_data)
    order = random.Random(7)
    await offered(pool, *order.sample(real.offers, 20))
    waiting = order.sample(real.offers, len(real.offers))
    for at, each in enumerate(waiting):
        if at == 15:
            await offered(pool, *real.offers, said=[real.said])
        await stored(pool, each)
        assert ((await session_of(pool)).state == "complete") == (at == len(waiting) - 1), at
    assert await told(pool, "session.complete", "session.incomplete") == [("session.complete", NAME, 1)]


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_comes_first_ends_in_the_same_state(
    pool: asyncpg.Pool, seed: int, settings: Settings, types: TypeRegistry
) -> None:
    """Offers, bytes, totals and a retransfer of what is missing, some of it twice, with deadlines in between."""
    blocks = [*channel_of(4, 1, at=BEGAN), *channel_of(3, 2, at=BEGAN)]
    missing = blocks.pop(1)
    said = SessionSaid(NAME, False, channels=2, quality={1: {"TotalChunks": 4}, 2: {"TotalChunks": 3}})
    again = offer(2, retransfer=True, at=BEGAN)
    events = [
        *(partial(offered, pool, each) for each in (*blocks, missing, again)),
        *(partial(stored, pool, each) for each in (*blocks, again)),
        partial(offered, pool, said=[said]),
        partial(offered, pool, *blocks),
        *[partial(pass_deadlines, settings, pool, types)] * 3,
        *[partial(grow_older, pool, 2000)] * 3,
    ]
    order = random.Random(seed)
    for event in order.sample(events, len(events)):
        await event()
    for _ in range(2):
        await grow_older(pool, 6000)
        await pass_deadlines(settings, pool, types)
    session, repair, there = await session_of(pool), await session_of(pool, True), await blocks_of(pool)
    assert (session.state, session.problems) == ("incomplete", ("channel 1: block 2 missing",))
    assert [(each.expected, each.stored, each.is_complete) for each in session.channels] == [
        (4, 3, False),
        (3, 3, True),
    ]
    assert (repair.state, there.is_complete, len(there.blocks)) == ("complete", True, 7)
    assert [each.retransfer for each in there.blocks] == [number == 1 for number in range(7)]
    async with pool.acquire() as connection:
        handovers = await list_handovers(connection, NAME)
    assert [each.is_complete for each in handovers].count(True) == 1
    assert handovers[-1].is_complete


async def test_a_second_inbox_fills_gaps_of_the_same_session(pool: asyncpg.Pool) -> None:
    one, two = channel_of(3, 1), channel_of(2, 2)
    await offered(pool, one[0], one[2], *two, inbox="cadip")
    await stored(pool, one[0], one[2], two[0], inbox="cadip")
    lowered = [offer(2, 1, session=NAME.lower(), final=None), offer(2, 2, session=NAME.lower(), final=None, cadus=3)]
    await offered(pool, *lowered, inbox="xbip")
    await stored(pool, *lowered, inbox="xbip")
    async with pool.acquire() as connection:
        (session,) = await list_sessions(connection)
        assert (session.name, session.state, session.inboxes) == (NAME, "complete", ("cadip", "xbip"))
        assert await open_sessions(connection, "xbip") == []
    assert await told(pool, "session.complete") == [("session.complete", NAME, 1)]


async def test_what_is_offered_is_open(pool: asyncpg.Pool) -> None:
    await offered(pool, offer(1))
    async with pool.acquire() as connection:
        assert await open_sessions(connection, "sgs") == [(NAME, False)]
        assert await open_sessions(connection, "mti") == []


async def test_a_session_that_lacks_something_is_handed_at_its_deadline_and_again_when_it_is_whole(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    blocks = [*channel_of(3, 1, at=BEGAN), *channel_of(2, 2, at=BEGAN)]
    await offered(pool, *blocks)
    await stored(pool, blocks[0], blocks[2], *blocks[3:])
    assert await pass_deadlines(settings, pool, types) == []
    await grow_older(pool, 5400 + 60)
    assert await pass_deadlines(settings, pool, types) == [NAME]
    session = await session_of(pool)
    assert (session.state, session.revision, session.problems) == ("incomplete", 1, ("channel 1: block 2 missing",))
    assert (await blocks_of(pool)).gaps == {1: (2,), 2: ()}
    assert await pass_deadlines(settings, pool, types) == []
    await stored(pool, blocks[1])
    session = await session_of(pool)
    assert (session.state, session.revision, session.problems) == ("complete", 2, ())
    await stored(pool, *blocks)
    assert await pass_deadlines(settings, pool, types) == []
    assert await told(pool, "session.complete", "session.incomplete") == [
        ("session.incomplete", NAME, 1),
        ("session.complete", NAME, 2),
    ]


async def test_late_blocks_that_do_not_complete_a_session_are_handed_when_it_is_quiet_again(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    blocks = channel_of(5, 1)
    await offered(pool, *blocks)
    await stored(pool, blocks[0])
    await grow_older(pool, 6000)
    assert await pass_deadlines(settings, pool, types) == [NAME]
    await stored(pool, blocks[1], blocks[2])
    assert await pass_deadlines(settings, pool, types) == []
    await grow_older(pool, 361)
    assert await pass_deadlines(settings, pool, types) == [NAME]
    assert await pass_deadlines(settings, pool, types) == []
    assert await told(pool, "session.incomplete") == [("session.incomplete", NAME, 1), ("session.incomplete", NAME, 2)]
    assert [each.block for each in (await blocks_of(pool)).blocks] == [1, 2, 3]


async def test_rules_decide_by_mission_what_happens_at_the_deadline(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    rules = SessionSettings(policy=(SessionPolicy(mission="S1", on_deadline="wait", deadline_s=900),))
    settings = settings.model_copy(update={"sessions": rules})
    await offered(pool, *channel_of(3, 1))
    await stored(pool, *channel_of(3, 1)[:2])
    await offered(pool, said=[SessionSaid("S2A_20241114143038056552", False, channels=2)])
    await grow_older(pool, 920)
    assert await pass_deadlines(settings, pool, types) == [NAME]
    assert await told(pool, "session.incomplete") == []
    await grow_older(pool, 2250 - 900)
    assert await pass_deadlines(settings, pool, types) == ["S2A_20241114143038056552"]
    assert (await session_of(pool, name="S2A_20241114143038056552")).problems == ("nothing of it was offered",)
    assert await told(pool, "session.incomplete") == []


async def test_one_channel_alone_is_a_session_only_at_the_deadline(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    await offered(pool, *channel_of(2, 1))
    await stored(pool, *channel_of(2, 1))
    assert (await session_of(pool)).state == "receiving"
    await grow_older(pool, 6000)
    await pass_deadlines(settings, pool, types)
    assert (await session_of(pool)).state == "complete"
    assert await told(pool, "session.complete") == [("session.complete", NAME, 1)]
    await offered(pool, offer(1, 2))
    assert (await session_of(pool)).state == "incomplete"


async def test_a_block_that_changes_is_told_again(pool: asyncpg.Pool) -> None:
    blocks = [*channel_of(2, 1), *channel_of(2, 2)]
    await offered(pool, *blocks)
    await stored(pool, *blocks)
    newer = offer(1, 1, version="v2")
    await offered(pool, newer)
    assert (await session_of(pool)).state == "complete"
    (content,) = await stored(pool, newer, salt="other bytes")
    assert (await session_of(pool)).revision == 2
    assert (await blocks_of(pool)).blocks[0].content_id == content
    await stored(pool, newer, salt="other bytes")
    assert len(await told(pool, "session.complete")) == 2


async def test_a_retransfer_replaces_the_session_when_it_is_whole_and_is_told_once(pool: asyncpg.Pool) -> None:
    blocks = [*channel_of(3, 1), *channel_of(3, 2)]
    again = [*channel_of(3, 1, retransfer=True), *channel_of(3, 2, retransfer=True)]
    await offered(pool, *blocks, *again)
    await stored(pool, *blocks)
    for each in random.Random(3).sample(again, 5):
        await stored(pool, each, salt="again")
        again.remove(each)
    assert not any(each.retransfer for each in (await blocks_of(pool)).blocks)
    await stored(pool, *again, salt="again")
    assert all(each.retransfer for each in (await blocks_of(pool)).blocks)
    assert await told(pool, "session.complete") == [
        ("session.complete", NAME, 1),
        ("session.complete", f"{NAME} retransfer", 2),
    ]
    assert ((await session_of(pool)).revision, (await session_of(pool, True)).revision) == (1, 2)


async def test_a_retransfer_of_what_was_missing_completes_the_session(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    blocks = [*channel_of(4, 1), *channel_of(3, 2)]
    await offered(pool, *blocks)
    await stored(pool, blocks[0], blocks[3], *blocks[4:])
    await grow_older(pool, 6000)
    await pass_deadlines(settings, pool, types)
    repair = [offer(2, retransfer=True), offer(3, retransfer=True)]
    await offered(pool, *repair)
    await stored(pool, repair[0])
    assert not (await blocks_of(pool)).is_complete
    await stored(pool, repair[1])
    assert (await blocks_of(pool)).is_complete
    await grow_older(pool, 361)
    assert await pass_deadlines(settings, pool, types) == [f"{NAME} retransfer"]
    assert [(await session_of(pool, each)).state for each in (False, True)] == ["incomplete", "complete"]
    assert await told(pool, "session.complete", "session.incomplete") == [
        ("session.incomplete", NAME, 1),
        ("session.complete", f"{NAME} retransfer", 2),
    ]
    async with pool.acquire() as connection:
        assert [each.why for each in await list_handovers(connection, NAME)] == ["its deadline passed", "complete"]


async def test_the_same_bytes_again_are_no_news_to_production(pool: asyncpg.Pool) -> None:
    blocks = [*channel_of(2, 1), *channel_of(2, 2)]
    again = [*channel_of(2, 1, retransfer=True), *channel_of(2, 2, retransfer=True)]
    await offered(pool, *blocks)
    await stored(pool, *blocks)
    await offered(pool, *again)
    await stored(pool, *again)
    assert (await session_of(pool, True)).revision == 1
    assert await told(pool, "session.complete") == [("session.complete", NAME, 1)]


async def test_a_stage_that_is_subscribed_is_due_from_the_first_block_on(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO work.subscription VALUES ('session.begun', 'early'), ('session.block', 'early'),"
        " ('session.channel_complete', 'channels'), ('session.complete', 'whole')"
    )
    blocks = [*channel_of(2, 1), *channel_of(2, 2)]
    await offered(pool, *blocks)
    await stored(pool, blocks[0])
    assert await pool.fetch("SELECT stage, key FROM work.step WHERE stage = 'early'") == [("early", NAME)]
    await stored(pool, *blocks[1:])
    rows = await pool.fetch("SELECT stage, payload FROM work.step WHERE stage ~ '^[a-z]+$' ORDER BY stage")
    session = await session_of(pool)
    assert [(row["stage"], row["payload"]) for row in rows] == [
        ("channels", {"session": session.id, "revision": 0}),
        ("early", {"session": session.id, "revision": 0}),
        ("whole", {"session": session.id, "revision": 1}),
    ]


async def test_what_stations_say_of_sessions_is_taken_with_care(pool: asyncpg.Pool) -> None:
    strange: dict[str, Any] = {
        "Text": "\0" * 10 + "x" * 10_000, "Deep": [{"a": 1}] * 1000, "Big": 10**40, "Half": float("inf"), "\ud800": "",
    } | {str(number): number for number in range(10_000)}  # fmt: skip
    hostile = SessionSaid(
        NAME, False, satellite="'; DROP", channels=10**12, station_unit="\0" * 99, orbit=-(10**30),
        published_at=datetime(1, 1, 1, tzinfo=UTC), downlink_stop=datetime(9999, 12, 31, tzinfo=UTC),
        quality={1: {"TotalChunks": 10**15, "TotalVolume": "NaN"}, -5: {}, 10**9: {"TotalChunks": 1}}, facts=strange,
    )  # fmt: skip
    others = [replace(hostile, session=session) for session in ("", "../x", "ß", "x" * 10_000, "A\0B")]
    await offered(pool, offer(99_999, final=True), said=[hostile, *others])
    await stored(pool, offer(99_999, final=True))
    async with pool.acquire() as connection:
        (session,) = await list_sessions(connection)
    assert (session.name, session.satellite, session.channels_said, session.orbit) == (NAME, "S1A", None, None)
    assert (session.channels[0].expected, len(session.channels[0].missing)) == (99_999, 1000)


async def test_the_first_station_is_believed_and_another_adds_what_it_leaves_out(pool: asyncpg.Pool) -> None:
    await offered(pool, said=[SessionSaid(NAME, False, channels=2, quality={1: {"TotalChunks": 5}})], inbox="sgs")
    other = SessionSaid(NAME, False, channels=1, orbit=7, quality={1: {"TotalChunks": 6, "ErrorTFs": 0}})
    await offered(pool, said=[other], inbox="mti")
    await offered(pool, said=[SessionSaid(NAME, False, satellite="S3B")], inbox="mti")
    session = await session_of(pool)
    assert (session.channels_said, session.orbit, session.satellite) == (2, 7, "S1A")
    assert session.channels[0].quality == {"TotalChunks": 5, "ErrorTFs": 0}


async def test_a_session_of_edrs_has_the_satellite_that_somebody_tells(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    name = "L20171109175634707000125"
    await offered(pool, offer(1, session=name))
    inbox = InboxSettings(id="sgs", type="folder", url="/x", mission="S2", timeliness="L1")
    await pass_deadlines(settings.model_copy(update={"inbox": (inbox,)}), pool, types)
    session = await session_of(pool, name=name)
    assert (session.satellite, session.mission, session.timeliness) == ("", "S2", "L1")
    await offered(pool, replace(offer(2, session=name), path=f"WILE/S2A/{name}/ch01/{block_name(2, session=name)}"))
    assert (await session_of(pool, name=name)).satellite == "S2A"


async def test_inboxes_and_fetchers_at_the_same_time(pool: asyncpg.Pool) -> None:
    sessions = [f"S1A_2024111414303805655{number}" for number in range(4)]
    every = [each for name in sessions for number in (1, 2) for each in channel_of(6, number, session=name)]

    async def work(seed: int) -> None:
        order = random.Random(seed)
        mine = order.sample(every, len(every))
        for start in range(0, len(mine), 8):
            await offered(pool, *mine[start : start + 8], inbox=f"inbox{seed}")
            await stored(pool, *mine[start : start + 8][seed % 2 :: 2], inbox=f"inbox{seed}")

    await asyncio.gather(*(work(seed) for seed in range(4)))
    await stored(pool, *every)
    async with pool.acquire() as connection:
        found = await list_sessions(connection)
    assert {(each.name, each.state, each.revision) for each in found} == {(name, "complete", 1) for name in sessions}


async def test_open_sessions_are_those_that_a_station_may_still_add_to(
    pool: asyncpg.Pool, settings: Settings, types: TypeRegistry
) -> None:
    blocks = [*channel_of(2, 1), *channel_of(2, 2)]
    await offered(pool, *blocks, said=[SessionSaid(NAME, False, channels=2)])
    await stored(pool, *blocks[:2])
    await grow_older(pool, 6000)
    await pass_deadlines(settings, pool, types)

    async def opened() -> list[tuple[str, bool]]:
        async with pool.acquire() as connection:
            return await open_sessions(connection, "sgs")

    assert [await opened(), await opened()] == [[(NAME, False)], []], "given up: asked for every ten minutes"
    await pool.execute("UPDATE ingestion.session_source SET asked_at = asked_at - interval '11 minutes'")
    await stored(pool, *blocks[2:])
    assert await opened() == [(NAME, False)], "complete, but its totals are not known"
    await pool.execute("UPDATE ingestion.session_source SET asked_at = NULL")
    await offered(pool, said=[SessionSaid(NAME, False, quality={1: {"TotalChunks": 2}, 2: {"TotalChunks": 2}})])
    assert await opened() == []
