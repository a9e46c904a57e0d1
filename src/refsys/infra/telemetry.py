"""What the system tells about itself: metrics (Prometheus text), and whether it lives and is ready.

Counts of work and products are read from PostgreSQL at each scrape, and those of processes from the kernel: whichever
API process answers, the answer is the same, and no numbers are shared between processes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import asyncpg
import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from refsys.core.errors import RefsysError
from refsys.infra.postgres import DATABASE_ERRORS, MIGRATED_PACKAGES, require_schema
from refsys.infra.runfile import pids_of, running

if TYPE_CHECKING:
    from refsys.infra.storage import Storage

_Seen = TypeVar("_Seen")

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
#: Those that have nothing to do are told too: a series that vanishes cannot be told from one that is not scraped.
_SUBSCRIBED_SQL = "SELECT DISTINCT stage FROM work.subscription ORDER BY stage"
#: How long a process may go on adding to a day that is over.
_OPEN: Final = timedelta(days=2)
STATES: Final = ("due", "running", "parked")
#: Rules of operators in force, and the products that a hold keeps from being published.
RULES_SQL: Final = """
    SELECT kind, (SELECT count(*) FROM catalogue.rule r WHERE r.kind = kinds.kind AND r.lifted_at IS NULL) AS in_force,
           CASE kind WHEN 'hold' THEN (
               SELECT count(*) FROM catalogue.product p WHERE p.state = 'packaged' AND EXISTS (
                   SELECT FROM catalogue.rule r WHERE r.kind = 'hold' AND r.lifted_at IS NULL
                      AND catalogue.applies(r, p.name, p.collection, p.product_type, p.platform, p.sensing_start)))
           ELSE 0 END AS products
      FROM unnest(ARRAY['hold', 'visibility', 'ban', 'pin', 'activate']) AS kinds(kind)
"""
#: What users downloaded, by day, from a day on; and how many downloads go on now.
_VOLUMES_SQL = """
    SELECT day, sum(downloads)::bigint AS downloads, sum(bytes)::bigint AS bytes, sum(links)::bigint AS links,
           sum(linked_bytes)::bigint AS linked_bytes, sum(refused)::bigint AS refused
      FROM distribution.volume WHERE day >= $1 GROUP BY day
"""
_TAKEN_SQL = "SELECT distribution.slots_taken()"
#: Subscriptions of users: how many, what waits for them, how many fail and for how long; and how far the feed was not
#: looked through for one that waits for nothing else.
SUBSCRIPTIONS_SQL: Final = """
    SELECT kinds.kind, statuses.status, count(s.id) AS subscriptions, coalesce(sum(s.queued), 0)::bigint AS waiting,
           count(*) FILTER (WHERE s.attempts > 0) AS failing,
           coalesce(extract(epoch FROM clock_timestamp() - min(s.failing_since)), 0)::float8 AS failing_s,
           coalesce(max(last.position - s.position) FILTER (WHERE s.status = 'running'), 0) AS behind
      FROM unnest(ARRAY['pull', 'push']) AS kinds(kind)
     CROSS JOIN unnest(ARRAY['running', 'paused']) AS statuses(status)
     CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM catalogue.change) last
      LEFT JOIN distribution.subscription s
             ON s.status = statuses.status AND (s.endpoint IS NOT NULL) = (kinds.kind = 'push')
     GROUP BY kinds.kind, statuses.status
     ORDER BY kinds.kind, statuses.status
"""
_INBOXES_SQL = """
    SELECT id, states, failures, expired_total, fetched_bytes, near, coalesce(lag_s, 0) AS lag_s
      FROM ingestion.inbox_state ORDER BY id
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


class Metrics:
    """The metrics of one process of ours; keeps how far into the feed it has counted."""

    def __init__(self, pool: asyncpg.Pool, storage: Storage | None = None, state_dir: Path | None = None) -> None:
        self._pool = pool
        self._state_dir = state_dir
        self._counts = Look(self._count)
        self._free = Look(lambda: asyncio.to_thread(storage.free_bytes)) if storage is not None else None
        self._position = self._published = 0
        self._latest = 0.0
        self._volumes = _Volumes()
        self._lock = asyncio.Lock()

    async def render(self) -> bytes:
        """Everything in the text format 0.0.4. Where the database does not answer, `refsys_database_up` is 0; where the
        storage does not, nothing is said of it.
        """
        async with self._lock:
            families = [
                *await self._of_database(),
                *await asyncio.to_thread(_of_processes, self._state_dir),
                *await self._of_storage(),
            ]
        registry = CollectorRegistry()
        registry.register(_Fixed(families))
        return generate_latest(registry)

    async def _of_database(self) -> list[Metric]:
        up = GaugeMetricFamily("refsys_database_up", "1 where PostgreSQL answers")
        try:
            subscribed, queues, published, ruling, volumes, taken, told, inboxes = await self._counts(CHECK_TIMEOUT_S)
        except DATABASE_ERRORS:
            up.add_metric([], 0)
            return [up]
        up.add_metric([], 1)
        self._published += published["published"]
        self._position = published["position"] or self._position
        self._latest = published["latest"] or self._latest
        counts = {(stage["stage"], state): 0 for stage in (*subscribed, *queues) for state in STATES}
        counts |= {(row["stage"], row["state"]): row["steps"] for row in queues}
        steps = GaugeMetricFamily("refsys_steps", "steps by stage and state", labels=["stage", "state"])
        for (stage, state), count in counts.items():
            steps.add_metric([stage, state], count)
        waits = dict.fromkeys((stage for stage, _ in counts), 0.0)
        waits |= {row["stage"]: max(0.0, row["waiting_s"]) for row in queues if row["state"] == "due"}
        waiting = GaugeMetricFamily(
            "refsys_step_oldest_waiting_seconds", "how long the oldest due step has waited", labels=["stage"]
        )
        for stage, waited_s in waits.items():
            waiting.add_metric([stage], waited_s)
        counted = CounterMetricFamily("refsys_products_published", "products published so far", value=self._published)
        feed = GaugeMetricFamily("refsys_feed_position", "newest position of the change feed", value=self._position)
        latest = GaugeMetricFamily(
            "refsys_feed_latest_timestamp_seconds",
            "instant of the newest change, seconds since 1970",
            value=self._latest,
        )
        rules = GaugeMetricFamily("refsys_rules_in_force", "rules of operators in force, by kind", labels=["kind"])
        for row in ruling:
            rules.add_metric([row["kind"]], row["in_force"])
        held = GaugeMetricFamily(
            "refsys_products_held", "products that a hold keeps from being published", value=ruling[0]["products"]
        )
        going_on = GaugeMetricFamily("refsys_downloads_active", "downloads that go on now", value=taken)
        families = [up, steps, waiting, counted, feed, latest, rules, held, going_on]
        return [*families, *self._volumes.add(volumes), *_of_subscriptions(told), *_of_inboxes(inboxes)]

    async def _count(self) -> tuple[Any, ...]:
        async with self._pool.acquire() as connection:
            return (
                await connection.fetch(_SUBSCRIBED_SQL),
                await connection.fetch(QUEUES_SQL),
                await connection.fetchrow(_PUBLISHED_SQL, self._position),
                await connection.fetch(RULES_SQL),
                await connection.fetch(_VOLUMES_SQL, self._volumes.since),
                await connection.fetchval(_TAKEN_SQL),
                await connection.fetch(SUBSCRIPTIONS_SQL),
                await connection.fetch(_INBOXES_SQL),
            )

    async def _of_storage(self) -> list[Metric]:
        if self._free is None:
            return []
        try:
            found = await self._free(CHECK_TIMEOUT_S)
        except (RefsysError, OSError, TimeoutError):
            return []
        if found is None:
            return []
        return [
            GaugeMetricFamily("refsys_storage_free_bytes", "free bytes of the storage", value=found[0]),
            GaugeMetricFamily("refsys_storage_total_bytes", "size of the storage in bytes", value=found[1]),
        ]


class _Volumes:
    """Sums over all days; those that nobody adds to any more are not asked for again."""

    def __init__(self) -> None:
        self.since = date.min
        self._closed: Counter[str] = Counter()

    def add(self, days: Sequence[asyncpg.Record]) -> list[Metric]:
        """`days`: the sums of each day from `since` on."""
        closed = max((row["day"] for row in days), default=date.min + _OPEN) - _OPEN
        sums = self._closed.copy()
        for row in days:
            found = {name: row[name] for name in ("downloads", "bytes", "links", "linked_bytes", "refused")}
            sums.update(found)
            if row["day"] < closed:
                self._closed.update(found)
        self.since = max(self.since, closed)
        downloads = CounterMetricFamily("refsys_downloads", "downloads, by how they went", labels=["how"])
        sizes = CounterMetricFamily("refsys_download_bytes", "bytes of downloads, by how they went", labels=["how"])
        for how, count, size in (("sent", "downloads", "bytes"), ("linked", "links", "linked_bytes")):
            downloads.add_metric([how], sums[count])
            sizes.add_metric([how], sums[size])
        refused = CounterMetricFamily(
            "refsys_downloads_refused", "downloads refused as the user has enough", value=sums["refused"]
        )
        return [downloads, sizes, refused]


class Health:
    """Whether requests can be served: the database answers, its schema suits us, the storage answers."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        storage: Storage,
        packages: Sequence[str] = MIGRATED_PACKAGES,
        *,
        timeout_s: float = 0.0,
    ) -> None:
        self._pool = pool
        self._packages = packages
        self._timeout_s = timeout_s or CHECK_TIMEOUT_S
        self._storage = storage
        self._database_look = Look(self._ask_database)
        self._storage_look = Look(self._ask_storage)

    async def ready(self) -> Readiness:
        """Never raises, and never takes much longer than its timeout."""
        checks, storage = await asyncio.gather(self._look_at_database(), self._look_at_storage())
        return Readiness(checks | {"storage": storage})

    async def _look_at_database(self) -> dict[str, str]:
        checks = {"database": "ok", "schema": "ok"}
        try:
            await self._database_look(self._timeout_s)
        except RefsysError as error:
            checks["schema"] = str(error)
        except DATABASE_ERRORS as error:
            checks |= {"database": _told(error), "schema": "not looked at"}
        return checks

    async def _look_at_storage(self) -> str:
        try:
            await self._storage_look(self._timeout_s)
        except (RefsysError, OSError, TimeoutError) as error:
            return _told(error)
        return "ok"

    async def _ask_database(self) -> None:
        async with self._pool.acquire() as connection:
            await require_schema(connection, self._packages)

    async def _ask_storage(self) -> None:
        await asyncio.to_thread(self._storage.free_bytes)
        await asyncio.to_thread(self._storage.stat, "health/ready")


class Look(Generic[_Seen]):
    """A look at something that may hang, a thread or a connection with it. It is never made twice at the same time, and
    goes on when nobody waits for it any more: what hangs holds one of them, and not, after some minutes, all.
    """

    def __init__(self, look: Callable[[], Coroutine[Any, Any, _Seen]]) -> None:
        self._look = look
        self._going_on: asyncio.Task[_Seen] | None = None

    async def __call__(self, timeout_s: float) -> _Seen:
        """Raises what the look raises, and TimeoutError."""
        if self._going_on is None or self._going_on.done():
            self._going_on = asyncio.create_task(self._look())
            # nobody may be waiting any more when it fails
            self._going_on.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.wait_for(asyncio.shield(self._going_on), timeout_s)


def live() -> dict[str, Any]:
    """The process lives and its event loop turns: being able to say so is the proof."""
    return {"status": "ok", "pid": psutil.Process().pid}


def _told(error: BaseException) -> str:
    return str(error) or ("does not answer in time" if isinstance(error, TimeoutError) else type(error).__name__)


def _of_subscriptions(rows: Sequence[asyncpg.Record]) -> list[Metric]:
    """By kind and status, those that there are none of too."""
    number = GaugeMetricFamily("refsys_subscriptions", "subscriptions of users", labels=["kind", "status"])
    waiting = GaugeMetricFamily(
        "refsys_notifications_waiting", "notifications in the queues of subscriptions", labels=["kind", "status"]
    )
    for row in rows:
        number.add_metric([row["kind"], row["status"]], row["subscriptions"])
        waiting.add_metric([row["kind"], row["status"]], row["waiting"])
    running = [row for row in rows if row["status"] == "running"]
    failing = GaugeMetricFamily(
        "refsys_subscriptions_failing",
        "running subscriptions whose endpoint did not take the last notification",
        value=sum(row["failing"] for row in running),
    )
    failing_s = GaugeMetricFamily(
        "refsys_push_failing_seconds",
        "how long the endpoint that fails longest has taken nothing",
        value=max(row["failing_s"] for row in running),
    )
    behind = GaugeMetricFamily(
        "refsys_subscriptions_behind",
        "changes that were not looked at yet for the running subscription that is furthest behind",
        value=max(row["behind"] for row in running),
    )
    return [number, waiting, failing, failing_s, behind]


def _of_inboxes(rows: Sequence[asyncpg.Record]) -> list[Metric]:
    """What each inbox remembers, and how it does."""
    offers = GaugeMetricFamily("refsys_inbox_files", "remote files by inbox and state", labels=["inbox", "state"])
    lag = GaugeMetricFamily(
        "refsys_inbox_lag_seconds", "how long the oldest wanted file has waited to be stored", labels=["inbox"]
    )
    failures = GaugeMetricFamily("refsys_inbox_failures", "looks that failed in a row", labels=["inbox"])
    near = GaugeMetricFamily(
        "refsys_inbox_eviction_near", "files not stored yet that the station deletes soon", labels=["inbox"]
    )
    expired = CounterMetricFamily(
        "refsys_inbox_expired", "files that the station gave up before they were stored", labels=["inbox"]
    )
    fetched = CounterMetricFamily("refsys_inbox_fetched_bytes", "bytes of files that were stored", labels=["inbox"])
    for row in rows:
        for state, files in row["states"].items():
            offers.add_metric([row["id"], state], files)
        lag.add_metric([row["id"]], row["lag_s"])
        failures.add_metric([row["id"]], row["failures"])
        near.add_metric([row["id"]], row["near"])
        expired.add_metric([row["id"]], row["expired_total"])
        fetched.add_metric([row["id"]], row["fetched_bytes"])
    return [offers, lag, failures, near, expired, fetched]


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
