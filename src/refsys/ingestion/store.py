"""What the rest of ingestion asks of the memory: claim offers, say what became of them, and the state of inboxes.

The functions that the SQL calls are in migration 0026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.ingestion.model import Offer, Remote, SessionFile

#: The states of remote files (migration 0021), in the order of their lives.
STATES: Final = (
    *("seen", "waiting", "queued", "fetching", "stored"),
    *("filtered", "duplicate", "superseded", "failed", "expired"),
)
#: Most characters of a problem that are kept.
LONGEST_PROBLEM: Final = 2000
_CLAIM: Final = "SELECT * FROM ingestion.claim($1, $2) ORDER BY id"
_HOLD: Final = """
SELECT id FROM ingestion.remote
 WHERE id = ANY ($1) AND state = 'fetching' AND token = $2 ORDER BY id FOR UPDATE
"""
_STORED: Final = "SELECT ingestion.set_stored($1, $2)"
_APART: Final = """
WITH apart AS (
    UPDATE ingestion.remote r
       SET state = 'queued', token = NULL, problem = p.problem, state_at = clock_timestamp()
      FROM unnest($1::bigint[], $2::text[]) AS p(id, problem)
     WHERE r.id = p.id AND r.state = 'fetching' AND r.token = $3
    RETURNING r.id, r.inbox, r.priority, ingestion.step_key(r) AS key
)
SELECT work.enqueue('ingestion.fetch.' || a.inbox, a.key, jsonb_build_object('remote_id', a.id), a.priority, NULL, 1)
  FROM apart a ORDER BY a.id
"""
_PUT_BACK: Final = """
UPDATE ingestion.remote
   SET state = 'waiting', token = NULL, not_before = $3, problem = $4, state_at = clock_timestamp()
 WHERE id = ANY ($1) AND state = 'fetching' AND token = $2
RETURNING id
"""
_FAILED: Final = """
UPDATE ingestion.remote SET state = 'failed', token = NULL, problem = $3, state_at = clock_timestamp()
 WHERE id = $1 AND state = 'fetching' AND token = $2
RETURNING id
"""
_EXPIRED: Final = """
UPDATE ingestion.remote SET state = 'expired', token = NULL, why = $3, state_at = clock_timestamp()
 WHERE id = $1 AND state = 'fetching' AND token = $2
RETURNING id
"""
_INBOXES: Final = """
SELECT id, cursor, looked_at, succeeded_at, failures, problem, paused_at, paused_why, back_to, reconciled_at,
       reconciled, states, expired_total, fetched_bytes, near, lag_s
  FROM ingestion.inbox_state ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class InboxState:
    """What an inbox remembers of its looks, and how many offers it has in which state.

    `lag_s`: how long ago the oldest one was found that is wanted and not stored; None where there is none. `near`:
    those that the station deletes soon. `expired_total` and `fetched_bytes` only grow.
    """

    id: str
    cursor: datetime | None
    looked_at: datetime | None
    succeeded_at: datetime | None
    failures: int
    problem: str
    paused_at: datetime | None
    paused_why: str
    back_to: datetime | None
    reconciled_at: datetime | None
    reconciled: dict[str, Any] | None
    states: dict[str, int]
    expired_total: int
    fetched_bytes: int
    near: int
    lag_s: float | None


async def claim(connection: asyncpg.Connection, remote_ids: Sequence[int], token: UUID) -> list[Remote]:
    """Take offers for an attempt (queued, failed, or left by an attempt before): their state is `fetching` then.

    Those that it shall not bring are missing: brought or given up meanwhile, a session's file that another inbox
    brings, or an inbox that is paused. Call it in a transaction of its own.
    """
    return [remote_of(row) for row in await connection.fetch(_CLAIM, list(remote_ids), token)]


async def hold(connection: asyncpg.Connection, remote_ids: Sequence[int], token: UUID) -> set[int]:
    """Which of these offers this attempt still has to bring; holds their rows, so that nobody supersedes them."""
    return {row["id"] for row in await connection.fetch(_HOLD, list(remote_ids), token)}


async def set_stored(connection: asyncpg.Connection, contents: Mapping[int, int]) -> None:
    """Note that the bytes of offers are in the catalogue: offer by content.

    Other inboxes' offers of a session's file are duplicates then.
    """
    await connection.execute(_STORED, list(contents), list(contents.values()))


async def set_apart(connection: asyncpg.Connection, problems: Mapping[int, str], token: UUID) -> None:
    """Give offers that failed among others (id: problem) steps of their own."""
    if problems:
        told = [problem[:LONGEST_PROBLEM] for problem in problems.values()]
        await connection.execute(_APART, list(problems), told, token)


async def put_back(
    connection: asyncpg.Connection,
    remote_ids: Sequence[int],
    token: UUID,
    *,
    not_before: datetime | None = None,
    problem: str = "",
) -> int:
    """Let claimed offers wait in their inbox again, until `not_before`; returns how many of them this attempt had."""
    return len(await connection.fetch(_PUT_BACK, list(remote_ids), token, not_before, problem[:LONGEST_PROBLEM]))


async def set_failed(connection: asyncpg.Connection, remote_id: int, token: UUID, problem: str) -> bool:
    """Note that an offer cannot be brought, as its step is parked; False where it is not this attempt's any more."""
    return await connection.fetchval(_FAILED, remote_id, token, problem[:LONGEST_PROBLEM]) is not None


async def set_expired(connection: asyncpg.Connection, remote_id: int, token: UUID, why: str) -> bool:
    """Note that the station has an offer no more; False where it is not this attempt's any more."""
    return await connection.fetchval(_EXPIRED, remote_id, token, why[:LONGEST_PROBLEM]) is not None


async def inbox_states(connection: asyncpg.Connection) -> list[InboxState]:
    """Every inbox that ever looked."""
    return [InboxState(**row) for row in await connection.fetch(_INBOXES)]


def remote_of(row: asyncpg.Record) -> Remote:
    """A row of ingestion.remote."""
    session = None
    if row["session_name"] is not None:
        session = SessionFile(row["session_name"], row["retransfer"], row["channel"], row["block"], row["is_final"])
    offer = Offer(
        remote_id=row["remote_id"],
        version=row["version"],
        name=row["name"],
        size_bytes=row["size"],
        published_at=row["published_at"],
        origin_at=row["origin_at"],
        checksums=row["checksums"],
        evicted_at=row["evicted_at"],
        path=row["path"],
        session=session,
    )
    return Remote(
        row["id"], row["inbox"], row["state"], offer, row["priority"], row["found_at"], row["product"], row["tries"]
    )
