"""A disk that fills up: what does not fit waits, nothing is half-published, and all goes on when room is made."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from refsys.infra.settings import InboxSettings, Settings, WorkSettings
from refsys.infra.storage import Storage
from refsys.simulation.samples import make_many
from refsys.simulation.station import Station
from tests.pipeline import WORK, running_pipeline
from tests.small_disk import Disk, small_disk
from tests.waiting import wait_for

COUNT = 12
PRODUCT_BYTES = 250_000
DISK_BYTES = 2 * 2**20
#: Steps that fail are tried again for as long as a disk may be full.
PATIENT = WorkSettings(**WORK.model_dump() | {"max_attempts": 1000, "backoff_limit_s": 0.2})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as disk:
        yield disk


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    async with Station() as station:
        yield station


def inbox(station: Station) -> InboxSettings:
    return InboxSettings(id="station", type="prip", url=station.url, poll_s=0.2)


async def names_in(pool: asyncpg.Pool, what: str) -> set[str]:
    return {row["name"] for row in await pool.fetch(f"SELECT name FROM {what}")}


def names_stored(storage: Storage) -> set[str]:
    return {next(each for each in info.key.split("/") if each.startswith("S1A_IW_")) for info in storage.list("")}


async def test_what_does_not_fit_waits_in_its_inbox_and_is_published_when_there_is_room(
    disk: Disk, station: Station, settings: Settings, pool: asyncpg.Pool, dsn: str, tmp_path: Path
) -> None:
    products = {product.name for product in make_many(tmp_path / "products", COUNT, size_bytes=PRODUCT_BYTES)}
    for name in products:
        station.offer(tmp_path / "products" / name)

    async def stands_still() -> bool:
        """Some wait, nothing is due, and the inbox has looked several times since."""
        waiting = await pool.fetchval("SELECT count(*) FROM ingestion.remote WHERE state = 'waiting'")
        if not waiting or await pool.fetchval("SELECT count(*) FROM work.step"):
            looks.append(len(station.journal.listings()))
        return bool(looks) and len(station.journal.listings()) > looks[-1] + 4

    looks: list[int] = []
    async with running_pipeline(
        settings, [inbox(station)], pool=pool, dsn=dsn, storage=disk.storage, work=PATIENT
    ) as pipeline:
        await wait_for(stands_still, message="fetching pauses")
        published = await names_in(pool, "catalogue.product WHERE state = 'published'")
        waiting = await names_in(pool, "ingestion.remote WHERE state = 'waiting'")
        assert len(published) >= 3
        assert {f"{name}.zip" for name in products - published} == waiting
        assert await names_in(pool, "catalogue.content") == names_stored(disk.storage) == published
        assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == len(published)
        disk.grow(16 * DISK_BYTES)
        await pipeline.published(*products)
        await pipeline.idle()
        assert await pipeline.parked_steps() == []
    assert names_stored(disk.storage) == products
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == COUNT


@contextlib.contextmanager
def no_file_larger_than(size_bytes: int) -> Iterator[None]:
    """What this process writes beyond is refused (EFBIG), as by a disk or a quota that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_store_that_takes_no_more_for_a_while_is_tried_again(
    storage: Storage, station: Station, settings: Settings, pool: asyncpg.Pool, dsn: str, tmp_path: Path
) -> None:
    small = make_many(tmp_path / "small", 1)[0]
    large = make_many(tmp_path / "large", 1, size_bytes=5 * 2**20, seed=2)[0]
    for product in (small, large):
        station.package(station.offer(product).name)  # the station writes no more from here on

    async def is_refused() -> bool:
        row = await pool.fetchrow("SELECT tries, problem FROM ingestion.remote WHERE product = $1", large.name)
        return row is not None and row["tries"] > 3 and row["problem"] != ""

    async with running_pipeline(
        settings, [inbox(station)], pool=pool, dsn=dsn, storage=storage, work=PATIENT
    ) as pipeline:
        with no_file_larger_than(2**20):
            await pipeline.published(small.name)
            await wait_for(is_refused)
            assert names_stored(storage) == {small.name}
            assert await names_in(pool, "catalogue.content") == {small.name}
        await pipeline.published(small.name, large.name)
    # a full disk is nobody's failure: the offer waited, and no attempt counts against its step
    assert await pool.fetchval("SELECT count(*) FROM work.history WHERE attempts > 1 AND stage LIKE 'ingestion.%'") == 0
