"""The SQL of the inboxes; the functions that it calls are in migration 0026."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from refsys.core.steps import PRIORITY_BACKLOG, PRIORITY_HIGHEST
from refsys.core.times import format_instant
from refsys.ingestion.inboxes.rating import SESSION_OUTSIDE, Judged, SessionFacts
from refsys.ingestion.model import Offer, Remote
from refsys.ingestion.store import LONGEST_PROBLEM, remote_of

#: Steps of files that the station deletes soon: they go before everything else.
PRIORITY_NEAR: Final = PRIORITY_HIGHEST + 5
#: Why rows expire that a whole listing lacks.
NOT_LISTED: Final = "the station lists it no more"

_OPEN: Final = """
INSERT INTO ingestion.inbox (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = excluded.id
RETURNING cursor, back_to, paused_at, rules, reconciled_at, clock_timestamp() AS now
"""
_SUCCEEDED: Final = """
UPDATE ingestion.inbox
   SET cursor = greatest(cursor, $2), back_to = CASE WHEN back_to = $3 THEN $4 ELSE back_to END,
       looked_at = clock_timestamp(), succeeded_at = clock_timestamp(), failures = 0, problem = ''
 WHERE id = $1
"""
_FAILED: Final = """
UPDATE ingestion.inbox SET looked_at = clock_timestamp(), failures = failures + 1, problem = $2 WHERE id = $1
RETURNING failures
"""
_HELD: Final = "SELECT * FROM ingestion.remote WHERE inbox = $1 AND state = 'seen' ORDER BY id LIMIT $2"
# what is settled says nothing; an expired one is tried again: at once where it never was, else ever later
# LATERAL, and `state || ''`: what a page names is looked up by its ids, one by one; before anything is known of a table
# that has just been filled, all of the inbox would be read for each page
_KNOWN: Final = """
SELECT o.place - 1 AS place, r.id, r.state, r.why, r.evicted_at,
       r.state = 'expired' AND (r.tries = 0 OR r.state_at + interval '10 minutes' * (2 ^ least(r.tries, 8) / 2)
                                               < clock_timestamp()) AS is_back
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS o(remote_id, version, place)
  LEFT JOIN LATERAL (SELECT * FROM ingestion.remote f
                      WHERE f.inbox = $1 AND f.remote_id = o.remote_id AND f.version = o.version LIMIT 1) r ON true
 WHERE r.id IS NULL OR r.state = 'expired' OR r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed')
 ORDER BY o.place
"""
_BACK: Final = """
UPDATE ingestion.remote SET state = 'waiting', why = '', not_before = NULL, state_at = clock_timestamp()
 WHERE id = ANY ($1) AND state = 'expired'
"""
_EVICTIONS: Final = """
UPDATE ingestion.remote r SET evicted_at = o.evicted_at, is_near = false
  FROM unnest($1::bigint[], $2::timestamptz[]) AS o(id, evicted_at) WHERE r.id = o.id
"""
_SUPERSEDE: Final = """
UPDATE ingestion.remote r
   SET state = 'superseded', why = 'the station offers another version', state_at = clock_timestamp()
 WHERE r.id = ANY ($1) AND r.state = 'seen'
"""
# a listing that said something else for a while must neither keep what it invented nor end what it hid
_WITHDRAWN: Final = """
WITH gone AS (
    UPDATE ingestion.remote r
       SET state = 'superseded', why = 'the station offers another version again', token = NULL,
           state_at = clock_timestamp()
      FROM unnest($2::text[], $3::text[]) AS o(remote_id, version),
           LATERAL (SELECT f.id FROM ingestion.remote f
                     WHERE f.inbox = $1 AND f.remote_id = o.remote_id AND f.version <> o.version
                       AND f.state || '' IN ('waiting', 'queued', 'fetching', 'failed') OFFSET 0) l
     WHERE r.id = l.id
    RETURNING r.id
)
SELECT ingestion.drop_parked(array_agg(id), 'the station offers another version again') FROM gone HAVING count(*) > 0
"""
_REVIVED: Final = """
UPDATE ingestion.remote r SET state = 'waiting', why = '', not_before = NULL, state_at = clock_timestamp()
  FROM unnest($2::text[], $3::text[]) AS o(remote_id, version),
       LATERAL (SELECT f.id FROM ingestion.remote f
                 WHERE f.inbox = $1 AND f.remote_id = o.remote_id AND f.version = o.version
                   AND f.state || '' = 'superseded' LIMIT 1) l
 WHERE r.id = l.id
   AND NOT EXISTS (SELECT 1 FROM ingestion.remote n
                    WHERE n.inbox = r.inbox AND n.product = r.product AND n.retransfer = r.retransfer
                      AND n.remote_id <> r.remote_id AND n.state || '' IN
                          ('seen', 'waiting', 'queued', 'fetching', 'stored', 'duplicate', 'failed'))
RETURNING r.id
"""
_EXPIRE: Final = """
WITH gone AS (
    UPDATE ingestion.remote r
       SET state = 'expired', why = $4, token = NULL, not_before = NULL, state_at = clock_timestamp()
     WHERE r.inbox = $1 AND r.state IN ('seen', 'waiting', 'queued', 'failed') AND r.found_at < $2
       AND NOT EXISTS (SELECT FROM unnest($3::bigint[]) AS listed(id) WHERE listed.id = r.id)
    RETURNING r.id, r.name
), dropped AS (
    SELECT ingestion.drop_parked(array_agg(id), $4) FROM gone HAVING count(*) > 0
)
SELECT count(*) AS files, (array_agg(name ORDER BY id))[1:10] AS names, (SELECT count(*) FROM dropped) AS dropped
  FROM gone
"""
_FACTS: Final = """
SELECT o.session, o.retransfer, coalesce(s.satellite, '') AS satellite,
       coalesce(s.downlink_start, f.published_at) AS starts_at, f.why = $4 AS is_outside
  FROM unnest($2::text[], $3::boolean[]) AS o(session, retransfer)
  LEFT JOIN ingestion.session s ON s.name = o.session AND s.retransfer = o.retransfer
  LEFT JOIN LATERAL (
       SELECT r.published_at, r.why FROM ingestion.remote r
        WHERE r.inbox = $1 AND r.session_name = o.session AND r.retransfer = o.retransfer
          AND (r.state <> 'filtered' OR r.why = $4)
        ORDER BY r.id LIMIT 1) f ON true
"""
_WAITING: Final = """
SELECT EXISTS (SELECT FROM ingestion.remote r
                WHERE r.inbox = i.id AND r.state = 'waiting'
                  AND (r.not_before IS NULL OR r.not_before <= clock_timestamp()))
  FROM ingestion.inbox i WHERE i.id = $1 AND i.paused_at IS NULL
"""
_OUTSTANDING: Final = "SELECT count(*) FROM ingestion.remote WHERE inbox = $1 AND state IN ('queued', 'fetching')"
_JUDGED: Final = """
SELECT * FROM ingestion.remote
 WHERE inbox = $1 AND id > $2 AND state IN ('filtered', 'waiting') ORDER BY id LIMIT $3
"""
# what was offered anew meanwhile stays as it is
_REJUDGE: Final = """
UPDATE ingestion.remote r
   SET state = CASE WHEN o.state = 'waiting' AND n.id IS NOT NULL THEN 'superseded' ELSE o.state END,
       why = CASE WHEN o.state = 'waiting' AND n.id IS NOT NULL THEN 'offer ' || n.id || ' has the same name'
                  ELSE o.why END,
       priority = o.priority, state_at = clock_timestamp()
  FROM unnest($2::bigint[], $3::text[], $4::text[], $5::int[]) AS o(id, state, why, priority)
  LEFT JOIN LATERAL (
       SELECT n.id FROM ingestion.remote n JOIN ingestion.remote m ON m.id = o.id
        WHERE n.inbox = $1 AND n.product = m.product AND n.retransfer = m.retransfer AND n.id > m.id
          AND n.state NOT IN ('filtered', 'expired')
        ORDER BY n.id DESC LIMIT 1) n ON true
 WHERE r.id = o.id AND r.state IN ('filtered', 'waiting')
"""
_NEAR: Final = """
WITH near AS (
    UPDATE ingestion.remote r SET is_near = true
     WHERE r.inbox = $1 AND r.evicted_at < clock_timestamp() + $2 AND NOT r.is_near
       AND r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed')
    RETURNING r.id, r.name, r.state, r.evicted_at
)
SELECT * FROM near ORDER BY evicted_at, id
"""
_ADD_UP: Final = """
WITH gone AS (DELETE FROM ingestion.tally RETURNING *)
INSERT INTO ingestion.tally
SELECT inbox, state, sum(files), sum(entered), sum(bytes) FROM gone GROUP BY inbox, state
"""
_PUBLISHED: Final = """
SELECT count(DISTINCT remote_id) FROM ingestion.remote
 WHERE inbox = $1 AND published_at < $3 AND ($2::timestamptz IS NULL OR published_at >= $2)
   AND (evicted_at IS NULL OR evicted_at > clock_timestamp())
"""
_RECONCILED: Final = "UPDATE ingestion.inbox SET reconciled_at = clock_timestamp(), reconciled = $2 WHERE id = $1"


@dataclass(frozen=True, slots=True)
class Opened:
    """An inbox's row. `rules`: by which its offers were judged last; `now`: the database's clock."""

    cursor: datetime | None
    back_to: datetime | None
    paused_at: datetime | None
    rules: dict[str, Any] | None
    reconciled_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of an offer: `id` None = nothing yet. `is_back`: expired, and to be tried again."""

    place: int
    id: int | None
    state: str | None
    why: str | None
    evicted_at: datetime | None
    is_back: bool | None


async def open_inbox(connection: asyncpg.Connection, inbox: str) -> Opened:
    """The inbox's row; it is made where there is none."""
    return Opened(**await connection.fetchrow(_OPEN, inbox))


async def lock_inbox(connection: asyncpg.Connection, inbox: str) -> None:
    """Let nobody else enter for the inbox until the transaction is over."""
    await connection.execute("SELECT ingestion.lock_inbox($1)", inbox)


async def held(connection: asyncpg.Connection, inbox: str, most: int) -> list[tuple[Remote, str]]:
    """Offers that are not to be taken yet, the oldest first, and why."""
    return [(remote_of(row), row["why"]) for row in await connection.fetch(_HELD, inbox, most)]


async def known(connection: asyncpg.Connection, inbox: str, offers: Sequence[Offer]) -> list[Known]:
    """Those of the offers that are not known yet, or not settled; the others have no row here."""
    rows = await connection.fetch(
        _KNOWN, inbox, [offer.remote_id for offer in offers], [offer.version for offer in offers]
    )
    return [Known(*row) for row in rows]


async def enter(connection: asyncpg.Connection, inbox: str, rows: Sequence[tuple[Judged, int | None]]) -> int:
    """Enter judged offers in their order; returns how many are new. With an id: the row that was seen and moves on."""
    entries = [_row(judged, row_id) for judged, row_id in rows]
    fresh: int = await connection.fetchval("SELECT ingestion.enter($1, $2)", inbox, entries)
    return fresh


async def bring_back(connection: asyncpg.Connection, ids: Sequence[int]) -> None:
    """Expired offers that are offered again wait again."""
    await connection.execute(_BACK, ids)


async def move_evictions(connection: asyncpg.Connection, evictions: Mapping[int, datetime | None]) -> None:
    """The station deletes these at other times than it said."""
    await connection.execute(_EVICTIONS, list(evictions), list(evictions.values()))


async def supersede_seen(connection: asyncpg.Connection, ids: Sequence[int]) -> None:
    """Versions that were never taken, and that the station replaced by a known one."""
    await connection.execute(_SUPERSEDE, ids)


async def follow(connection: asyncpg.Connection, inbox: str, offers: Sequence[Offer]) -> list[int]:
    """Let the versions that are offered count where others of the same files were offered for a while.

    Returns which of them wait again.
    """
    latest = {offer.remote_id: offer.version for offer in offers if not offer.held}
    columns = (list(latest), list(latest.values()))
    await connection.execute(_WITHDRAWN, inbox, *columns)
    return [row["id"] for row in await connection.fetch(_REVIVED, inbox, *columns)]


async def expire(
    connection: asyncpg.Connection, inbox: str, found_before: datetime, listed: Iterable[int]
) -> tuple[int, list[str]]:
    """Expire what is not stored and was not `listed`; returns how many, and the names of the first ten."""
    row = await connection.fetchrow(_EXPIRE, inbox, found_before, list(listed), NOT_LISTED)
    return row["files"], row["names"] or []


async def session_facts(
    connection: asyncpg.Connection, inbox: str, sessions: Sequence[tuple[str, bool]]
) -> dict[tuple[str, bool], SessionFacts]:
    """What stations and earlier files tell of sessions whose ids tell too little."""
    rows = await connection.fetch(
        _FACTS, inbox, [name for name, _ in sessions], [retransfer for _, retransfer in sessions], SESSION_OUTSIDE
    )
    return {
        (row["session"], row["retransfer"]): SessionFacts(row["satellite"], row["starts_at"], row["is_outside"])
        for row in rows
    }


async def look_succeeded(
    connection: asyncpg.Connection,
    inbox: str,
    cursor: datetime | None,
    *,
    back_from: datetime | None = None,
    back_to: datetime | None = None,
) -> None:
    """Note a look, or a piece of one, whose newest publication date is `cursor`; the cursor never goes back.

    A backfill that stood at `back_from` stands at `back_to` now (None: it is done).
    """
    await connection.execute(_SUCCEEDED, inbox, cursor, back_from, back_to)


async def look_failed(connection: asyncpg.Connection, inbox: str, problem: str) -> int:
    """Note a failed look; returns how many have failed in a row."""
    failures: int = await connection.fetchval(_FAILED, inbox, problem[:LONGEST_PROBLEM])
    return failures


async def has_waiting(connection: asyncpg.Connection, inbox: str) -> bool:
    """Whether an offer is to be queued now; not while the inbox is paused."""
    return bool(await connection.fetchval(_WAITING, inbox))


async def outstanding(connection: asyncpg.Connection, inbox: str) -> int:
    """How many files are queued or being fetched."""
    files: int = await connection.fetchval(_OUTSTANDING, inbox)
    return files


async def dispatch(
    connection: asyncpg.Connection,
    inbox: str,
    most: int,
    *,
    guard: timedelta,
    near_only: bool,
    group_files: int,
    group_bytes: int,
) -> int:
    """Queue up to `most` waiting offers for the inbox's stage; returns how many. `near_only`: those near eviction."""
    queued: int = await connection.fetchval(
        "SELECT ingestion.dispatch($1, $2, $3, $4, $5, $6, $7, $8)",
        inbox,
        most,
        PRIORITY_BACKLOG,
        PRIORITY_NEAR,
        guard,
        near_only,
        group_files,
        group_bytes,
    )
    return queued


async def judged_before(connection: asyncpg.Connection, inbox: str, after: int, most: int) -> list[tuple[Remote, str]]:
    """Offers that were judged and neither queued nor seen yet, by id, and why they are left alone."""
    return [(remote_of(row), row["why"]) for row in await connection.fetch(_JUDGED, inbox, after, most)]


async def rejudge(connection: asyncpg.Connection, inbox: str, verdicts: Sequence[tuple[int, Judged]]) -> None:
    """Change what is thought of offers; one whose name came again meanwhile is superseded."""
    await connection.execute(
        _REJUDGE,
        inbox,
        [row_id for row_id, _ in verdicts],
        [judged.state for _, judged in verdicts],
        [judged.why for _, judged in verdicts],
        [judged.priority for _, judged in verdicts],
    )


async def set_rules(
    connection: asyncpg.Connection, inbox: str, rules: Mapping[str, Any], *, back_to: datetime | None = None
) -> None:
    """Note by which rules the offers are judged; `back_to`: the next look has to begin there."""
    await connection.execute(
        "UPDATE ingestion.inbox SET rules = $2, back_to = least(back_to, $3) WHERE id = $1",
        inbox,
        dict(rules),
        back_to,
    )


async def near_eviction(connection: asyncpg.Connection, inbox: str, guard: timedelta) -> list[asyncpg.Record]:
    """Rows id, name, state, evicted_at of what the station deletes within `guard`; each is told once."""
    return list(await connection.fetch(_NEAR, inbox, guard))


async def repair(connection: asyncpg.Connection, inbox: str) -> int:
    """Let wait again what no step brings, though its row says so; returns how many."""
    repaired: int = await connection.fetchval("SELECT ingestion.repair($1)", inbox)
    return repaired


async def add_up(connection: asyncpg.Connection) -> None:
    """Make few rows of the many that counting leaves."""
    await connection.execute(_ADD_UP)


async def count_published(connection: asyncpg.Connection, inbox: str, start: datetime | None, stop: datetime) -> int:
    """How many files are known that were published in [start, stop) and that the station still has, by what it said."""
    files: int = await connection.fetchval(_PUBLISHED, inbox, start, stop)
    return files


async def set_reconciled(connection: asyncpg.Connection, inbox: str, told: Mapping[str, Any]) -> None:
    """Note what a comparison with the station found."""
    await connection.execute(_RECONCILED, inbox, dict(told))


def _row(judged: Judged, row_id: int | None) -> dict[str, Any]:
    offer, session = judged.offer, judged.offer.session
    return {
        "id": row_id,
        "remote_id": offer.remote_id,
        "version": offer.version,
        "name": offer.name,
        "product": judged.product,
        "path": offer.path,
        "state": judged.state,
        "why": judged.why,
        "size": offer.size_bytes,
        "checksums": offer.checksums,
        "published_at": _text(offer.published_at),
        "origin_at": _text(offer.origin_at),
        "evicted_at": _text(offer.evicted_at),
        "priority": judged.priority,
        "session_name": session.session if session else None,
        "retransfer": session is not None and session.retransfer,
        "channel": session.channel if session else None,
        "block": session.block if session else None,
        "is_final": session.is_final if session else None,
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
