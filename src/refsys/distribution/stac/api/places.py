"""The parameters `bbox` and `intersects`: where products have to be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from refsys.core.areas import Area, area_of
from refsys.core.filters import Expression, Intersects, any_of
from refsys.distribution.stac.api.errors import wrong

#: How deep positions lie in the coordinates of a geometry.
_DEPTHS: Final = {
    "Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3,
}  # fmt: skip
_LEAST_POSITIONS: Final = {"LineString": 2, "MultiLineString": 2, "Polygon": 4, "MultiPolygon": 4}
_GEOMETRIES_LIMIT: Final = 100


def within_bbox(numbers: list[float]) -> Expression:
    """West, south, east, north, or with heights, which do not count; west > east goes across the antimeridian.

    Raises StacError.
    """
    if len(numbers) not in (4, 6):
        raise wrong("bbox", f"has 4 or 6 numbers, not {len(numbers)}")
    if not all(map(math.isfinite, numbers)):
        raise wrong("bbox", "a number is not finite")
    west, south, *_ = numbers
    east, north = numbers[len(numbers) // 2], numbers[len(numbers) // 2 + 1]
    if not (abs(west) <= 180 and abs(east) <= 180 and abs(south) <= 90 and abs(north) <= 90):
        raise wrong("bbox", "longitudes lie within -180 and 180, latitudes within -90 and 90")
    if south > north:
        raise wrong("bbox", f"the south ({south:g}) is north of the north ({north:g})")
    if len(numbers) == 6 and numbers[2] > numbers[5]:
        raise wrong("bbox", f"the least height ({numbers[2]:g}) is above the greatest ({numbers[5]:g})")
    return Intersects(_box(west, south, east + 360 if west > east else east, north))


def _box(west: float, south: float, east: float, north: float) -> Area:
    if west == east and south == north:
        return Area("Point", (west, south))
    if west == east or south == north:
        return Area("LineString", ((west, south), (east, north)))
    return Area("Polygon", (((west, south), (east, south), (east, north), (west, north), (west, south)),))


def within_geometry(value: Any) -> Expression:
    """A GeoJSON geometry of any type, read as drawn (core.areas). Raises StacError."""
    areas = [_area(geometry) for geometry in _geometries(value)]
    if len(areas) > _GEOMETRIES_LIMIT:
        raise wrong("intersects", f"has {len(areas)} geometries, more than {_GEOMETRIES_LIMIT}")
    return any_of(*(Intersects(area) for area in areas))


def _geometries(value: Any) -> Iterator[dict[str, Any]]:
    """The geometry, or those of a collection (a collection has no collections: RFC 7946 3.1.8)."""
    if not isinstance(value, dict):
        raise wrong("intersects", "is a GeoJSON geometry, an object with a type and coordinates")
    if value.get("type") != "GeometryCollection":
        yield value
        return
    members = value.get("geometries")
    if not isinstance(members, list) or not members or not all(isinstance(member, dict) for member in members):
        raise wrong("intersects", "a GeometryCollection has geometries, a list of at least one")
    yield from members


def _area(geometry: dict[str, Any]) -> Area:
    kind = geometry.get("type")
    depth = _DEPTHS.get(kind) if isinstance(kind, str) else None
    if depth is None:
        raise wrong("intersects", f"the type {str(kind)[:40]!a} is none of {', '.join(_DEPTHS)}, GeometryCollection")
    coordinates = geometry.get("coordinates")
    if not _are_positions(coordinates, depth, _LEAST_POSITIONS.get(str(kind), 1)):
        raise wrong("intersects", f"the coordinates are not those of a {kind}")
    try:
        return area_of({"type": kind, "coordinates": coordinates})
    except ValueError as error:
        raise wrong("intersects", f"the {kind} {error}") from error


def _are_positions(value: Any, depth: int, least: int) -> bool:
    if not isinstance(value, list):
        return False
    if depth:
        enough = len(value) >= (least if depth == 1 else 1)
        return enough and all(_are_positions(member, depth - 1, least) for member in value)
    return 2 <= len(value) <= 4 and all(type(n) in (int, float) and abs(n) < 1e6 for n in value)
