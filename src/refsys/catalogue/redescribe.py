"""Describing a product anew by the tables in force: what would change, and its entry into the catalogue.

Ids, names, keys in storage, packages and dates of publication stay. A product that cannot be described keeps what is
said of it, with a problem that tells why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from refsys.catalogue.auxiliaries import Auxiliaries
from refsys.catalogue.described import COLUMNS, columns_of, enter_parts
from refsys.catalogue.fingerprints import NO_ROW, type_fingerprint
from refsys.catalogue.model import Content, Product
from refsys.catalogue.service import examine
from refsys.core.errors import Permanent
from refsys.core.products import FileEntry
from refsys.core.times import FOREVER, format_instant
from refsys.infra.storage import MissingObject, Storage
from refsys.missions import TypeRegistry

#: What only operators see: where nothing else changes, nothing is announced.
_UNTOLD: Final = frozenset({"problems"})
_KEPT: Final = "it is described as before: "
_CAUSE: Final = "described anew by changed tables of product types"

# where other content took its place, or another one described it meanwhile, nothing is changed
_STAMP: Final = """
UPDATE catalogue.product p SET type_fingerprint = n.fingerprint
  FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[]) AS n(id, content_id, was, fingerprint)
 WHERE p.id = n.id AND p.content_id = n.content_id AND p.type_fingerprint = n.was
"""
_CHANGE: Final = " ".join(
    (
        "UPDATE catalogue.product p SET",
        ", ".join(f"{column} = n.{column}" for column in COLUMNS),
        ", type_fingerprint = n.fingerprint, edition = p.edition + n.is_told::int",
        "FROM jsonb_to_recordset($1::jsonb)",
        "AS n(id uuid, content_id bigint, was text, fingerprint text, is_told boolean,",
        ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items()),
        ") WHERE p.id = n.id AND p.content_id = n.content_id AND p.type_fingerprint = n.was RETURNING p.id",
    )
)
_FORGET_PARTS: Final = "DELETE FROM catalogue.footprint_part WHERE product_id = ANY ($1::uuid[])"
#: What the parts of a footprint tell.
_PLACED: Final = frozenset(("footprint", "sensing_start", "sensing_stop"))
_ANNOUNCE: Final = "SELECT product_id FROM catalogue.announce($1::uuid[], 'modified', $2)"


@dataclass(frozen=True, slots=True)
class Redescribed:
    """What the tables in force say of a product: `values` by column where it differs from before.

    `fingerprint` is that of the row that said so. `failure` tells why it could not be described; its values stay then,
    and where the failure may pass its fingerprint too.
    """

    product: Product
    fingerprint: str
    values: Mapping[str, Any]
    failure: str = ""

    @property
    def is_told(self) -> bool:
        """Whether users may see something of the change."""
        return not _UNTOLD.issuperset(self.values)


async def redescribe(
    product: Product,
    content: Content,
    files: Sequence[FileEntry],
    *,
    types: TypeRegistry,
    storage: Storage,
    auxiliaries: Auxiliaries,
) -> Redescribed:
    """Describe a product from its metadata in storage. Raises Transient where storage does not answer now."""
    recognised = next(types.matching(product.name), None)
    if recognised is None:
        return _kept(product, NO_ROW, "no product type has such a name any more")
    # what it lacks was accepted when it came
    content = replace(content, completeness="record")
    try:
        try:
            description = await asyncio.to_thread(examine, recognised, storage, content, files)
        except MissingObject:
            # packaging has moved it, and has not said so yet
            content = replace(content, base=product.final_base)
            description = await asyncio.to_thread(examine, recognised, storage, content, files)
        description = await auxiliaries.complete(recognised, description)
    except MissingObject as error:
        return Redescribed(product, product.type_fingerprint, {}, str(error))
    except Permanent as error:
        return _kept(product, type_fingerprint(recognised.type), str(error))
    values = columns_of(recognised, description, content.mission)
    differing = {column: value for column, value in values.items() if not _same(getattr(product, column), value)}
    return Redescribed(product, type_fingerprint(recognised.type), differing)


async def enter(connection: asyncpg.Connection, redescribed: Sequence[Redescribed]) -> int:
    """Enter what changed, in the caller's transaction, which it should end; returns how many products changed.

    Published ones get `modified` entries of the change feed where users may see something of it.
    """
    changed = [one for one in redescribed if one.values]
    if any(one.is_told for one in changed):
        # before any row is locked: a publication holds it and waits for its row
        await connection.execute("SELECT catalogue.lock_feed()")
    stamped = [one for one in redescribed if not one.values and one.fingerprint != one.product.type_fingerprint]
    await connection.execute(
        _STAMP,
        [one.product.id for one in stamped],
        [one.product.content_id for one in stamped],
        [one.product.type_fingerprint for one in stamped],
        [one.fingerprint for one in stamped],
    )
    rows = await connection.fetch(_CHANGE, [_record(one) for one in changed])
    entered = {row["id"] for row in rows}
    moved = [one for one in changed if one.product.id in entered and _PLACED & one.values.keys()]
    await connection.execute(_FORGET_PARTS, [one.product.id for one in moved])
    placed = [(one.product.id, one.values.get("footprint", one.product.footprint)) for one in moved]
    await enter_parts(connection, placed)
    told = [one.product.id for one in changed if one.is_told and one.product.id in entered]
    if told:
        await connection.execute(_ANNOUNCE, told, _CAUSE)
    return len(entered)


def _kept(product: Product, fingerprint: str, why: str) -> Redescribed:
    """A product that stays as it is, but for a problem that tells why."""
    problems = (*(problem for problem in product.problems if not problem.startswith(_KEPT)), f"{_KEPT}{why}")
    values = {} if problems == product.problems else {"problems": problems}
    return Redescribed(product, fingerprint, values, why)


def _same(old: Any, new: Any) -> bool:
    """Whether a column has this value already; of JSON only what comes back counts (tuples are lists)."""
    if isinstance(new, dict):
        return bool(old == orjson.loads(orjson.dumps(new)))
    return bool(old == new)


def _record(one: Redescribed) -> dict[str, Any]:
    values = {column: getattr(one.product, column) for column in COLUMNS} | dict(one.values)
    return {
        "id": str(one.product.id),
        "content_id": one.product.content_id,
        "was": one.product.type_fingerprint,
        "fingerprint": one.fingerprint,
        "is_told": one.is_told,
        **{column: _text(value) if isinstance(value, datetime) else value for column, value in values.items()},
    }


def _text(instant: datetime) -> str:
    """As the driver writes instants."""
    return "infinity" if instant == FOREVER else format_instant(instant)
