"""The SQL of judging sessions: what is known of one, what is judged, what production was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

_ROWS: Final = "SELECT * FROM ingestion.session WHERE name = $1 ORDER BY retransfer"
_CHANNELS: Final = """
SELECT c.session_id, c.channel, c.quality, c.named, c.named_size, c.dsib_problem, c.is_complete
  FROM ingestion.session_channel c JOIN ingestion.session s ON s.id = c.session_id WHERE s.name = $1
"""
_FILES: Final = """
SELECT f.session_id, f.channel, f.block, coalesce(f.stored_name, f.name) AS name,
       coalesce(f.stored_size, f.size) AS size, f.is_final, f.content_id, f.digest, f.published_at
  FROM ingestion.session_file f JOIN ingestion.session s ON s.id = f.session_id WHERE s.name = $1
"""
_JUDGED_CHANNEL: Final = """
INSERT INTO ingestion.session_channel AS c
       (session_id, channel, expected, offered, stored, stored_size, missing, is_complete)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (session_id, channel) DO UPDATE SET
    expected = excluded.expected, offered = excluded.offered, stored = excluded.stored,
    stored_size = excluded.stored_size, missing = excluded.missing, is_complete = excluded.is_complete
 WHERE (c.expected, c.offered, c.stored, c.stored_size, c.missing, c.is_complete) IS DISTINCT FROM
       (excluded.expected, excluded.offered, excluded.stored, excluded.stored_size, excluded.missing,
        excluded.is_complete)
"""
_JUDGED: Final = """
WITH before AS (SELECT state FROM ingestion.session WHERE id = $1), changed AS (
    UPDATE ingestion.session
       SET state = $2, problems = $3, is_settled = $4, fills = $5,
           state_at = CASE WHEN state <> $2 THEN clock_timestamp() ELSE state_at END
     WHERE id = $1 AND (state, problems, is_settled, fills) IS DISTINCT FROM ($2, $3::text[], $4, $5)
)
SELECT state <> $2 FROM before
"""
_LAST: Final = (
    "SELECT revision, is_complete, view FROM ingestion.handover WHERE name = $1 ORDER BY revision DESC LIMIT 1"
)
_HANDOVER: Final = """
INSERT INTO ingestion.handover (name, revision, session_id, is_complete, view, why) VALUES ($1, $2, $3, $4, $5, $6)
"""
_HANDED: Final = """
UPDATE ingestion.session SET revision = $2, handed_at = clock_timestamp() WHERE id = ANY ($1) AND revision <> $2
"""
_MADE: Final = "SELECT channel, digest FROM ingestion.made_dsib WHERE session = $1"
_ENTER_MADE: Final = """
INSERT INTO ingestion.made_dsib (session, channel, digest, content_id) VALUES ($1, $2, $3, $4)
ON CONFLICT (session, channel) DO UPDATE SET
    digest = excluded.digest, content_id = excluded.content_id, made_at = clock_timestamp()
"""
_DELIVERED: Final = """
INSERT INTO ingestion.session_channel (session_id, channel, named, named_size, dsib_problem) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (session_id, channel) DO UPDATE SET
    named = excluded.named, named_size = excluded.named_size, dsib_problem = excluded.dsib_problem
"""
_TIMES: Final = """
UPDATE ingestion.session SET downlink_start = coalesce(downlink_start, $2), downlink_stop = coalesce(downlink_stop, $3)
 WHERE id = $1
"""
_IS_NEWEST: Final = """
SELECT EXISTS (SELECT 1 FROM ingestion.session_file
                WHERE session_id = $1 AND channel = $2 AND block = 0 AND content_id = $3)
"""


async def fetch_rows(
    connection: asyncpg.Connection, name: str
) -> tuple[list[asyncpg.Record], list[asyncpg.Record], list[asyncpg.Record]]:
    """The transfers of a session, their channels and their files."""
    rows = await connection.fetch(_ROWS, name)
    channels = await connection.fetch(_CHANNELS, name)
    files = await connection.fetch(_FILES, name)
    return list(rows), list(channels), list(files)


async def enter_channels(connection: asyncpg.Connection, rows: Sequence[Sequence[Any]]) -> None:
    """Keep what is judged of channels; columns as in _JUDGED_CHANNEL."""
    await connection.executemany(_JUDGED_CHANNEL, rows)


async def enter_judged(
    connection: asyncpg.Connection, session_id: int, state: str, problems: list[str], is_settled: bool, fills: bool
) -> bool:
    """Keep what is judged of a transfer; returns whether its state is another one than before."""
    return bool(await connection.fetchval(_JUDGED, session_id, state, problems, is_settled, fills))


async def fetch_last_handover(connection: asyncpg.Connection, name: str) -> asyncpg.Record | None:
    """What production was told last of a session: revision, is_complete, view."""
    return await connection.fetchrow(_LAST, name)


async def enter_handover(
    connection: asyncpg.Connection,
    name: str,
    revision: int,
    session_id: int,
    is_complete: bool,
    view: bytes,
    why: str,
) -> None:
    """Keep what production is told."""
    await connection.execute(_HANDOVER, name, revision, session_id, is_complete, view, why)


async def note_handed(connection: asyncpg.Connection, session_ids: Sequence[int], revision: int) -> None:
    """Note with which revision transfers were handed over."""
    await connection.execute(_HANDED, session_ids, revision)


async def fetch_made(connection: asyncpg.Connection, name: str) -> dict[int, bytes]:
    """The digests of the DSIBs that we made for a session, by channel."""
    return {row["channel"]: row["digest"] for row in await connection.fetch(_MADE, name)}


async def enter_made(connection: asyncpg.Connection, name: str, channel: int, digest: bytes, content_id: int) -> None:
    """Note a DSIB that we made."""
    await connection.execute(_ENTER_MADE, name, channel, digest, content_id)


async def is_newest_dsib(connection: asyncpg.Connection, session_id: int, channel: int, content_id: int) -> bool:
    """Whether this content is the newest DSIB that the station delivered for a channel."""
    return bool(await connection.fetchval(_IS_NEWEST, session_id, channel, content_id))


async def enter_delivered(connection: asyncpg.Connection, values: Sequence[Any]) -> None:
    """Keep what a station's DSIB says; values as in _DELIVERED."""
    await connection.execute(_DELIVERED, *values)


async def enter_times(connection: asyncpg.Connection, session_id: int, start: Any, stop: Any) -> None:
    """Note when the downlink was, where nobody said it before (instants, or None)."""
    await connection.execute(_TIMES, session_id, start, stop)
