"""The keeper: renews the leases of a runner, takes over what others lost, and puts the queue in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from refsys.infra.jitter import jittered
from refsys.infra.settings import WorkSettings
from refsys.infra.work import store
from refsys.infra.work.model import Attempt, describe_error, pause_before

log = structlog.get_logger(__name__)

#: Longest time between two renewals, in seconds.
_INTERVAL_S: Final = 5.0
#: Seconds between two looks at the whole queue.
_ORDER_S: Final = 30.0
_FORGET_S: Final = 60.0
_ONE_AT_A_TIME: Final = 0x7265_6673_7973_0002  # 'refsys' + 2


class WorkerLost(Exception):
    """A worker died, hung or lost its database while it ran a step."""


class Keeper:
    """Keeps the leases of one runner. `running` gives its unfinished tasks with their attempts."""

    def __init__(
        self,
        *,
        leases: Mapping[str, float],
        most_attempts: Mapping[str, int],
        settings: WorkSettings,
        worker: str,
        running: Callable[[], Sequence[tuple[asyncio.Task[None], Attempt]]],
    ) -> None:
        self._leases = leases
        self._most_attempts = most_attempts
        self._settings = settings
        self._worker = worker
        self._running = running
        self._interval_s = min([_INTERVAL_S, *(_renewal_s(lease_s) for lease_s in leases.values())])
        self._overdue_since: dict[tuple[UUID, datetime], float] = {}
        self._next_order = 0.0
        self._next_forget = 0.0

    async def keep(self, connection: asyncpg.Connection) -> None:
        """Renew, take over and put in order for ever."""
        loop = asyncio.get_running_loop()
        planned = loop.time()
        while True:
            late_s = loop.time() - planned
            if late_s > min(self._leases.values(), default=30.0) / 2:
                log.warning("work.loop_blocked", late_s=round(late_s, 3), advice="run blocking work in a thread")
            await self._renew(connection)
            await self._take_over(connection)
            await self._put_in_order(connection)
            planned = loop.time() + jittered(self._interval_s, 0.7, 1.0)
            await asyncio.sleep(max(planned - loop.time(), 0.0))

    async def _renew(self, connection: asyncpg.Connection) -> None:
        held = list(self._running())
        if not held:
            return
        current = await store.renew(
            connection,
            [attempt.step_id for _, attempt in held],
            [attempt.token for _, attempt in held],
            [timedelta(seconds=attempt.lease_s) for _, attempt in held],
        )
        for task, attempt in held:
            # while it commits, its own transaction has the row: the fence decides
            if attempt.token not in current and not (attempt.ending or attempt.committed or task.done()):
                attempt.lost = True
                task.cancel()

    async def _take_over(self, connection: asyncpg.Connection) -> None:
        """Make steps due whose worker gave no sign of life, or park them where that happened too often."""
        stages = list(self._leases)
        async with connection.transaction():
            await store.shorten_leases(connection, stages, [timedelta(seconds=s) for s in self._leases.values()])
            overdue = self._lasting(await store.expired(connection, stages))
            lost = [(step, await self._give_back(connection, step)) for step in overdue]
        for step, outcome in lost:
            log.warning(
                "step.taken_over",
                step=step.step_id,
                stage=step.stage,
                key=step.key,
                attempt=step.attempts,
                lost_by=step.worker,
                outcome=outcome,
            )

    def _lasting(self, expired: Sequence[store.Expired]) -> list[store.Expired]:
        """Those that have been overdue for two renewals, by our own clock.

        Where the machine slept or the database's clock was set forward, every lease is over at once, and all holders
        live: they are given the time to say so.
        """
        now = asyncio.get_running_loop().time()
        leases = {step: (step.token, step.lease_until) for step in expired}
        self._overdue_since = {lease: self._overdue_since.get(lease, now) for lease in leases.values()}
        return [
            step
            for step, lease in leases.items()
            if now - self._overdue_since[lease] >= 2 * _renewal_s(self._leases[step.stage])
        ]

    async def _give_back(self, connection: asyncpg.Connection, step: store.Expired) -> str:
        most = self._most_attempts[step.stage]
        pause: timedelta | None = None
        if step.attempts < most:
            # at once after the first loss; later ones apart, lest a step that kills its worker takes its neighbours
            # along each time
            pause = timedelta(0)
            if step.attempts > 1:
                pause = pause_before(
                    step.attempts - 1, first_s=self._settings.backoff_s, limit_s=self._settings.backoff_limit_s
                )
        error = WorkerLost(
            f"worker {step.worker} gave no sign of life during attempt {step.attempts} of {most}; "
            f"its lease was over for {step.overdue_s:.1f} s"
        )
        described = describe_error(
            error,
            worker=step.worker,
            number=step.attempts,
            lasting="transient" if pause is not None else f"the last of {most} attempts",
        )
        described["advice"] = "look at that worker's log: was it killed (memory?), stopped, cut off from the database?"
        return await store.fail(connection, step.step_id, step.token, pause=pause, error=described, notes=[])

    async def _put_in_order(self, connection: asyncpg.Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_order:
            self._next_order = now + jittered(_ORDER_S, 0.8, 1.2)
            async with connection.transaction():
                if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _ONE_AT_A_TIME):
                    found = await store.reconcile(connection)
                    if found.requeued or found.removed or found.rebased:
                        log.warning(
                            "work.reconciled",
                            requeued=found.requeued,
                            removed=found.removed,
                            rebased=found.rebased,
                        )
        if now >= self._next_forget:
            self._next_forget = now + jittered(_FORGET_S, 0.8, 1.2)
            gone = await store.forget(connection, keep=timedelta(days=self._settings.keep_days))
            if gone:
                log.debug("work.forgotten", rows=gone)


def _renewal_s(lease_s: float) -> float:
    """How often a lease of this length is renewed."""
    return min(_INTERVAL_S, lease_s / 8)
