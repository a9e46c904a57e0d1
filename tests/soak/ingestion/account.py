"""The account at the end: file by file, what was offered, what is here, and whether it is right."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from refsys.infra.storage.local import LocalStorage
from refsys.simulation.station import CadipStation
from tests.soak.ingestion.farm import Farm

_ROWS = """
SELECT id, inbox, session_name, retransfer, channel, block, state, why, problem, name, size,
       published_at FROM ingestion.remote
 WHERE session_name IS NOT NULL ORDER BY id
"""
_FILES = """
SELECT p.name, encode(f.md5, 'hex') AS md5, c.base, p.final_base, f.path, p.state, c.discarded_at
  FROM catalogue.product p JOIN catalogue.content c ON c.id = p.content_id JOIN catalogue.file f ON f.content_id = c.id
 WHERE p.current
"""
_SESSIONS = """
SELECT s.name, s.retransfer, s.state, s.problems, s.handed_at, s.revision,
       (SELECT count(*) FROM ingestion.session_channel c WHERE c.session_id = s.id AND c.is_complete) AS whole
  FROM ingestion.session s
"""


@dataclass(slots=True)
class Account:
    """`wrong`: sentences; none where all is well. `counts`: by station, what became of what it published."""

    wrong: list[str] = field(default_factory=list)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    sessions: Counter[str] = field(default_factory=Counter)
    files: int = 0


async def settle_account(pool: asyncpg.Pool, farm: Farm, storage: Path) -> Account:
    """Compare what the stations published with what is here; the bytes of every file are read."""
    account = Account()
    rows: dict[tuple[str, bool, int, int], list[asyncpg.Record]] = defaultdict(list)
    for row in await pool.fetch(_ROWS):
        rows[row["session_name"], row["retransfer"], row["channel"], row["block"]].append(row)
    files = {row["name"]: row for row in await pool.fetch(_FILES)}
    for name, row in files.items():
        _check_bytes(account, LocalStorage(storage), name, row)
    for served in farm.served:
        held, counts = served.held(), account.counts[served.name]
        for key, block in served.published.items():
            counts["published"] += 1
            known = rows.get(key, [])
            stored = [row for row in known if row["state"] == "stored"]
            if stored:
                counts[
                    "stored" if any(row["inbox"].startswith(served.name) for row in stored) else "from elsewhere"
                ] += 1
                row = files.get(block.name)
                if row is None or row["md5"] != block.md5:
                    account.wrong.append(f"{block.name} is stored with other bytes than {served.name} had")
            elif key not in held:
                counts["evicted before"] += 1
            else:
                states = "; ".join(f"{row['inbox']} {row['state']} {row['why']}{row['problem']}" for row in known)
                account.wrong.append(f"{block.name} ({served.name}) is not here: {states or 'never seen'}")
            # what is published again is fetched again, and found to be the same
            brought = Counter((row["size"], row["published_at"]) for row in stored)
            if any(number > 1 for number in brought.values()):
                account.wrong.append(f"{block.name} was brought by {[row['inbox'] for row in stored]}")
    account.files = len(files)
    await _check_sessions(account, pool, farm)
    parked = await pool.fetch("SELECT stage, key, error ->> 'message' AS error FROM work.step WHERE state = 'parked'")
    account.wrong += [f"{step['stage']} {step['key']} is parked: {step['error']}" for step in parked]
    return account


def _check_bytes(account: Account, storage: LocalStorage, name: str, row: asyncpg.Record) -> None:
    for base in (row["final_base"], row["base"]):
        key = f"{base}/{row['path']}"
        if storage.stat(key) is not None:
            if hashlib.md5(storage.read(key), usedforsecurity=False).hexdigest() != row["md5"]:
                account.wrong.append(f"{name} lies in storage with other bytes than were fetched")
            return
    account.wrong.append(f"{name} is in the catalogue and not in storage")


async def _check_sessions(account: Account, pool: asyncpg.Pool, farm: Farm) -> None:
    """What is whole at a station is complete here, what lacks something is not, and production was told of both."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in await pool.fetch(_SESSIONS):
        found[row["name"]].append(row)
    blocks: dict[str, set[tuple[int, int]]] = defaultdict(set)
    finals: dict[str, dict[int, int]] = defaultdict(dict)
    told: dict[str, set[int]] = defaultdict(set)
    for served in farm.served:
        for (name, _retransfer, channel, number), block in served.published.items():
            if number:
                blocks[name].add((channel, number))
            # where files are dropped, only the DSIB tells which block is the last one
            if number == 0 or (block.is_final and isinstance(served.station, CadipStation)):
                told[name].add(channel)
            if block.is_final:
                finals[name][channel] = number
    for name, there in blocks.items():
        rows = found.get(name, [])
        expected = {(channel, number) for channel, last in finals[name].items() for number in range(1, last + 1)}
        is_whole = len(finals[name]) == len(told[name]) == 2 and expected <= there
        is_complete = any(row["state"] == "complete" for row in rows)
        account.sessions["whole at the station" if is_whole else "lacking something"] += 1
        if is_whole != is_complete:
            here = "; ".join(f"{row['state']} {', '.join(row['problems'])}" for row in rows) or "never seen"
            account.wrong.append(
                f"session {name} is {'' if is_whole else 'not '}whole at its station, and here: {here}"
            )
        if not any(row["handed_at"] for row in rows):
            account.wrong.append(f"production was not told of session {name}")
