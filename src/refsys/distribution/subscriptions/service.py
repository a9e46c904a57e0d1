"""What runs in workers: the feed is looked through for all subscriptions, and what waits is sent to endpoints."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from refsys.core.errors import RefsysError
from refsys.distribution.subscriptions.matching import Matcher
from refsys.distribution.subscriptions.pushing import Pusher
from refsys.distribution.subscriptions.sending import Sender
from refsys.infra.jitter import jittered
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import SubscriptionSettings
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Seconds between two looks when there is nothing to do, and after an error of the database.
WAIT_S: Final = 1.0
_RECOVER_S: Final = 5.0
#: Seconds that requests get to end at a stop.
_GRACE_S: Final = 5.0


async def run_subscriptions(
    settings: SubscriptionSettings,
    pool: asyncpg.Pool,
    types: TypeRegistry,
    stop: asyncio.Event,
    *,
    base_url: Callable[[], str],
    wait_s: float = WAIT_S,
) -> None:
    """Look through the feed and send, until `stop`. Any number of processes may do so at the same time.

    `base_url`: under which users reach the service, as far as that is known yet.
    """
    matcher = Matcher(types, settings)

    async def match() -> int:
        async with pool.acquire() as connection:
            return await matcher.match(connection)

    async with Sender(settings) as sender:
        pusher = Pusher(pool, types, settings, sender, base_url)
        dispatcher = _Dispatcher(pusher, settings.push_concurrency, stop, wait_s)
        await asyncio.gather(_repeat(match, stop, wait_s), _repeat(dispatcher.dispatch, stop, wait_s))
        await dispatcher.close()


async def _repeat(work: Callable[[], Awaitable[int]], stop: asyncio.Event, wait_s: float) -> None:
    """Again at once where something was done, else in a while; a database that is lost is waited for."""
    while not stop.is_set():
        pause_s = wait_s
        try:
            if await work():
                pause_s = 0.0
        except DATABASE_ERRORS as error:
            log.warning("subscriptions.waiting", error=f"{type(error).__name__}: {error}")
            pause_s = jittered(_RECOVER_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)


class _Dispatcher:
    """Keeps as many endpoints busy as may be at the same time."""

    def __init__(self, pusher: Pusher, concurrency: int, stop: asyncio.Event, wait_s: float) -> None:
        self._pusher = pusher
        self._concurrency = concurrency
        self._stop = stop
        self._wait_s = wait_s
        self._running: set[asyncio.Task[None]] = set()

    async def dispatch(self) -> int:
        """Begin what can be begun; where all hands are busy, wait for one. Returns how many turns began or ended."""
        free = self._concurrency - len(self._running)
        leased = await self._pusher.lease(free) if free else []
        self._running |= {asyncio.create_task(self._push(key, token)) for key, token in leased}
        if leased or not self._running:
            return len(leased)
        done, self._running = await asyncio.wait(
            self._running, timeout=self._wait_s, return_when=asyncio.FIRST_COMPLETED
        )
        return len(done)

    async def close(self) -> None:
        """Let requests end that are about to; the notifications of the others are sent again by whoever comes next."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _push(self, key: UUID, token: UUID) -> None:
        try:
            await self._pusher.push(key, token, self._stop.is_set)
        except (*DATABASE_ERRORS, RefsysError) as error:
            # the lease runs out, and somebody goes on
            log.warning("push.interrupted", subscription=str(key), error=f"{type(error).__name__}: {error}")
