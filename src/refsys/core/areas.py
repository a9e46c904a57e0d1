"""Areas that somebody asks for: geometries as drawn, in longitude and latitude.

Other than a footprint (core.footprints), an area is read as a plane: an edge from 170 to -170 goes round the whole
globe, as the hub reads it and as a box of that width is meant. Across the antimeridian an area is written with
longitudes beyond 180 (170 to 190), or as a MultiPolygon (RFC 7946 3.1.9).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import shapely
from shapely.geometry.base import BaseGeometry

from refsys.core import footprints

Kind = Literal["Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"]
Ring = list[tuple[float, float]]

#: Most positions of one area.
POSITIONS_LIMIT: Final = 20_000
#: Most geometries of a collection.
_MEMBERS_LIMIT: Final = 100


@dataclass(frozen=True, slots=True)
class Area:
    """A geometry as GeoJSON has it, its coordinates as nested tuples of floats (longitude, latitude)."""

    kind: Kind
    coordinates: tuple[Any, ...]

    @property
    def is_simple(self) -> bool:
        """Whether it is made of polygons without holes."""
        match self.kind:
            case "Polygon":
                return len(self.coordinates) == 1
            case "MultiPolygon":
                return all(len(rings) == 1 for rings in self.coordinates)
            case _:
                return False

    @property
    def size(self) -> int:
        """How many positions it has."""
        return sum(1 for _ in _positions(self.coordinates))

    def shape(self) -> BaseGeometry:
        """As Shapely's geometry, brought into [-180, 180]."""
        return _wrap(self._drawn())

    def problem(self) -> str:
        """What is wrong with it, as the end of a sentence that begins with it; empty where it is sound."""
        positions = list(_positions(self.coordinates))
        if len(positions) > POSITIONS_LIMIT:
            return f"has {len(positions)} positions, more than {POSITIONS_LIMIT}"
        for lon, lat in positions:
            if not (abs(lon) <= 360.0 and abs(lat) <= 90.0):
                return f"has the position {lon:.15g} {lat:.15g}, which is no longitude and latitude"
        if any(ring[0] != ring[-1] for ring in self._drawn_rings() if ring):
            return "is not closed: a ring ends where it began"
        try:
            drawn = self._drawn()
        except (shapely.errors.GEOSException, ValueError) as error:
            return f"cannot be drawn: {error}"
        if drawn.is_empty:
            return "is empty"
        return "" if drawn.is_valid else f"is not valid: {shapely.is_valid_reason(drawn)}"

    def rings(self) -> list[Ring]:
        """Rings without holes, in [-180, 180], that together are the area: what polygons in a database overlap.

        Without the repeated last position. Points and lines become polygons as thin as a hair.
        """
        rings: list[Ring] = []
        for piece in _simple(self.shape()):
            if piece.geom_type == "Polygon":
                rings.extend([(lon, lat) for lon, lat in part.exterior.coords[:-1]] for part in _without_holes(piece))
            else:
                rings.extend(footprints.parts(shapely.geometry.mapping(piece)))
        return rings

    def _drawn_rings(self) -> tuple[Any, ...]:
        match self.kind:
            case "Polygon":
                return self.coordinates
            case "MultiPolygon":
                return tuple(ring for rings in self.coordinates for ring in rings)
            case _:
                return ()

    def _drawn(self) -> BaseGeometry:
        shape: BaseGeometry = shapely.geometry.shape({"type": self.kind, "coordinates": self.coordinates})
        return shape


#: How deep lists of positions are nested.
_DEPTHS: Final[dict[str, int]] = {
    "Point": 0,
    "MultiPoint": 1,
    "LineString": 1,
    "MultiLineString": 2,
    "Polygon": 2,
    "MultiPolygon": 3,
}


def area_of(geometry: Any) -> Area:
    """The area that a GeoJSON geometry from outside draws; heights are dropped.

    Raises ValueError that says what is wrong, as the end of a sentence that begins with the geometry.
    """
    kind: Any = geometry.get("type") if isinstance(geometry, dict) else None
    depth = _DEPTHS.get(kind) if isinstance(kind, str) else None
    if depth is None:
        raise ValueError(f"is none of {', '.join(_DEPTHS)}")
    area = Area(kind, _frozen(geometry.get("coordinates"), depth))
    if problem := area.problem():
        raise ValueError(problem)
    return area


def areas_of(geometry: Any) -> tuple[Area, ...]:
    """The areas of a GeoJSON geometry, which may be a GeometryCollection without another inside. Raises ValueError."""
    if not isinstance(geometry, dict) or geometry.get("type") != "GeometryCollection":
        return (area_of(geometry),)
    members = geometry.get("geometries")
    if not isinstance(members, list) or not 0 < len(members) <= _MEMBERS_LIMIT:
        raise ValueError(f"has no list of 1 to {_MEMBERS_LIMIT} geometries")
    areas: list[Area] = []
    for member in members:
        areas.append(area_of(member))
        if sum(area.size for area in areas) > POSITIONS_LIMIT:
            raise ValueError(f"has more than {POSITIONS_LIMIT} positions")
    return tuple(areas)


def area_of_box(numbers: Any) -> Area:
    """The area of a bounding box: west, south, east, north (or six numbers, with heights between).

    Where west is greater than east it goes across the antimeridian (RFC 7946 5.2). Raises ValueError.
    """
    if not isinstance(numbers, list | tuple) or len(numbers) not in (4, 6) or not all(map(_is_number, numbers)):
        raise ValueError("is no list of 4 or 6 numbers")
    half = len(numbers) // 2
    west, south, east, north = (float(number) for number in (*numbers[:2], *numbers[half : half + 2]))
    for lon, lat in ((west, south), (east, north)):
        if not (abs(lon) <= 180.0 and abs(lat) <= 90.0):
            raise ValueError(f"has the corner {lon:.15g} {lat:.15g}, which is no longitude and latitude")
    if south > north:
        raise ValueError(f"has its south, {south:.15g}, north of its north, {north:.15g}")
    if west > east:
        east += 360.0
    if west == east and south == north:
        return Area("Point", (west, south))
    if west == east or south == north:
        return Area("LineString", ((west, south), (east, north)))
    return Area("Polygon", (((west, south), (east, south), (east, north), (west, north), (west, south)),))


def _frozen(coordinates: Any, depth: int) -> tuple[Any, ...]:
    if not isinstance(coordinates, list | tuple):
        raise ValueError("has no list where coordinates are required")
    if depth:
        if len(coordinates) > POSITIONS_LIMIT:
            raise ValueError(f"has more than {POSITIONS_LIMIT} positions")
        return tuple(_frozen(member, depth - 1) for member in coordinates)
    if not 2 <= len(coordinates) <= 4 or not all(map(_is_number, coordinates)):
        raise ValueError("has no position of two or three numbers where one is required")
    return float(coordinates[0]), float(coordinates[1])


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= 360)


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    if coordinates and isinstance(coordinates[0], float):
        yield coordinates
    else:
        for member in coordinates:
            yield from _positions(member)


def _wrap(shape: BaseGeometry) -> BaseGeometry:
    west, _, east, _ = shape.bounds
    lowest, highest = math.floor((west + 180) / 360), math.ceil((east - 180) / 360)
    if lowest >= 0 >= highest:
        return shape
    turns: list[BaseGeometry] = []
    for turn in range(lowest, highest + 1):
        window = shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)
        turns.append(shapely.affinity.translate(shape.intersection(window), xoff=-360.0 * turn))
    return shapely.union_all(turns)


def _simple(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    for piece in shapely.get_parts(shape):
        if hasattr(piece, "geoms"):
            yield from _simple(piece)
        elif not piece.is_empty:
            yield piece


def _without_holes(polygon: shapely.Polygon) -> Iterator[shapely.Polygon]:
    """Cut through the middle of a hole until none is left: what was a hole is then a bay."""
    if not polygon.interiors:
        yield polygon
        return
    west, south, east, north = polygon.bounds
    hole_west, _, hole_east, _ = polygon.interiors[0].bounds
    middle = (hole_west + hole_east) / 2
    for half in (shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)):
        for piece in _simple(polygon.intersection(half)):
            if piece.geom_type == "Polygon":
                yield from _without_holes(piece)
