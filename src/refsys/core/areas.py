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


def area_of(geometry: dict[str, Any]) -> Area:
    """The area that a GeoJSON geometry draws; heights are dropped. Raises ValueError that says what is wrong."""
    area = Area(geometry["type"], _frozen(geometry["coordinates"]))
    if problem := area.problem():
        raise ValueError(problem)
    return area


def _frozen(coordinates: Any) -> tuple[Any, ...]:
    if coordinates and isinstance(coordinates[0], int | float):
        return float(coordinates[0]), float(coordinates[1])
    return tuple(_frozen(member) for member in coordinates)


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
