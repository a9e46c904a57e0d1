"""Areas as drawn: what is sound, how they are split for an index of polygons."""

import math

import pytest
import shapely
from hypothesis import given, settings

from refsys.core.areas import Area, area_of, area_of_box, areas_of
from tests import filter_strategies


def united(area):
    return shapely.union_all([shapely.Polygon(ring) for ring in area.rings()])


@settings(max_examples=200, deadline=None)
@given(filter_strategies.areas)
def test_the_rings_are_the_area(area):
    assert area.problem() == ""
    shape = area.shape()
    rings = united(area)
    assert rings.bounds[0] >= -180 - 1e-5
    assert rings.bounds[2] <= 180 + 1e-5
    assert shape.symmetric_difference(rings).area < 1e-3
    assert rings.buffer(1e-9).covers(shape)


@settings(max_examples=100, deadline=None)
@given(filter_strategies.boxes())
def test_nothing_of_a_hole_is_in_a_ring(area):
    for hole in area.coordinates[1:]:
        middle = shapely.Polygon(hole).representative_point()
        lon = math.remainder(middle.x, 360.0)
        assert not any(shapely.Polygon(ring).covers(shapely.Point(lon, middle.y)) for ring in area.rings())


def test_the_whole_globe_is_the_whole_globe():
    globe = Area("Polygon", (((-180.0, -90.0), (180.0, -90.0), (180.0, 90.0), (-180.0, 90.0), (-180.0, -90.0)),))
    assert united(globe).area == 360 * 180


def test_a_wide_box_goes_the_long_way_as_it_is_drawn():
    wide = Area("Polygon", (((-170.0, -10.0), (170.0, -10.0), (170.0, 10.0), (-170.0, 10.0), (-170.0, -10.0)),))
    assert wide.shape().covers(shapely.Point(0, 0))
    assert not wide.shape().intersects(shapely.Point(175, 0))


def test_beyond_180_is_on_the_other_side():
    assert Area("Point", (190.0, 5.0)).shape() == shapely.Point(-170, 5)
    over = Area("Polygon", (((170.0, 0.0), (190.0, 0.0), (190.0, 5.0), (170.0, 5.0), (170.0, 0.0)),))
    assert over.shape().bounds == (-180, 0, 180, 5)
    assert over.shape().area == 100


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (Area("Polygon", ()), "is empty"),
        (Area("Polygon", (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)), "is not closed"),
        (Area("Polygon", (((0.0, 0.0), (1.0, 1.0), (0.0, 0.0)),)), "Too few points"),
        (Area("Polygon", (((0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)),)), "Self-intersection"),
        (Area("LineString", ((0.0, 0.0),)), "cannot be drawn"),
        (Area("Point", (0.0, 91.0)), "0 91, which is no longitude and latitude"),
        (Area("Point", (361.0, 0.0)), "361 0, which is no longitude and latitude"),
        (Area("Point", (math.nan, 0.0)), "no longitude and latitude"),
        (Area("LineString", ((0.0, 0.0), (1.0, 1.0)) * 20_000), "more than 20000"),
    ],
)
def test_what_is_not_sound_says_why(area, words):
    assert words in area.problem()


def test_geojson_becomes_an_area_or_says_why_not():
    assert area_of({"type": "Point", "coordinates": [1, 2, 300]}) == Area("Point", (1.0, 2.0))
    with pytest.raises(ValueError, match="not closed"):
        area_of({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]})


@pytest.mark.parametrize(
    "geometry",
    [
        None, [], "Point", 5, {}, {"type": "Point"}, {"type": "Circle", "coordinates": [0, 0]}, {"type": ["Point"]},
        {"type": "Point", "coordinates": None}, {"type": "Point", "coordinates": [1]},
        {"type": "Point", "coordinates": {}},
        {"type": "Point", "coordinates": [True, False]}, {"type": "Point", "coordinates": ["1", "2"]},
        {"type": "Point", "coordinates": [10**400, 0]}, {"type": "Point", "coordinates": [math.inf, 0]},
        {"type": "Point", "coordinates": [[0, 0]]}, {"type": "Polygon", "coordinates": [0, 0]},
        {"type": "Polygon", "coordinates": [[[[0, 0]]]]}, {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "LineString", "coordinates": [[0, 0]] * 20_001},
        {"type": "GeometryCollection", "geometries": []}, {"type": "GeometryCollection", "geometries": None},
        {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": []}]},
    ],
)  # fmt: skip
def test_geojson_that_is_none_is_refused(geometry):
    with pytest.raises(ValueError, match=r"^(is|has|cannot) "):
        areas_of(geometry)


def test_a_collection_has_its_areas():
    point = {"type": "Point", "coordinates": [1, 2]}
    line = {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4, 5]]}
    areas = areas_of({"type": "GeometryCollection", "geometries": [point, line]})
    assert areas == (Area("Point", (1.0, 2.0)), Area("MultiPoint", ((1.0, 2.0), (3.0, 4.0))))


@pytest.mark.parametrize(
    ("numbers", "bounds"),
    [
        ([10, 20, 30, 40], (10, 20, 30, 40)), ([10, 20, -5, 30, 40, 5], (10, 20, 30, 40)),
        ([170, -10, -170, 10], (-180, -10, 180, 10)), ([5, 5, 5, 5], (5, 5, 5, 5)), ([5, 5, 5, 9], (5, 5, 5, 9)),
        ([-180, -90, 180, 90], (-180, -90, 180, 90)),
    ],
)  # fmt: skip
def test_a_box_is_an_area(numbers, bounds):
    area = area_of_box(numbers)
    assert area.problem() == ""
    assert area.shape().bounds == bounds
    if numbers[0] == 170:
        assert not area.shape().intersects(shapely.Point(0, 0))
        assert area.shape().area == 400


@pytest.mark.parametrize(
    "numbers", [[], [1, 2, 3], [1, 2, 3, 4, 5], ["1", 2, 3, 4], [0, 10, 1, 5], [0, 0, 181, 1], [0, -91, 1, 1], None,
                [math.nan, 0, 1, 1], [True, 0, 1, 1]],
)  # fmt: skip
def test_a_box_that_is_none_is_refused(numbers):
    with pytest.raises(ValueError, match=r"^(is|has) "):
        area_of_box(numbers)
