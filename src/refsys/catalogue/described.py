"""What a description makes of a product's row: the same columns when it comes, is taken over, or is described anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue.compiler import polygon_text
from refsys.core import footprints
from refsys.core.products import Description
from refsys.missions import COLLECTIONS, Recognised

#: The columns of catalogue.product that a description decides, with their types.
COLUMNS: Final[Mapping[str, str]] = {
    "type_id": "text",
    "collection": "text",
    "mission": "text",
    "platform": "text",
    "instrument": "text",
    "product_type": "text",
    "level": "text",
    "timeliness": "text",
    "sensing_start": "timestamptz",
    "sensing_stop": "timestamptz",
    "visibility": "text",
    "footprint": "jsonb",
    "footprint_quality": "text",
    "attributes": "jsonb",
    "problems": "text[]",
}

_ENTER_PARTS: Final = """
INSERT INTO catalogue.footprint_part (product_id, part, span, sensing_start)
SELECT id, entered.part::polygon, catalogue.seen(sensing_start, sensing_stop), sensing_start
  FROM unnest($1::uuid[], $2::text[]) AS entered(id, part) JOIN catalogue.product USING (id)
"""


def columns_of(recognised: Recognised, description: Description, mission: str | None) -> dict[str, Any]:
    """The values of COLUMNS; `mission` is what the source says, and counts where the name says nothing."""
    kind, mission = recognised.type, recognised.mission or mission or ""
    return {
        "type_id": kind.id,
        "collection": COLLECTIONS.get(mission, ""),
        "mission": mission,
        "platform": recognised.platform,
        "instrument": kind.instrument,
        "product_type": recognised.product_type,
        "level": kind.level,
        "timeliness": kind.timeliness.class_of(description.attributes),
        "sensing_start": description.sensing_start,
        "sensing_stop": description.sensing_stop,
        "visibility": kind.visibility,
        "footprint": description.footprint,
        "footprint_quality": description.footprint_quality,
        "attributes": description.attributes,
        "problems": description.problems,
    }


async def enter_parts(
    connection: asyncpg.Connection, footprints_of: Iterable[tuple[UUID, Mapping[str, Any] | None]]
) -> None:
    """Index the footprints of products, whose rows are there; what was indexed of them before is not."""
    parts = [(identity, part) for identity, footprint in footprints_of for part in part_texts(footprint)]
    await connection.execute(_ENTER_PARTS, [identity for identity, _ in parts], [part for _, part in parts])


def part_texts(footprint: Mapping[str, Any] | None) -> list[str]:
    """The parts of a footprint for the index, in the database's notation."""
    return [] if footprint is None else [polygon_text(ring) for ring in footprints.parts(dict(footprint))]
