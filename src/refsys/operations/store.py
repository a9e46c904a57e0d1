"""The SQL of operations: it reads schema `work`; what changes there is in `refsys.infra.work.parking`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg

from refsys.operations.model import Filter, Group, OtherStep, Parked, StepDossier

_PARKED: Final = """
  FROM work.step s
 WHERE s.state = 'parked' AND s.stage LIKE $1 AND coalesce(s.error ->> 'type', '') LIKE $2
   AND strpos(lower(concat_ws(' ', s.error ->> 'message', s.error ->> 'subject', s.error ->> 'advice')), lower($3)) > 0
   AND s.key LIKE $4
   AND s.parked_at >= coalesce($5::timestamptz, '-infinity') AND s.parked_at < coalesce($6::timestamptz, 'infinity')
"""
_LIST: Final = (
    "SELECT s.id, s.stage, s.key, s.priority, s.attempts, s.created_at, s.parked_at, s.error - 'traceback' AS error"
    + _PARKED
    + """
   AND ($7::timestamptz IS NULL OR (s.parked_at, s.id) < ($7, $8::bigint))
 ORDER BY s.parked_at DESC, s.id DESC LIMIT $9
"""
)
_COUNT: Final = "SELECT count(*)" + _PARKED
_IDS: Final = "SELECT s.id" + _PARKED + " ORDER BY s.id DESC"
# names and numbers make each message another one: ids, long words with a digit in them, and numbers go
_GROUPS: Final = (
    """
SELECT stage, type AS error, message, count(*), min(parked_at) AS first_parked_at, max(parked_at) AS last_parked_at,
       (array_agg(id ORDER BY parked_at DESC, id DESC))[1] AS example
  FROM (
    SELECT s.id, s.stage, s.parked_at, coalesce(s.error ->> 'type', '') AS type,
           regexp_replace(regexp_replace(regexp_replace(left(coalesce(s.error ->> 'message', ''), 300),
               '[[:xdigit:]]{8}(-[[:xdigit:]]{4}){3}-[[:xdigit:]]{12}', '…', 'g'),
               '(?=[[:alnum:]_./:-]*[0-9])[[:alnum:]_./:-]{16,}', '…', 'g'),
               '[0-9]+([.][0-9]+)?', '#', 'g') AS message
"""
    + _PARKED
    + """
  ) told
 GROUP BY stage, type, message ORDER BY count(*) DESC, stage, type, message LIMIT $7
"""
)
_UNFINISHED: Final = """
SELECT id, state, stage, key, attempts, created_at, started_at, parked_at, NULL::timestamptz AS finished_at, worker,
       priority, version, payload, error, log
  FROM work.step WHERE id = $1
"""
_FINISHED: Final = """
SELECT step_id AS id, outcome AS state, stage, key, attempts, created_at, started_at, finished_at, detail
  FROM work.history WHERE step_id = $1
"""
_OTHERS: Final = """
SELECT id, state, coalesce(parked_at, started_at, created_at) AS at FROM work.step
 WHERE stage = $1 AND key = $2 AND id <> $3
UNION ALL
SELECT step_id, outcome, finished_at FROM work.history
 WHERE stage = $1 AND key = $2 AND step_id <> $3 AND finished_at > $4
 ORDER BY at, id LIMIT 20
"""
_WHEREABOUTS: Final = """
SELECT id, state, NULL::timestamptz AS finished_at, '' AS author, '' AS reason, NULL::bigint AS by
  FROM work.step WHERE id = ANY ($1)
UNION ALL
SELECT step_id, outcome, finished_at, coalesce(detail ->> 'author', ''), coalesce(detail ->> 'reason', ''),
       (detail ->> 'by')::bigint
  FROM work.history WHERE step_id = ANY ($1)
"""
_EVENTS: Final = """
SELECT max(e.id) AS id
  FROM work.event e JOIN work.subscription s ON s.event = e.event
 WHERE s.stage = $1 AND e.at >= $2 AND e.at < coalesce($3::timestamptz, 'infinity') AND e.key LIKE $4
 GROUP BY e.key ORDER BY 1
"""
_NEWEST_EVENTS: Final = """
SELECT p.id AS step_id, max(e.id) AS event_id
  FROM work.step p
  JOIN work.event e ON e.key = p.key
  JOIN work.subscription s ON s.event = e.event
 WHERE p.id = ANY ($2) AND s.stage = $1
 GROUP BY p.id
"""
_DUE_OF_EVENTS: Final = """
SELECT count(*) FROM work.event e JOIN work.step d ON d.key = e.key AND d.stage = $1 AND d.state = 'due'
 WHERE e.id = ANY ($2)
"""
_STAGES: Final = "SELECT stage FROM work.subscription UNION SELECT DISTINCT stage FROM work.step ORDER BY 1"
_SUBSCRIBED: Final = "SELECT DISTINCT stage FROM work.subscription ORDER BY 1"


async def fetch_parked(
    connection: asyncpg.Connection, wanted: Filter, *, limit: int, after: tuple[datetime, int] | None
) -> list[Parked]:
    """Parked steps, the last one parked first, those `after` an instant and id of a list before."""
    instant, step_id = after or (None, None)
    rows = await connection.fetch(_LIST, *_parameters(wanted), instant, step_id, limit)
    return [Parked(**{**row, "error": _error(row["error"])}) for row in rows]


async def count_parked(connection: asyncpg.Connection, wanted: Filter) -> int:
    count: int = await connection.fetchval(_COUNT, *_parameters(wanted))
    return count


async def fetch_parked_ids(connection: asyncpg.Connection, wanted: Filter) -> list[int]:
    """Ids of parked steps, the newest step first."""
    return [row["id"] for row in await connection.fetch(_IDS, *_parameters(wanted))]


async def fetch_groups(connection: asyncpg.Connection, wanted: Filter, *, limit: int) -> list[Group]:
    """Parked steps by stage and what their error says, the largest group first."""
    return [Group(**row) for row in await connection.fetch(_GROUPS, *_parameters(wanted), limit)]


async def fetch_dossier(connection: asyncpg.Connection, step_id: int) -> StepDossier | None:
    """Everything about one step, parked or not; None where nothing is known."""
    row = await connection.fetchrow(_UNFINISHED, step_id)
    known: dict[str, Any]
    if row is not None:
        known = {**row, "error": row["error"] and _error(row["error"])}
    else:
        row = await connection.fetchrow(_FINISHED, step_id)
        if row is None:
            return None
        known = dict(row)
        kept = known.pop("detail") or {}
        names = ("worker", "priority", "version", "payload", "author", "reason", "by")
        known |= {name: kept.get(name) for name in names}
        known |= {
            "error": _error(kept["error"]) if kept.get("error") else None,
            "log": kept.get("log") or (),
            "parked_at": datetime.fromisoformat(kept["parked_at"]) if kept.get("parked_at") else None,
        }
    since = known["parked_at"] or known["created_at"]
    others = await connection.fetch(_OTHERS, known["stage"], known["key"], step_id, since)
    return StepDossier(**known, others=[OtherStep(**other) for other in others])


async def fetch_whereabouts(connection: asyncpg.Connection, step_ids: Sequence[int]) -> dict[int, asyncpg.Record]:
    """What is known of these steps: rows of state, finished_at, author, reason, by."""
    return {row["id"]: row for row in await connection.fetch(_WHEREABOUTS, step_ids)}


async def fetch_event_ids(
    connection: asyncpg.Connection, stage: str, *, since: datetime, until: datetime | None, key: str
) -> list[int]:
    """The newest event of each key that the stage is subscribed to, the oldest of them first."""
    rows = await connection.fetch(_EVENTS, stage, since, until, _like(key, piece=True))
    return [row["id"] for row in rows]


async def fetch_newest_events(connection: asyncpg.Connection, stage: str, step_ids: Sequence[int]) -> dict[int, int]:
    """The newest event of each step's key that the stage is subscribed to; steps without one are left out."""
    rows = await connection.fetch(_NEWEST_EVENTS, stage, step_ids)
    return {row["step_id"]: row["event_id"] for row in rows}


async def count_due_of(connection: asyncpg.Connection, stage: str, event_ids: Sequence[int]) -> int:
    """For how many of these events a step of the stage is due."""
    count: int = await connection.fetchval(_DUE_OF_EVENTS, stage, event_ids)
    return count


async def fetch_oldest_event(connection: asyncpg.Connection) -> datetime | None:
    instant: datetime | None = await connection.fetchval("SELECT min(at) FROM work.event")
    return instant


async def fetch_stages(connection: asyncpg.Connection, *, subscribed: bool = False) -> list[str]:
    """Stages that are subscribed to something, or (not only `subscribed`) have steps."""
    return [row["stage"] for row in await connection.fetch(_SUBSCRIBED if subscribed else _STAGES)]


async def has_history(connection: asyncpg.Connection, stage: str) -> bool:
    """Whether a step of the stage is over."""
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT 1 FROM work.history WHERE stage = $1)", stage)
    return found


def _parameters(wanted: Filter) -> tuple[object, ...]:
    return (
        _like(wanted.stage, piece=False),
        _like(wanted.error, piece=False),
        wanted.text,
        _like(wanted.key, piece=True),
        wanted.since,
        wanted.until,
    )


def _like(pattern: str, *, piece: bool) -> str:
    """A pattern with * and ? as LIKE has it; without them the whole text, or a `piece` of it. Empty: anything."""
    if not pattern:
        return "%"
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if piece and not set(pattern) & set("*?"):
        return f"%{escaped}%"
    return escaped.replace("*", "%").replace("?", "_")


def _error(error: Any) -> dict[str, Any]:
    """An error as it was kept; one that somebody wrote by hand may have any form."""
    return error if isinstance(error, dict) else {"message": str(error)}
