"""What belongs to a product besides its package: its pictures. Table distribution.asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import asyncpg

#: The one kind there is, as the hub names it (standards 2.1).
QUICKLOOK: Final = "QUICKLOOK"


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture. Its bytes are the object `<final base of the product>/<path>`; `is_made`: not a file of its own."""

    id: UUID
    product_id: UUID
    kind: str
    path: str
    is_made: bool
    media_type: str
    size: int
    md5: bytes
    blake3: bytes
    made_at: datetime


_COLUMNS: Final = ", ".join(field.name for field in fields(Asset))
_SELECT: Final = "SELECT {columns} FROM distribution.asset WHERE {where}"
_OF_PRODUCTS: Final = _SELECT.format(columns=_COLUMNS, where="product_id = ANY($1::uuid[]) ORDER BY path")
_ONE: Final = _SELECT.format(columns=_COLUMNS, where="id = $1")


def asset_id(product_id: UUID, path: str) -> UUID:
    """The same for the same picture of the same revision, whenever it is made."""
    return uuid5(product_id, path)


async def fetch(connection: asyncpg.Connection, key: UUID) -> Asset | None:
    """An asset by its id; None where there is none."""
    row = await connection.fetchrow(_ONE, key)
    return None if row is None else Asset(**row)


async def of_products(connection: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, list[Asset]]:
    """The assets of each product, by path; every id has an entry."""
    found: dict[UUID, list[Asset]] = {key: [] for key in ids}
    for row in await connection.fetch(_OF_PRODUCTS, ids):
        found[row["product_id"]].append(Asset(**row))
    return found
