"""Each format's way of writing where a product lies becomes the geometry that it means."""

from __future__ import annotations

import math
import random

import pytest
import shapely

from refsys.core.footprints import bbox
from refsys.missions.footprint_rules import RULES, WrongCount

SQUARE = "10,20 10,22 12,22 12,20"


def vignette(lat: float, lon: float) -> str:
    """A frame of 20 km whose four corners are written in turn round it."""
    half, width = 0.09, 0.09 / math.cos(math.radians(lat))
    corners = [(-half, -width), (-half, width), (half, width), (half, -width)]
    return " ".join(f"{lat + d:.6f},{(lon + e + 180) % 360 - 180:.6f}" for d, e in corners)


def track(count: int, *, lat: float, lon: float, bend: float) -> list[tuple[float, float]]:
    """Centres of vignettes in a near and a far swath in turn, along a track that bends, one every degree."""
    return [(lat + i, lon + 0.2 * i + bend * i * i + (2.2 if i % 2 else 0.0)) for i in range(count)]


def shape_of(rule: str, *texts: str) -> shapely.Geometry:
    return shapely.geometry.shape(RULES[rule](texts).geometry)


def test_four_corners_and_five_with_the_first_repeated_are_the_same_area() -> None:
    closed = f"{SQUARE} 10,20"
    assert RULES["corners"]([SQUARE]) == RULES["corners"]([closed])
    assert shape_of("corners", SQUARE).equals(shapely.box(20, 10, 22, 12))


@pytest.mark.parametrize(
    ("square", "box"),
    [
        (SQUARE, (20, 10, 22, 12)),
        ("-1,179 -1,-179 1,-179 1,179", (179, -1, -179, 1)),
        ("80,0 80,90 80,180 80,-90", (-180, 80, 180, 90)),
    ],
)
def test_corners_go_round_the_scene_in_either_order_and_from_any_of_them(
    square: str, box: tuple[float, float, float, float]
) -> None:
    corners = square.split()
    orders = [corners[first:] + corners[:first] for first in range(4)]
    footprints = [RULES["corners"]([" ".join(order)]) for order in (*orders, *(order[::-1] for order in orders))]
    shapes = [shapely.geometry.shape(footprint.geometry) for footprint in footprints]
    assert all(shape.equals(shapes[0]) for shape in shapes)
    assert {bbox(footprint.geometry) for footprint in footprints} == {box}


@pytest.mark.parametrize(
    "text", ["10,20 10,22 12,22", "10,20 10,22 12,22 12,20 11,21", f"{SQUARE} 10,20 10,20", "10,20"]
)
def test_another_number_of_corners_is_no_footprint(text: str) -> None:
    with pytest.raises(WrongCount, match="points where 4, or 5 with the first repeated, are required"):
        RULES["corners"]([text])


def test_a_track_is_the_line_from_start_to_stop() -> None:
    footprint = RULES["track"](["-62.2900,108.5909 -65.5655,105.8055"])
    assert footprint.geometry == {"type": "LineString", "coordinates": [[108.5909, -62.29], [105.8055, -65.5655]]}
    with pytest.raises(WrongCount, match="has 3 points where 2"):
        RULES["track"](["1,2 3,4 5,6"])


def test_a_test_segment_has_a_footprint_where_it_gives_a_track() -> None:
    assert RULES["track_if_given"](["1,2 3,4"]).geometry == {"type": "LineString", "coordinates": [[2, 1], [4, 3]]}
    other = RULES["track_if_given"]([SQUARE])
    assert other.geometry is None
    assert "no track" in other.quality


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 60])
@pytest.mark.parametrize("bend", [0.0, 0.01, -0.01])
@pytest.mark.parametrize("lon", [-30.0, 179.0])
def test_the_band_of_a_wave_mode_product_holds_every_vignette_and_little_else(
    count: int, bend: float, lon: float
) -> None:
    centres = track(count, lat=-25, lon=lon, bend=bend)
    band = shape_of("vignettes", *(vignette(*centre) for centre in centres))
    for lat, east in centres:
        assert band.covers(shapely.Point((east + 180) % 360 - 180, lat))
    if count > 2:
        lat, east = centres[count // 2]
        for side in (-3.0, 3.0):
            assert not band.contains(shapely.Point((east + side + 180) % 360 - 180, lat))


def test_a_wave_mode_band_does_not_depend_on_the_order_round_a_vignette() -> None:
    frames = [vignette(*centre) for centre in track(9, lat=10, lon=5, bend=0.01)]
    turned = [" ".join(frame.split()[::-1]) for frame in frames]
    assert shape_of("vignettes", *frames).equals(shape_of("vignettes", *turned))


def test_vignettes_without_area_become_a_line_or_point_and_say_so() -> None:
    for texts, kind in ((["1,2 1,2 1,2 1,2"] * 4, "Point"), (["0,0 1,1 2,2 3,3"] * 3, "LineString")):
        footprint = RULES["vignettes"](texts)
        assert footprint.geometry["type"] == kind
        assert "no area" in footprint.quality


def test_heights_are_left_out_where_only_they_close_the_ring() -> None:
    plain = "48.4 36.0 48.0 35.8 48.0 36.2 48.3 36.3 48.4 36.0"
    with_heights = "48.4 36.0 91.9 48.0 35.8 134.3 48.0 36.2 113.5 48.3 36.3 80.5 48.4 36.0 91.9"
    assert RULES["positions"]([with_heights]) == RULES["positions"]([plain])


def test_a_ring_that_pairs_close_is_read_in_pairs_even_if_its_numbers_divide_by_three() -> None:
    assert shape_of("positions", "10 20 10 22 12 22 12 20 11 20 10 20").equals(shapely.box(20, 10, 22, 12))


def test_heights_are_left_out_across_the_antimeridian_and_round_a_pole_too() -> None:
    for plain, box in (
        ("-1 179 -1 -179 1 -179 1 179 -1 179", (179, -1, -179, 1)),
        ("80 0 80 90 80 180 80 -90 80 0", (-180, 80, 180, 90)),
    ):
        numbers = plain.split()
        pairs = [f"{lat} {lon}" for lat, lon in zip(numbers[::2], numbers[1::2], strict=True)]
        heights = " ".join(f"{pair} {12.5 * index}" for index, pair in enumerate(pairs[:-1])) + f" {pairs[-1]} 0.0"
        assert RULES["positions"]([heights]) == RULES["positions"]([plain])
        assert bbox(RULES["positions"]([plain]).geometry) == box


def test_navigation_that_goes_out_and_back_becomes_a_line_or_point_and_says_so() -> None:
    for text, kind in (("10 20 10 20 10 20 10 20", "Point"), ("10 20 11 21 12 22 11 21 10 20", "LineString")):
        footprint = RULES["positions"]([text])
        assert footprint.geometry["type"] == kind
        assert "no area" in footprint.quality


def test_an_inventory_gives_latitudes_and_longitudes_in_turn() -> None:
    texts = ["10", "20", "10", "22", "12", "22", "12", "20", "10", "20"]
    assert shape_of("geo_points", *texts).equals(shapely.box(20, 10, 22, 12))


@pytest.mark.parametrize("text", ["10 20 10 22 12 22", "10 20", ""])
def test_fewer_than_four_positions_are_no_footprint(text: str) -> None:
    with pytest.raises(WrongCount, match="at least 4"):
        RULES["positions"]([text])


def test_an_odd_number_of_numbers_is_no_list_of_positions() -> None:
    with pytest.raises(ValueError, match="has 9 numbers where pairs"):
        RULES["positions"](["10 20 10 22 12 22 12 20 10"])


@pytest.mark.parametrize("word", ["nan", "inf", "-Infinity", "1_0", "0x10", "ten", "१०", "1e", "--1", "1°"])
def test_what_is_no_number_is_told(word: str) -> None:
    with pytest.raises(ValueError, match="where a number is required"):
        RULES["corners"]([f"{word},20 10,22 12,22 12,20"])


@pytest.mark.parametrize("word", ["91", "-90.1", "1e308", "1e999"])
@pytest.mark.parametrize("rule", ["corners", "vignettes", "positions", "track"])
def test_what_is_no_latitude_is_told(rule: str, word: str) -> None:
    points = f"{word} 20 10 22" if rule == "track" else f"{word} 20 10 22 12 22 12 20"
    with pytest.raises(ValueError, match="not on Earth"):
        RULES[rule]([points])


def test_more_points_than_any_format_has_are_refused_before_they_cost_time() -> None:
    dice = random.Random(1)
    many = " ".join(f"{dice.uniform(-80, 80):.3f} {dice.uniform(-170, 170):.3f}" for _ in range(20_001))
    with pytest.raises(WrongCount, match="more than 20000"):
        RULES["positions"]([many])
    with pytest.raises(WrongCount, match="more than 5000"):
        RULES["vignettes"]([SQUARE] * 5001)
