"""The SQL of ingestion; the functions it calls are in migration 0020."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from refsys.core.steps import PRIORITY_BACKLOG
from refsys.core.times import format_instant
from refsys.ingestion.model import FETCH, Offer, Remote

_SUCCEEDED = """
UPDATE ingestion.inbox
   SET cursor = greatest(cursor, $2), looked_at = clock_timestamp(), succeeded_at = clock_timestamp(), failures = 0,
       problem = $3
 WHERE id = $1
"""
_FAILED = """
UPDATE ingestion.inbox SET looked_at = clock_timestamp(), failures = failures + 1, problem = $2 WHERE id = $1
RETURNING failures
"""
_REMOTE = """
SELECT id, inbox, state, remote_id, version, name, size, checksums, published_at, origin_at, priority, found_at,
       product, tries
  FROM ingestion.remote WHERE id = $1
"""
_STORED = """
UPDATE ingestion.remote SET state = 'stored', stored_at = clock_timestamp(), content_id = $2 WHERE id = $1
"""
_LOCK = "SELECT state = 'queued' FROM ingestion.remote WHERE id = $1 FOR UPDATE"
_INBOXES = """
SELECT i.id, i.cursor, i.looked_at, i.succeeded_at, i.failures, i.problem,
       count(r.id) FILTER (WHERE r.state = 'waiting') AS waiting,
       count(r.id) FILTER (WHERE r.state = 'queued') AS queued,
       count(r.id) FILTER (WHERE r.state = 'stored') AS stored,
       count(r.id) FILTER (WHERE r.state = 'filtered') AS filtered
  FROM ingestion.inbox i LEFT JOIN ingestion.remote r ON r.inbox = i.id
 GROUP BY i.id ORDER BY i.id
"""


@dataclass(frozen=True, slots=True)
class InboxState:
    """What an inbox remembers of its looks, and how many offers it has in which state."""

    id: str
    cursor: datetime | None
    looked_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    problem: str
    waiting: int
    queued: int
    stored: int
    filtered: int


async def open_inbox(connection: asyncpg.Connection, inbox: str) -> datetime | None:
    """Make the inbox's row where there is none; returns its cursor."""
    await connection.execute("INSERT INTO ingestion.inbox (id) VALUES ($1) ON CONFLICT DO NOTHING", inbox)
    cursor: datetime | None = await connection.fetchval("SELECT cursor FROM ingestion.inbox WHERE id = $1", inbox)
    return cursor


async def enter(connection: asyncpg.Connection, inbox: str, offers: Sequence[tuple[Offer, str, int, str]]) -> int:
    """Enter offers in their order; returns how many are new.

    With each: its product's name, its priority, and why it is left alone ("" = it is wanted).
    """
    rows = [_row(*offer) for offer in offers]
    fresh: int = await connection.fetchval("SELECT ingestion.enter($1, $2)", inbox, rows)
    return fresh


async def look_succeeded(
    connection: asyncpg.Connection, inbox: str, cursor: datetime | None, problem: str = ""
) -> None:
    """Note a look, or a piece of one, whose newest publication date is `cursor`; the cursor never goes back."""
    await connection.execute(_SUCCEEDED, inbox, cursor, problem)


async def look_failed(connection: asyncpg.Connection, inbox: str, problem: str) -> int:
    """Note a failed look; returns how many have failed in a row."""
    failures: int = await connection.fetchval(_FAILED, inbox, problem)
    return failures


async def has_waiting(connection: asyncpg.Connection, inbox: str) -> bool:
    """Whether an offer waits to be queued."""
    waits: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM ingestion.remote WHERE inbox = $1 AND state = 'waiting')", inbox
    )
    return waits


async def dispatch(connection: asyncpg.Connection, inbox: str, most: int) -> int:
    """Queue up to `most` waiting offers for the inbox's stage; returns how many."""
    queued: int = await connection.fetchval(
        "SELECT ingestion.dispatch($1, $2, $3, $4)", inbox, FETCH + inbox, most, PRIORITY_BACKLOG
    )
    return queued


async def fetch_remote(connection: asyncpg.Connection, remote_id: int) -> Remote | None:
    """One remembered offer."""
    row = await connection.fetchrow(_REMOTE, remote_id)
    if row is None:
        return None
    offer = Offer(
        remote_id=row["remote_id"],
        version=row["version"],
        name=row["name"],
        size_bytes=row["size"],
        published_at=row["published_at"],
        origin_at=row["origin_at"],
        checksums=row["checksums"],
    )
    return Remote(
        row["id"],
        row["inbox"],
        row["state"],
        offer,
        row["priority"],
        row["found_at"],
        row["product"],
        row["tries"],
    )


async def is_wanted(connection: asyncpg.Connection, remote_id: int) -> bool:
    """Whether an offer is still to be brought; holds its row, so that nobody supersedes it meanwhile."""
    return bool(await connection.fetchval(_LOCK, remote_id))


async def set_stored(connection: asyncpg.Connection, remote_id: int, content_id: int) -> None:
    """Note that an offer's bytes are in the catalogue."""
    await connection.execute(_STORED, remote_id, content_id)


async def set_waiting(connection: asyncpg.Connection, remote_id: int) -> None:
    """Take an offer back from the queue, unless a newer one superseded it meanwhile."""
    await connection.execute(
        "UPDATE ingestion.remote SET state = 'waiting' WHERE id = $1 AND state = 'queued'", remote_id
    )


async def inbox_states(connection: asyncpg.Connection) -> list[InboxState]:
    """Every inbox that ever looked."""
    return [InboxState(**row) for row in await connection.fetch(_INBOXES)]


def _row(offer: Offer, product: str, priority: int, why: str) -> dict[str, Any]:
    return {
        "remote_id": offer.remote_id,
        "version": offer.version,
        "name": offer.name,
        "product": product,
        "why": why,
        "size": offer.size_bytes,
        "checksums": offer.checksums,
        "published_at": None if offer.published_at is None else format_instant(offer.published_at),
        "origin_at": None if offer.origin_at is None else format_instant(offer.origin_at),
        "priority": priority,
    }
