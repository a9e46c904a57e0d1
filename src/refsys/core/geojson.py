"""GeoJSON geometries from outside, made into footprints of ours: repaired, never trusted.

Rings are taken as `footprints` takes them (either winding, open or closed, across the antimeridian or round a pole
without a split), so what Elasticsearch calls `orientation` needs no attention. Holes are filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import shapely

from refsys.core.footprints import Footprint, Point, line, polygon

#: Most positions of a geometry.
MOST_POSITIONS: Final = 20_000
#: Most rings or lines of a geometry.
_MOST_PARTS: Final = 1000


def repair(geometry: Any) -> Footprint:
    """The footprint that a geometry means. Types in any case; positions may have a height.

    Raises ValueError that says what is wrong, as the end of a sentence that begins with the geometry.
    """
    if not isinstance(geometry, Mapping):
        raise ValueError("is no GeoJSON geometry")
    kind, coordinates = str(geometry.get("type")).lower(), geometry.get("coordinates")
    match kind:
        case "point":
            return line([_position(coordinates)])
        case "linestring":
            return line(_positions(coordinates))
        case "polygon":
            rings = list(_parts(coordinates))
            return _filled(polygon(_positions(rings[0])), is_holed=len(rings) > 1)
        case "multipolygon":
            areas = [list(_parts(rings)) for rings in _parts(coordinates)]
            pieces = [polygon(_positions(rings[0])) for rings in areas]
            return _filled(_united(pieces), is_holed=any(len(rings) > 1 for rings in areas))
        case "multipoint" | "multilinestring":
            parts = [coordinates] if kind == "multipoint" else list(_parts(coordinates))
            return line([point for part in parts for point in _positions(part)])
        case _:
            raise ValueError(f"is of the type {kind[:40]!a}, which is none for a footprint")


def _united(pieces: Sequence[Footprint]) -> Footprint:
    """Several areas as one; those of them that have no area count only where none has one."""
    if len(pieces) == 1:
        return pieces[0]
    areas = [piece for piece in pieces if piece.geometry and piece.geometry["type"] in ("Polygon", "MultiPolygon")]
    if not areas:
        return pieces[0]
    quality = next((piece.quality for piece in pieces if piece.quality), "")
    shape = shapely.union_all([shapely.geometry.shape(area.geometry) for area in areas], grid_size=1e-9)
    found = [
        [[[lon, lat] for lon, lat in ring.coords] for ring in (part.exterior, *part.interiors)]
        for part in (shapely.geometry.polygon.orient(part, 1.0) for part in shapely.get_parts(shape))
    ]
    if len(found) == 1:
        return Footprint({"type": "Polygon", "coordinates": found[0]}, quality)
    return Footprint({"type": "MultiPolygon", "coordinates": found}, quality)


def _filled(found: Footprint, *, is_holed: bool) -> Footprint:
    told = [found.quality, "its holes are filled" if is_holed else ""]
    return Footprint(found.geometry, "; ".join(filter(None, told)))


def _parts(coordinates: Any) -> Iterator[Any]:
    if not isinstance(coordinates, list) or not coordinates:
        raise ValueError("has no coordinates where a list of them is required")
    if len(coordinates) > _MOST_PARTS:
        raise ValueError(f"has {len(coordinates)} parts, more than {_MOST_PARTS}")
    yield from coordinates


def _positions(coordinates: Any) -> list[Point]:
    if not isinstance(coordinates, list) or not coordinates:
        raise ValueError("has no coordinates where a list of them is required")
    if len(coordinates) > MOST_POSITIONS:
        raise ValueError(f"has {len(coordinates)} positions, more than {MOST_POSITIONS}")
    return [_position(member) for member in coordinates]


def _position(member: Any) -> Point:
    if not isinstance(member, list) or not 2 <= len(member) <= 4 or not all(type(n) in (int, float) for n in member):
        raise ValueError(f"has {repr(member)[:60]!a} where a position is required")
    return float(member[0]), float(member[1])
