"""What the dialects say of a product, rendered and kept at its publication: a page is then a concatenation."""

from __future__ import annotations

from typing import Final

import asyncpg

from refsys.catalogue import store
from refsys.catalogue.model import Product
from refsys.distribution import assets
from refsys.distribution.odata import documents as odata
from refsys.distribution.stac import items as stac
from refsys.distribution.stac.assets import MAIN_PATHS
from refsys.missions import TypeRegistry

_STORE: Final = """
INSERT INTO distribution.document (product_id, kind, render_version, edition, body)
SELECT $1, kind, render_version, $2, body
  FROM unnest($3::text[], $4::int[], $5::text[]) AS rendered(kind, render_version, body)
ON CONFLICT (product_id, kind) DO UPDATE SET
    render_version = excluded.render_version, edition = excluded.edition, body = excluded.body
"""


async def store_documents(connection: asyncpg.Connection, product: Product, types: TypeRegistry) -> None:
    """Render and keep a packaged product's bodies; inside the publishing transaction, before `commands.publish`."""
    files = await store.files_like(connection, [product.content_id], MAIN_PATHS)
    pictures = await assets.of_products(connection, [product.id])
    rendered = (
        (odata.PRODUCT, odata.RENDER_VERSION, odata.render_product(product)),
        (odata.ATTRIBUTES, odata.RENDER_VERSION, odata.render_attributes(product.attributes, types.attributes)),
        (
            stac.ITEM,
            stac.version_of(product.type_id, types),
            stac.render_item(product, files[product.content_id], types, pictures[product.id]),
        ),
    )
    kinds, versions, bodies = zip(*rendered, strict=True)
    await connection.execute(_STORE, product.id, product.edition, kinds, versions, bodies)
