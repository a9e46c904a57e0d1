"""Feed → queues: each change that a subscription asks for becomes one row of distribution.notification.

A subscription's row is locked, its next piece of the feed looked through by one statement, what was found is written
and its position moved, in one transaction: exactly once, whoever is killed and however many do it at the same time.
Each subscription goes by itself, so that one which cannot go on holds up no other.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from refsys.catalogue import feed
from refsys.catalogue.compiler import Compiler
from refsys.core.errors import RefsysError
from refsys.core.filters import Expression
from refsys.distribution.subscriptions import store
from refsys.distribution.subscriptions.model import RUNNING, SYSTEM, Notification, Subscription, parse_wanted
from refsys.infra.settings import SubscriptionSettings
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Positions of the feed that are looked through in one transaction.
STRIDE: Final = 1000
#: Seconds that this may take, and after which it is tried again where it took longer.
PATIENCE_S: Final = 30.0
RETRY_S: Final = 60.0

# by the positions, product by product: no filter makes the planner begin with the whole catalogue
_CHANGES: Final = """
SELECT c.position, c.at, c.kind, c.product_id
  FROM catalogue.change c CROSS JOIN LATERAL (SELECT * FROM catalogue.product WHERE id = c.product_id OFFSET 0) p
 WHERE c.position > {after} AND c.position <= {until} AND c.kind = ANY ({kinds}::text[])
   AND {seen} AND {condition}
 ORDER BY c.position LIMIT {limit}
"""
_NOTE: Final = """
INSERT INTO distribution.notification (subscription_id, position, at, kind, product_id)
SELECT {key}::uuid, found.* FROM ({changes}) found
RETURNING position
"""
_BEHIND: Final = """
SELECT id FROM distribution.subscription
 WHERE status = 'running' AND queued < $1 AND position < (SELECT coalesce(max(position), 0) FROM catalogue.change)
 ORDER BY position, id
"""
_MOVE: Final = "UPDATE distribution.subscription SET position = $2, queued = queued + $3 WHERE id = $1"
_TELL: Final = """
UPDATE distribution.subscription SET last_error = $2, last_error_at = clock_timestamp() WHERE id = $1
"""


class Matcher:
    """Looks through the feed for every subscription. It remembers nothing that matters."""

    def __init__(self, types: TypeRegistry, settings: SubscriptionSettings, *, patience_s: float = PATIENCE_S) -> None:
        self._types = types
        self._settings = settings
        self._patience_s = patience_s
        self._not_before: dict[UUID, float] = {}

    async def match(self, connection: asyncpg.Connection) -> int:
        """One stride for each subscription that is behind; returns how many took one."""
        keys = [row["id"] for row in await connection.fetch(_BEHIND, self._settings.queue_length)]
        now = time.monotonic()
        self._not_before = {key: then for key, then in self._not_before.items() if then > now}
        strides = 0
        for key in keys:
            if key not in self._not_before:
                strides += await self._stride(connection, key)
        return strides

    async def _stride(self, connection: asyncpg.Connection, key: UUID) -> bool:
        """Whether one was taken: not where another worker takes it, or where it stands still meanwhile."""
        try:
            async with connection.transaction():
                subscription = await store.take(connection, key, if_free=True)
                if subscription is None or subscription.status != RUNNING:
                    return False
                room = self._settings.queue_length - subscription.queued
                if room <= 0:
                    return False
                return await self._advance(connection, subscription, room)
        except _TOO_COSTLY as error:
            # by this filter, or by a database that is busy with something else: nobody is paused for that
            self._not_before[key] = time.monotonic() + RETRY_S
            told = f"the filter took too long or too much of the database; tried again: {error or 'time is up'}"
            await connection.execute(_TELL, key, told)
            log.warning("subscription.costly", subscription=str(key), error=told)
            return False

    async def _advance(self, connection: asyncpg.Connection, subscription: Subscription, room: int) -> bool:
        try:
            wanted = parse_wanted(subscription.filter_text, subscription.events, self._types)
        except RefsysError as error:
            # it was right when it was made: this release understands it otherwise
            await store.pause(connection, subscription.id, SYSTEM, f"FilterParam is not understood any more: {error}")
            log.warning("subscription.paused", subscription=str(subscription.id), error=str(error))
            return False
        # asked first: whatever has a position up to this one is visible to what is read next
        last = await feed.last_position(connection)
        until = min(last, subscription.position + STRIDE)
        if until <= subscription.position:
            return False
        compiler = Compiler()
        key = compiler.bind(subscription.id)
        changes = _changes(compiler, subscription, wanted, subscription.position, until, room)
        sql = _NOTE.format(key=key, changes=changes)
        found = await connection.fetch(sql, *compiler.args, timeout=self._patience_s)
        reached = found[-1]["position"] if len(found) == room else until
        await connection.execute(_MOVE, subscription.id, reached, len(found))
        return True


async def look(
    connection: asyncpg.Connection,
    subscription: Subscription,
    wanted: Expression,
    *,
    after: int,
    until: int,
    limit: int,
    now: datetime,
) -> list[Notification]:
    """What a subscription asks for between two positions (`until` is included), its queue left alone.

    Raises asyncpg.PostgresError, TimeoutError.
    """
    compiler = Compiler()
    sql = _changes(compiler, subscription, wanted, after, until, limit)
    rows = await connection.fetch(sql, *compiler.args, timeout=PATIENCE_S)
    return [Notification(subscription.id, **row, noted_at=now) for row in rows]


def _changes(
    compiler: Compiler, subscription: Subscription, wanted: Expression, after: int, until: int, limit: int
) -> str:
    return _CHANGES.format(
        seen=feed.SEEN_BY_USERS,
        after=compiler.bind(after),
        until=compiler.bind(until),
        kinds=compiler.bind(subscription.kinds),
        condition=compiler.condition(wanted),
        limit=compiler.bind(limit),
    )


_TOO_COSTLY: Final = (
    TimeoutError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ProgramLimitExceededError,
)
