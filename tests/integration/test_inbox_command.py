"""`refsys inbox …`: what operators see of inboxes and do to them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from refsys.ingestion import protocols
from tests.looking import NOW, Shelf, dispatch, fetch, ids, look, offer, remembered, states

Command = Callable[..., Awaitable[str]]


@pytest.fixture
def inbox(refsys: Command, tmp_path: Path) -> Command:
    """`refsys inbox` with two inboxes in the settings, station and idle."""
    config = tmp_path / "refsys.toml"
    inboxes = "".join(
        f'[[inbox]]\nid = "{name}"\ntype = "prip"\nurl = "http://127.0.0.1:1/odata/v1"\nsince = "2020-01-01"\n'
        for name in ("station", "idle")
    )
    config.write_text(inboxes)

    async def run(*words: Any, **rest: Any) -> str:
        return await refsys("-c", config, "inbox", *words, **rest)

    return run


async def several(pool: asyncpg.Pool) -> None:
    """Files in several states in the inbox station."""
    await look(pool, "station", *(offer(f"{n}.zip", minutes=n) for n in range(4)), offer("x.tmp"))
    await dispatch(pool, "station", 2)
    first, second = await ids(pool, "station")
    await fetch(pool, [first])
    await fetch(pool, [second], "no such type \x1b[31m")
    await pool.execute("UPDATE ingestion.inbox SET cursor = $1", NOW)


async def test_list_tells_states_lag_and_what_is_wrong(inbox: Command, pool: asyncpg.Pool) -> None:
    await several(pool)
    await pool.execute("UPDATE ingestion.inbox SET failures = 2, problem = 'answered 503 \x1b[31m'")
    told = await inbox("list")
    header, station, idle, *rest = told.splitlines()
    counts = dict(zip(header.split()[-10:], station.split()[-10:], strict=True))
    assert {name: count for name, count in counts.items() if count != "0"} == {
        "waiting": "2",
        "stored": "1",
        "failed": "1",
        "filtered": "1",
    }
    assert "not looked yet" in idle
    assert rest == ["inbox station failed 2 times in a row: answered 503 \\x1b[31m"]
    (found,) = [json.loads(line) for line in (await inbox("list", "--json")).splitlines()]
    assert found["states"]["waiting"] == 2
    assert found["lag_s"] > 0


async def test_show_tells_why_each_file_is_in_its_state(inbox: Command, pool: asyncpg.Pool) -> None:
    await several(pool)
    told = await inbox("show", "station")
    assert "its name matches `ignore`" in told
    assert "no such type \\x1b[31m" in told
    waiting = await inbox("show", "station", "--only", "waiting", "--oldest", "--limit", 1, "--json")
    assert [json.loads(line)["name"] for line in waiting.splitlines()] == ["2.zip"]
    assert "there is no state new" in await inbox("show", "station", "--only", "new", code=1)
    assert "inbox idle has not looked yet" in await inbox("show", "idle")
    assert "there is no inbox none" in await inbox("show", "none", code=1)


async def test_check_prints_both_counts_and_enters_what_lacks(
    inbox: Command, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await several(pool)
    await pool.execute("UPDATE ingestion.inbox SET cursor = $1", NOW + timedelta(minutes=2))
    shelf = Shelf([offer(f"{n}.zip", minutes=n) for n in range(6)], counted=5)

    async def opened(*_: Any) -> Shelf:
        return shelf

    monkeypatch.setattr(protocols, "open_source", opened)
    assert (await inbox("check", "station")).splitlines()[0] == "station 5, known 3, missing 2"
    assert len(await remembered(pool, "station")) == 7
    shelf.counted = None
    told = json.loads(await inbox("check", "station", "--json"))
    assert (told["station"], told["listed"], told["missing"]) == (None, 6, 0)


async def test_pause_and_resume_are_kept_with_who_and_why(inbox: Command, pool: asyncpg.Pool) -> None:
    await inbox("pause", "idle", "-m", "maintenance at the station", "--author", "ada")
    assert "is paused since" in await inbox("list")
    assert "maintenance at the station" in await inbox("show", "idle")
    await inbox("resume", "idle", "-m", "it is over", "--author", "ada")
    assert await pool.fetchval("SELECT paused_at FROM ingestion.inbox WHERE id = 'idle'") is None
    entries = await pool.fetch("SELECT author, action, reason, details FROM catalogue.audit ORDER BY id")
    assert [(row["author"], row["action"], row["details"]["inbox"]) for row in entries] == [
        ("ada", "inbox.pause", "idle"),
        ("ada", "inbox.resume", "idle"),
    ]
    assert "there is no inbox none" in await inbox("pause", "none", "-m", "why", code=1)


async def test_backfill_sends_the_next_look_back(inbox: Command, pool: asyncpg.Pool) -> None:
    told = await inbox("backfill", "idle", "--since", "2024-05-01", "-m", "they had published late")
    assert "begins at 2024-05-01T00:00:00" in told
    await inbox("backfill", "idle", "--since", "2024-06-01", "-m", "once more")
    begins = await pool.fetchval("SELECT back_to FROM ingestion.inbox WHERE id = 'idle'")
    assert begins.month == 5
    early = await inbox("backfill", "idle", "--since", "2019-01-01", "-m", "all of it")
    assert "`since` leaves alone what was published before 2020-01-01" in early


async def test_what_is_forgotten_is_taken_as_new(inbox: Command, pool: asyncpg.Pool) -> None:
    await several(pool)
    told = await inbox("forget", "station", "0.zip", "--filtered", "-m", "once more")
    assert told.startswith("2 files are forgotten; the next look begins at")
    assert await pool.fetchval("SELECT back_to FROM ingestion.inbox WHERE id = 'station'") == NOW
    assert [name for name, _ in await states(pool)] == ["1.zip", "2.zip", "3.zip"]
    await look(pool, "station", offer("0.zip"))
    assert ("0.zip", "waiting") in await states(pool)
    names = await pool.fetch("SELECT name FROM catalogue.audited ORDER BY name")
    assert [row["name"] for row in names] == ["0.zip", "x.tmp"]
    assert "is not known to this inbox" in await inbox("forget", "station", "9.zip", "-m", "why", code=1)
    assert "nothing was named" in await inbox("forget", "station", "-m", "why", code=1)


async def test_what_is_being_brought_is_not_forgotten(inbox: Command, pool: asyncpg.Pool) -> None:
    await look(pool, "station", offer("a", evicted_at=NOW + timedelta(days=1)), offer("b"))
    await dispatch(pool, "station")
    assert "a: is queued" in await inbox("forget", "station", "a", "-m", "why", code=1)
    assert len(await states(pool)) == 2
