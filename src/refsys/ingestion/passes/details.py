"""One pass in full: the transfers of its session, and the files of it that are not here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from refsys.core.errors import RefsysError
from refsys.ingestion.passes import store
from refsys.ingestion.passes.listing import Received
from refsys.ingestion.sessions import Handover, Session, fetch_session, list_handovers

_LACKING: Final = """
SELECT r.inbox, r.name, r.state, coalesce(nullif(r.problem, ''), r.why) AS problem, r.tries, r.evicted_at
  FROM ingestion.remote r
 WHERE r.session_name = $1 AND r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed', 'expired')
   AND NOT EXISTS (SELECT 1 FROM ingestion.remote o
                    WHERE o.session_name = r.session_name AND o.channel = r.channel AND o.block = r.block
                      AND o.state = 'stored')
 ORDER BY r.channel, r.block, r.id LIMIT 500
"""


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
class PassDetails:
    """`transfers`: the nominal one and the retransfer, as far as there are; `lacking`: files that are not here."""

    whole: Received
    transfers: tuple[Session, ...]
    handovers: tuple[Handover, ...]
    lacking: tuple[Lacking, ...]


async def pass_details(connection: asyncpg.Connection, name: str) -> PassDetails:
    """What became of a pass, by its session's id. Raises RefsysError where no inbox ever told of it."""
    whole = await store.fetch_session(connection, name)
    if whole is None:
        raise RefsysError(
            "no station told of such a session", subject=name, advice="`refsys pass list` shows those that are known"
        )
    transfers = [await fetch_session(connection, name, retransfer) for retransfer in (False, True)]
    return PassDetails(
        whole,
        tuple(each for each in transfers if each is not None),
        tuple(await list_handovers(connection, name)),
        tuple([Lacking(**row) for row in await connection.fetch(_LACKING, name)]),
    )
