"""Bad products among good ones: each is parked with an error that helps, nothing of it is half-published."""

from __future__ import annotations

import asyncio
import concurrent.futures
from dataclasses import dataclass
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
from refsys.missions import load_types
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.simulation.station import Station
from refsys.web.app import create_app
from tests.bad_products import (
    INCOMPLETE,
    REFUSED,
    USELESS,
    Bad,
    Case,
    make_cases,
    make_products,
)
from tests.conftest import database
from tests.pipeline import running_pipeline

PARKED = (*REFUSED, *USELESS, *INCOMPLETE)
GOOD = 3


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
