"""The SQL of noting sessions: what is said, offered and stored. Reading them is in `reading`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg

#: How long a session that is over is still asked for, and how often.
RECHECK_FOR: Final = timedelta(days=7)
RECHECK_EVERY: Final = timedelta(minutes=10)
#: How long a complete one is asked for the station's totals, where it tells any.
TOTALS_WITHIN: Final = timedelta(hours=1)

_CREATE: Final = """
INSERT INTO ingestion.session (name, retransfer, satellite, mission)
SELECT name, retransfer, satellite, mission
  FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[]) AS s(name, retransfer, satellite, mission)
 ORDER BY name, retransfer
ON CONFLICT (name, retransfer) DO NOTHING
"""
_LOCK: Final = """
SELECT id, name, retransfer FROM ingestion.session WHERE name = ANY ($1) ORDER BY name, retransfer FOR UPDATE
"""
_SOURCE: Final = """
INSERT INTO ingestion.session_source (inbox, session_id) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING
"""
_SATELLITE: Final = """
UPDATE ingestion.session SET satellite = $2, mission = $3 WHERE id = $1 AND satellite = ''
"""

_FRESH_OFFERS: Final = """
SELECT o.at FROM unnest($2::text[], $3::boolean[], $4::int[], $5::int[], $6::text[], $7::boolean[])
                 WITH ORDINALITY AS o(session, retransfer, channel, block, version, is_final, at)
  LEFT JOIN ingestion.session s ON s.name = o.session AND s.retransfer = o.retransfer
  LEFT JOIN ingestion.session_file f ON f.session_id = s.id AND f.channel = o.channel AND f.block = o.block
  LEFT JOIN ingestion.session_source k ON k.session_id = s.id AND k.inbox = $1
 WHERE f.session_id IS NULL OR k.session_id IS NULL OR (f.inbox = $1 AND f.version <> o.version)
    OR (o.is_final AND f.is_final IS DISTINCT FROM true)
"""
# another source's offer says at most that a block is the last one
_OFFER: Final = """
INSERT INTO ingestion.session_file AS f (session_id, channel, block, name, inbox, version, size, is_final, published_at)
SELECT o.session_id, o.channel, o.block, o.name, $1, o.version, o.size, o.is_final, o.published_at
  FROM unnest($2::bigint[], $3::int[], $4::int[], $5::text[], $6::text[], $7::bigint[], $8::boolean[],
              $9::timestamptz[])
       AS o(session_id, channel, block, name, version, size, is_final, published_at)
ON CONFLICT (session_id, channel, block) DO UPDATE SET
    is_final = CASE WHEN f.inbox = excluded.inbox AND f.version <> excluded.version
                    THEN coalesce(excluded.is_final, f.is_final)
                    WHEN f.is_final OR excluded.is_final THEN true
                    ELSE coalesce(f.is_final, excluded.is_final) END,
    seen_at = CASE WHEN f.inbox = excluded.inbox AND f.version <> excluded.version THEN clock_timestamp()
                   ELSE f.seen_at END,
    name = CASE WHEN f.inbox = excluded.inbox THEN excluded.name ELSE f.name END,
    size = CASE WHEN f.inbox = excluded.inbox THEN excluded.size ELSE f.size END,
    published_at = CASE WHEN f.inbox = excluded.inbox THEN excluded.published_at ELSE f.published_at END,
    version = CASE WHEN f.inbox = excluded.inbox THEN excluded.version ELSE f.version END
"""
# bytes that are there already, under whichever content, are not news
_STORE: Final = """
INSERT INTO ingestion.session_file AS f (session_id, channel, block, name, inbox, version, size, is_final, published_at,
                                         content_id, stored_name, stored_by, stored_size, digest, stored_at)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, c.id, $4, $5, c.size, c.digest, clock_timestamp()
  FROM catalogue.content c WHERE c.id = $10
ON CONFLICT (session_id, channel, block) DO UPDATE SET
    content_id = excluded.content_id, stored_name = excluded.stored_name, stored_by = excluded.stored_by,
    stored_size = excluded.stored_size, digest = excluded.digest, stored_at = excluded.stored_at
 WHERE f.digest IS DISTINCT FROM excluded.digest
RETURNING f.session_id
"""
_NEWS: Final = "UPDATE ingestion.session SET news_at = clock_timestamp() WHERE id = ANY ($1)"
_BEGIN: Final = (
    "UPDATE ingestion.session SET begun_at = clock_timestamp() WHERE id = $1 AND begun_at IS NULL RETURNING id"
)

# the first that says something of a session is believed; others add what it leaves out
_SAY: Final = """
UPDATE ingestion.session SET
    said_by = CASE WHEN said_by = '' THEN $2 ELSE said_by END,
    channels = CASE WHEN said_by IN ('', $2) THEN coalesce($3, channels) ELSE coalesce(channels, $3) END,
    station_unit = CASE WHEN said_by IN ('', $2) OR station_unit = '' THEN coalesce(nullif($4, ''), station_unit)
                        ELSE station_unit END,
    orbit = CASE WHEN said_by IN ('', $2) THEN coalesce($5, orbit) ELSE coalesce(orbit, $5) END,
    published_at = CASE WHEN said_by IN ('', $2) THEN coalesce($6, published_at) ELSE coalesce(published_at, $6) END,
    planned_start = CASE WHEN said_by IN ('', $2) THEN coalesce($7, planned_start) ELSE coalesce(planned_start, $7) END,
    planned_stop = CASE WHEN said_by IN ('', $2) THEN coalesce($8, planned_stop) ELSE coalesce(planned_stop, $8) END,
    downlink_start = CASE WHEN said_by IN ('', $2) THEN coalesce($9, downlink_start)
                          ELSE coalesce(downlink_start, $9) END,
    downlink_stop = CASE WHEN said_by IN ('', $2) THEN coalesce($10, downlink_stop)
                         ELSE coalesce(downlink_stop, $10) END,
    facts = CASE WHEN said_by IN ('', $2) THEN facts || $11::jsonb ELSE $11::jsonb || facts END
 WHERE id = $1
"""
_SAY_QUALITY: Final = """
INSERT INTO ingestion.session_channel AS c (session_id, channel, quality) VALUES ($1, $2, $3)
ON CONFLICT (session_id, channel) DO UPDATE SET
    quality = CASE WHEN $4 THEN c.quality || excluded.quality ELSE excluded.quality || c.quality END
"""
_SAID: Final = """
SELECT s.name, s.retransfer, s.said_by, s.satellite, s.channels, s.station_unit, s.orbit, s.published_at,
       s.planned_start, s.planned_stop, s.downlink_start, s.downlink_stop, s.facts,
       EXISTS (SELECT 1 FROM ingestion.session_source k WHERE k.inbox = $1 AND k.session_id = s.id) AS is_known,
       (SELECT jsonb_object_agg(c.channel, c.quality) FROM ingestion.session_channel c
         WHERE c.session_id = s.id AND c.quality <> '{}') AS quality
  FROM ingestion.session s JOIN unnest($2::text[], $3::boolean[]) AS o(name, retransfer) USING (name, retransfer)
"""

_OPEN: Final = """
UPDATE ingestion.session_source k SET asked_at = clock_timestamp()
  FROM ingestion.session s
 WHERE k.inbox = $1 AND s.id = k.session_id
   AND (s.state IN ('announced', 'receiving')
        OR ((k.asked_at IS NULL OR k.asked_at < clock_timestamp() - $3::interval)
            AND ((s.state = 'incomplete' AND NOT s.gave_up AND s.news_at > clock_timestamp() - $2::interval)
                 OR (s.state = 'complete' AND s.said_by = $1 AND s.state_at > clock_timestamp() - $4::interval
                     AND EXISTS (SELECT 1 FROM ingestion.session_channel c
                                  WHERE c.session_id = s.id AND c.quality = '{}')))))
RETURNING s.name, s.retransfer
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A transfer of a session, and its row."""

    id: int
    name: str
    retransfer: bool

    @property
    def key(self) -> str:
        """What steps and logs call it."""
        return f"{self.name} retransfer" if self.retransfer else self.name


async def lock(
    connection: asyncpg.Connection, wanted: Iterable[tuple[str, bool, str, str]]
) -> dict[tuple[str, bool], Key]:
    """Make the rows of sessions (name, retransfer, satellite, mission) that are new, and hold both transfers of all.

    Always in the order of the names, so that nobody waits for one who waits for him.
    """
    rows = sorted(set(wanted))
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    await connection.execute(_CREATE, *columns)
    keys = await hold(connection, sorted({row[0] for row in rows}))
    for name, retransfer, satellite, mission in rows:
        if satellite:
            await connection.execute(_SATELLITE, keys[name, retransfer].id, satellite, mission)
    return keys


async def hold(connection: asyncpg.Connection, names: Sequence[str]) -> dict[tuple[str, bool], Key]:
    """Hold both transfers of sessions, as far as they are known."""
    rows = await connection.fetch(_LOCK, names)
    return {(row["name"], row["retransfer"]): Key(**row) for row in rows}


async def hold_row(connection: asyncpg.Connection, session_id: int) -> Key | None:
    """Hold both transfers of the session that a row is of; returns that row's, None where there is no such row."""
    name = await connection.fetchval("SELECT name FROM ingestion.session WHERE id = $1", session_id)
    held = {} if name is None else await hold(connection, [name])
    return next((key for key in held.values() if key.id == session_id), None)


async def note_source(connection: asyncpg.Connection, inbox: str, session_ids: Sequence[int]) -> None:
    """Note that an inbox knows of these sessions."""
    await connection.execute(_SOURCE, inbox, session_ids)


async def fresh_offers(connection: asyncpg.Connection, inbox: str, columns: Sequence[Sequence[Any]]) -> list[int]:
    """Which of these offers say something new: their places, from 0; columns as in _FRESH_OFFERS."""
    return [row["at"] - 1 for row in await connection.fetch(_FRESH_OFFERS, inbox, *columns)]


async def enter_offers(connection: asyncpg.Connection, inbox: str, columns: Sequence[Sequence[Any]]) -> None:
    """Enter offered files; columns as in _OFFER."""
    await connection.execute(_OFFER, inbox, *columns)


async def enter_stored(connection: asyncpg.Connection, values: Sequence[Any]) -> bool:
    """Note the bytes of a file; False where the same bytes were there."""
    return await connection.fetchval(_STORE, *values) is not None


async def note_news(connection: asyncpg.Connection, session_ids: Sequence[int]) -> None:
    """Something came of these sessions just now."""
    await connection.execute(_NEWS, session_ids)


async def begin(connection: asyncpg.Connection, session_id: int) -> bool:
    """Note that a session's first block is stored; False where that was noted before."""
    return await connection.fetchval(_BEGIN, session_id) is not None


async def fetch_said(
    connection: asyncpg.Connection, inbox: str, names: Sequence[str], retransfers: Sequence[bool]
) -> dict[tuple[str, bool], asyncpg.Record]:
    """What is known of these sessions by what stations said."""
    rows = await connection.fetch(_SAID, inbox, names, retransfers)
    return {(row["name"], row["retransfer"]): row for row in rows}


async def enter_said(connection: asyncpg.Connection, values: Sequence[Any]) -> None:
    """Enter what a station says of a session; values as in _SAY."""
    await connection.execute(_SAY, *values)


async def enter_quality(
    connection: asyncpg.Connection, session_id: int, quality: dict[int, dict[str, Any]], *, counts: bool
) -> None:
    """Enter the quality information of channels; where it does not count, only what was not said before."""
    rows = [(session_id, channel, facts, counts) for channel, facts in sorted(quality.items())]
    await connection.executemany(_SAY_QUALITY, rows)


async def fetch_open(connection: asyncpg.Connection, inbox: str) -> list[tuple[str, bool]]:
    """The sessions that an inbox asks its station for."""
    rows = await connection.fetch(_OPEN, inbox, RECHECK_FOR, RECHECK_EVERY, TOTALS_WITHIN)
    return sorted((row["name"], row["retransfer"]) for row in rows)
