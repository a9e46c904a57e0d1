"""What belongs to a product besides its package: its pictures. Table distribution.asset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
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


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is to become an asset: what is known of it before that; columns as in Asset."""

    path: str
    is_made: bool
    media_type: str
    size: int
    md5: bytes
    blake3: bytes


_COLUMNS: Final = ", ".join(field.name for field in fields(Asset))
_SELECT: Final = "SELECT {columns} FROM distribution.asset WHERE {where}"
_OF_PRODUCTS: Final = _SELECT.format(columns=_COLUMNS, where="product_id = ANY($1::uuid[]) ORDER BY path")
#: A column of a search in which `p` is the product: the ids and paths of its assets, by path; NULL where it has none.
COLUMN: Final = """(
    SELECT json_agg(json_build_array(a.id, a.path) ORDER BY a.path)
      FROM distribution.asset a WHERE a.product_id = p.id)"""
_ONE: Final = _SELECT.format(columns=_COLUMNS, where="id = $1")

_DELETE: Final = "DELETE FROM distribution.asset WHERE product_id = $1"
_INSERT: Final = """
INSERT INTO distribution.asset (id, product_id, kind, path, is_made, media_type, size, md5, blake3)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


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


async def set_picture(connection: asyncpg.Connection, product_id: UUID, picture: Picture | None) -> None:
    """Make a picture the one of a product that is not published yet; None: it has none."""
    await connection.execute(_DELETE, product_id)
    if picture is not None:
        key = asset_id(product_id, picture.path)
        await connection.execute(_INSERT, key, product_id, QUICKLOOK, *astuple(picture))
