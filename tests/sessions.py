"""Sessions for tests: offered and stored as an inbox and a fetcher do it, without stations and storage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from refsys.catalogue import commands
from refsys.core.products import Arrival, FileEntry
from refsys.core.times import parse_instant
from refsys.ingestion.model import Offer, Remote, SessionSaid
from refsys.ingestion.sessions import (
    Session,
    SessionBlocks,
    fetch_session,
    note_offers,
    note_said,
    note_stored,
    session_blocks,
    session_file_of,
)

CADU = 2044
TOLD = """
SELECT event, key, (payload->>'revision')::int AS revision FROM work.event
 WHERE event LIKE 'session.%' AND event <> 'session.block' AND ($1::text[] = '{}' OR event = ANY ($1)) ORDER BY id
"""
NAME = "S1A_20241114143038056552"
BEGAN = datetime(2024, 11, 14, 14, 30, 38, tzinfo=UTC)


def block_name(number: int, channel: int = 1, session: str = NAME, unit: str = "04") -> str:
    return f"DCS_{unit}_{session}_ch{channel}_DSDB_{number:05}.raw"


def offer(
    number: int,
    channel: int = 1,
    *,
    session: str = NAME,
    final: bool | None = False,
    cadus: int = 10,
    retransfer: bool = False,
    version: str = "v1",
    at: datetime | None = None,
) -> Offer:
    """A block as a station offers it."""
    name = block_name(number, channel, session)
    return Offer(
        f"{name}/{retransfer}",
        version,
        name,
        cadus * CADU,
        at or datetime.now(UTC),
        session=session_file_of(name, retransfer=retransfer, is_final=final),
    )


def channel_of(blocks: int, channel: int = 1, **rest: Any) -> list[Offer]:
    """A channel's blocks in their order, the last one shorter, and called the final one."""
    return [
        offer(number, channel, final=number == blocks, cadus=3 if number == blocks else 10, **rest)
        for number in range(1, blocks + 1)
    ]


async def offered(pool: asyncpg.Pool, *offers: Offer, inbox: str = "sgs", said: Sequence[SessionSaid] = ()) -> None:
    """A piece of a look."""
    async with pool.acquire() as connection, connection.transaction():
        await note_offers(connection, inbox, offers)
        await note_said(connection, inbox, said)


async def stored(pool: asyncpg.Pool, *offers: Offer, inbox: str = "sgs", salt: str = "") -> list[int]:
    """Fetch offers, each in a transaction; returns their contents. The same name and salt are the same bytes."""
    contents = []
    for each in offers:
        digest = hashlib.md5(f"{each.name}{salt}".encode(), usedforsecurity=False).digest()
        entry = FileEntry(each.name, each.size_bytes or 0, 1, digest, digest * 2)
        arrival = Arrival(each.name, f"attempts/{each.version}{salt}", (entry,), inbox)
        remote = Remote(1, inbox, "fetching", each, 50, datetime.now(UTC))
        async with pool.acquire() as connection, connection.transaction():
            content = await commands.arrive(connection, arrival, priority=50)
            await note_stored(connection, remote, content)
        contents.append(content)
    return contents


async def session_of(pool: asyncpg.Pool, retransfer: bool = False, name: str = NAME) -> Session:
    """The session, which is known."""
    async with pool.acquire() as connection:
        found = await fetch_session(connection, name, retransfer)
    assert found is not None
    return found


async def blocks_of(pool: asyncpg.Pool, name: str = NAME) -> SessionBlocks:
    """What production would take of the session, which is known."""
    async with pool.acquire() as connection:
        found = await session_blocks(connection, name)
    assert found is not None
    return found


async def told(pool: asyncpg.Pool, *events: str) -> list[tuple[str, str, int]]:
    """What was announced of sessions: event, key, revision; without those of every block."""
    rows = await pool.fetch(TOLD, list(events))
    return [(row["event"], row["key"], row["revision"]) for row in rows]


async def grow_older(pool: asyncpg.Pool, seconds: float) -> None:
    """Everything that is known of sessions happened so much earlier, in our clock."""
    await pool.execute(
        "UPDATE ingestion.session SET seen_at = seen_at - $1::interval, news_at = news_at - $1::interval",
        timedelta(seconds=seconds),
    )
    await pool.execute("UPDATE ingestion.session_file SET seen_at = seen_at - $1::interval", timedelta(seconds=seconds))


@dataclass(frozen=True, slots=True)
class RealSession:
    """The session of the shared data, as its station published it: files in the order of their publication."""

    said: SessionSaid
    offers: list[Offer]


def real_session(shared_data: Path) -> RealSession:
    record = json.loads((shared_data / "sessions" / f"{NAME}.json").read_text())["value"][0]
    offers = []
    for file in sorted(record["Files"], key=lambda each: parse_instant(each["PublicationDate"])):
        of = session_file_of(
            file["Name"], retransfer=file["Retransfer"], block=file["BlockNumber"], is_final=file["FinalBlock"]
        )
        at = parse_instant(file["PublicationDate"])
        offers.append(Offer(file["Id"], file["PublicationDate"], file["Name"], file["Size"], at, session=of))
    said = SessionSaid(
        record["SessionId"],
        record["Retransfer"],
        satellite=record["Satellite"],
        channels=record["NumChannels"],
        station_unit=record["StationUnitId"],
        orbit=record["DownlinkOrbit"],
        published_at=parse_instant(record["PublicationDate"]),
        planned_start=parse_instant(record["PlannedDataStart"]),
        planned_stop=parse_instant(record["PlannedDataStop"]),
        downlink_start=parse_instant(record["DownlinkStart"]),
        downlink_stop=parse_instant(record["DownlinkStop"]),
        quality={each["Channel"]: each for each in record["QualityInfo"]},
    )
    return RealSession(said, offers)


def without_quality(said: SessionSaid) -> SessionSaid:
    """As the station says it before anything is delivered."""
    return replace(said, quality={})
