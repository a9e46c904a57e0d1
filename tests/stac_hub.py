"""STAC API before a test's database: products of their types, and questions as clients ask them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx

from refsys.catalogue import store
from refsys.core.errors import UnknownProduct
from refsys.distribution.rendering import store_documents
from refsys.infra.settings import Settings
from refsys.infra.storage import open_storage
from refsys.web.app import create_app
from tests.catalogue_rows import Row, insert_rows
from tests.hub import TYPES

BASE = "http://stac.test"
ROOT = f"{BASE}/stac"

_OF_TYPE = "UPDATE catalogue.product SET type_id = $2, timeliness = $3 WHERE id = $1"


@contextlib.asynccontextmanager
async def stac_client(pool: asyncpg.Pool, settings: Settings, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, its base the service; `more` is the application's."""
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings, **more)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


async def enter(pool: asyncpg.Pool, *rows: Row) -> list[Row]:
    """Products in the catalogue, of the types that their names have, with what is rendered at publication."""
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for row in rows:
            with contextlib.suppress(UnknownProduct):
                kind = TYPES.recognise(row.name).type
                await connection.execute(_OF_TYPE, row.id, kind.id, kind.timeliness.class_of(row.attributes))
            assert row.id is not None
            product = await store.fetch_product(connection, row.id)
            assert product is not None
            await store_documents(connection, product, TYPES)
    return list(rows)


async def get(client: httpx.AsyncClient, path: str, status: int = 200, **params: Any) -> Any:
    """The JSON of an answer."""
    response = await client.get(
        f"/stac{path}", params={name.replace("_", "-"): value for name, value in params.items()}
    )
    assert response.status_code == status, response.text
    return response.json()


async def post(client: httpx.AsyncClient, body: Any, status: int = 200) -> Any:
    """The JSON of an answer to a search by POST."""
    response = await client.post("/stac/search", json=body)
    assert response.status_code == status, response.text
    return response.json()


async def found(client: httpx.AsyncClient, path: str = "/search", **params: Any) -> list[str]:
    """The ids of a page."""
    return [item["id"] for item in (await get(client, path, **params))["features"]]


async def refused(client: httpx.AsyncClient, path: str = "/search", status: int = 400, **params: Any) -> str:
    """What is said of a request that is refused."""
    error = await get(client, path, status, **params)
    assert set(error) == {"code", "description"}
    return str(error["description"])
