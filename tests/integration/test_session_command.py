"""`refsys session`: what operators see of sessions, and decide."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from refsys.infra.settings import Settings
from refsys.ingestion.sessions.deadlines import pass_deadlines
from refsys.missions import load_types
from tests.sessions import NAME, blocks_of, channel_of, grow_older, offer, offered, session_of, stored, told

Run = Callable[..., Awaitable[str]]


async def lacking(pool: asyncpg.Pool) -> None:
    """A session of two channels that lacks a block of each."""
    blocks = [*channel_of(3, 1), *channel_of(3, 2)]
    await offered(pool, *blocks)
    await stored(pool, blocks[0], blocks[2], blocks[3], blocks[5])


async def test_list_and_show(refsys: Run, pool: asyncpg.Pool) -> None:
    assert "no session is like that" in await refsys("session", "list")
    await lacking(pool)
    await offered(pool, offer(1, retransfer=True))
    listed = [json.loads(line) for line in (await refsys("session", "list", "--json")).splitlines()]
    assert [(each["name"], each["retransfer"], each["state"]) for each in listed] == [
        (NAME, True, "announced"),
        (NAME, False, "receiving"),
    ]
    assert [each["missing"] for each in listed[1]["channels"]] == [[2], [2]]
    shown = await refsys("session", "list", "--only", "receiving", "--satellite", "s1a", "--since", "1h")
    assert "ch1 2/3, ch2 2/3" in shown
    assert "no session is like that" in await refsys("session", "list", "--until", "1h")
    shown = await refsys("session", "show", NAME.lower())
    for expected in (NAME, "S1A", "sgs", "channel 1: 2/3 blocks, 26572 bytes, no DSIB, block 2 missing"):
        assert expected in shown
    assert "is not known" in await refsys("session", "show", "S9X", code=1)
    assert json.loads(await refsys("session", "show", NAME, "--retransfer", "--json"))["state"] == "announced"


async def test_release_hands_over_what_there_is(refsys: Run, pool: asyncpg.Pool) -> None:
    await lacking(pool)
    await refsys("session", "release", NAME, "--reason", "the station is down", "--author", "anna")
    assert await told(pool, "session.incomplete") == [("session.incomplete", NAME, 1)]
    shown = await refsys("session", "show", NAME)
    assert "released by anna: the station is down" in shown
    assert "channel 1: block 2 missing" in shown
    audit = await refsys("audit", "--json")
    assert json.loads(audit.splitlines()[0])["action"] == "release session"
    await stored(pool, offer(2, 1), offer(2, 2))
    assert await told(pool, "session.complete") == [("session.complete", NAME, 2)]
    assert "is complete" in await refsys("session", "release", NAME, "-m", "again", code=1)


async def test_wait_puts_the_deadline_off(refsys: Run, pool: asyncpg.Pool, settings: Settings) -> None:
    types = load_types()
    await lacking(pool)
    await grow_older(pool, 6000)
    held = json.loads(await refsys("session", "wait", NAME, "-m", "they send it again", "--json"))
    assert (held["state"], held["is_held"]) == ("receiving", True)
    assert await pass_deadlines(settings, pool, types) == []
    told_until = await refsys("session", "wait", NAME, "-m", "tonight", "--hours", "5")
    assert "it waits until 20" in told_until
    assert await pass_deadlines(settings, pool, types) == []
    await pool.execute("UPDATE ingestion.session SET wait_until = clock_timestamp()")
    assert await pass_deadlines(settings, pool, types) == [NAME]
    assert (await session_of(pool)).state == "incomplete"
    await refsys("session", "wait", NAME, "-m", "they found it")
    await stored(pool, offer(2, 1), offer(2, 2))
    assert (await session_of(pool)).state == "complete"


async def test_forget_missing_ends_the_waiting(refsys: Run, pool: asyncpg.Pool) -> None:
    await lacking(pool)
    assert "complete" in await refsys("session", "forget-missing", NAME, "-m", "it was never received")
    session = await session_of(pool)
    assert (session.state, session.problems) == (
        "complete",
        tuple(f"channel {number}: given up by an operator: block 2" for number in (1, 2)),
    )
    assert (await blocks_of(pool)).gaps == {1: (2,), 2: (2,)}
    assert await told(pool, "session.complete") == [("session.complete", NAME, 1)]
    entry: dict[str, Any] = json.loads((await refsys("audit", "--json")).splitlines()[0])
    assert entry["details"]["missing"] == {"1": [2], "2": [2]}


async def test_what_cannot_be_decided_is_told(refsys: Run, pool: asyncpg.Pool) -> None:
    await offered(pool, offer(1, retransfer=True))
    assert "add --retransfer" in await refsys("session", "release", NAME, "-m", "now", code=1)
    assert "nothing that is stored" in await refsys("session", "release", NAME, "--retransfer", "-m", "now", code=1)
    assert "--reason is empty" in await refsys("session", "wait", NAME, "-m", " ", code=1)
    assert "is not known" in await refsys("session", "forget-missing", "X", "-m", "now", code=1)
