"""Queues → endpoints: each notification is POSTed, in order, until its endpoint has taken it; then the next one.

A subscription is leased to one worker at a time, which sends what waits, and only the holder of the lease says what
became of it. A worker that dies leaves its lease to run out: the notification that it was sending is sent again, and
none is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg
import structlog

from refsys.catalogue.search import Budget
from refsys.core.errors import Transient
from refsys.distribution.subscriptions import store
from refsys.distribution.subscriptions.model import RUNNING, SYSTEM, Subscription
from refsys.distribution.subscriptions.rendering import render
from refsys.distribution.subscriptions.sending import Sender
from refsys.infra.settings import SubscriptionSettings
from refsys.infra.work.model import pause_before
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Notifications that are rendered at once, and how often, before it is another subscription's turn.
_RENDERED: Final = 20
_TURNS: Final = 10
#: Seconds that a lease lasts beyond the longest request.
_LEASE_MARGIN_S: Final = 30.0

_LEASE: Final = """
UPDATE distribution.subscription SET lease_token = $1, lease_until = clock_timestamp() + $2
 WHERE id IN (
       SELECT id FROM distribution.subscription
        WHERE status = 'running' AND endpoint IS NOT NULL AND queued > 0 AND next_attempt_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until <= clock_timestamp())
        ORDER BY next_attempt_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING id
"""
_RENEW: Final = """
UPDATE distribution.subscription SET lease_until = clock_timestamp() + $3
 WHERE id = $1 AND lease_token = $2 AND status = 'running' RETURNING id
"""
_HOLD: Final = "SELECT id FROM distribution.subscription WHERE id = $1 AND lease_token = $2 FOR UPDATE"
_RELEASE: Final = """
UPDATE distribution.subscription
   SET lease_token = NULL, lease_until = NULL, next_attempt_at = greatest(next_attempt_at, clock_timestamp())
 WHERE id = $1 AND lease_token = $2
"""
_TAKEN: Final = """
UPDATE distribution.subscription
   SET attempts = 0, failing_since = NULL, next_attempt_at = clock_timestamp() WHERE id = $1
"""
_FAILED: Final = """
UPDATE distribution.subscription
   SET attempts = attempts + 1, failing_since = coalesce(failing_since, clock_timestamp()),
       next_attempt_at = clock_timestamp() + $2, last_error = $3, last_error_at = clock_timestamp()
 WHERE id = $1
RETURNING clock_timestamp() - failing_since AS failing
"""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A lease and what is needed while it lasts."""

    token: UUID
    subscription: Subscription
    access: tuple[str, str] | None


class Pusher:
    """Sends for all subscriptions with endpoints that no other worker sends for."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        types: TypeRegistry,
        settings: SubscriptionSettings,
        sender: Sender,
        base_url: Callable[[], str],
    ) -> None:
        self._pool = pool
        self._types = types
        self._settings = settings
        self._sender = sender
        self._base_url = base_url
        self._lease = timedelta(seconds=settings.push_timeout_s + _LEASE_MARGIN_S)

    async def lease(self, limit: int) -> list[tuple[UUID, UUID]]:
        """Subscriptions that have something to send, each with the token of its lease."""
        token = uuid4()
        return [(row["id"], token) for row in await self._pool.fetch(_LEASE, token, self._lease, limit)]

    async def push(self, key: UUID, token: UUID, is_over: Callable[[], bool]) -> None:
        """Send what waits for one subscription, until nothing does, something fails, or `is_over`."""
        try:
            for _ in range(_TURNS):
                turn, waiting = await self._prepare(key, token)
                for position, body in waiting:
                    if turn is None or is_over() or not await self._send(turn, position, body):
                        return
                if len(waiting) < _RENDERED:
                    return
        finally:
            await self._pool.execute(_RELEASE, key, token)

    async def _prepare(self, key: UUID, token: UUID) -> tuple[_Turn | None, list[tuple[int, bytes]]]:
        """The next notifications, rendered as the products are now; no turn where the lease is gone."""
        async with self._pool.acquire() as connection:
            if await connection.fetchval(_RENEW, key, token, self._lease) is None:
                return None, []
            subscription = await store.fetch(connection, key)
            if subscription is None or subscription.endpoint is None:
                return None, []
            access = await store.fetch_access(connection, key)
            waiting = await store.queue(connection, key, _RENDERED)
            bodies = await render(connection, waiting, self._types, base_url=self._base_url(), budget=Budget())
        positions = [told.position for told in waiting]
        return _Turn(token, subscription, access), list(zip(positions, bodies, strict=True))

    async def _send(self, turn: _Turn, position: int, body: bytes) -> bool:
        """Whether the endpoint has taken it, and the next one may follow."""
        key, endpoint = turn.subscription.id, turn.subscription.endpoint
        assert endpoint is not None
        # the lease outlives the request: nobody else sends meanwhile
        if await self._pool.fetchval(_RENEW, key, turn.token, self._lease) is None:
            return False
        try:
            await self._sender.send(endpoint, body, turn.access)
        except Transient as error:
            await self._failed(turn, error)
            return False
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_HOLD, key, turn.token) is None:
                return False
            await store.acknowledge(connection, key, position)
            await connection.execute(_TAKEN, key)
        return True

    async def _failed(self, turn: _Turn, error: Transient) -> None:
        subscription = turn.subscription
        async with self._pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(_HOLD, subscription.id, turn.token) is None:
                return
            current = await store.fetch(connection, subscription.id)
            assert current is not None
            pause = pause_before(
                current.attempts + 1,
                first_s=self._settings.backoff_s,
                limit_s=self._settings.backoff_limit_s,
                retry_after_s=error.retry_after_s or 0.0,
            )
            failing: timedelta = await connection.fetchval(_FAILED, subscription.id, pause, error.message)
            gives_up = current.status == RUNNING and failing.total_seconds() >= self._settings.give_up_s
            if gives_up:
                reason = (
                    f"the endpoint has taken nothing for {failing.total_seconds() / 3600:.1f} h: {error.message}; "
                    "nothing is lost: set Status to running and it goes on where it stopped"
                )
                await store.pause(connection, subscription.id, SYSTEM, reason)
        event = "subscription.given_up" if gives_up else "push.failed"
        log.warning(event, subscription=str(subscription.id), attempt=current.attempts + 1, error=error.message)
