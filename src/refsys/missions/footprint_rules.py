"""Named footprint rules: how each format writes where a product lies, made into a geometry (spec/catalogue 6.1).

A rule takes the texts found in the metadata, in document order, and returns a Footprint. All formats write latitude
before longitude. Raises WrongCount where there are not the points that the format says, ValueError where the texts
are no positions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import shapely

from refsys.core.footprints import Footprint, Point, line, polygon, unroll

#: No format has more: a full orbit of Sentinel-3 has 321 points, half an hour of Sentinel-2 about 2,000
_MOST_POINTS = 20_000

# float() takes words and underscores too
_UNUSABLE = re.compile(r"[^0-9eE+.,\s-]")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class WrongCount(ValueError):
    """The format requires another number of points: what was sent is not a footprint of this type."""


def corners(texts: Sequence[str]) -> Footprint:
    """Sentinel-1 `lat,lon lat,lon …`: four corners, or five with the first repeated; either order round the scene."""
    return polygon(_corners(texts[0]))


def track(texts: Sequence[str]) -> Footprint:
    """Sentinel-1 wave, RF and test products of level 0: the nadir positions at start and stop."""
    points = _pairs(texts[0])
    if len(points) != 2:
        raise WrongCount(f"has {len(points)} points where 2 (start and stop) are required")
    return line(points)


def track_if_given(texts: Sequence[str]) -> Footprint:
    """Sentinel-1 test segments: a track where two points are given; other counts mean nothing (catalogue 5.2)."""
    points = _pairs(texts[0])
    return line(points) if len(points) == 2 else Footprint(None, "the test segment gives no track")


def vignettes(texts: Sequence[str]) -> Footprint:
    """Sentinel-1 wave mode L1 and L2: the band through all vignettes, which lie in a near and a far swath in turn.

    The hulls of every three vignettes that follow each other, united: they hold each vignette and follow the track.
    (The quadrilateral round the first and last ones, spec/catalogue 6.1, leaves out most of a long track.)
    """
    if len(texts) > _MOST_POINTS // 4:
        raise WrongCount(f"has {len(texts)} vignettes, more than {_MOST_POINTS // 4}")
    path = unroll([point for text in texts for point in _corners(text)])
    threes = [path[4 * first : 4 * (first + 3)] for first in range(max(1, len(texts) - 2))]
    band = shapely.union_all(shapely.convex_hull(shapely.linestrings(threes)))
    ring = band.exterior if band.geom_type == "Polygon" else band
    return polygon([(math.remainder(lon, 360.0), lat) for lon, lat in shapely.get_coordinates(ring).tolist()])


def positions(texts: Sequence[str]) -> Footprint:
    """A closed ring `lat lon lat lon …`, or `lat lon height …` where only that closes it (S2, S3)."""
    numbers = _numbers(texts[0])
    size = 2
    if len(numbers) % 3 == 0 and not _closes(numbers, 2) and _closes(numbers, 3):
        size = 3
    if len(numbers) % size:
        raise ValueError(f"has {len(numbers)} numbers where pairs of latitude and longitude are required")
    points = [(numbers[i + 1], numbers[i]) for i in range(0, len(numbers), size)]
    if len(points) < 4:
        raise WrongCount(f"has {len(points)} points where a closed ring of at least 4 is required")
    if len(points) > _MOST_POINTS:
        raise WrongCount(f"has {len(points)} points, more than {_MOST_POINTS}")
    return polygon(points)


def geo_points(texts: Sequence[str]) -> Footprint:
    """Sentinel-2 inventories: latitudes and longitudes in turn, one text each."""
    return positions([" ".join(texts)])


RULES: dict[str, Callable[[Sequence[str]], Footprint]] = {
    "corners": corners,
    "track": track,
    "track_if_given": track_if_given,
    "vignettes": vignettes,
    "positions": positions,
    "geo_points": geo_points,
}


def _corners(text: str) -> list[Point]:
    points = _pairs(text)
    closed = len(points) == 5 and points[0] == points[-1]
    if not closed and len(points) != 4:
        raise WrongCount(f"has {len(points)} points where 4, or 5 with the first repeated, are required")
    return points[:4]


def _pairs(text: str) -> list[Point]:
    numbers = _numbers(text)
    if len(numbers) % 2:
        raise ValueError(f"has {len(numbers)} numbers where pairs of latitude and longitude are required")
    return [(numbers[i + 1], numbers[i]) for i in range(0, len(numbers), 2)]


def _numbers(text: str) -> list[float]:
    words = text.replace(",", " ").split()
    try:
        if _UNUSABLE.search(text) is None:
            return [float(word) for word in words]
    except ValueError:
        pass
    bad = next(word for word in words if not _NUMBER.fullmatch(word))
    raise ValueError(f"has {bad[:40]!a} where a number is required")


def _closes(numbers: Sequence[float], size: int) -> bool:
    return len(numbers) % size == 0 and numbers[:2] == numbers[-size:][:2]
