"""Named footprint rules: how each format writes where a product lies, made into a geometry (spec/catalogue 6.1).

A rule takes the texts found in the metadata, in document order, and returns a Footprint. All formats write latitude
before longitude. Raises WrongCount where there are not the points that the format says, ValueError where the texts
are no positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from refsys.core.footprints import Footprint, Point, line, polygon


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
    """Sentinel-1 wave mode L1 and L2: the quadrilateral round all vignettes.

    The vignettes alternate between a near and a far swath; the corners of the quadrilateral are one corner each of
    the first and last vignette of both swaths (spec/catalogue 6.1).
    """
    frames = [_corners(text) for text in texts]
    first, count = frames[0], len(frames)
    if count == 1:
        return polygon(first)
    forward = count > 2 and _counter_clockwise(_centre(first), _centre(frames[1]), _centre(frames[-1]))
    last, before = count - 1, count - 2
    if count == 3:
        a = b = 2
    elif forward == (count % 2 == 0):
        a, b = before, last
    else:
        a, b = last, before
    c, d = (1, 0) if forward else (0, 1)
    return polygon([frames[a][0], frames[b][1], frames[c][2], frames[d][3]])


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
        numbers = [float(word) for word in words]
    except ValueError:
        bad = next(word for word in words if not _is_number(word))
        raise ValueError(f"has {bad[:40]!a} where a number is required") from None
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("has a number that is not finite")
    return numbers


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _closes(numbers: Sequence[float], size: int) -> bool:
    return len(numbers) % size == 0 and numbers[:2] == numbers[-size:][:2]


def _centre(frame: Sequence[Point]) -> Point:
    east = frame[0][0]
    longitudes = [east + (lon - east + 180.0) % 360.0 - 180.0 for lon, _ in frame]
    return sum(longitudes) / len(frame), sum(lat for _, lat in frame) / len(frame)


def _counter_clockwise(first: Point, second: Point, third: Point) -> bool:
    x1, y1 = first
    x2, x3 = (x1 + (lon - x1 + 180.0) % 360.0 - 180.0 for lon in (second[0], third[0]))
    y2, y3 = second[1], third[1]
    return (x2 - x1) * (y2 + y1) + (x3 - x2) * (y3 + y2) + (x1 - x3) * (y1 + y3) < 0
