"""A parked product that is cured, by its station or by an operator, is published; one given up leaves nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.ingestion.inboxes.sweeping import sweep_attempts
from refsys.operations import service
from refsys.operations.model import Instruction
from refsys.simulation.station import Station
from tests.bad_products import bad, make_products, spoiled
from tests.pipeline import Pipeline, running_pipeline
from tests.waiting import wait_for

Start = Callable[..., AbstractAsyncContextManager[Pipeline]]


def prip(where: Station, **changes: Any) -> InboxSettings:
    return InboxSettings(**{"id": "station", "type": "prip", "url": where.url, "poll_s": 0.1, **changes})


@pytest.fixture
def start(settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage) -> Start:
    """Start a pipeline with these inboxes."""

    def begin(*inboxes: InboxSettings) -> AbstractAsyncContextManager[Pipeline]:
        return running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage)

    return begin


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_products(tmp_path_factory.mktemp("product"), 1)[0]


async def act(pool: asyncpg.Pool, name: str, instruction: Instruction) -> None:
    """What `refsys parked …` does with the parked step of a product."""
    async with pool.acquire() as connection:
        step_id = await connection.fetchval("SELECT id FROM work.step WHERE state = 'parked' AND key = $1", name)
        await service.act_on_one(connection, instruction, step_id)


async def restart(pool: asyncpg.Pool, name: str) -> None:
    await act(pool, name, Instruction("restart", author="anna"))


@pytest.mark.parametrize("about", ["truncated zip", "member ../../x"])
async def test_what_the_station_mends_quietly_is_published_after_a_restart(
    about: str, start: Start, pool: asyncpg.Pool, product: Path, tmp_path: Path
) -> None:
    case = spoiled(bad(about), product, tmp_path)
    async with Station(algorithms=()) as station:
        # neither size nor checksum are announced: nothing new is to be found there when the file is another
        station.offer(case.path, name=case.offered, size_bytes=-1)
        async with start(prip(station)) as pipeline:
            await pipeline.parked(case.name)
            station.replace(case.offered, product, quietly=True)
            looks = len(station.journal.listings())
            await wait_for(lambda: len(station.journal.listings()) > looks + 2)
            assert len(await pipeline.offers()) == 1
            await restart(pool, case.name)
            await pipeline.published(case.name)
            await pipeline.idle()
            assert await pipeline.parked_steps() == []


async def test_what_the_station_publishes_anew_is_published_without_an_operator(
    start: Start, product: Path, tmp_path: Path
) -> None:
    case = spoiled(bad("truncated zip"), product, tmp_path)
    async with Station() as station:
        case.offer(station)
        async with start(prip(station)) as pipeline:
            await pipeline.parked(case.name)
            station.replace(case.offered, product)
            await pipeline.published(case.name)


async def test_what_a_strict_inbox_parked_is_published_as_it_is_once_the_inbox_is_to_record(
    start: Start, pool: asyncpg.Pool, product: Path, tmp_path: Path
) -> None:
    case = spoiled(bad("missing file"), product, tmp_path)
    async with Station() as station:
        case.offer(station)
        async with start(prip(station)) as pipeline:
            advice = (await pipeline.parked(case.name))["advice"]
        async with start(prip(station, completeness="record")) as pipeline:
            await restart(pool, case.name)
            (published,) = await pipeline.published(case.name)
        assert len(station.journal.downloads()) == 1
    assert "set the inbox's completeness to 'record'" in advice
    assert len(published["problems"]) == 1


async def test_what_was_parked_for_its_change_becomes_a_revision_once_the_inbox_says_so(
    start: Start, pool: asyncpg.Pool, product: Path, tmp_path: Path
) -> None:
    case = spoiled(bad("other MD5"), product, tmp_path)
    async with Station() as station:
        station.offer(product)
        async with start(prip(station, completeness="record")) as pipeline:
            await pipeline.published(product.name)
            station.replace(case.offered, case.path)
            advice = (await pipeline.parked(product.name))["advice"]
        async with start(prip(station, completeness="record", on_change="revise")) as pipeline:
            await restart(pool, product.name)
            await wait_for(lambda: pool.fetchval("SELECT count(*) = 3 FROM catalogue.change"))
            (published,) = await pipeline.published(product.name)
    assert "set the inbox's on_change to 'revise'" in advice
    assert published["revision"] == 2


async def test_what_was_mended_meanwhile_is_not_undone_by_a_restart(
    start: Start, pool: asyncpg.Pool, product: Path, tmp_path: Path
) -> None:
    case = spoiled(bad("other MD5"), product, tmp_path)
    async with Station() as station:
        case.offer(station)
        async with start(prip(station)) as pipeline:
            await pipeline.parked(case.name)
            station.replace(case.offered, product)
            before = await pipeline.published(case.name)
        async with start(prip(station, completeness="record", on_change="revise")) as pipeline:
            await restart(pool, case.name)
            await pipeline.idle()
            assert await pipeline.parked_steps() == []
            assert await pipeline.published(case.name) == before
            base = before[0]["final_base"]
            assert [info.key for info in pipeline.storage.list("") if not info.key.startswith(base)] == []


async def test_nothing_stays_in_storage_of_what_an_operator_deletes(
    start: Start, pool: asyncpg.Pool, product: Path, tmp_path: Path
) -> None:
    deleted, kept = bad("million laughs"), bad("missing manifest")
    others = make_products(tmp_path / "more", 2)
    async with Station() as station:
        cases = [spoiled(deleted, product, tmp_path), spoiled(kept, others[1], tmp_path)]
        for case in cases:
            case.offer(station)
        async with start(prip(station)) as pipeline:
            for case in cases:
                await pipeline.parked(case.name)
            await act(pool, cases[0].name, Instruction("delete", author="anna", reason="ESA withdrew it"))
            await sweep_attempts(pool, pipeline.storage, datetime.now(UTC) + timedelta(seconds=5))
            await pipeline.idle()
            stored = {info.key.split("/")[2] for info in pipeline.storage.list("")}
    assert stored == {cases[1].name}
