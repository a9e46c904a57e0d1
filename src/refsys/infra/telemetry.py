"""What the system tells about itself: metrics (Prometheus text), and whether it lives and is ready.

Counts of work and products are read from PostgreSQL at each scrape, and those of processes from the kernel: whichever
API process answers, the answer is the same, and no numbers are shared between processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from refsys.core.errors import RefsysError
from refsys.infra.postgres import MIGRATED_PACKAGES, require_schema
from refsys.infra.runfile import pids_of, running

if TYPE_CHECKING:
    from refsys.infra.storage import Storage

METRICS_CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
CHECK_TIMEOUT_S: Final = 5.0

#: Steps by stage and state; how many of the due ones pause until later; how long the oldest due one has waited past its
#: time, in seconds.
QUEUES_SQL: Final = """
    SELECT stage, state, count(*) AS steps,
           count(*) FILTER (WHERE state = 'due' AND not_before > clock_timestamp()) AS deferred,
           coalesce(extract(epoch FROM clock_timestamp() - min(greatest(created_at, not_before))
                                       FILTER (WHERE state = 'due')), 0)::float8 AS waiting_s
      FROM work.step
     GROUP BY stage, state
     ORDER BY stage, state
"""
_PUBLISHED_SQL = """
    SELECT count(*) FILTER (WHERE kind = 'created') AS published, max(position) AS position,
           extract(epoch FROM max(at))::float8 AS latest
      FROM catalogue.change
     WHERE position > $1
"""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`checks`: what was looked at → "ok" or what is wrong."""

    checks: dict[str, str]

    @property
    def is_ready(self) -> bool:
        return all(told == "ok" for told in self.checks.values())


@dataclass(slots=True)
class Metrics:
    """The metrics of one process of ours; keeps how far into the feed it has counted."""

    pool: asyncpg.Pool
    storage: Storage | None = None
    state_dir: Path | None = None
    _position: int = 0
    _published: int = 0
    _latest: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def render(self) -> bytes:
        """Everything in the text format 0.0.4. Where the database does not answer, `refsys_database_up` is 0."""
        async with self._lock:
            families = [*await self._of_database(), *await asyncio.to_thread(self._of_machine)]
        registry = CollectorRegistry()
        registry.register(_Fixed(families))
        return generate_latest(registry)

    async def _of_database(self) -> list[Metric]:
        up = GaugeMetricFamily("refsys_database_up", "1 where PostgreSQL answers")
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), self.pool.acquire() as connection:
                queues = await connection.fetch(QUEUES_SQL)
                published = await connection.fetchrow(_PUBLISHED_SQL, self._position)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        self._published += published["published"]
        self._position = published["position"] or self._position
        self._latest = published["latest"] or self._latest
        steps = GaugeMetricFamily("refsys_steps", "steps by stage and state", labels=["stage", "state"])
        waiting = GaugeMetricFamily(
            "refsys_step_oldest_waiting_seconds", "how long the oldest due step has waited", labels=["stage"]
        )
        for row in queues:
            steps.add_metric([row["stage"], row["state"]], row["steps"])
            if row["state"] == "due":
                waiting.add_metric([row["stage"]], max(0.0, row["waiting_s"]))
        counted = CounterMetricFamily("refsys_products_published", "products published so far", value=self._published)
        feed = GaugeMetricFamily("refsys_feed_position", "newest position of the change feed", value=self._position)
        latest = GaugeMetricFamily(
            "refsys_feed_latest_timestamp_seconds",
            "instant of the newest change, seconds since 1970",
            value=self._latest,
        )
        return [up, steps, waiting, counted, feed, latest]

    def _of_machine(self) -> Iterable[Metric]:
        yield from _of_processes(self.state_dir)
        free = self.storage.free_bytes() if self.storage is not None else None
        if free is not None:
            yield GaugeMetricFamily("refsys_storage_free_bytes", "free bytes of the storage", value=free[0])
            yield GaugeMetricFamily("refsys_storage_total_bytes", "size of the storage in bytes", value=free[1])


async def ready(
    pool: asyncpg.Pool,
    storage: Storage,
    packages: Sequence[str] = MIGRATED_PACKAGES,
    *,
    timeout_s: float = CHECK_TIMEOUT_S,
) -> Readiness:
    """Whether requests can be served: the database answers, its schema suits us, the storage answers."""
    checks = {"database": "ok", "schema": "ok", "storage": "ok"}
    try:
        async with asyncio.timeout(timeout_s), pool.acquire() as connection:
            await require_schema(connection, packages)
    except RefsysError as error:
        checks["schema"] = str(error)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        checks |= {"database": _told(error), "schema": "not looked at"}
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.to_thread(storage.stat, "health/ready")
    except (RefsysError, OSError, TimeoutError) as error:
        checks["storage"] = _told(error)
    return Readiness(checks)


def live() -> dict[str, Any]:
    """The process lives and its event loop turns: being able to say so is the proof."""
    return {"status": "ok", "pid": psutil.Process().pid}


def _told(error: BaseException) -> str:
    return str(error) or ("does not answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


class _Fixed:
    """A collector of what was collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_processes(state_dir: Path | None) -> list[Metric]:
    """CPU, memory, descriptors and restarts of every process of the state folder's run, else of this process."""
    record = running(state_dir) if state_dir is not None else None
    processes = list(pids_of(record)) if record else [("self", psutil.Process().pid)]
    cpu = CounterMetricFamily("refsys_process_cpu_seconds", "CPU time", labels=["process"])
    memory = GaugeMetricFamily("refsys_process_resident_memory_bytes", "resident memory", labels=["process"])
    started = GaugeMetricFamily("refsys_process_start_time_seconds", "start, seconds since 1970", labels=["process"])
    files = GaugeMetricFamily("refsys_process_open_fds", "open file descriptors", labels=["process"])
    restarts = CounterMetricFamily("refsys_process_restarts", "restarts by the supervisor", labels=["process"])
    for name, pid in processes:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                cpu.add_metric([name], times.user + times.system)
                memory.add_metric([name], process.memory_info().rss)
                started.add_metric([name], process.create_time())
            files.add_metric([name], process.num_fds())
        except psutil.Error:
            continue  # it ended meanwhile, or runs as another user: the others still count
    for known in record.processes if record else ():
        restarts.add_metric([known.name], known.restarts)
    return [cpu, memory, started, files, restarts]
