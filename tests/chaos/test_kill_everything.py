"""The whole system under SIGKILL in the middle of a run: each product is published once, with the bytes it had.

The station lives in this process; everything else is a real `refsys up` with its embedded PostgreSQL, which fsyncs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import psutil
import pytest

from refsys.cli.demonstration.comparison import differences
from refsys.core.times import parse_instant
from refsys.infra.postgres import create_pool
from refsys.infra.storage.local import LocalStorage
from refsys.ingestion.inboxes.sweeping import sweep_attempts, sweep_unfinished
from refsys.runtime.embedded import EmbeddedPostgres, dsn_of
from refsys.runtime.services import postgres_folder
from refsys.simulation.station import Station
from tests.bad_products import make_products
from tests.up import System, are_gone, await_up, started
from tests.waiting import wait_for

pytestmark = pytest.mark.chaos

COUNT: Final = 300
#: What is counted before a kill; `starting`: nothing, it hits a system that is not up yet.
STAGES: Final = ("published", "stored", "starting", "packaged", "described")
#: Leases are short, so that nobody waits half a minute for what a killed worker held; a step may be hit by every kill.
CONFIG: Final = """
[http]
processes = 1

[work]
concurrency = 4
lease_s = 2.0
backoff_s = 0.1
max_attempts = 30

[[inbox]]
id = "station"
type = "prip"
url = "{url}"
poll_s = 0.5
concurrency = 2
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM ingestion.remote WHERE state = 'stored') AS stored, count(*) AS described,
       count(packaged_at) AS packaged, count(published_at) AS published
  FROM catalogue.product
"""
_NEEDED: Final = """
SELECT p.final_base || '/' || f.path AS key FROM catalogue.product p JOIN catalogue.file f USING (content_id)
 WHERE NOT f.is_folder
UNION ALL
SELECT final_base || '/_made/' || name || '/' || encode(package_md5, 'hex') || '/' || package_name
  FROM catalogue.product WHERE package_layout = 2
UNION ALL
SELECT p.final_base || '/' || a.path FROM catalogue.product p JOIN distribution.asset a ON a.product_id = p.id
 WHERE a.is_made
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: as soon as so many products have passed a stage, and some seconds later."""

    stage: str
    count: int
    later_s: float


def moments(rounds: int, seed: int) -> list[Moment]:
    """Spread over the run."""
    rng = random.Random(seed)
    found = []
    for number in range(rounds):
        stage = STAGES[number % len(STAGES)]
        count = 1 + int(0.8 * COUNT * (number + rng.random()) / rounds)
        found.append(Moment(stage, count, rng.uniform(0.1, 3.0) if stage == "starting" else rng.uniform(0.0, 0.1)))
    return found


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_products(tmp_path_factory.mktemp("products"), COUNT)


@pytest.fixture
def station(products: list[Path]) -> Iterator[Station]:
    with Station() as station:
        for product in products:
            station.offer(product)
        yield station


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder; no PostgreSQL runs in it afterwards, whatever a test left."""
    yield tmp_path / "state"
    left = EmbeddedPostgres(postgres_folder(tmp_path / "state"))
    left.settle()
    left.stop()


async def published(connection: asyncpg.Connection) -> dict[str, Any]:
    """What users were told: by name, id, date and position."""
    rows = await connection.fetch(
        "SELECT name, id, published_at, feed_position FROM catalogue.product p WHERE state = 'published'"
    )
    return {row["name"]: tuple(row) for row in rows}


async def kill(system: System, moment: Moment) -> dict[str, Any]:
    """Await the moment and kill every process at once; returns what was published before."""
    before: dict[str, Any] = {}
    if moment.stage != "starting":
        await asyncio.to_thread(await_up, system)
        connection = await asyncpg.connect(dsn_of(postgres_folder(system.state)))

        async def has_come() -> bool:
            return bool((await connection.fetchrow(_COUNTS))[moment.stage] >= moment.count)

        await wait_for(has_come, 60, f"{moment.count} products {moment.stage}")
        before = await published(connection)
        await connection.close()
        assert len(before) < COUNT, "it hits a run that goes on"
    moment_s = time.monotonic() + moment.later_s
    await wait_for(lambda: time.monotonic() >= moment_s)
    tree = system.tree()
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):  # those whose parent was the first to go
            process.kill()
    assert are_gone(tree)
    return before


def forget(state: Path) -> None:
    """Delete everything but what PostgreSQL and storage hold."""
    for path in state.iterdir():
        if path.name not in ("postgresql", "storage"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("rounds", "seed"),
    [pytest.param(2, 1, id="twice"), *(pytest.param(10, seed, marks=pytest.mark.soak) for seed in (2, 3))],
)
@pytest.mark.timeout(600)
async def test_each_product_is_published_once_with_its_bytes_however_often_everything_is_killed(
    rounds: int, seed: int, station: Station, state: Path, products: list[Path], tmp_path: Path
) -> None:
    told: dict[str, Any] = {}
    for moment in moments(rounds, seed):
        with started(state, config=CONFIG.format(url=station.url)) as system:
            told |= await kill(system, moment)
    with started(state, config=CONFIG.format(url=station.url)) as system:
        await everything_is_as_if_nothing_had_happened(system, products, told, tmp_path, hit=True)


async def test_everything_but_postgresql_and_storage_may_be_deleted_in_the_middle(
    station: Station, state: Path, products: list[Path], tmp_path: Path
) -> None:
    with started(state, config=CONFIG.format(url=station.url)) as system:
        told = await kill(system, Moment("packaged", COUNT // 2, 0.05))
    forget(state)
    assert {path.name for path in state.iterdir()} == {"postgresql", "storage"}
    with started(state, config=CONFIG.format(url=station.url)) as system:
        await everything_is_as_if_nothing_had_happened(system, products, told, tmp_path)


async def everything_is_as_if_nothing_had_happened(
    system: System, products: Sequence[Path], told: dict[str, Any], folder: Path, *, hit: bool = False
) -> None:
    """`told` is what users were told before the kills; `hit`: some of them were of steps that ran."""
    await asyncio.to_thread(await_up, system)
    pool = await create_pool(dsn_of(postgres_folder(system.state)))
    try:
        await _are_over(pool)
        await _are_published_once(pool, products, told)
        await _come_back(system.run.url, pool, products, folder)
        await _leave_nothing(pool, system.state / "storage")
        assert await pool.fetchval("SHOW fsync") == "on"
        if hit:
            assert await pool.fetchval("SELECT count(*) FROM work.history WHERE attempts > 1") > 0
    finally:
        await pool.close()
    system.process.send_signal(signal.SIGTERM)
    assert system.process.wait(60) == 0


async def _are_over(pool: asyncpg.Pool) -> None:
    async def is_over() -> bool:
        counts = await pool.fetchrow(_COUNTS)
        return bool(counts["published"] == COUNT) and not await pool.fetchval("SELECT count(*) FROM work.step")

    await wait_for(is_over, 120, "everything is published and no step is left, none parked")


async def _are_published_once(pool: asyncpg.Pool, products: Sequence[Path], told: dict[str, Any]) -> None:
    now = await published(pool)
    assert now.keys() == {product.name for product in products}
    assert told.items() <= now.items(), "what users were told stays"
    changes = await pool.fetch("SELECT kind, product_id, position FROM catalogue.change ORDER BY position")
    assert [tuple(change) for change in changes] == [
        ("created", identity, position) for _, identity, _, position in sorted(now.values(), key=lambda each: each[3])
    ]
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == COUNT


async def _come_back(url: str, pool: asyncpg.Pool, products: Sequence[Path], folder: Path) -> None:
    """Users find each once, and get the bytes that the station had."""
    sources = {product.name: product for product in products}
    dates = {name: date for name, _, date, _ in (await published(pool)).values()}
    async with httpx.AsyncClient(base_url=f"{url}/odata/v1") as client:
        page = (await client.get("/Products?$count=true&$top=1000")).json()
        assert page["@odata.count"] == len(page["value"]) == COUNT
        assert {each["Name"]: parse_instant(each["PublicationDate"]) for each in page["value"]} == dates
        for each in page["value"]:
            package = folder / "package"
            package.write_bytes((await client.get(f"/Products({each['Id']})/$value")).raise_for_status().content)
            assert differences(sources[each["Name"]], package) == []


async def _leave_nothing(pool: asyncpg.Pool, root: Path) -> None:
    """After the sweep that comes a day later, storage holds what products need, and nothing else."""
    yesterday = time.time() - timedelta(days=2).total_seconds()
    for path in (root / ".new", *(root / ".new").rglob("*")):
        os.utime(path, (yesterday, yesterday))
    await sweep_attempts(pool, LocalStorage(root), datetime.now(UTC) + timedelta(seconds=5))
    await sweep_unfinished(LocalStorage(root), datetime.now(UTC) - timedelta(days=1))
    needed = {row["key"] for row in await pool.fetch(_NEEDED)}
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == needed
    assert [path for path in root.rglob("*") if path.is_dir() and not any(path.iterdir())] == [root / ".new"]
