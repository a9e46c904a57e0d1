"""Geometry that does not come from refsys: what a GeoJSON geometry must be, and a second way to say what is inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import shapely

Point = tuple[float, float]

EARTH_RADIUS_KM = 6371.0088


def assert_sound(geometry: dict[str, Any]) -> None:
    """Polygons by RFC 7946: closed rings, exteriors counter-clockwise, no repeated point, in range, valid."""
    assert geometry["type"] in ("Polygon", "MultiPolygon")
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for rings in polygons:
        for index, ring in enumerate(rings):
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
            assert all(a != b for a, b in pairwise(ring))
            assert all(-180 <= lon <= 180 and -90 <= lat <= 90 for lon, lat in ring)
            assert shapely.LinearRing(ring).is_ccw == (index == 0)
    shape = shapely.geometry.shape(geometry)
    assert shape.is_valid, shapely.is_valid_reason(shape)


def contains(geometry: dict[str, Any], point: Point) -> bool:
    """Is a position in a geometry or on its edge."""
    return bool(shapely.geometry.shape(geometry).intersects(shapely.Point(point)))


def on_globe(count: int) -> list[Point]:
    """Positions spread evenly over the globe (a Fibonacci lattice)."""
    golden = math.pi * (3 - math.sqrt(5))
    return [
        ((math.degrees(golden * i) + 180) % 360 - 180, math.degrees(math.asin(1 - (2 * i + 1) / count)))
        for i in range(count)
    ]


def inside_by_crossings(ring: Sequence[Point], outside: Point, positions: Sequence[Point]) -> list[bool]:
    """Which positions a ring holds: their great circle to a position known to be outside crosses it an odd number of
    times.

    The edges of the ring are straight in longitude and latitude, as GeoJSON's are, the short way round.
    """
    path = _vectors(_dense(ring))
    start, stop = path, np.roll(path, -1, axis=0)
    normals, middles = np.cross(start, stop), start + stop
    target = _vectors([outside])[0]
    found = []
    for position in _vectors(positions):
        normal = np.cross(position, target)
        apart = ((start @ normal) * (stop @ normal) < 0) & ((normals @ position) * (normals @ target) < 0)
        meeting = np.cross(normal, normals)
        near = (meeting * middles).sum(axis=1) * (meeting @ (position + target)) > 0
        found.append(bool((apart & near).sum() % 2))
    return found


def _dense(ring: Sequence[Point], step_deg: float = 0.5) -> list[Point]:
    path = []
    for (lon, lat), (next_lon, next_lat) in zip(ring, [*ring[1:], ring[0]], strict=True):
        east, north = (next_lon - lon + 180) % 360 - 180, next_lat - lat
        count = max(1, math.ceil(max(abs(east), abs(north)) / step_deg))
        path += [(lon + east * i / count, lat + north * i / count) for i in range(count)]
    return path


def _vectors(positions: Sequence[Point]) -> np.ndarray:
    lon, lat = np.radians(np.array(positions)).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
