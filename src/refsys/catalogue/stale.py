"""Which products other tables described than those in force: found by fingerprint, and by their names.

Looked at is only what is online: of the others there are no bytes to read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue.fingerprints import current_fingerprint
from refsys.catalogue.model import PRODUCT_COLUMNS, Product
from refsys.catalogue.store import product_from
from refsys.missions import TypeRegistry

#: Names that are looked at in one go.
PAGE: Final = 2000

# each pair once, however many products have it: from one to the next by the index
_DESCRIBED_BY: Final = """
WITH RECURSIVE seen AS (
    (SELECT type_id, type_fingerprint FROM catalogue.product WHERE online
      ORDER BY type_id, type_fingerprint LIMIT 1)
    UNION ALL
    SELECT following.* FROM seen, LATERAL (
        SELECT p.type_id, p.type_fingerprint FROM catalogue.product p
         WHERE p.online AND (p.type_id, p.type_fingerprint) > (seen.type_id, seen.type_fingerprint)
         ORDER BY p.type_id, p.type_fingerprint LIMIT 1) AS following
)
SELECT type_id, type_fingerprint FROM seen
"""
_COUNT: Final = "SELECT count(*) FROM catalogue.product WHERE online AND type_id = $1 AND type_fingerprint <> $2"
_COUNT_ONLINE: Final = "SELECT count(*) FROM catalogue.product WHERE online"
_COLUMNS: Final = ", ".join(PRODUCT_COLUMNS)
# on either side of the fingerprint in force, so that what has it already is not walked through
_STALE: Final = tuple(
    " ".join(
        (
            "SELECT",
            _COLUMNS,
            "FROM catalogue.product",
            f"WHERE online AND type_id = $1 AND type_fingerprint {side} $2 AND (type_fingerprint, id) > ($3, $4)",
            "ORDER BY type_fingerprint, id LIMIT $5",
        )
    )
    for side in ("<", ">")
)
_NAMES: Final = "SELECT id, name, type_id FROM catalogue.product WHERE online AND id > $1 ORDER BY id LIMIT $2"
_THESE: Final = " ".join(("SELECT", _COLUMNS, "FROM catalogue.product WHERE id = ANY ($1::uuid[]) ORDER BY id"))
_PATTERNS: Final = "SELECT patterns FROM catalogue.recognition"
_LEAST_ID: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk has come: everything up to this product is done."""

    fingerprint: str = ""
    id: UUID = _LEAST_ID


START: Final = Place()


@dataclass(frozen=True, slots=True)
class Batch:
    """Products to be described anew; `seen` were looked at for it, `place` is where the next batch begins."""

    products: Sequence[Product]
    seen: int
    place: Place
    is_last: bool


async def stale_types(connection: asyncpg.Connection, types: TypeRegistry) -> dict[str, str]:
    """The types (ids that products have) with products that other rows described, and the fingerprint in force."""
    pairs = [(row["type_id"], row["type_fingerprint"]) for row in await connection.fetch(_DESCRIBED_BY)]
    wanted = {type_id: current_fingerprint(types, type_id) for type_id, _ in pairs}
    return {type_id: wanted[type_id] for type_id, fingerprint in pairs if fingerprint != wanted[type_id]}


async def count_stale(connection: asyncpg.Connection, type_id: str, wanted: str) -> int:
    """How many products of a type another row described."""
    count: int = await connection.fetchval(_COUNT, type_id, wanted)
    return count


async def count_online(connection: asyncpg.Connection) -> int:
    """How many products have a name to be looked at."""
    count: int = await connection.fetchval(_COUNT_ONLINE)
    return count


async def stale_of_type(
    connection: asyncpg.Connection, type_id: str, wanted: str, after: Place, *, limit: int
) -> Batch:
    """The next products of a type that another row described."""
    rows: list[asyncpg.Record] = []
    for side in _STALE:
        if len(rows) < limit:
            rows += await connection.fetch(side, type_id, wanted, after.fingerprint, after.id, limit - len(rows))
    products = [product_from(row) for row in rows]
    place = Place(products[-1].type_fingerprint, products[-1].id) if products else after
    return Batch(products, len(products), place, len(products) < limit)


async def stale_by_name(connection: asyncpg.Connection, types: TypeRegistry, after: Place, *, limit: int) -> Batch:
    """The next products whose name is that of another type now; a batch may be empty and not the last one."""
    page = await connection.fetch(_NAMES, after.id, PAGE)
    found = await asyncio.to_thread(_of_other_types, page, types)
    is_cut = len(found) > limit
    last = found[limit - 1] if is_cut else page[-1]["id"] if page else after.id
    rows = await connection.fetch(_THESE, found[:limit])
    seen = sum(row["id"] <= last for row in page)
    return Batch([product_from(row) for row in rows], seen, Place(id=last), not is_cut and len(page) < PAGE)


async def looked_at(connection: asyncpg.Connection) -> str | None:
    """The fingerprint of the patterns that all names were looked at with last; None where they never were."""
    patterns: str | None = await connection.fetchval(_PATTERNS)
    return patterns


def _of_other_types(page: Sequence[Any], types: TypeRegistry) -> list[UUID]:
    found = []
    for row in page:
        recognised = next(types.matching(row["name"]), None)
        if recognised is not None and recognised.type.id != row["type_id"]:
            found.append(row["id"])
    return found
