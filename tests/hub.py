"""The CDSE root before a test's database: products entered with their documents, and questions as clients ask them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx

from refsys.catalogue import store
from refsys.distribution.rendering import store_documents
from refsys.infra.settings import Settings
from refsys.infra.storage import open_storage
from refsys.missions import load_types
from refsys.web.app import create_app
from tests.catalogue_rows import Row, insert_rows

TYPES = load_types()


@contextlib.asynccontextmanager
async def hub_client(pool: asyncpg.Pool, settings: Settings, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, its base the root; `more` is the application's."""
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings, **more)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test/odata/v1/") as client:
        yield client


async def enter(pool: asyncpg.Pool, *rows: Row, documented: bool = True) -> list[Row]:
    """Products in the catalogue, with what is rendered at publication."""
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for row in rows if documented else ():
            assert row.id is not None
            product = await store.fetch_product(connection, row.id)
            assert product is not None
            await store_documents(connection, product, TYPES)
    return list(rows)


async def get(client: httpx.AsyncClient, path: str = "Products", **options: Any) -> Any:
    """The JSON of an answer that is one; options without their `$`."""
    query = "&".join(f"${name}={quote(str(text))}" for name, text in options.items())
    response = await client.get(f"{path}?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def names(client: httpx.AsyncClient, path: str = "Products", **options: Any) -> list[str]:
    """The names of a page."""
    return [product["Name"] for product in (await get(client, path, **options))["value"]]
