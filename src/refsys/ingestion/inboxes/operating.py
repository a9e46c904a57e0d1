"""What operators ask of inboxes and do to them; each deed is entered into the audit trail in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from refsys.catalogue.audit import Deed, record
from refsys.core.errors import RefsysError
from refsys.ingestion.store import STATES

_ROWS: Final = """
SELECT r.id, r.state, r.name, r.why, r.problem, r.size, r.tries, r.published_at, r.evicted_at, r.found_at, r.state_at,
       r.not_before
  FROM unnest($2::text[]) WITH ORDINALITY AS s(state, place), LATERAL (
       (SELECT * FROM ingestion.remote r WHERE r.inbox = $1 AND r.state = s.state AND $4
         ORDER BY r.id LIMIT $3)
       UNION ALL
       (SELECT * FROM ingestion.remote r WHERE r.inbox = $1 AND r.state = s.state AND NOT $4
         ORDER BY r.id DESC LIMIT $3)) r
 ORDER BY s.place, CASE WHEN $4 THEN r.id ELSE -r.id END
"""
_PAUSE: Final = """
UPDATE ingestion.inbox SET paused_at = coalesce(paused_at, clock_timestamp()), paused_why = $2 WHERE id = $1
"""
_RESUME: Final = "UPDATE ingestion.inbox SET paused_at = NULL, paused_why = '' WHERE id = $1"
_BACK: Final = "UPDATE ingestion.inbox SET back_to = least(back_to, $2) WHERE id = $1"
_CHOOSE: Final = """
SELECT r.id, r.name, r.state, r.published_at FROM ingestion.remote r
 WHERE r.inbox = $1 AND (r.state = ANY ($2) OR r.name = ANY ($3) OR r.product = ANY ($3) OR r.remote_id = ANY ($3))
 ORDER BY r.id FOR UPDATE
"""
_DROP: Final = "SELECT ingestion.drop_parked($1, $2)"
_FORGET: Final = "DELETE FROM ingestion.remote WHERE id = ANY ($1)"
#: States whose files are forgotten only when nobody works at them.
_BUSY: Final = ("queued", "fetching")


@dataclass(frozen=True, slots=True)
class Row:
    """A file as an inbox remembers it."""

    id: int
    state: str
    name: str
    why: str
    problem: str
    size: int | None
    tries: int
    published_at: datetime | None
    evicted_at: datetime | None
    found_at: datetime
    state_at: datetime
    not_before: datetime | None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten; `back_to`: where the next look begins, so that it is offered anew (None: as ever)."""

    names: Sequence[str]
    back_to: datetime | None


async def rows(
    connection: asyncpg.Connection, inbox: str, states: Sequence[str], *, limit: int, oldest: bool = False
) -> list[Row]:
    """The newest (or oldest) files of each of the states (none = all states), `limit` of each."""
    wanted = list(states) or list(STATES)
    if unknown := [state for state in wanted if state not in STATES]:
        raise RefsysError(f"there is no state {unknown[0]}", advice=f"the states are {', '.join(STATES)}")
    return [Row(**row) for row in await connection.fetch(_ROWS, inbox, wanted, limit, oldest)]


async def pause(connection: asyncpg.Connection, inbox: str, deed: Deed) -> None:
    """Neither look nor queue until it is resumed; what is being fetched ends."""
    await _change(connection, "inbox.pause", inbox, deed, _PAUSE, deed.reason)


async def resume(connection: asyncpg.Connection, inbox: str, deed: Deed) -> None:
    """End a pause."""
    await _change(connection, "inbox.resume", inbox, deed, _RESUME)


async def backfill(connection: asyncpg.Connection, inbox: str, since: datetime, deed: Deed) -> None:
    """Let the next look begin at `since`, in the station's clock."""
    await _change(connection, "inbox.backfill", inbox, deed, _BACK, since)


async def forget(
    connection: asyncpg.Connection, inbox: str, files: Sequence[str], states: Sequence[str], deed: Deed
) -> Forgotten:
    """Forget files (by name, product or id at the station) and all in `states`, so that they are offered anew.

    Raises RefsysError where a file is not known, or is queued or being fetched: nothing is forgotten then.
    """
    if not files and not states:
        raise RefsysError("nothing was named to forget", advice="name files, or a state as --expired")
    found = await connection.fetch(_CHOOSE, inbox, list(states), list(files))
    if busy := next((row for row in found if row["state"] in _BUSY), None):
        raise RefsysError(f"is {busy['state']}", subject=busy["name"], advice="wait until it is brought, or has failed")
    if files and not found:
        raise RefsysError("is not known to this inbox", subject=files[0], advice="`refsys inbox show` lists files")
    ids = [row["id"] for row in found]
    dates = [row["published_at"] for row in found if row["published_at"] is not None]
    back_to = min(dates) if dates else None
    await connection.execute(_DROP, ids, f"forgotten: {deed.reason}")
    await connection.execute(_FORGET, ids)
    names = [row["name"] for row in found]
    details = {"inbox": inbox, "states": list(states)}
    await record(connection, "inbox.forget", deed, names=names[:1000], details=details)
    if back_to is not None:
        await connection.execute(_BACK, inbox, back_to)
    return Forgotten(names, back_to)


async def _change(
    connection: asyncpg.Connection, action: str, inbox: str, deed: Deed, statement: str, *values: object
) -> None:
    await connection.execute("INSERT INTO ingestion.inbox (id) VALUES ($1) ON CONFLICT DO NOTHING", inbox)
    await connection.execute(statement, inbox, *values)
    await record(connection, action, deed, details={"inbox": inbox} | ({"to": str(values[0])} if values else {}))
