"""The runner: takes due steps, runs them, records what became of them; it survives the loss of its database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

import asyncpg
import structlog

from refsys.core.errors import ConfigurationError
from refsys.infra.jitter import jittered
from refsys.infra.postgres import DATABASE_ERRORS, prepare_connection
from refsys.infra.settings import WorkSettings
from refsys.infra.work import store
from refsys.infra.work.carrier import Carrier
from refsys.infra.work.keeper import Keeper
from refsys.infra.work.model import Attempt, AttemptVoid, Stage, describe_error, judge, pause_before

log = structlog.get_logger(__name__)

_POLL_S: Final = 5.0
#: Seconds that a busy runner lets pass before it takes again, so that one look serves several hands.
_GATHER_S: Final = 0.005
#: Seconds between two calls for help of a runner that has no hand free.
_CALL_S: Final = 0.02
_RECONNECT_LIMIT_S: Final = 10.0
_CONNECT_S: Final = 10.0
_COMMAND_S: Final = 30.0
# of the seconds that the supervisor waits for us: what is left is for closing down
_GRACE_SHARE: Final = 0.8


class Runner:
    """Runs the steps of `stages` until told to stop; `worker` names it in the steps that it claims.

    It keeps two connections of its own besides the pool (one to take steps, one to keep leases), so that handlers that
    use up the pool do not cost it its leases.
    """

    def __init__(
        self, pool: asyncpg.Pool, dsn: str, stages: Sequence[Stage], settings: WorkSettings, worker: str
    ) -> None:
        self._stages = {stage.name: stage for stage in stages}
        if len(self._stages) != len(stages):
            raise ConfigurationError(f"two stages have the same name: {sorted(stage.name for stage in stages)}")
        self._pool = pool
        self._dsn = dsn
        self._settings = settings
        self._worker = worker
        self._leases = {stage.name: stage.lease_s or settings.lease_s for stage in stages}
        self._own_stages = " ".join(self._stages)
        self._most_attempts = {stage.name: stage.max_attempts or settings.max_attempts for stage in stages}
        self._running: dict[asyncio.Task[None], Attempt] = {}
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Run steps until `stop` is set; then running ones get their grace, and what is left stays to its lease."""
        keeper = Keeper(
            leases=self._leases,
            most_attempts=self._most_attempts,
            settings=self._settings,
            worker=self._worker,
            running=lambda: [(task, attempt) for task, attempt in self._running.items() if not task.done()],
        )
        keeping = asyncio.create_task(self._connected(keeper.keep), name="work.keep")
        taking = asyncio.create_task(self._connected(self._take), name="work.take")
        stopped = asyncio.create_task(stop.wait(), name="work.stop")
        log.info("work.started", worker=self._worker, stages=sorted(self._stages))
        try:
            done, _ = await asyncio.wait({keeping, taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            self._stop.set()
            self._wake.set()
            for task in done - {stopped}:
                task.result()
            await self._wind_down(taking)
        finally:
            for task in (stopped, taking, keeping, *self._running):
                task.cancel()
            await asyncio.gather(stopped, taking, keeping, *self._running, return_exceptions=True)
            closing = [stage.close() for stage in self._stages.values() if stage.close is not None]
            await asyncio.gather(*closing, return_exceptions=True)
            log.info("work.stopped", worker=self._worker)

    async def _wind_down(self, taking: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.stop_s * _GRACE_SHARE
        # what is being claimed at this moment is started, so that it does not have to wait for its lease
        await asyncio.wait({taking}, timeout=deadline - loop.time())
        if self._running:
            log.info("work.finishing", steps=len(self._running), grace_s=round(deadline - loop.time(), 1))
            await asyncio.wait(set(self._running), timeout=deadline - loop.time())
        for task, attempt in self._running.items():
            if not task.done():
                log.warning("step.left_to_lease", step=attempt.step_id, stage=attempt.stage, key=attempt.key)

    async def _connected(self, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        """Do `work` on a connection of its own; reconnect with back-off whenever the database is lost."""
        pause_s = 0.1
        while not self._stop.is_set():
            connection: asyncpg.Connection | None = None
            try:
                connection = await asyncpg.connect(
                    self._dsn,
                    timeout=_CONNECT_S,
                    command_timeout=_COMMAND_S,
                    server_settings={
                        "timezone": "UTC",
                        "application_name": f"refsys work {self._worker}"[:63],
                        # to plan PgQueuer's statements anew each time costs more than to run them
                        "plan_cache_mode": "force_generic_plan",
                    },
                )
                await prepare_connection(connection)
                pause_s = 0.1
                await work(connection)
            except DATABASE_ERRORS as error:
                log.warning("work.database_lost", error=f"{type(error).__name__}: {error}", pause_s=round(pause_s, 2))
                await _wait(self._stop, jittered(pause_s))
                pause_s = min(pause_s * 2, _RECONNECT_LIMIT_S)
            finally:
                if connection is not None:
                    connection.terminate()

    async def _take(self, connection: asyncpg.Connection) -> None:
        """Take and start steps until the runner stops.

        What the effects of its own steps make due it takes without being told; where it has no hand free for that, it
        calls the others.
        """
        loop, next_call, help_wanted = asyncio.get_running_loop(), 0.0, False
        carrier = Carrier(connection, {stage.name: stage.concurrency for stage in self._stages.values()})
        connection.add_termination_listener(lambda _: self._wake.set())
        await carrier.listen(self._wake.set)
        while not self._stop.is_set():
            if self._settings.concurrency // 2 < len(self._running):
                await asyncio.sleep(_GATHER_S)
            self._wake.clear()
            timeout_s = _POLL_S
            free = self._settings.concurrency - len(self._running)
            if free > 0:
                claims, due_s = await self._claim(connection, carrier, free)
                for claim in claims:
                    self._start(claim)
                timeout_s = _POLL_S if due_s is None else min(due_s, _POLL_S)
                help_wanted = len(claims) == free
            if help_wanted and loop.time() >= next_call:
                await carrier.call()
                next_call, help_wanted = loop.time() + _CALL_S, False
            await _wait(self._wake, min(timeout_s, _CALL_S) if help_wanted else timeout_s)

    async def _claim(
        self, connection: asyncpg.Connection, carrier: Carrier, most: int
    ) -> tuple[list[store.Claim], float | None]:
        """Take up to `most` rows and claim their steps; returns the claims, and in how many seconds to look again.

        One transaction, so that it is one instant before which steps are taken and after which they are awaited.
        """
        async with connection.transaction():
            claims: list[store.Claim] = []
            step_ids = await carrier.take(most)
            if step_ids:
                claims = await store.claim(
                    connection,
                    step_ids,
                    stages=list(self._stages),
                    leases=[timedelta(seconds=self._leases[name]) for name in self._stages],
                    versions=[stage.version for stage in self._stages.values()],
                    worker=self._worker,
                )
            return claims, 0.0 if len(step_ids) == most else await carrier.next_due_s()

    def _start(self, claim: store.Claim) -> None:
        attempt = Attempt(
            step_id=claim.step_id,
            stage=claim.stage,
            key=claim.key,
            payload=claim.payload,
            priority=claim.priority,
            version=claim.version,
            number=claim.number,
            token=claim.token,
            lease_s=self._leases[claim.stage],
            pool=self._pool,
            own_stages=self._own_stages,
        )
        task = asyncio.create_task(self._run_step(attempt), name=f"step {attempt.step_id} {attempt.stage}")
        self._running[task] = attempt
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("step.runner_failed", error=repr(error))

    async def _run_step(self, attempt: Attempt) -> None:
        with structlog.contextvars.bound_contextvars(step=attempt.step_id, stage=attempt.stage, key=attempt.key):
            started = asyncio.get_running_loop().time()
            try:
                await self._stages[attempt.stage].handle(attempt)
                if not attempt.committed:
                    async with attempt.commit():
                        pass
            except AttemptVoid:
                log.warning("step.void", attempt=attempt.number)
            except asyncio.CancelledError as error:
                if attempt.lost:
                    log.warning("step.void", attempt=attempt.number)
                elif _is_being_cancelled():
                    raise
                else:
                    await self._failed(attempt, error)
            except Exception as error:
                await self._failed(attempt, error)
            else:
                seconds = round(asyncio.get_running_loop().time() - started, 4)
                log.debug("step.done", attempt=attempt.number, seconds=seconds)

    async def _failed(self, attempt: Attempt, error: BaseException) -> None:
        if attempt.committed:
            log.error("step.failed_after_commit", exc_info=error)
            return
        attempt.ending = True
        verdict = judge(error)
        most = self._most_attempts[attempt.stage]
        pause: timedelta | None = None
        if verdict.permanent:
            lasting = "permanent"
        elif attempt.number >= most:
            lasting = f"the last of {most} attempts"
        else:
            lasting = "transient"
            pause = pause_before(
                attempt.number,
                first_s=self._settings.backoff_s,
                limit_s=self._settings.backoff_limit_s,
                retry_after_s=verdict.retry_after_s,
            )
        described = describe_error(error, worker=self._worker, number=attempt.number, lasting=lasting)
        outcome = await self._record(attempt, pause, described)
        self._wake.set()
        written = log.error if outcome == "parked" else log.warning
        written(
            f"step.{outcome}",
            attempt=attempt.number,
            error=f"{described['type']}: {described['message']}",
            why=lasting,
            pause_s=None if pause is None else round(pause.total_seconds(), 2),
        )

    async def _record(self, attempt: Attempt, pause: timedelta | None, described: dict[str, object]) -> str:
        """Write the failure down; where the database does not answer until the lease is over, the lease decides."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + attempt.lease_s
        again_s = 0.05
        while True:
            try:
                async with self._pool.acquire() as connection:
                    return await store.fail(
                        connection,
                        attempt.step_id,
                        attempt.token,
                        pause=pause,
                        error=described,
                        notes=attempt.notes,
                    )
            except DATABASE_ERRORS as error:
                if loop.time() > deadline:
                    log.warning("step.not_recorded", error=f"{type(error).__name__}: {error}")
                    return "left_to_lease"
                await asyncio.sleep(again_s)
                again_s = min(again_s * 2, 2.0)


def _is_being_cancelled() -> bool:
    """Whether this task shall end; else a CancelledError came from something that the handler awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for the event, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
