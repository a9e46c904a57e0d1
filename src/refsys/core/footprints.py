"""Footprints: GeoJSON geometries that are valid by RFC 7946 and mean what the satellite saw.

Input rings are closed or open lists of (longitude, latitude) in degrees, in either winding; every edge takes the
short way round the globe. From them `polygon` makes a Polygon or MultiPolygon with closed rings, exteriors
counter-clockwise, no repeated points, longitudes in [-180, 180], split at the antimeridian (RFC 7946 3.1.9), and with
the pole as vertices where the ring goes round it. Between the two sides of a ring the smaller one is meant: no
product sees half the globe, so a ring round one pole or both needs no convention of winding. What crosses itself is
repaired, what has no area becomes a line or a point; `Footprint.quality` says so.

`bbox` follows RFC 7946 5.2 (west > east across the antimeridian), `parts` cuts a geometry for an index of polygons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

Point = tuple[float, float]
Geometry = dict[str, Any]

#: Longest side of a part for the index, in degrees.
PART_SIZE = 10.0

# Areas below this are rounding, not ground: 1e-9 square degrees are about 12 square metres.
_NO_AREA = 1e-9
# Digits kept of a coordinate in degrees: 0.1 mm.
_DIGITS = 9
_GRID = 1e-9
# Edges between random points cross pair by pair: repairing 500 takes a second, 2,000 half a minute and a gigabyte.
_MOST_REPAIRED = 500
# Least bend of a corner that is one, in square degrees.
_BEND = 1e-6
# Half the width given to points and lines in the index, in degrees (0.1 m).
_HAIR = 1e-6


@dataclass(frozen=True, slots=True)
class Footprint:
    """A GeoJSON geometry or None; `quality` is empty where the input was sound, else what was done to it."""

    geometry: Geometry | None
    quality: str = ""


def polygon(points: Sequence[Point]) -> Footprint:
    """The area that a ring of (longitude, latitude) bounds.

    Raises ValueError where a coordinate is no position on Earth or there is no point at all.
    """
    ring = _distinct(points)
    if len(ring) < 3:
        return Footprint(line(ring).geometry, "the ring has no area; kept as a line or point")
    path = _unroll_ring(ring)
    turns = round((path[-1][0] - path[0][0]) / 360.0)
    area = _area(path)
    if turns:
        path = _close_over_pole(ring, turns, area)
    elif _is_plain(path) and abs(area) <= 2 * math.pi:
        counter_clockwise = path if area < 0 else path[::-1]
        return Footprint({"type": "Polygon", "coordinates": [[list(point) for point in counter_clockwise]]})
    shape = shapely.polygons(path)
    quality = ""
    if not shape.is_valid and len(path) > _MOST_REPAIRED:
        shape = shape.convex_hull
        quality = f"the ring of {len(ring)} points crosses itself; its hull is kept"
    elif not shape.is_valid:
        # its pieces may share an edge, which a MultiPolygon must not: unite them
        shape = shapely.union_all(list(_polygons(shapely.make_valid(shape, method="structure"))), grid_size=_GRID)
        quality = "the ring crosses itself; repaired"
    pieces = [] if shape.is_empty else list(_polygons(_wrap(shape)))
    if pieces and turns == 0 and abs(area) > 2 * math.pi:
        seen = shapely.union_all(pieces)
        pieces = list(_polygons(shapely.difference(shapely.box(-180, -90, 180, 90), seen, grid_size=_GRID)))
    if not pieces:
        return Footprint(line(_first_visits(ring)).geometry, "the ring has no area; kept as a line or point")
    rings = [_rings(piece) for piece in pieces]
    if len(rings) == 1:
        return Footprint({"type": "Polygon", "coordinates": rings[0]}, quality)
    return Footprint({"type": "MultiPolygon", "coordinates": rings}, quality)


def line(points: Sequence[Point]) -> Footprint:
    """The track through (longitude, latitude) positions, each step the short way; all equal: a Point."""
    stops = _distinct(points, ring=False)
    if not stops:
        raise ValueError("has no point")
    if len(stops) == 1:
        return Footprint({"type": "Point", "coordinates": list(stops[0])})
    pieces = list(_lines(_wrap(shapely.LineString(_unroll(stops)))))
    if len(pieces) == 1:
        return Footprint({"type": "LineString", "coordinates": pieces[0]})
    return Footprint({"type": "MultiLineString", "coordinates": pieces})


def unroll(points: Sequence[Point]) -> list[Point]:
    """The positions with continuous longitudes: whole turns are added so that every step is the short way.

    Raises ValueError where a coordinate is no position on Earth.
    """
    return _unroll([_position(*point) for point in points])


def bbox(geometry: Geometry) -> tuple[float, float, float, float]:
    """West, south, east, north; west > east where the geometry crosses the antimeridian (RFC 7946 5.2)."""
    spans: list[tuple[float, float]] = []
    latitudes: list[float] = []
    for part in _coordinate_lists(geometry):
        longitudes = [lon for lon, _ in part]
        latitudes.extend(lat for _, lat in part)
        spans.append((min(longitudes), max(longitudes)))
    south, north = min(latitudes), max(latitudes)
    merged: list[list[float]] = []
    for west, east in sorted(spans):
        if merged and west <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], east)
        else:
            merged.append([west, east])
    if len(merged) == 1:
        return merged[0][0], south, merged[0][1], north
    # the box leaves out the widest gap, wherever on the circle it lies
    gaps = [(after[0] - before[1], index + 1) for index, (before, after) in enumerate(pairwise(merged))]
    gaps.append((merged[0][0] + 360 - merged[-1][1], 0))
    _, first = max(gaps)
    return merged[first][0], south, merged[first - 1][1], north


def parts(geometry: Geometry) -> list[list[Point]]:
    """Rings of at most PART_SIZE degrees that together cover the geometry, without the repeated last point.

    Made for a spatial index on polygons: holes are covered (the recheck subtracts them), lines and points become
    polygons as thin as a hair.
    """
    if geometry["type"] == "Polygon":
        exterior: list[Point] = [(lon, lat) for lon, lat in geometry["coordinates"][0]]
        if all(max(values) - min(values) <= PART_SIZE for values in zip(*exterior, strict=True)):
            return [exterior[:-1]]
    shape = shapely.geometry.shape(geometry)
    rings: list[list[Point]] = []
    for piece in shapely.get_parts(shape):
        if piece.geom_type == "Polygon":
            rings.extend(_cut(piece))
        else:
            coordinates = list(piece.coords)
            for start, stop in zip(coordinates, coordinates[1:] or coordinates, strict=False):
                rings.extend(_hairs(start, stop))
    return rings


def area_sr(geometry: Geometry) -> float:
    """Solid angle of a geometry's polygons in steradians (the whole globe: 4 pi); lines and points: 0."""
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        return 0.0
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return sum(abs(_area(rings[0])) - sum(abs(_area(hole)) for hole in rings[1:]) for rings in polygons)


def _distinct(points: Sequence[Point], *, ring: bool = True) -> list[Point]:
    """Checked positions without repetitions, for a ring also without the repeated first."""
    kept: list[Point] = []
    for lon, lat in points:
        position = _position(lon, lat)
        if not kept or not _same(position, kept[-1]):
            kept.append(position)
    while ring and len(kept) > 1 and _same(kept[0], kept[-1]):
        kept.pop()
    return kept


def _position(lon: float, lat: float) -> Point:
    if not (-360.0 <= lon <= 360.0 and -90.000001 <= lat <= 90.000001):
        raise ValueError(f"has the position longitude {lon}, latitude {lat}, which is not on Earth")
    if not -180.0 <= lon <= 180.0:
        lon = math.remainder(lon, 360.0)
    if not -90.0 <= lat <= 90.0:
        lat = math.copysign(90.0, lat)
    return round(lon, _DIGITS), round(lat, _DIGITS)


def _same(one: Point, other: Point) -> bool:
    if one[1] != other[1]:
        return False
    return one[0] == other[0] or abs(one[0] - other[0]) == 360.0 or abs(one[1]) == 90.0


def _first_visits(ring: Sequence[Point]) -> list[Point]:
    """The way out of a ring that goes out and comes back over the same points."""
    return list(dict.fromkeys(ring))


def _unroll(positions: Sequence[Point]) -> list[Point]:
    """`unroll`, of positions that are checked already."""
    path: list[Point] = []
    before = positions[0][0] if positions else 0.0
    for lon, lat in positions:
        step = lon - before
        before = lon if -180.0 <= step <= 180.0 else lon - 360.0 * round(step / 360.0)
        path.append((before, lat))
    return path


def _unroll_ring(ring: Sequence[Point]) -> list[Point]:
    path = _along_poles(ring)
    return _unroll([*path, path[0]])


def _along_poles(ring: Sequence[Point]) -> list[Point]:
    """At a pole every longitude is the same point: arrive on the one before, leave on the one after."""
    if all(abs(lat) != 90.0 for _, lat in ring):
        return list(ring)
    path: list[Point] = []
    for index, (lon, lat) in enumerate(ring):
        if abs(lat) == 90.0:
            path += [(ring[index - 1][0], lat), (ring[(index + 1) % len(ring)][0], lat)]
        else:
            path.append((lon, lat))
    return path


def _area(path: Sequence[Sequence[float]]) -> float:
    """Signed solid angle between an unrolled path and the equator, edges straight in longitude and latitude."""
    total = 0.0
    lon1, lat1 = path[0]
    phi1 = math.radians(lat1)
    cos1 = math.cos(phi1)
    for lon2, lat2 in path[1:]:
        phi2 = math.radians(lat2)
        cos2 = math.cos(phi2)
        mean = math.sin((phi1 + phi2) / 2) if abs(phi2 - phi1) < 1e-9 else (cos1 - cos2) / (phi2 - phi1)
        total += math.radians(lon2 - lon1) * mean
        lon1, phi1, cos1 = lon2, phi2, cos2
    return total


def _is_plain(path: Sequence[Point]) -> bool:
    """Whether an unrolled ring is a convex triangle or quadrilateral without need of repair or cut, as most are."""
    if len(path) > 5 or any(not -180.0 <= lon <= 180.0 for lon, _ in path):
        return False
    bends = [
        (x2 - x1) * (y3 - y2) - (y2 - y1) * (x3 - x2)
        for (x1, y1), (x2, y2), (x3, y3) in zip(path, path[1:], [*path[2:], path[1]], strict=False)
    ]
    return min(bends) > _BEND or max(bends) < -_BEND


def _close_over_pole(ring: Sequence[Point], turns: int, area: float) -> list[Point]:
    """The unrolled path of a ring round a pole, closed along that pole.

    The ring starts at the vertex next to the pole: the way from there to the pole meets no other edge.
    """
    north = abs(turns) * 2 * math.pi - math.copysign(1, turns) * area
    pole = 90.0 if north <= abs(turns) * 2 * math.pi else -90.0
    first = max(range(len(ring)), key=lambda index: ring[index][1] * pole)
    path = _unroll_ring([*ring[first:], *ring[:first]])
    return [*path, (path[-1][0], pole), (path[0][0], pole)]


def _wrap(shape: BaseGeometry) -> BaseGeometry:
    """Bring a shape with continuous longitudes into [-180, 180], cut at the antimeridian."""
    west, _, east, _ = shape.bounds
    lowest, highest = math.floor((west + 180) / 360), math.ceil((east - 180) / 360)
    if lowest == highest == 0:
        return shape
    pieces: list[BaseGeometry] = []
    # a line along the antimeridian lies between two windows: either will do
    for turn in range(lowest, max(lowest, highest) + 1):
        window = shapely.box(-180 + 360 * turn, -90, 180 + 360 * turn, 90)
        # on the grid of the digits kept: what rounding moves cannot make the pieces invalid
        piece = shapely.intersection(shape, window, grid_size=_GRID)
        moved = shapely.transform(piece, lambda xy, turn=turn: (xy - (360.0 * turn, 0.0)).round(_DIGITS))
        # where the shape only touches the antimeridian, lines and points come with the pieces
        pieces += [found for found in _flat(moved) if found.geom_type == shape.geom_type.removeprefix("Multi")]
    return pieces[0] if len(pieces) == 1 else shapely.union_all(pieces, grid_size=_GRID)


def _polygons(shape: BaseGeometry) -> Iterator[shapely.Polygon]:
    for piece in _flat(shape):
        if piece.geom_type == "Polygon" and piece.area > _NO_AREA:
            yield piece


def _lines(shape: BaseGeometry) -> Iterator[list[list[float]]]:
    for piece in _flat(shape):
        if piece.geom_type == "LineString" and piece.length > 0:
            yield shapely.get_coordinates(piece).tolist()


def _flat(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    for piece in shapely.get_parts(shape):
        if piece.geom_type.startswith(("Multi", "Geometry")):
            yield from _flat(piece)
        else:
            yield piece


def _rings(shape: shapely.Polygon) -> list[list[list[float]]]:
    oriented = shapely.orient_polygons(shapely.remove_repeated_points(shape))
    return [shapely.get_coordinates(ring).tolist() for ring in shapely.get_rings(oriented)]


def _coordinate_lists(geometry: Geometry) -> Iterable[Sequence[Sequence[float]]]:
    coordinates = geometry["coordinates"]
    match geometry["type"]:
        case "Point":
            return [[coordinates]]
        case "LineString":
            return [coordinates]
        case "MultiLineString":
            return list(coordinates)
        case "Polygon":
            return [coordinates[0]]
        case "MultiPolygon":
            return [rings[0] for rings in coordinates]
        case other:
            raise ValueError(f"is a {other}, not a footprint")


def _cut(shape: shapely.Polygon) -> Iterator[list[Point]]:
    west, south, east, north = shape.bounds
    width, height = east - west, north - south
    if max(width, height) <= PART_SIZE:
        yield [(lon, lat) for lon, lat in shape.exterior.coords[:-1]]
        return
    if width >= height:
        middle = (west + east) / 2
        halves = shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)
    else:
        middle = (south + north) / 2
        halves = shapely.box(west, south, east, middle), shapely.box(west, middle, east, north)
    for half in halves:
        for piece in _flat(shape.intersection(half)):
            if piece.geom_type == "Polygon" and not piece.is_empty:
                yield from _cut(piece)


def _hairs(start: Sequence[float], stop: Sequence[float]) -> Iterator[list[Point]]:
    (x1, y1), (x2, y2) = start, stop
    count = max(1, math.ceil(max(abs(x2 - x1), abs(y2 - y1)) / PART_SIZE))
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (_HAIR * (x2 - x1) / length, _HAIR * (y2 - y1) / length) if length else (_HAIR, 0.0)
    for index in range(count):
        ax, ay = x1 + (x2 - x1) * index / count, y1 + (y2 - y1) * index / count
        bx, by = x1 + (x2 - x1) * (index + 1) / count, y1 + (y2 - y1) * (index + 1) / count
        yield [
            (ax - dx + dy, ay - dy - dx),
            (bx + dx + dy, by + dy - dx),
            (bx + dx - dy, by + dy + dx),
            (ax - dx - dy, ay - dy + dx),
        ]
