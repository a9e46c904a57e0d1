"""Sessions in PostgreSQL: what is noted of them, in whichever order, ends in one state and is told once."""

from __future__ import annotations

import random
from pathlib import Path

import asyncpg

from refsys.ingestion.sessions import list_sessions, open_sessions
from tests.sessions import (
    NAME,
    blocks_of,
    channel_of,
    offer,
    offered,
    real_session,
    session_of,
    stored,
    told,
    without_quality,
)


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
