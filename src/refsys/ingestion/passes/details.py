"""One session in full: its channels, and the files of it that are not here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg

from refsys.core.errors import RefsysError
from refsys.ingestion.passes import store
from refsys.ingestion.passes.listing import Received
from refsys.ingestion.sessions.judging import numbers

_CHANNELS: Final = """
SELECT s.retransfer, c.channel, c.expected, c.offered, c.stored, c.stored_size, c.missing, c.is_complete
  FROM ingestion.session s JOIN ingestion.session_channel c ON c.session_id = s.id
 WHERE s.name = $1 ORDER BY s.retransfer, c.channel
"""
_LACKING: Final = """
SELECT r.inbox, r.name, r.state, coalesce(nullif(r.problem, ''), r.why) AS problem, r.tries, r.evicted_at
  FROM ingestion.remote r
 WHERE r.session_name = $1 AND r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed', 'expired')
   AND NOT EXISTS (SELECT 1 FROM ingestion.remote o
                    WHERE o.session_name = r.session_name AND o.channel = r.channel AND o.block = r.block
                      AND o.state = 'stored')
 ORDER BY r.channel, r.block, r.id LIMIT 500
"""
_ALL_TIME: Final = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class ChannelDetails:
    """`expected`: blocks that there are, None = not known yet; `missing`: those that lack, as `blocks 3-5, 7`."""

    retransfer: bool
    channel: int
    expected: int | None
    offered: int
    stored: int
    stored_size: int
    missing: str
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Lacking:
    """A file that was offered and is not here."""

    inbox: str
    name: str
    state: str
    problem: str
    tries: int
    evicted_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionDetails:
    session: Received
    channels: tuple[ChannelDetails, ...]
    files: tuple[Lacking, ...]


async def session_details(connection: asyncpg.Connection, name: str) -> SessionDetails:
    """A session by its id. Raises RefsysError where no inbox ever told of it."""
    found = await store.fetch_received(connection, *_ALL_TIME, name=name)
    if not found:
        raise RefsysError(
            "no station told of such a session", subject=name, advice="`refsys pass list` shows those that are known"
        )
    channels = [
        ChannelDetails(**{**row, "missing": numbers(row["missing"]) if row["missing"] else ""})
        for row in await connection.fetch(_CHANNELS, name)
    ]
    files = [Lacking(**row) for row in await connection.fetch(_LACKING, name)]
    return SessionDetails(found[0], tuple(channels), tuple(files))
