"""`/metrics`: every number moves with what it counts, and every API process tells the same."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from refsys.core.errors import Permanent
from refsys.infra.postgres import create_pool
from refsys.infra.runfile import ProcessRecord, RunRecord, StateLock, write_run
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.infra.telemetry import METRICS_CONTENT_TYPE, Metrics
from refsys.infra.work import Attempt
from refsys.missions import load_types
from refsys.runtime.supervisor import running_system
from refsys.web.app import create_app
from tests.catalogue_rows import START, Row, insert_rows
from tests.proxy import proxied
from tests.waiting import wait_for
from tests.web import asked, served
from tests.working import due, running, stage

Labels = frozenset[tuple[str, str]]
Scraped = dict[tuple[str, Labels], float]

TYPES = load_types()
#: What every scrape of a well system has, whatever it does.
ALWAYS = {
    "refsys_database_up": "gauge",
    "refsys_steps": "gauge",
    "refsys_step_oldest_waiting_seconds": "gauge",
    "refsys_products_published": "counter",
    "refsys_feed_position": "gauge",
    "refsys_feed_latest_timestamp_seconds": "gauge",
    "refsys_rules_in_force": "gauge",
    "refsys_subscriptions": "gauge",
    "refsys_notifications_waiting": "gauge",
    "refsys_subscriptions_failing": "gauge",
    "refsys_push_failing_seconds": "gauge",
    "refsys_subscriptions_behind": "gauge",
    "refsys_products_held": "gauge",
    "refsys_downloads_active": "gauge",
    "refsys_downloads": "counter",
    "refsys_download_bytes": "counter",
    "refsys_downloads_refused": "counter",
    "refsys_inbox_files": "gauge",
    "refsys_inbox_lag_seconds": "gauge",
    "refsys_inbox_failures": "gauge",
    "refsys_inbox_eviction_near": "gauge",
    "refsys_inbox_expired": "counter",
    "refsys_inbox_fetched_bytes": "counter",
    "refsys_process_cpu_seconds": "counter",
    "refsys_process_resident_memory_bytes": "gauge",
    "refsys_process_start_time_seconds": "gauge",
    "refsys_process_open_fds": "gauge",
    "refsys_process_restarts": "counter",
    "refsys_storage_free_bytes": "gauge",
    "refsys_storage_total_bytes": "gauge",
}


@pytest.fixture
def metrics(pool: asyncpg.Pool, storage: Storage, settings: Settings) -> Metrics:
    return Metrics(pool, storage, settings.state_dir)


def parsed(text: bytes | str) -> Scraped:
    """Name and labels → value. Raises ValueError where it is no exposition."""
    families = text_string_to_metric_families(text if isinstance(text, str) else text.decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def value(metrics: Metrics, name: str, **labels: str) -> float:
    return parsed(await metrics.render())[name, frozenset(labels.items())]


async def test_it_is_an_exposition_that_prometheus_reads_and_says_what_each_number_is(
    pool: asyncpg.Pool, storage: Storage, settings: Settings
) -> None:
    app = create_app(pool=pool, storage=storage, types=TYPES, settings=settings)
    async with served(app) as port:
        answer = await asked(port, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == METRICS_CONTENT_TYPE
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert {family.name: family.type for family in families} == ALWAYS
    assert all(family.documentation for family in families)
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)) == len(parsed(answer.body))


async def test_steps_are_counted_by_stage_and_state(metrics: Metrics, pool: asyncpg.Pool, dsn: str) -> None:
    async def steps() -> list[float]:
        return [
            await value(metrics, "refsys_steps", stage="dummy", state=state) for state in ("due", "running", "parked")
        ]

    await due(pool, "a", "b", "c")
    assert await steps() == [3, 0, 0]
    may_end = asyncio.Event()

    async def work(attempt: Attempt) -> None:
        if attempt.key == "c":
            raise Permanent("cannot be done")
        await may_end.wait()

    await pool.execute("CREATE TABLE effect (id bigserial, stage text, key text, attempt int, worker text)")
    async with running(dsn, pool, stage(before=work)):

        async def is_so() -> bool:
            return await steps() == [0, 2, 1]

        await wait_for(is_so)
        may_end.set()

        async def is_over() -> bool:
            return await steps() == [0, 0, 1]

        await wait_for(is_over)


async def test_stages_with_nothing_to_do_are_told_as_such(metrics: Metrics) -> None:
    for state in ("due", "running", "parked"):
        assert await value(metrics, "refsys_steps", stage="distribution.publish", state=state) == 0
    assert await value(metrics, "refsys_step_oldest_waiting_seconds", stage="distribution.publish") == 0


async def test_the_oldest_step_that_waits_is_told_with_its_age(metrics: Metrics, pool: asyncpg.Pool) -> None:
    async def waiting() -> float:
        return await value(metrics, "refsys_step_oldest_waiting_seconds", stage="dummy")

    await due(pool, "a", "b")
    assert 0 <= await waiting() < 60
    await pool.execute("UPDATE work.step SET created_at = created_at - interval '1 hour' WHERE key = 'b'")
    assert 3600 <= await waiting() < 3660
    await pool.execute("UPDATE work.step SET not_before = clock_timestamp() + interval '1 hour'")
    assert await waiting() == 0


async def test_publications_are_counted_and_the_feed_moves(metrics: Metrics, pool: asyncpg.Pool) -> None:
    assert await value(metrics, "refsys_products_published_total") == 0
    for total in (2, 5):
        before = await value(metrics, "refsys_feed_latest_timestamp_seconds")
        async with pool.acquire() as connection:
            for number in range(await connection.fetchval("SELECT count(*) FROM catalogue.change"), total):
                instant = START + timedelta(hours=number)
                await insert_rows(connection, [Row(f"P{number}", published_at=instant, modified_at=instant)])
        assert await value(metrics, "refsys_products_published_total") == total
        assert await value(metrics, "refsys_feed_position") == total
        assert await value(metrics, "refsys_feed_latest_timestamp_seconds") > before


async def test_free_storage_is_that_of_the_folder(metrics: Metrics, settings: Settings) -> None:
    found = os.statvfs(settings.state_dir / "storage")
    assert await value(metrics, "refsys_storage_total_bytes") == found.f_blocks * found.f_frsize
    free = await value(metrics, "refsys_storage_free_bytes")
    assert abs(free - found.f_bavail * found.f_frsize) < 2**30


async def test_a_storage_that_is_gone_is_left_out(metrics: Metrics, settings: Settings) -> None:
    shutil.rmtree(settings.state_dir / "storage")
    names = {name for name, _ in parsed(await metrics.render())}
    assert "refsys_database_up" in names
    assert not any(name.startswith("refsys_storage") for name in names)


async def test_processes_are_those_of_the_run_with_their_restarts(metrics: Metrics, settings: Settings) -> None:
    lock = StateLock(settings.state_dir)
    lock.acquire()
    try:
        worker = ProcessRecord("worker-1", "worker", pid=os.getpid(), state="running", restarts=3)
        gone = ProcessRecord("api-1", "api", pid=0, state="restarting", restarts=7)
        write_run(settings.state_dir, RunRecord(os.getpid(), "", "", "", "", "", (worker, gone)))
        scraped = parsed(await metrics.render())
    finally:
        lock.release()
    named = {dict(labels)["process"] for name, labels in scraped if name == "refsys_process_open_fds"}
    assert named == {"supervisor", "worker-1"}
    restarts = {dict(labels)["process"]: n for (name, labels), n in scraped.items() if "restarts" in name}
    assert restarts == {"worker-1": 3, "api-1": 7}


async def test_without_a_run_the_process_itself_is_told(metrics: Metrics) -> None:
    before = await value(metrics, "refsys_process_cpu_seconds_total", process="self")
    opened = [os.open(__file__, os.O_RDONLY) for _ in range(20)]
    files = await value(metrics, "refsys_process_open_fds", process="self")
    for file in opened:
        os.close(file)
    assert await value(metrics, "refsys_process_open_fds", process="self") <= files - 15

    async def has_worked() -> bool:
        return await value(metrics, "refsys_process_cpu_seconds_total", process="self") > before

    await wait_for(has_worked)
    assert await value(metrics, "refsys_process_resident_memory_bytes", process="self") > 2**20


async def test_a_database_that_is_away_is_told_in_a_scrape_that_works(
    dsn: str, storage: Storage, settings: Settings, tmp_path: Path
) -> None:
    async with proxied(dsn, tmp_path) as way:
        pool = await create_pool(way.dsn)
        async with served(create_app(pool=pool, storage=storage, types=TYPES, settings=settings)) as port:
            await way.cut()
            answer = await asked(port, "/metrics")
            assert answer.status == 200
            scraped = parsed(answer.body)
            assert scraped["refsys_database_up", frozenset()] == 0
            assert not any(name.startswith("refsys_steps") for name, _ in scraped)
            assert any(name == "refsys_process_open_fds" for name, _ in scraped)
            await way.open()

            async def is_back() -> bool:
                return parsed((await asked(port, "/metrics")).body)["refsys_database_up", frozenset()] == 1

            await wait_for(is_back)
        pool.terminate()


@pytest.fixture
async def two_processes(dsn: str, settings: Settings) -> AsyncIterator[str]:
    """A system with two API processes on one port."""
    async with running_system(settings.model_copy(update={"database_url": SecretStr(dsn)}), roles=["api"]) as system:
        yield system.url


async def test_two_processes_on_one_port_tell_the_same(two_processes: str, pool: asyncpg.Pool) -> None:
    port = int(two_processes.rpartition(":")[2])
    await due(pool, "a", "b")
    answered: dict[int, Scraped] = {}

    async def both_have_answered() -> bool:
        """Each connection is one process's: it says on the same connection who it is."""
        pid, scraped = await scrape(port)
        answered[pid] = scraped
        return len(answered) == 2

    await wait_for(both_have_answered)
    one, other = answered.values()
    assert one.keys() == other.keys()
    assert one["refsys_steps", frozenset({("stage", "dummy"), ("state", "due")})] == 2
    moving = (
        "refsys_process_cpu",
        "refsys_process_resident",
        "refsys_process_open",
        "refsys_storage_free",
        "refsys_step_old",
    )
    steady = {key for key in one if not key[0].startswith(moving)}
    assert {key: one[key] for key in steady} == {key: other[key] for key in steady}
    assert {dict(labels).get("process") for _, labels in one} == {None, "supervisor", "api-1", "api-2"}


async def scrape(port: int) -> tuple[int, Scraped]:
    """The pid of the process that has the connection, and its metrics."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=httpx.Limits(max_connections=1)) as client:
        live = await client.get("/health/live")
        metrics = await client.get("/metrics")
    return live.json()["pid"], parsed(metrics.text)
