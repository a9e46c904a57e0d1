"""Bad products among good ones: each is parked with an error that helps, nothing of it is half-published."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from refsys.cli.demonstration.comparison import differences
from refsys.core.products import product_id
from refsys.infra.postgres import create_pool
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Storage, open_storage
from refsys.ingestion.inbox import sweep_attempts
from refsys.missions import load_types
from refsys.operations import service
from refsys.operations.model import Instruction
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.simulation.station import Station
from refsys.web.app import create_app
from tests.bad_products import (
    INCOMPLETE,
    REFUSED,
    USELESS,
    Bad,
    Case,
    bad,
    make_cases,
    make_products,
    spoiled,
)
from tests.conftest import database
from tests.pipeline import Pipeline, running_pipeline
from tests.waiting import wait_for

PARKED = (*REFUSED, *USELESS, *INCOMPLETE)
GOOD = 3

Start = Callable[..., AbstractAsyncContextManager[Pipeline]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run: good products and bad ones at a strict inbox, incomplete ones at one that records."""

    good: list[Path]
    strict: dict[str, Case]
    recorded: dict[str, Case]
    #: By name: the error of the parked step and its stage; the product; the answer to `$value`.
    parked: dict[str, dict[str, Any]]
    products: dict[str, asyncpg.Record]
    values: dict[str, httpx.Response]
    #: Ids in the change feed; names that OData lists; keys in storage.
    changes: list[Any]
    listed: set[str]
    keys: list[str]

    @property
    def published(self) -> set[str]:
        return {product.name for product in self.good} | {case.name for case in self.recorded.values()}


@pytest.fixture(scope="module")
def outcome(postgres_server: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("bad")
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, _run(postgres_server.dsn, template, folder)).result()


async def _run(server: str, template: str, folder: Path) -> Outcome:
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE bad_products TEMPLATE {template} STRATEGY FILE_COPY")
    await connection.close()
    dsn = database(server, "bad_products")
    pool = await create_pool(dsn)
    try:
        return await _become(Settings(state_dir=folder / "state"), dsn, pool, folder)
    finally:
        pool.terminate()


async def _become(settings: Settings, dsn: str, pool: asyncpg.Pool, folder: Path) -> Outcome:
    storage = open_storage(settings)
    products = make_products(folder / "products", GOOD + len(PARKED) + len(INCOMPLETE))
    good, rest = products[:GOOD], products[GOOD:]
    strict = make_cases(folder / "bad", PARKED, rest[: len(PARKED)])
    recorded = make_cases(folder / "incomplete", INCOMPLETE, rest[len(PARKED) :])
    async with Station() as one, Station() as other:
        for case in strict[::2]:
            case.offer(one)
        for product in good:
            one.offer(product)
        for case in strict[1::2]:
            case.offer(one)
        for case in recorded:
            case.offer(other)
        inboxes = [prip(one), prip(other, id="records", completeness="record")]
        async with running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage) as pipeline:
            await pipeline.published(*(product.name for product in good), *(case.name for case in recorded))
            parked = {case.name: await pipeline.parked(case.name) for case in strict}
            await pipeline.idle()
    names = [case.name for case in (*strict, *recorded)] + [product.name for product in good]
    listed, values = await _as_users_see(settings, pool, storage, names)
    return Outcome(
        good=good,
        strict={case.bad.about: case for case in strict},
        recorded={case.bad.about: case for case in recorded},
        parked=parked,
        products={row["name"]: row for row in await pool.fetch("SELECT * FROM catalogue.product")},
        values=values,
        changes=[row["product_id"] for row in await pool.fetch("SELECT product_id FROM catalogue.change")],
        listed=listed,
        keys=[info.key for info in storage.list("")],
    )


async def _as_users_see(
    settings: Settings, pool: asyncpg.Pool, storage: Storage, names: list[str]
) -> tuple[set[str], dict[str, httpx.Response]]:
    app = create_app(pool=pool, storage=storage, types=load_types(), settings=settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        page = (await client.get("/odata/v1/Products?$top=1000")).json()["value"]
        values = {name: await client.get(f"/odata/v1/Products({product_id(name)})/$value") for name in names}
    return {entry["Name"] for entry in page}, values


def prip(where: Station, **changes: Any) -> InboxSettings:
    return InboxSettings(**{"id": "strict", "type": "prip", "url": where.url, "poll_s": 0.1, **changes})


by_what_is_bad = pytest.mark.parametrize("what", PARKED, ids=lambda what: what.about)


@by_what_is_bad
def test_each_is_parked_with_an_error_that_names_it_and_says_what_to_do(outcome: Outcome, what: Bad) -> None:
    case = outcome.strict[what.about]
    error = outcome.parked[case.name]
    assert (error["stage"], error["type"]) == (what.stage or "ingestion.fetch.strict", what.error)
    assert error["why"] == "permanent"
    assert what.told in error["message"]
    assert error["subject"].startswith(case.name)
    assert what.subject in error["subject"]
    assert len(error["advice"]) > 20


@by_what_is_bad
def test_nothing_of_it_is_half_published(outcome: Outcome, what: Bad) -> None:
    name = outcome.strict[what.about].name
    assert name not in outcome.products
    assert product_id(name) not in outcome.changes
    assert name not in outcome.listed
    assert outcome.values[name].status_code == 404


@pytest.mark.parametrize("what", REFUSED, ids=lambda what: what.about)
def test_nothing_stays_in_storage_of_what_was_refused_while_it_came(outcome: Outcome, what: Bad) -> None:
    assert [key for key in outcome.keys if outcome.strict[what.about].name in key] == []


def test_everything_else_goes_on(outcome: Outcome, tmp_path: Path) -> None:
    assert outcome.products.keys() == outcome.listed == outcome.published
    assert {row["state"] for row in outcome.products.values()} == {"published"}
    assert sorted(outcome.changes) == sorted(product_id(name) for name in outcome.published)
    for product in outcome.good:
        package = tmp_path / product.name
        package.write_bytes(outcome.values[product.name].content)
        assert differences(product, package) == []


@pytest.mark.parametrize("what", INCOMPLETE, ids=lambda what: what.about)
def test_an_inbox_that_is_to_record_publishes_what_is_incomplete_and_notes_it(
    outcome: Outcome, what: Bad, tmp_path: Path
) -> None:
    case = outcome.recorded[what.about]
    (problem,) = outcome.products[case.name]["problems"]
    assert what.told in problem
    package = tmp_path / case.name
    package.write_bytes(outcome.values[case.name].content)
    assert differences(case.path, package) == []


# -- cures ---------------------------------------------------------------------------------------------------------


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
        station.offer(case.path, name=case.offered, size_bytes=0)
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
