"""Footprints are valid by RFC 7946 and cover what the satellite saw: everywhere, poles and antimeridian included."""

from __future__ import annotations

import math
import random

import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refsys.core import footprints
from refsys.core.footprints import PART_SIZE, area_sr, bbox, line, parts, polygon
from tests.geometry import Point, assert_sound, contains


def destination(start: Point, bearing_deg: float, distance_deg: float) -> Point:
    """The position at a great-circle distance and bearing from another."""
    lon, lat, bearing, distance = (math.radians(v) for v in (*start, bearing_deg, distance_deg))
    up = (math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat))
    east = (-math.sin(lon), math.cos(lon), 0.0)
    north = (-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat))
    x, y, z = (
        math.cos(distance) * u + math.sin(distance) * (math.sin(bearing) * e + math.cos(bearing) * n)
        for u, e, n in zip(up, east, north, strict=True)
    )
    return math.degrees(math.atan2(y, x)), math.degrees(math.asin(max(-1.0, min(1.0, z))))


def blob(centre: Point, radius_deg: float, wave: float, lobes: int, count: int = 240) -> list[Point]:
    """A star-shaped ring round a centre, clockwise, dense enough that straight edges mean little."""
    return [destination(centre, b, radius(radius_deg, wave, lobes, b)) for b in (360 * i / count for i in range(count))]


def radius(radius_deg: float, wave: float, lobes: int, bearing_deg: float) -> float:
    return radius_deg * (1 + wave * math.sin(math.radians(lobes * bearing_deg)))


def cap_area(radius_deg: float, wave: float, lobes: int) -> float:
    steps = 3600
    radii = (math.radians(radius(radius_deg, wave, lobes, 360 * i / steps)) for i in range(steps))
    return 2 * math.pi * sum(1 - math.cos(r) for r in radii) / steps


blobs = {
    "centre": st.tuples(st.floats(-180, 180), st.floats(-90, 90)),
    "radius_deg": st.floats(0.2, 40),
    "wave": st.floats(0, 0.4),
    "lobes": st.integers(0, 4),
}


@settings(max_examples=150, deadline=None)
@given(**blobs, turned=st.booleans())
@example(centre=(0, 90), radius_deg=10, wave=0.0, lobes=0, turned=False)
@example(centre=(0, -90), radius_deg=10, wave=0.0, lobes=0, turned=True)
@example(centre=(180, 0), radius_deg=10, wave=0.3, lobes=3, turned=True)
@example(centre=(180, 85), radius_deg=20, wave=0.3, lobes=2, turned=False)
def test_what_lies_round_any_point_of_the_globe_is_covered_and_nothing_else(
    centre: Point, radius_deg: float, wave: float, lobes: int, turned: bool
) -> None:
    ring = blob(centre, radius_deg, wave, lobes)
    geometry = polygon(ring[::-1] if turned else ring).geometry
    assert_sound(geometry)
    reference = cap_area(radius_deg, wave, lobes)
    assert area_sr(geometry) == pytest.approx(reference, rel=0.03)
    assert contains(geometry, centre)
    for bearing in range(0, 360, 30):
        reach = radius(radius_deg, wave, lobes, bearing)
        assert contains(geometry, destination(centre, bearing, 0.9 * reach))
        assert not contains(geometry, destination(centre, bearing, 1.1 * reach))


# round numbers meet each other, the poles and the antimeridian; free ones never would
longitudes = st.floats(-180, 180) | st.sampled_from([float(lon) for lon in range(-180, 181, 30)])
latitudes = st.floats(-90, 90) | st.sampled_from([float(lat) for lat in range(-90, 91, 30)])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(longitudes, latitudes), min_size=1, max_size=12))
@example([(-180.0, -90.0), (-180.0, -60.0), (-150.0, 90.0)])
@example([(-180.0, -1.0), (1.0, 0.0), (0.0, -90.0), (179.999999999, 0.0), (0.0, 0.0)])
@example([(-180.0, -60.0), (-180.0, 0.0), (30.0, -60.0), (0.0, -90.0), (-150.0, -60.0), (-180.0, 90.0), (30.0, -60.0)])
def test_any_positions_at_all_make_a_valid_geometry(points: list[Point]) -> None:
    footprint = polygon(points)
    geometry = footprint.geometry
    if geometry["type"] in ("Polygon", "MultiPolygon"):
        assert_sound(geometry)
        assert area_sr(geometry) <= 4 * math.pi + 1e-9
    else:
        assert footprint.quality
    west, south, east, north = bbox(geometry)
    assert -180 <= west <= 180
    assert -180 <= east <= 180
    assert -90 <= south <= north <= 90


@settings(max_examples=60, deadline=None)
@given(**blobs)
def test_parts_for_the_index_cover_the_footprint_and_stay_small(
    centre: Point, radius_deg: float, wave: float, lobes: int
) -> None:
    geometry = polygon(blob(centre, radius_deg, wave, lobes, count=60)).geometry
    shape = shapely.geometry.shape(geometry)
    cells = [shapely.Polygon(ring) for ring in parts(geometry)]
    for cell in cells:
        west, south, east, north = cell.bounds
        assert east - west <= PART_SIZE + 1e-9
        assert north - south <= PART_SIZE + 1e-9
    covered = shapely.union_all([cell.buffer(1e-9) for cell in cells])
    assert shape.difference(covered).area <= 1e-6
    assert sum(cell.area for cell in cells) == pytest.approx(shape.area, rel=1e-6)


def turned_east(point: Point, degrees: float) -> Point:
    return math.remainder(point[0] + degrees, 360.0), point[1]


@settings(max_examples=150, deadline=None)
@given(**blobs, degrees=st.floats(-180, 180), count=st.sampled_from([3, 4, 5, 60]))
@example(centre=(0, 10), radius_deg=5, wave=0.0, lobes=0, degrees=180, count=4)
@example(centre=(0, 85), radius_deg=10, wave=0.2, lobes=3, degrees=180, count=60)
def test_turning_the_globe_turns_a_footprint_and_changes_no_area(
    centre: Point, radius_deg: float, wave: float, lobes: int, degrees: float, count: int
) -> None:
    ring = blob(centre, radius_deg, wave, lobes, count)
    here, there = (polygon(ring), polygon([turned_east(point, degrees) for point in ring]))
    assert_sound(there.geometry)
    assert there.quality == here.quality
    assert area_sr(there.geometry) == pytest.approx(area_sr(here.geometry), rel=1e-6, abs=1e-9)
    shape = shapely.geometry.shape(here.geometry)
    far = destination(centre, 90, 90)
    for point in (shape.representative_point().coords[0], far):
        near_an_edge = shape.boundary.distance(shapely.Point(point)) < 1e-6
        assert near_an_edge or contains(there.geometry, turned_east(point, degrees)) == contains(here.geometry, point)


def east_of(west: float, lon: float) -> float:
    return (lon - west) % 360.0


@settings(max_examples=200, deadline=None)
@given(**blobs, count=st.sampled_from([4, 60]), is_line=st.booleans())
@example(centre=(180, 0), radius_deg=5, wave=0.0, lobes=0, count=60, is_line=False)
@example(centre=(180, 0), radius_deg=5, wave=0.0, lobes=0, count=60, is_line=True)
def test_the_box_holds_all_of_a_footprint_and_no_more_than_it_must(
    centre: Point, radius_deg: float, wave: float, lobes: int, count: int, is_line: bool
) -> None:
    ring = blob(centre, radius_deg, wave, lobes, count)
    geometry = (line(ring[: count // 3 + 1]) if is_line else polygon(ring)).geometry
    west, south, east, north = bbox(geometry)
    shape = shapely.geometry.shape(geometry)
    longitudes, latitudes = zip(*shapely.get_coordinates(shape).tolist(), strict=True)
    assert (min(latitudes), max(latitudes)) == (south, north)
    assert {west, east} <= set(longitudes)
    is_cut = {-180.0, 180.0} <= set(longitudes)
    assert (west > east) == (is_cut and (west, east) != (-180, 180))
    if (west, east) == (-180, 180):
        assert all(shape.intersects(shapely.LineString([(lon, -90), (lon, 90)])) for lon in range(-180, 181, 10))
    else:
        assert max(east_of(west, lon) for lon in longitudes) == east_of(west, east)


def test_a_ring_across_the_antimeridian_is_split_there() -> None:
    geometry = polygon([(178, 10), (-178, 10), (-178, 12), (178, 12)]).geometry
    assert_sound(geometry)
    assert geometry["type"] == "MultiPolygon"
    assert bbox(geometry) == (178, 10, -178, 12)
    assert contains(geometry, (180, 11))
    assert contains(geometry, (-180, 11))
    assert not contains(geometry, (0, 11))


def test_a_ring_that_touches_the_antimeridian_stays_one_polygon() -> None:
    assert polygon([(178, 10), (180, 10), (180, 12), (178, 12)]).geometry["type"] == "Polygon"
    assert polygon([(178, 10), (-180, 10), (-180, 12), (178, 12)]).geometry["type"] == "Polygon"
    assert polygon([(180, 10), (-178, 10), (-178, 12), (180, 12)]).geometry["type"] == "Polygon"


def test_a_ring_round_the_pole_has_the_pole_in_it() -> None:
    geometry = polygon([(0, 80), (90, 82), (180, 80), (-90, 81)]).geometry
    assert_sound(geometry)
    assert contains(geometry, (37, 89.9))
    assert not contains(geometry, (37, 70))
    assert bbox(geometry) == (-180, 80, 180, 90)


def test_a_stripe_over_both_poles_is_not_the_rest_of_the_world() -> None:
    # down one side of the Earth, round the south pole, up a little further east, and round the north pole
    down = [(0.0, float(lat)) for lat in range(80, -81, -10)]
    south = [(float(lon), -80.0) for lon in range(-30, -331, -30)]
    up = [(20.0, float(lat)) for lat in range(-80, 81, 10)]
    north = [(float(lon) - 360 if lon > 180 else float(lon), 80.0) for lon in range(50, 351, 30)]
    geometry = polygon([*down, *[(lon + 360 if lon < -180 else lon, lat) for lon, lat in south], *up, *north]).geometry
    assert_sound(geometry)
    assert area_sr(geometry) < math.pi
    for inside in ((10, 0), (200 - 360, 89), (-160, -89), (10, 85)):
        assert contains(geometry, inside)
    for outside in ((100, 0), (-100, 0), (-5, 0), (25, 0)):
        assert not contains(geometry, outside)


def test_a_vertex_at_the_pole_joins_the_meridians_on_either_side() -> None:
    geometry = polygon([(10, 80), (40, 80), (123, 90)]).geometry
    assert_sound(geometry)
    assert contains(geometry, (25, 88))
    assert not contains(geometry, (100, 88))


def test_a_ring_that_crosses_itself_keeps_both_halves_and_says_so() -> None:
    footprint = polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert_sound(footprint.geometry)
    assert "crosses itself" in footprint.quality
    assert contains(footprint.geometry, (0.5, 1))
    assert contains(footprint.geometry, (1.5, 1))


def test_what_crosses_itself_at_the_antimeridian_is_repaired_and_split() -> None:
    footprint = polygon([(179, 0), (-179, 2), (-179, 0), (179, 2)])
    assert_sound(footprint.geometry)
    assert "crosses itself" in footprint.quality
    assert bbox(footprint.geometry) == (179, 0, -179, 2)
    assert contains(footprint.geometry, (179.2, 1))
    assert contains(footprint.geometry, (-179.2, 1))
    assert not contains(footprint.geometry, (180, 1.9))


def test_a_tangle_of_points_is_kept_as_its_hull_and_says_so() -> None:
    dice = random.Random(5)
    tangle = [(dice.uniform(0, 10), dice.uniform(0, 10)) for _ in range(20_000)]
    footprint = polygon(tangle)
    assert_sound(footprint.geometry)
    assert footprint.quality == "the ring of 20000 points crosses itself; its hull is kept"
    assert all(contains(footprint.geometry, point) for point in tangle[::1000])
    assert len(str(footprint.geometry)) < 2000


def test_a_sound_ring_of_many_points_is_kept_point_by_point() -> None:
    ring = blob((20, 40), 5, 0.2, 7, count=5000)
    assert len(polygon(ring).geometry["coordinates"][0]) == 5001


def test_a_sound_ring_is_kept_point_by_point() -> None:
    ring = [(10.625828, 48.64994), (12.378114, 48.27924), (12.829241, 50.603844), (11.081389, 50.958828)]
    footprint = polygon([*ring, ring[0]])
    assert footprint.quality == ""
    assert footprint.geometry == {"type": "Polygon", "coordinates": [[list(p) for p in [*ring, ring[0]]]]}
    assert polygon(ring[::-1]).geometry["type"] == "Polygon"


def test_rings_without_area_become_lines_and_points() -> None:
    assert polygon([(5, 5)] * 5).geometry == {"type": "Point", "coordinates": [5, 5]}
    out_and_back = polygon([(5, 5), (6, 6), (7, 7), (6, 6), (5, 5)])
    assert out_and_back.geometry == {"type": "LineString", "coordinates": [[5, 5], [6, 6], [7, 7]]}
    assert "no area" in out_and_back.quality
    across = polygon([(179, 5), (-179, 5), (179, 5), (179, 5)])
    assert across.geometry == {"type": "MultiLineString", "coordinates": [[[179, 5], [180, 5]], [[-180, 5], [-179, 5]]]}
    assert "no area" in across.quality


def test_a_track_across_the_antimeridian_is_split_there() -> None:
    geometry = line([(179, 10), (-179, 12)]).geometry
    assert geometry["type"] == "MultiLineString"
    assert geometry["coordinates"] == [[[179, 10], [180, 11]], [[-180, 11], [-179, 12]]]
    assert bbox(geometry) == (179, 10, -179, 12)
    assert line([(3, 4), (3, 4)]).geometry == {"type": "Point", "coordinates": [3, 4]}


def test_lines_and_points_get_parts_as_thin_as_a_hair() -> None:
    for geometry in (line([(0, 0), (25, 3)]).geometry, line([(3, 4)]).geometry):
        cells = [shapely.Polygon(ring) for ring in parts(geometry)]
        assert all(cell.is_valid and 0 < cell.area < 1e-4 for cell in cells)
        assert shapely.union_all(cells).covers(shapely.geometry.shape(geometry))
    assert len(parts(line([(0, 0), (25, 3)]).geometry)) == 3


@pytest.mark.parametrize("point", [(0, 91), (361, 0), (math.nan, 0), (0, math.inf)])
def test_what_is_no_position_on_earth_is_refused(point: Point) -> None:
    with pytest.raises(ValueError, match="not on Earth"):
        polygon([(0, 0), (1, 0), (1, 1), point])


@settings(max_examples=300, deadline=None)
@given(
    centre=st.tuples(st.floats(-180, 180), st.floats(-90, 90)),
    offsets=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=3, max_size=5),
    size_deg=st.sampled_from([0.001, 1.0, 20.0, 150.0]),
)
@example(centre=(10, 50), offsets=[(-1, -1), (1, -1), (1, 1), (-1, 1)], size_deg=1.0)
@example(centre=(180, 50), offsets=[(-1, -1), (-1, 1), (1, 1), (1, -1)], size_deg=1.0)
def test_the_short_way_of_plain_rings_ends_where_the_long_one_does(
    centre: Point, offsets: list[Point], size_deg: float
) -> None:
    ring = [
        (max(-180.0, min(180.0, centre[0] + size_deg * x)), max(-90.0, min(90.0, centre[1] + size_deg * y)))
        for x, y in offsets
    ]
    short = polygon(ring)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(footprints, "_is_plain", lambda path: False)
        assert polygon(ring) == short
