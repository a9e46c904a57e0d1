"""The SQL of work; the functions it calls are in migration 0001. All run on the caller's connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from refsys.core.steps import PRIORITY_NORMAL

_OVERVIEW = """
SELECT stage,
       count(*) FILTER (WHERE state = 'due') AS due,
       count(*) FILTER (WHERE state = 'due' AND not_before > clock_timestamp()) AS deferred,
       count(*) FILTER (WHERE state = 'running') AS running,
       count(*) FILTER (WHERE state = 'parked') AS parked,
       greatest(extract(epoch FROM clock_timestamp() - min(coalesce(not_before, created_at))
           FILTER (WHERE state = 'due' AND (not_before IS NULL OR not_before <= clock_timestamp()))), 0)::float8
           AS oldest_due_age_s
  FROM (SELECT stage, state, not_before, created_at FROM work.step
        UNION ALL SELECT DISTINCT stage, '', NULL::timestamptz, NULL::timestamptz FROM work.subscription) known
 GROUP BY stage ORDER BY stage
"""

_EXPIRED = """
SELECT s.id, s.stage, s.key, s.attempts, s.token, s.worker, s.lease_until,
       extract(epoch FROM clock_timestamp() - s.lease_until)::float8 AS overdue_s
  FROM work.step s
 WHERE s.state = 'running' AND s.lease_until < clock_timestamp() AND s.stage = ANY ($1)
 ORDER BY s.lease_until LIMIT 100 FOR UPDATE SKIP LOCKED
"""

# no lease can reach farther than its length from now, unless the clock was set back
_SHORTEN_LEASES = """
UPDATE work.step s SET lease_until = clock_timestamp() + late.lease
  FROM (SELECT h.id, known.lease
          FROM work.step h JOIN unnest($1::text[], $2::interval[]) AS known(stage, lease) ON known.stage = h.stage
         WHERE h.state = 'running' AND h.lease_until > clock_timestamp() + known.lease + interval '1 second'
           FOR UPDATE OF h SKIP LOCKED) late
 WHERE s.id = late.id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that was claimed, as the database returns it."""

    step_id: int
    stage: str
    key: str
    payload: dict[str, Any]
    priority: int
    version: int
    number: int
    token: UUID


@dataclass(frozen=True, slots=True)
class Expired:
    """A running step whose lease is over; its row is locked by the caller's transaction."""

    step_id: int
    stage: str
    key: str
    attempts: int
    token: UUID
    worker: str
    lease_until: datetime
    overdue_s: float


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What `reconcile` set right."""

    requeued: int
    removed: int
    rebased: int


async def enqueue(
    connection: asyncpg.Connection,
    stage: str,
    *,
    key: str,
    payload: Mapping[str, Any],
    priority: int = PRIORITY_NORMAL,
    not_before: datetime | None = None,
    version: int = 1,
) -> int:
    """Make a step due, in the caller's transaction; returns its id.

    `priority`: 0 (last) to 99 (first). A step of the same stage and key that is due already is never doubled: it gets
    this payload and the greater priority; one that runs is left alone, this one waits behind it.
    """
    step_id: int = await connection.fetchval(
        "SELECT work.enqueue($1, $2, $3::text::jsonb, $4, $5, $6)",
        stage,
        key,
        _json(payload),
        priority,
        not_before,
        version,
    )
    return step_id


async def emit(
    connection: asyncpg.Connection,
    event: str,
    *,
    key: str,
    payload: Mapping[str, Any],
    priority: int = PRIORITY_NORMAL,
    version: int = 1,
) -> None:
    """Say that something happened, in the caller's transaction: a step for each stage that is subscribed to it."""
    await connection.fetchval(
        "SELECT work.emit($1, $2, $3::text::jsonb, $4, $5)", event, key, _json(payload), priority, version
    )


async def has_room(connection: asyncpg.Connection, stage: str, cap: int) -> bool:
    """Whether fewer than `cap` steps of the stage are due or running (0 = no cap)."""
    if cap <= 0:
        return True
    load: int = await connection.fetchval(
        """
        SELECT count(*) FROM (
            (SELECT 1 FROM work.step WHERE stage = $1 AND state = 'due' LIMIT $2)
            UNION ALL (SELECT 1 FROM work.step WHERE stage = $1 AND state = 'running' LIMIT $2)
        ) load
        """,
        stage,
        cap,
    )
    return load < cap


async def overview(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Rows of stage, due, deferred, running, parked, oldest_due_age_s; stages that are subscribed or have steps."""
    return list(await connection.fetch(_OVERVIEW))


async def claim(
    connection: asyncpg.Connection,
    step_ids: Sequence[int],
    *,
    stages: Sequence[str],
    leases: Sequence[timedelta],
    versions: Sequence[int],
    worker: str,
) -> list[Claim]:
    """Claim steps that were taken from the queue in this same transaction; the highest priority first."""
    rows = await connection.fetch(
        "SELECT * FROM work.claim($1, $2, $3, $4, $5)", step_ids, stages, leases, versions, worker
    )
    claims = [
        Claim(
            step_id=row["step_id"],
            stage=row["step_stage"],
            key=row["step_key"],
            payload=orjson.loads(row["step_payload"]),
            priority=row["step_priority"],
            version=row["step_version"],
            number=row["number"],
            token=row["step_token"],
        )
        for row in rows
    ]
    return sorted(claims, key=lambda claim: (-claim.priority, claim.step_id))


async def finish(
    connection: asyncpg.Connection, step_id: int, token: UUID, *, idle_limit_s: float, own_stages: str = ""
) -> bool:
    """End a step if the token is the current one, and hold its row until the transaction is over.

    Steps of `own_stages` (separated by blanks) that become due in this transaction are not announced to the workers.
    """
    done: bool = await connection.fetchval(
        "SELECT work.finish($1, $2, $3, $4)", step_id, token, timedelta(seconds=idle_limit_s), own_stages
    )
    return done


async def fail(
    connection: asyncpg.Connection,
    step_id: int,
    token: UUID,
    *,
    pause: timedelta | None,
    error: Mapping[str, Any],
    notes: Sequence[str],
) -> str:
    """Record a failed attempt; without a pause the step is parked. Returns parked, due, superseded or void."""
    outcome: str = await connection.fetchval(
        "SELECT work.fail($1, $2, $3, $4::text::jsonb, $5)", step_id, token, pause, _json(error), notes
    )
    return outcome


async def renew(
    connection: asyncpg.Connection, step_ids: Sequence[int], tokens: Sequence[UUID], leases: Sequence[timedelta]
) -> set[UUID]:
    """Renew leases; returns the tokens that are still the current ones."""
    rows = await connection.fetch("SELECT renew FROM work.renew($1, $2, $3)", step_ids, tokens, leases)
    return {row["renew"] for row in rows}


async def is_current(connection: asyncpg.Connection, step_id: int, token: UUID) -> bool:
    """Whether the step still runs under this token."""
    current: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM work.step WHERE id = $1 AND token = $2)", step_id, token
    )
    return current


async def expired(connection: asyncpg.Connection, stages: Sequence[str]) -> list[Expired]:
    """Lock up to 100 running steps of these stages whose lease is over."""
    return [Expired(*row) for row in await connection.fetch(_EXPIRED, stages)]


async def shorten_leases(connection: asyncpg.Connection, stages: Sequence[str], leases: Sequence[timedelta]) -> None:
    """Cut leases that reach farther than their length: the database's clock was set back."""
    await connection.execute(_SHORTEN_LEASES, stages, leases)


async def reconcile(connection: asyncpg.Connection) -> Reconciled:
    """Queue what has lost its row, remove rows without a step, count pauses anew after a clock was set back."""
    row = await connection.fetchrow("SELECT * FROM work.reconcile()")
    return Reconciled(requeued=row["requeued"], removed=row["removed"], rebased=row["rebased"])


async def forget(connection: asyncpg.Connection, *, keep: timedelta, piece: int = 5_000) -> int:
    """Delete the oldest finished steps and events beyond `keep`, at most `piece` of each; returns how many went."""
    gone: int = await connection.fetchval("SELECT work.forget($1, $2)", keep, piece)
    return gone


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value)).decode()
