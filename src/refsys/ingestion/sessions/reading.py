"""Sessions as others read them: how far each is, which blocks there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import asyncpg

from refsys.ingestion.sessions.judged import load
from refsys.ingestion.sessions.judging import stored_blocks
from refsys.ingestion.sessions.model import Channel, Handover, Session, SessionBlocks, StoredBlock

_SESSIONS: Final = """
SELECT s.id, s.name, s.retransfer, s.state, s.state_at, s.satellite, s.mission, s.timeliness, s.orbit, s.station_unit,
       s.channels AS channels_said, s.published_at, s.planned_start, s.planned_stop, s.downlink_start,
       s.downlink_stop, s.seen_at, s.news_at, s.begun_at, s.deadline_at, s.passed_at, s.wait_until, s.is_held,
       s.gave_up, s.revision, s.handed_at, s.problems,
       ARRAY(SELECT k.inbox FROM ingestion.session_source k WHERE k.session_id = s.id ORDER BY k.inbox) AS inboxes,
       ARRAY(SELECT to_jsonb(c) || jsonb_build_object('dsib', CASE
                      WHEN EXISTS (SELECT 1 FROM ingestion.session_file f
                                    WHERE f.session_id = s.id AND f.channel = c.channel AND f.block = 0
                                      AND f.content_id IS NOT NULL) THEN 'station'
                      WHEN EXISTS (SELECT 1 FROM ingestion.made_dsib m
                                    WHERE m.session = s.name AND m.channel = c.channel) THEN 'refsys'
                      ELSE '' END)
               FROM ingestion.session_channel c WHERE c.session_id = s.id ORDER BY c.channel) AS channels
  FROM ingestion.session s
 WHERE ($1::text IS NULL OR s.name = $1) AND ($2::boolean IS NULL OR s.retransfer = $2)
   AND ($3 = '' OR s.state = $3) AND ($4 = '' OR s.satellite = $4)
   AND ($5::timestamptz IS NULL OR s.seen_at >= $5) AND ($6::timestamptz IS NULL OR s.seen_at < $6)
 ORDER BY s.seen_at DESC, s.id DESC LIMIT $7
"""
_HANDOVERS: Final = """
SELECT h.revision, s.retransfer, h.is_complete, h.why, h.at
  FROM ingestion.handover h JOIN ingestion.session s ON s.id = h.session_id WHERE h.name = $1 ORDER BY h.revision
"""
_NAME: Final = "SELECT name FROM ingestion.session WHERE id = $1"
# a content that came twice, or was replaced, is the one that the catalogue has under its name now
_PLACES: Final = """
SELECT w.id AS wanted, c.id, c.name, c.base, c.size
  FROM catalogue.content w
  LEFT JOIN catalogue.product p ON w.discarded_at IS NOT NULL AND p.name = w.name AND p.current
  JOIN catalogue.content c ON c.id = coalesce(p.content_id, w.id)
 WHERE w.id = ANY ($1) AND c.discarded_at IS NULL
"""


async def fetch_session(connection: asyncpg.Connection, name: str, retransfer: bool = False) -> Session | None:
    """A transfer of a session; None where nothing is known of it."""
    rows = await connection.fetch(_SESSIONS, name.upper(), retransfer, "", "", None, None, 1)
    return _session(rows[0]) if rows else None


async def list_sessions(
    connection: asyncpg.Connection,
    *,
    state: str = "",
    satellite: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
) -> list[Session]:
    """Transfers of sessions that were first heard of in [since, until), the newest first."""
    rows = await connection.fetch(_SESSIONS, None, None, state, satellite.upper(), since, until, limit)
    return [_session(row) for row in rows]


async def list_handovers(connection: asyncpg.Connection, name: str) -> list[Handover]:
    """What production was told of a session, the newest last."""
    return [Handover(**row) for row in await connection.fetch(_HANDOVERS, name.upper())]


async def session_blocks(connection: asyncpg.Connection, session: int | str) -> SessionBlocks | None:
    """The blocks that there are of a session, by its id or a row of it; None where nothing is known of it.

    What production gets: both transfers together, the retransfer's blocks in place of the nominal ones as soon as it
    is in force, to fill gaps before.
    """
    name = session.upper() if isinstance(session, str) else await connection.fetchval(_NAME, session)
    if name is None or await fetch_session_id(connection, name) is None:
        return None
    whole = await load(connection, name)
    stored = stored_blocks(whole.merged)
    places = await fetch_places(connection, [block.content_id for _, block in stored if block.content_id is not None])
    blocks, gone = [], set()
    for channel, block in stored:
        place = places.get(block.content_id or 0)
        if place is None:
            gone.add((channel, block.block))
            continue
        blocks.append(
            StoredBlock(
                channel,
                block.block,
                place["name"],
                place["id"],
                place["base"],
                place["size"],
                block.retransfer,
                block.published_at,
            )
        )
    gaps = {
        channel: tuple(sorted({*judged.missing, *(number for of, number in gone if of == channel)}))
        for channel, judged in whole.together.channels.items()
    }
    revision = max(transfer.row["revision"] for transfer in whole.transfers.values())
    return SessionBlocks(name, tuple(blocks), gaps, whole.together.is_complete and not gone, revision)


async def fetch_session_id(connection: asyncpg.Connection, name: str) -> int | None:
    """A row of a session."""
    found: int | None = await connection.fetchval("SELECT min(id) FROM ingestion.session WHERE name = $1", name)
    return found


async def fetch_places(connection: asyncpg.Connection, content_ids: list[int]) -> dict[int, asyncpg.Record]:
    """Where the bytes of contents are: id, name, base, size (bytes) by the id of the one asked for."""
    return {row["wanted"]: row for row in await connection.fetch(_PLACES, content_ids)}


def _session(row: asyncpg.Record) -> Session:
    values: dict[str, Any] = {each.name: row[each.name] for each in fields(Session)}
    values["problems"], values["inboxes"] = tuple(row["problems"]), tuple(row["inboxes"])
    values["channels"] = tuple(_channel(each) for each in row["channels"])
    return Session(**values)


def _channel(row: Mapping[str, Any]) -> Channel:
    return Channel(
        row["channel"],
        row["expected"],
        row["offered"],
        row["stored"],
        row["stored_size"],
        tuple(row["missing"]),
        row["is_complete"],
        row["dsib"],
        row["quality"],
    )
