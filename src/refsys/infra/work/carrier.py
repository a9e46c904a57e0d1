"""PgQueuer as we use it: schema `work`, rows that carry a step's id, its dequeue and its notifications."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

#: Every name is given, so that PGQUEUER_* in somebody's environment does not lead us to other tables.
SETTINGS: Final = DBSettings(
    prefix="",
    db_schema="work",
    channel=Channel("ch_pgqueuer"),
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    statistics_table="pgqueuer_statistics",
    schedules_table="pgqueuer_schedules",
    queue_status_type="pgqueuer_status",
    function="fn_pgqueuer_changed",
    trigger="tg_pgqueuer_changed",
)

# Who may take a step over is decided by the lease in work.step alone, never by the age of a row of the queue.
_NEVER: Final = timedelta(days=36_500)


class Carrier:
    """The queue, seen over one connection by one worker. `limits` maps each stage to its concurrency (0 = none)."""

    def __init__(self, connection: asyncpg.Connection, limits: Mapping[str, int]) -> None:
        self._connection = connection
        self._stages = list(limits)
        self._worker = QueueManagerId(uuid.uuid4())
        self._entrypoints = {
            QueueEntrypoint(stage): EntrypointExecutionParameter(concurrency_limit=limit)
            for stage, limit in limits.items()
        }
        self._queries = Queries(
            AsyncpgDriver(connection),
            qbe=QueryBuilderEnvironment(SETTINGS),
            qbq=QueryQueueBuilder(SETTINGS),
            qbs=QuerySchedulerBuilder(SETTINGS),
        )

    async def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever there may be something to take."""
        await self._connection.add_listener(SETTINGS.channel, lambda *_: wake())

    async def call(self) -> None:
        """Wake every worker. Outside of transactions: alone, a notification waits for no disk."""
        await self._connection.execute("SELECT pg_notify($1, '')", SETTINGS.channel)

    async def take(self, most: int) -> list[int]:
        """Take rows from the queue, the highest priority first; returns step ids. Call it inside a transaction."""
        jobs = await self._queries.dequeue(
            batch_size=most,
            entrypoints=self._entrypoints,
            queue_manager_id=self._worker,
            global_concurrency_limit=None,
            heartbeat_timeout=_NEVER,
        )
        return [int(job.payload or b"0") for job in jobs]

    async def next_due_s(self) -> float | None:
        """Seconds until the next deferred row is due, and a millisecond; None where there is none."""
        eta = await self._queries.next_deferred_eta([QueueEntrypoint(stage) for stage in self._stages])
        return None if eta is None else max(eta.total_seconds(), 0.0) + 0.001
