"""The same products in both catalogues, for `benchmarks.search`: refsys's items, with the assets of the hub's.

An item is what refsys keeps at publication, its assets replaced by one for each file as the European hub's items have
them (`benchmarks.items`): as long as those, and the same bytes on both sides. Names, times, footprints and attributes
are those of `tests.catalogue_rows`: three missions, ten years.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from tests.catalogue_rows import Row, plausible_rows

from benchmarks.items import assets_of
from benchmarks.stac_peer import Peer
from refsys.catalogue import bulk, store
from refsys.catalogue.bulk import Entry, StoredPackage
from refsys.catalogue.model import Product
from refsys.core.products import Description, FileEntry
from refsys.distribution.odata import documents
from refsys.distribution.stac import items
from refsys.distribution.stac.assets import BASE
from refsys.infra.postgres import connected
from refsys.missions import TypeRegistry

#: The address that both sides' items name.
ADDRESS: Final = "https://hub.example"
#: Products that are made at once.
CHUNK: Final = 10_000
#: Days over which they are spread.
DAYS: Final = 3650.0

_DOCUMENT: Final = ("product_id", "kind", "render_version", "edition", "body")
_COUNT: Final = "SELECT count(*) FROM catalogue.product"
_KEEP: Final = """
UPDATE distribution.document SET render_version = $2 WHERE kind = $1 AND render_version <> $2
"""
_KEEP_ITEMS: Final = """
UPDATE distribution.document d SET render_version = $2 FROM catalogue.product p
 WHERE d.product_id = p.id AND d.kind = $1 AND p.type_id = $3 AND d.render_version <> $2
"""
_TYPES: Final = "SELECT DISTINCT type_id FROM catalogue.product"
_TABLES: Final = (
    "catalogue.content",
    "catalogue.file",
    "catalogue.product",
    "catalogue.footprint_part",
    "catalogue.change",
    "distribution.document",
)


async def present(dsn: str) -> int:
    """How many products there are."""
    async with connected(dsn) as connection:
        found: int = await connection.fetchval(_COUNT)
        return found


async def fill(ours: str, peer: Peer, types: TypeRegistry, count: int, folder: Path, console: Console) -> None:
    """Bring both sides to `count` products (in whole chunks), evenly over ten years; what is there already stays."""
    done = await present(ours)
    if done != await peer.count():
        raise SystemExit(f"the sides have {done} and {await peer.count()} products: delete {folder} and fill anew")
    started, before = time.perf_counter(), done
    loading: asyncio.Task[Any] | None = None
    while done < count:
        rows = list(plausible_rows(CHUNK, seed=done, days=DAYS * CHUNK / count, first=done))
        texts = await _enter(ours, rows, types, done)
        await peer.add_collections({orjson.loads(text)["collection"] for text in texts})
        if loading is not None:
            await loading
        loading = asyncio.create_task(asyncio.to_thread(peer.load, texts, folder))
        done += len(texts)
        rate = (done - before) / (time.perf_counter() - started)
        console.print(f"{done:,} products, {rate:.0f} a second")
    if loading is not None:
        await loading


async def _enter(dsn: str, rows: list[Row], types: TypeRegistry, seed: int) -> list[bytes]:
    """Products of ours with all their documents; their items, complete."""
    rng, texts = random.Random(seed), []
    async with connected(dsn) as connection:
        for first in range(0, len(rows), bulk.MOST):
            batch = {row.name: row for row in rows[first : first + bulk.MOST]}
            entered = await bulk.enter(connection, [_entry(row, types) for row in batch.values()])
            products = await store.fetch_products(connection, list(entered.products.values()))
            documents_of = []
            for product in sorted(products, key=lambda product: product.feed_position or 0):
                body = _item(product, batch[product.name], types, rng)
                documents_of += _documents(product, body, types)
                texts.append(_filled(product, body))
            await connection.copy_records_to_table(
                "document", schema_name="distribution", columns=_DOCUMENT, records=documents_of
            )
    return texts


def _entry(row: Row, types: TypeRegistry) -> Entry:
    description = Description(row.sensing_start, row.sensing_stop, row.footprint, row.attributes)
    file = FileEntry(f"{row.name}/manifest.safe", row.package_size - 300, 1, b"m" * 16, b"b" * 32)
    package = StoredPackage(f"S/{row.name}", (file,), 1, f"{row.name}.zip", row.package_size, b"m" * 16, b"b" * 32)
    return Entry(types.recognise(row.name), description, "search", package)


def _item(product: Product, row: Row, types: TypeRegistry, rng: random.Random) -> str:
    """The body of an item, with the places that are filled when it is read."""
    body = items.render_item(product, (), types)
    head, member, package = body.partition('"assets":{')
    assets = assets_of(row, rng, f"s3://eodata/{product.final_base}")
    return head + member + orjson.dumps(assets)[1:-1].decode().replace(ADDRESS, BASE) + "," + package


def _documents(product: Product, body: str, types: TypeRegistry) -> list[tuple[Any, ...]]:
    bodies = (
        (documents.PRODUCT, documents.RENDER_VERSION, documents.render_product(product)),
        (
            documents.ATTRIBUTES,
            documents.RENDER_VERSION,
            documents.render_attributes(product.attributes, types.attributes),
        ),
        (items.ITEM, items.version_of(product.type_id, types), body),
    )
    return [(product.id, kind, version, product.edition, text) for kind, version, text in bodies]


def _filled(product: Product, body: str) -> bytes:
    assert product.published_at is not None
    assert product.modified_at is not None
    volatile = items.Volatile(product.published_at, product.modified_at, product.online, None, ADDRESS)
    return items.fill(body, volatile).encode()


async def copy_over(source: str, target: str, folder: Path) -> None:
    """Bring all products of one database of ours into another one, which has none."""
    path = folder / "copied"
    for table in _TABLES:
        schema, _, name = table.partition(".")
        async with connected(source) as connection:
            await connection.copy_from_query(f"SELECT * FROM {table}", output=str(path), format="binary")
        async with connected(target) as connection:
            await connection.copy_to_table(name, schema_name=schema, source=str(path), format="binary")
    path.unlink()


async def keep_current(dsn: str, types: TypeRegistry) -> None:
    """Documents that were made by an earlier release count as this one's: their bytes are the benchmark's own."""
    async with connected(dsn) as connection:
        kinds = [(documents.PRODUCT, documents.RENDER_VERSION), (documents.ATTRIBUTES, documents.RENDER_VERSION)]
        for kind, version in kinds:
            await connection.execute(_KEEP, kind, version)
        for row in await connection.fetch(_TYPES):
            await connection.execute(_KEEP_ITEMS, items.ITEM, items.version_of(row["type_id"], types), row["type_id"])
        await connection.execute("VACUUM ANALYZE")
