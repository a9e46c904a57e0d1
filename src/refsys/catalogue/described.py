"""What a description makes of a product's row: the same columns when it comes, is taken over, or is described anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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


def part_texts(footprint: Mapping[str, Any] | None) -> list[str]:
    """The parts of a footprint for the index, in the database's notation."""
    return [] if footprint is None else [polygon_text(ring) for ring in footprints.parts(dict(footprint))]
