"""Looks of inboxes at what a test offers: no station, no fetcher, only the memory."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import asyncpg

from refsys.infra.settings import InboxSettings
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.entering import Look
from refsys.ingestion.inboxes.rating import Rater
from refsys.ingestion.model import Findings, Memory, Offer, Remote, SessionFile
from refsys.ingestion.store import claim, set_failed, set_stored
from refsys.missions import load_types

TYPES: Final = load_types()
NOW: Final = datetime.now(UTC)
SESSION: Final = "S1A_20241114143038056552"
_contents = itertools.count(1)


def offer(name: str, version: str = "1", size: int | None = 7, minutes: float = 0, **rest: Any) -> Offer:
    """An offer of a name, published some minutes after NOW."""
    given = {"remote_id": name, "published_at": NOW + timedelta(minutes=minutes)} | rest
    return Offer(version=version, name=name, size_bytes=size, **given)


def block(number: int, *, size: int | None = 7, channel: int = 1, unit: str = "04", **rest: Any) -> Offer:
    """A block of SESSION."""
    name = f"DCS_{unit}_{SESSION}_ch{channel}_DSDB_{number:05}.raw"
    return offer(name, size=size, session=SessionFile(SESSION, False, channel, number), **rest)


def settings_of(inbox: str, **changes: Any) -> InboxSettings:
    return InboxSettings(**({"id": inbox, "type": "cadip", "url": "http://host/odata/v1"} | changes))


async def look(
    pool: asyncpg.Pool, inbox: str, *found: Offer | Findings | Exception, whole: bool = False, **changes: Any
) -> Look:
    """One look that finds these, each Findings as a piece of its own; raises what is among them."""
    offers = [each for each in found if isinstance(each, Offer)]
    pieces = [each for each in found if not isinstance(each, Offer)] or [Findings(offers, is_whole=whole)]
    made = Look(pool, Rater(settings_of(inbox, **changes), TYPES))
    await made.begin()
    for piece in pieces:
        if isinstance(piece, Exception):
            raise piece
        await made.take(piece, None)
    await made.finish(None)
    return made


async def dispatch(pool: asyncpg.Pool, inbox: str, most: int = 100, **changes: Any) -> int:
    """Queue what waits; returns how many files."""
    given = {"guard": timedelta(hours=24), "near_only": False, "group_files": 1, "group_bytes": 2**20} | changes
    async with pool.acquire() as connection, connection.transaction():
        return await store.dispatch(connection, inbox, most, **given)


async def fetch(pool: asyncpg.Pool, remote_ids: Sequence[int], problem: str = "") -> list[Remote]:
    """Claim files and store them, or fail over them; returns those that were claimed."""
    token = uuid4()
    async with pool.acquire() as connection, connection.transaction():
        claimed = await claim(connection, remote_ids, token)
        if problem:
            for remote in claimed:
                await set_failed(connection, remote.id, token, problem)
        else:
            await set_stored(connection, {remote.id: next(_contents) for remote in claimed})
        return claimed


async def remembered(pool: asyncpg.Pool, inbox: str = "", **where: Any) -> list[asyncpg.Record]:
    """Rows of an inbox (of all), by id."""
    rows = await pool.fetch("SELECT * FROM ingestion.remote WHERE $1 IN ('', inbox) ORDER BY id", inbox)
    return [row for row in rows if all(row[name] == value for name, value in where.items())]


async def states(pool: asyncpg.Pool, inbox: str = "") -> list[tuple[str, str]]:
    """Name and state of every row, by id."""
    return [(row["name"], row["state"]) for row in await remembered(pool, inbox)]


async def ids(pool: asyncpg.Pool, inbox: str, state: str = "queued") -> list[int]:
    return [row["id"] for row in await remembered(pool, inbox, state=state)]


@dataclass(slots=True)
class Shelf:
    """A source that lists what stands on it, in pieces; `faults` are raised by the next looks. Nothing is fetched."""

    offers: list[Offer] = field(default_factory=list)
    counted: int | None = None
    is_whole: bool = False
    piece: int = 100
    faults: list[Exception] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    hides: timedelta | None = None
    has_ranges: bool = True

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """Offers published since the cursor (all without one); `hides`: it overlooks those behind the cursor anyway."""
        self.memories.append(memory)
        since = None if self.hides is None or memory.cursor is None else memory.cursor - self.hides
        shown = [
            each for each in self.offers if since is None or each.published_at is None or each.published_at >= since
        ]
        for start in range(0, len(shown), self.piece):
            if self.faults and start:
                raise self.faults.pop()
            yield Findings(shown[start : start + self.piece])
        if self.faults:
            raise self.faults.pop()
        yield Findings(is_whole=self.is_whole)

    async def count(self, start: datetime | None, stop: datetime) -> int | None:
        return self.counted

    async def close(self) -> None:
        return None
