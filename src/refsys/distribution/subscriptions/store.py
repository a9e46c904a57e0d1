"""Tables distribution.subscription, subscription_access and notification.

What changes a subscription has locked its row first (`take`), or is one statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final
from uuid import UUID

import asyncpg

from refsys.distribution.subscriptions.model import Notification, Subscription

_COLUMNS: Final = ", ".join(field.name for field in fields(Subscription))
_SELECT: Final = "SELECT {columns} FROM distribution.subscription {rest}"

# the limits on the number are looked at and kept one at a time for each owner
_ALONE: Final = "SELECT pg_advisory_xact_lock(731029825, hashtext($1))"
_COUNT: Final = """
SELECT count(*) AS all, count(*) FILTER (WHERE status = 'running') AS running
  FROM distribution.subscription WHERE owner = $1
"""
_INSERT: Final = """
INSERT INTO distribution.subscription
       (owner, status, events, filter_text, stage_order, endpoint, position, acked, paused_by)
SELECT $1, $2, $3, $4, $5, $6, last, last, CASE $2::text WHEN 'paused' THEN 'user' END
  FROM (SELECT coalesce(max(position), 0) AS last FROM catalogue.change) feed
RETURNING id
"""
_SET_ACCESS: Final = """
INSERT INTO distribution.subscription_access (subscription_id, username, password) VALUES ($1, $2, $3)
ON CONFLICT (subscription_id) DO UPDATE SET username = excluded.username, password = excluded.password
"""
_ACCESS: Final = "SELECT username, password FROM distribution.subscription_access WHERE subscription_id = $1"
_FORGET_ACCESS: Final = "DELETE FROM distribution.subscription_access WHERE subscription_id = $1"
_FETCH: Final = _SELECT.format(columns=_COLUMNS, rest="WHERE id = $1")
_TAKE: Final = _SELECT.format(columns=_COLUMNS, rest="WHERE id = $1 FOR UPDATE")
_TAKE_FREE: Final = _SELECT.format(columns=_COLUMNS, rest="WHERE id = $1 FOR UPDATE SKIP LOCKED")
_OWNED: Final = _SELECT.format(columns=_COLUMNS, rest="WHERE owner = $1 ORDER BY submitted_at, id")
# what fails first, then what was paused by others than its user, then what waits
_ALL: Final = _SELECT.format(
    columns=_COLUMNS,
    rest="ORDER BY attempts = 0, coalesce(paused_by, 'user') = 'user', queued DESC, submitted_at, id",
)
_DELETE: Final = "DELETE FROM distribution.subscription WHERE id = $1 RETURNING id"
_RUN: Final = """
UPDATE distribution.subscription
   SET status = 'running', paused_by = NULL, pause_reason = '', attempts = 0, failing_since = NULL,
       next_attempt_at = clock_timestamp()
 WHERE id = $1
"""
_PAUSE: Final = """
UPDATE distribution.subscription SET status = 'paused', paused_by = $2, pause_reason = $3 WHERE id = $1
"""
# whoever sends at this moment sends to the old one, and may not say any more what became of it
_SET_ENDPOINT: Final = """
UPDATE distribution.subscription
   SET endpoint = $2, attempts = 0, failing_since = NULL, next_attempt_at = clock_timestamp(), lease_token = NULL,
       lease_until = NULL
 WHERE id = $1
"""
_QUEUE: Final = """
SELECT subscription_id, position, at, kind, product_id, noted_at
  FROM distribution.notification WHERE subscription_id = $1 ORDER BY position LIMIT $2
"""
_TAKE_AWAY: Final = "DELETE FROM distribution.notification WHERE subscription_id = $1 AND position <= $2"
_ACKNOWLEDGE: Final = """
UPDATE distribution.subscription
   SET acked = greatest(acked, $2), queued = queued - $3, last_notified_at = clock_timestamp()
 WHERE id = $1 RETURNING queued
"""
_EMPTY: Final = "DELETE FROM distribution.notification WHERE subscription_id = $1"
_REWIND: Final = """
UPDATE distribution.subscription
   SET position = $2, acked = $2, queued = 0, attempts = 0, failing_since = NULL,
       next_attempt_at = clock_timestamp(), lease_token = NULL, lease_until = NULL
 WHERE id = $1
"""


async def count(connection: asyncpg.Connection, owner: str) -> tuple[int, int]:
    """How many an owner has, and how many of them run; nobody changes that before the transaction ends."""
    await connection.execute(_ALONE, owner)
    row = await connection.fetchrow(_COUNT, owner)
    return row["all"], row["running"]


async def insert(
    connection: asyncpg.Connection,
    *,
    owner: str,
    status: str,
    events: Sequence[str],
    filter_text: str,
    stage_order: bool,
    endpoint: str | None,
) -> Subscription:
    """A new one, for what is published from now on."""
    key = await connection.fetchval(_INSERT, owner, status, events, filter_text, stage_order, endpoint)
    return Subscription(**await connection.fetchrow(_FETCH, key))


async def set_access(connection: asyncpg.Connection, key: UUID, access: tuple[str, str] | None) -> None:
    """User and password for the endpoint; None takes them away."""
    if access is None:
        await connection.execute(_FORGET_ACCESS, key)
    else:
        await connection.execute(_SET_ACCESS, key, *access)


async def fetch_access(connection: asyncpg.Connection, key: UUID) -> tuple[str, str] | None:
    """User and password for the endpoint; None where it wants none."""
    row = await connection.fetchrow(_ACCESS, key)
    return None if row is None else (row["username"], row["password"])


async def fetch(connection: asyncpg.Connection, key: UUID) -> Subscription | None:
    row = await connection.fetchrow(_FETCH, key)
    return None if row is None else Subscription(**row)


async def take(connection: asyncpg.Connection, key: UUID, *, if_free: bool = False) -> Subscription | None:
    """The same, its row locked until the transaction ends; `if_free`: None where somebody else has it."""
    row = await connection.fetchrow(_TAKE_FREE if if_free else _TAKE, key)
    return None if row is None else Subscription(**row)


async def owned(connection: asyncpg.Connection, owner: str) -> list[Subscription]:
    """An owner's, the oldest first."""
    return [Subscription(**row) for row in await connection.fetch(_OWNED, owner)]


async def all_of_them(connection: asyncpg.Connection) -> list[Subscription]:
    """Everybody's, those that fail first."""
    return [Subscription(**row) for row in await connection.fetch(_ALL)]


async def delete(connection: asyncpg.Connection, key: UUID) -> bool:
    """Whether there was one; its queue goes with it."""
    return await connection.fetchval(_DELETE, key) is not None


async def run(connection: asyncpg.Connection, key: UUID) -> None:
    """Go on where it stopped; what failed is tried at once."""
    await connection.execute(_RUN, key)


async def pause(connection: asyncpg.Connection, key: UUID, by: str, reason: str = "") -> None:
    """Stand still."""
    await connection.execute(_PAUSE, key, by, reason)


async def set_endpoint(connection: asyncpg.Connection, key: UUID, endpoint: str) -> None:
    await connection.execute(_SET_ENDPOINT, key, endpoint)


async def queue(connection: asyncpg.Connection, key: UUID, limit: int) -> list[Notification]:
    """What waits longest."""
    return [Notification(**row) for row in await connection.fetch(_QUEUE, key, limit)]


async def acknowledge(connection: asyncpg.Connection, key: UUID, position: int) -> tuple[int, int]:
    """Take away what waits up to this position; returns how many that were, and how many are left."""
    done = await connection.execute(_TAKE_AWAY, key, position)
    number = int(done.split()[-1])
    return number, await connection.fetchval(_ACKNOWLEDGE, key, position, number)


async def rewind(connection: asyncpg.Connection, key: UUID, position: int) -> None:
    """Tell again what is behind this position, and nothing else."""
    await connection.execute(_EMPTY, key)
    await connection.execute(_REWIND, key, position)
