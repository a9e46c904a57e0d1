"""One system as the station of another: its inbox takes everything from the PRIP root, each product once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import asyncpg
import pytest

from refsys.core.times import format_instant
from refsys.infra.postgres import create_pool
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import open_storage
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.simulation.samples import make_many, make_samples
from refsys.web.app import create_app
from tests.conftest import database
from tests.integration.test_inboxes import files_in, files_on_disk, folder
from tests.pipeline import Pipeline, running_pipeline
from tests.stored_products import TYPES
from tests.waiting import wait_for
from tests.web import asked, served


class Door:
    """The application, and what was asked of its PRIP root: query options of listings, paths of downloads."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.listings: list[dict[str, str]] = []
        self.downloads: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if path == "/prip/odata/v1/Products":
            options = parse_qs(scope["query_string"].decode())
            self.listings.append({name: values[0] for name, values in options.items()})
        elif path.endswith("/$value"):
            self.downloads.append(path)
        await self._app(scope, receive, send)


@pytest.fixture
async def other(
    postgres_server: EmbeddedPostgres, template: str, tmp_path: Path
) -> AsyncIterator[tuple[str, asyncpg.Pool, Settings]]:
    """A second system: database, pool, settings with a state folder of their own."""
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute(f"CREATE DATABASE taker TEMPLATE {template} STRATEGY FILE_COPY")
    dsn = database(postgres_server.dsn, "taker")
    pool = await create_pool(dsn)
    yield dsn, pool, Settings(state_dir=tmp_path / "taker")
    pool.terminate()
    await connection.execute("DROP DATABASE taker WITH (FORCE)")
    await connection.close()


def on_disk(product: Path) -> dict[str, bytes]:
    return {product.name: product.read_bytes()} if product.is_file() else files_on_disk(product)


async def hashes(pipeline: Pipeline) -> list[tuple[str, bytes]]:
    rows = await pipeline.pool.fetch("SELECT package_name, package_blake3 FROM catalogue.product ORDER BY 1")
    return [(row["package_name"], row["package_blake3"]) for row in rows]


async def test_an_inbox_of_ours_takes_all_that_another_system_publishes_and_then_only_what_is_new(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Any, tmp_path: Path,
    other: tuple[str, asyncpg.Pool, Settings],
) -> None:  # fmt: skip
    place = tmp_path / "inbox"
    place.mkdir()
    first = sorted(make_samples(tmp_path / "samples"))
    door = Door(create_app(pool=pool, storage=storage, types=TYPES, settings=settings))
    other_dsn, other_pool, other_settings = other
    async with (
        running_pipeline(settings, [folder(place)], pool=pool, dsn=dsn, storage=storage) as giver,
        served(door) as port,
    ):
        for product in first:
            product.rename(place / product.name)
        await giver.published(*(product.name for product in first))
        # two to a page: links to the next page are followed; no overlap: what was seen is not asked for again
        inbox = InboxSettings(
            id="prip", type="prip", url=f"http://127.0.0.1:{port}/prip/odata/v1", poll_s=0.2, page_size=2, overlap_s=0
        )
        async with running_pipeline(
            other_settings, [inbox], pool=other_pool, dsn=other_dsn, storage=open_storage(other_settings)
        ) as taker:
            found = await taker.published(*(product.name for product in first))
            for row, product in zip(found, first, strict=True):
                assert await files_in(taker, row) == on_disk(place / product.name)
            # not only the files: the packages are the same, byte for byte
            assert await hashes(taker) == await hashes(giver)
            assert len(door.downloads) == len(set(door.downloads)) == len(first)
            assert any("$skiptoken" in options for options in door.listings)

            newest = await pool.fetchval("SELECT max(published_at) FROM catalogue.product")
            since = f"PublicationDate gt {format_instant(newest - timedelta(milliseconds=1))[:23]}"

            async def is_up_to_date() -> bool:
                return door.listings[-1]["$filter"] >= since

            await wait_for(is_up_to_date, 20, "the inbox has seen everything")
            door.listings.clear()
            [late] = make_many(tmp_path / "late", 1, size_bytes=60_000)
            late.rename(place / late.name)
            [row] = await taker.published(late.name)
            assert await files_in(taker, row) == on_disk(place / late.name)
            assert len(door.downloads) == len(first) + 1
            assert min(options["$filter"] for options in door.listings) >= since
            assert len(await taker.offers()) == len(first) + 1


async def test_a_package_is_the_same_at_both_roots_and_can_be_resumed(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Any, tmp_path: Path
) -> None:
    place = tmp_path / "inbox"
    [product] = make_many(tmp_path / "made", 1, size_bytes=60_000)
    place.mkdir()
    product.rename(place / product.name)
    async with running_pipeline(settings, [folder(place)], pool=pool, dsn=dsn, storage=storage) as pipeline:
        [row] = await pipeline.published(product.name)
    app = create_app(pool=pool, storage=storage, types=TYPES, settings=settings)
    async with served(app) as port:
        path = f"Products({row['id']})/$value"
        whole = await asked(port, f"/prip/odata/v1/{path}")
        assert whole.status == 200
        assert whole.body == (await asked(port, f"/odata/v1/{path}")).body
        assert len(whole.body) == row["package_size"]
        assert whole.headers["content-disposition"] == f'attachment; filename="{product.name}.zip"'
        rest = await asked(port, f"/prip/odata/v1/{path}", Range="bytes=1000-", If_Range=whole.headers["etag"])
        assert (rest.status, rest.body) == (206, whole.body[1000:])
        head = await asked(port, f"/prip/odata/v1/{path}", "HEAD")
        assert (head.status, head.headers["content-length"], head.body) == (200, str(len(whole.body)), b"")
        listed = (await asked(port, f"/prip/odata/v1/Products({row['id']})/Quicklooks")).json["value"]
        for quicklook in listed:
            target = f"/prip/odata/v1/Products({row['id']})/Quicklooks('{quicklook['Image']}')/$value"
            picture = await asked(port, target)
            assert picture.status == 200
            assert picture.headers["content-type"] == quicklook["@odata.mediaContentType"]
        assert len(listed) == await pool.fetchval("SELECT count(*) FROM distribution.asset")


async def test_what_is_not_online_or_was_taken_away_is_told(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Any, tmp_path: Path
) -> None:
    place = tmp_path / "inbox"
    place.mkdir()
    products = sorted(make_many(tmp_path / "made", 2, size_bytes=60_000))
    for product in products:
        product.rename(place / product.name)
    async with running_pipeline(settings, [folder(place)], pool=pool, dsn=dsn, storage=storage) as pipeline:
        evicted, withdrawn = await pipeline.published(*(product.name for product in products))
    await pool.execute("UPDATE catalogue.product SET online = false WHERE id = $1", evicted["id"])
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetch("SELECT * FROM catalogue.announce($1, 'withdrawn', 'a test')", [withdrawn["id"]])
    async with served(create_app(pool=pool, storage=storage, types=TYPES, settings=settings)) as port:
        for row, status, told in ((evicted, 404, "not online"), (withdrawn, 410, "a test")):
            answer = await asked(port, f"/prip/odata/v1/Products({row['id']})/$value")
            assert answer.status == status
            assert told in answer.json["error"]["message"]
        listed = (await asked(port, "/prip/odata/v1/Products")).json["value"]
        assert [(product["Name"], product["Online"]) for product in listed] == [(evicted["package_name"], False)]
