"""The change feed: what became of published products, read by position, with cursors that outlive their readers.

Positions are 1, 2, 3 … in the order in which the changes became visible (`publish` and `announce` give them under one
lock), so who has read up to N has missed nothing before N.

A reader whose effect is rows of this database sees each change exactly once:

    async with connection.transaction():
        batch = await feed.fetch(connection, "mine")     # others who read by this cursor wait here
        …                                                # the effect
        await feed.advance(connection, "mine", batch.position, after=batch.after)

One whose effect is elsewhere (`follow`) moves its cursor afterwards, and may see the last changes again: at least once.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from refsys.catalogue.compiler import Scope
from refsys.core.errors import ConfigurationError, RefsysError

#: What can become of a published product.
KINDS: Final = ("created", "modified", "superseded", "withdrawn", "evicted", "deleted")
#: Seconds between two looks of who has read everything.
WAIT_S: Final = 1.0
LIMIT: Final = 500

_LAST: Final = "SELECT coalesce(max(position), 0) FROM catalogue.change"
_READ: Final = """
SELECT c.position, c.at, c.kind, c.product_id, coalesce(p.name, '') AS name,
       coalesce(p.product_type, '') AS product_type, c.cause
  FROM catalogue.change c LEFT JOIN catalogue.product p ON p.id = c.product_id
 WHERE {where}
 ORDER BY c.position {order} LIMIT {limit}
"""
#: What users may see of products `p`: published ones, and those that they could see and that were taken away.
SEEN_BY_USERS: Final = f"(({Scope.PUBLIC.value}) OR ({Scope.DELETED.value}))"
_AT: Final = "SELECT at FROM catalogue.change WHERE position = $1"

_CURSOR_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OPEN: Final = "INSERT INTO catalogue.cursor (name, position) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_POSITION: Final = "SELECT position FROM catalogue.cursor WHERE name = $1"
_ADVANCE: Final = """
UPDATE catalogue.cursor SET position = $2, moved_at = clock_timestamp() WHERE name = $1 AND position = $3 RETURNING name
"""
_RESET: Final = "UPDATE catalogue.cursor SET position = $2, moved_at = clock_timestamp() WHERE name = $1 RETURNING name"
_FORGET: Final = "DELETE FROM catalogue.cursor WHERE name = $1 RETURNING name"
_CURSORS: Final = """
SELECT name, position, moved_at, greatest(coalesce((SELECT max(position) FROM catalogue.change), 0) - position, 0)
       AS behind
  FROM catalogue.cursor ORDER BY name
"""
# a lock of the session: it ends with its connection, however that ends
_HOLD: Final = "SELECT pg_try_advisory_lock(731029824, hashtext($1))"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a published product; `product_id` is a revision, `cause` why it was taken away or changed."""

    position: int
    at: datetime
    kind: str
    product_id: UUID
    name: str
    product_type: str
    cause: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What was read: everything wanted behind `after`, up to `position`, which goes on from here.

    Changes that were not wanted, or that this reader may not see, are passed over. `is_last`: no more was there.
    """

    after: int
    position: int
    changes: tuple[Change, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has come; `behind` is the number of changes that it has not passed."""

    name: str
    position: int
    moved_at: datetime
    behind: int


async def last_position(connection: asyncpg.Connection) -> int:
    """The newest position, 0 where nothing was ever published."""
    position: int = await connection.fetchval(_LAST)
    return position


async def position_at(connection: asyncpg.Connection, instant: datetime) -> int:
    """The last position whose change is not later than this instant; 0 where all are."""
    # instants grow with positions, and these have no gaps
    before, behind = 0, await last_position(connection) + 1
    while behind - before > 1:
        middle = (before + behind) // 2
        if await connection.fetchval(_AT, middle) <= instant:
            before = middle
        else:
            behind = middle
    return before


async def read(
    connection: asyncpg.Connection,
    after: int,
    *,
    limit: int = LIMIT,
    kinds: Sequence[str] = (),
    public: bool = False,
) -> list[Change]:
    """The changes behind a position, in their order.

    `kinds`: only these (default: all). `public`: of products that users may see, or could see before they were taken
    away; else of all. Raises ConfigurationError where a kind is none.
    """
    return await _read(connection, "c.position > $1", after, limit, kinds, public)


async def newest(
    connection: asyncpg.Connection, *, limit: int, kinds: Sequence[str] = (), public: bool = False
) -> list[Change]:
    """The last changes, in their order."""
    return (await _read(connection, "$1::bigint = 0", 0, limit, kinds, public, order="DESC"))[::-1]


async def open_cursor(connection: asyncpg.Connection, name: str, *, position: int = 0) -> int:
    """The position of a cursor; a new one is made, at `position`.

    Raises ConfigurationError where the name or the position cannot be one.
    """
    if not _CURSOR_NAME.fullmatch(name):
        raise ConfigurationError(
            "is no name of a cursor: letters, digits and . _ - only, at most 100", subject=ascii(name[:100])
        )
    await check_position(connection, position)
    await connection.execute(_OPEN, name, position)
    found: int = await connection.fetchval(_POSITION, name)
    return found


async def check_position(connection: asyncpg.Connection, position: int) -> None:
    """Raise ConfigurationError where nobody can have read as far as this."""
    last = await last_position(connection)
    if not 0 <= position <= last:
        raise ConfigurationError(f"the feed has the positions 0 to {last}, not {position}")


async def fetch(
    connection: asyncpg.Connection,
    name: str,
    *,
    limit: int = LIMIT,
    kinds: Sequence[str] = (),
    public: bool = False,
) -> Batch:
    """The next batch of a cursor, which stays locked until the caller's transaction ends.

    Raises RefsysError where there is no such cursor.
    """
    if not connection.is_in_transaction():
        raise AssertionError("a batch is worked on in a transaction")
    after = await connection.fetchval(f"{_POSITION} FOR UPDATE", name)
    if after is None:
        raise _unknown(name)
    return await next_batch(connection, after, limit=limit, kinds=kinds, public=public)


async def advance(connection: asyncpg.Connection, name: str, position: int, *, after: int) -> None:
    """Move a cursor from `after` on to `position`.

    Raises RefsysError where it is not at `after` any more: another reader, or an operator, has moved it.
    """
    if position < after:
        raise ValueError(f"a cursor does not go back from {after} to {position}")
    if await connection.fetchval(_ADVANCE, name, position, after) is None:
        found = await connection.fetchval(_POSITION, name)
        if found is None:
            raise _unknown(name)
        raise RefsysError(
            f"was moved from {after} to {found} by somebody else",
            subject=f"cursor {name}",
            advice="give each reader a cursor of its own",
        )


async def hold(connection: asyncpg.Connection, name: str) -> None:
    """Keep other followers from this cursor as long as the connection lives. Raises RefsysError where one has it."""
    if not await connection.fetchval(_HOLD, name):
        raise RefsysError(
            "is followed by another process", subject=f"cursor {name}", advice="end that one, or use another cursor"
        )


async def cursors(connection: asyncpg.Connection) -> list[Cursor]:
    """All cursors, by name."""
    return [Cursor(**row) for row in await connection.fetch(_CURSORS)]


async def reset(connection: asyncpg.Connection, name: str, position: int) -> None:
    """Set a cursor to any position. Raises RefsysError where there is none, ConfigurationError for the position."""
    await check_position(connection, position)
    if await connection.fetchval(_RESET, name, position) is None:
        raise _unknown(name)


async def forget(connection: asyncpg.Connection, name: str) -> None:
    """Delete a cursor. Raises RefsysError where there is none."""
    if await connection.fetchval(_FORGET, name) is None:
        raise _unknown(name)


async def next_batch(
    connection: asyncpg.Connection,
    after: int,
    *,
    limit: int = LIMIT,
    kinds: Sequence[str] = (),
    public: bool = False,
) -> Batch:
    """The batch behind a position."""
    # asked first: whatever has a position up to this one is visible to what is read next
    last = await last_position(connection)
    changes = await read(connection, after, limit=limit, kinds=kinds, public=public)
    if len(changes) == limit:
        return Batch(after, changes[-1].position, tuple(changes), False)
    return Batch(after, max(after, last, *(change.position for change in changes[-1:])), tuple(changes), True)


async def follow(
    connection: asyncpg.Connection,
    after: int,
    *,
    stop: asyncio.Event,
    limit: int = LIMIT,
    kinds: Sequence[str] = (),
    public: bool = False,
    wait_s: float = WAIT_S,
) -> AsyncIterator[Batch]:
    """Batch after batch, as they come, until `stop`; with empty ones where all was passed over. Moves no cursor."""
    while not stop.is_set():
        batch = await next_batch(connection, after, limit=limit, kinds=kinds, public=public)
        if batch.position > after:
            yield batch
            after = batch.position
        if batch.is_last:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wait_s)


async def _read(
    connection: asyncpg.Connection,
    where: str,
    after: int,
    limit: int,
    kinds: Sequence[str],
    public: bool,
    order: str = "",
) -> list[Change]:
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ConfigurationError(f"{unknown[0]!a} is no kind of change", advice=f"one of {', '.join(KINDS)}")
    terms = [where]
    args: list[object] = [after, limit]
    if kinds:
        args.append(list(kinds))
        terms.append("c.kind = ANY ($3::text[])")
    if public:
        terms.append(SEEN_BY_USERS)
    sql = _READ.format(where=" AND ".join(terms), order=order, limit="$2")
    return [Change(**row) for row in await connection.fetch(sql, *args)]


def _unknown(name: str) -> RefsysError:
    return RefsysError(
        "there is no such cursor", subject=f"cursor {ascii(name)[1:-1]}", advice="`refsys feed cursors` lists them"
    )
