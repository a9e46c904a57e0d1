"""Items as a reader wants them: the stored bodies of products that were found, complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote
from uuid import UUID

import asyncpg

from refsys.catalogue import store
from refsys.distribution import assets
from refsys.distribution.stac.assets import MAIN_PATHS
from refsys.distribution.stac.items import ITEM, Volatile, fill, render_item, version_of
from refsys.infra.storage import object_key
from refsys.missions import TypeRegistry

#: What `complete` needs of products (`p`), and where it comes from.
COLUMNS: Final = (
    "p.id",
    "p.final_base",
    "p.published_at",
    "p.modified_at",
    "p.online",
    "p.evicted_at",
    "p.type_id",
    "item.render_version",
    "item.body AS item",
)
JOIN: Final = f"""
LEFT JOIN distribution.document item
       ON item.product_id = p.id AND item.kind = '{ITEM}'
      AND item.edition = p.edition"""


async def complete(
    connection: asyncpg.Connection,
    rows: Sequence[asyncpg.Record],
    types: TypeRegistry,
    *,
    base_url: str,
    storage_url: str = "",
) -> list[str]:
    """The items of rows with COLUMNS, in their order; those that have no body of this version and edition are rendered.

    `base_url` is the service's address, `storage_url` that of the storage, where it is a bucket (s3://bucket/prefix).
    """
    stale = [row["id"] for row in rows if row["render_version"] != version_of(row["type_id"], types)]
    anew = await _render(connection, stale, types)
    return [
        fill(
            anew.get(row["id"]) or row["item"],
            Volatile(
                published_at=row["published_at"],
                modified_at=row["modified_at"],
                online=row["online"],
                evicted_at=row["evicted_at"],
                base_url=base_url,
                store_url=quote(object_key(storage_url, row["final_base"]), safe="/:") if storage_url else "",
            ),
        )
        for row in rows
    ]


async def _render(connection: asyncpg.Connection, ids: Sequence[UUID], types: TypeRegistry) -> dict[UUID, str]:
    if not ids:
        return {}
    products = await store.fetch_products(connection, ids)
    files = await store.files_like(connection, [product.content_id for product in products], MAIN_PATHS)
    pictures = await assets.of_products(connection, ids)
    return {
        product.id: render_item(product, files[product.content_id], types, pictures[product.id]) for product in products
    }
