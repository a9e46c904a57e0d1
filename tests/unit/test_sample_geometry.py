"""Samples stand on orbits and tiles that exist: numbers compared with those of real products."""

from __future__ import annotations

from datetime import timedelta

import pytest

from refsys.core.times import parse_instant
from refsys.simulation.samples.orbits import ORBITS, bearing, offset
from refsys.simulation.samples.tiles import tile_at


@pytest.mark.parametrize(
    ("satellite", "absolute", "relative", "cycle"),
    [
        ("S1A", 20794, 72, 133),
        ("S1A", 30884, 12, 191),
        ("S1A", 39156, 59, 238),
        ("S2A", 32448, 133, None),
        ("S2B", 14683, 71, None),
        ("S3A", 27681, 373, 72),
        ("S3B", 15534, 247, 51),
    ],
)
def test_relative_orbits_and_cycles_are_those_of_real_manifests(
    satellite: str, absolute: int, relative: int, cycle: int | None
) -> None:
    orbit = ORBITS[satellite]
    assert orbit.relative(absolute) == relative
    assert cycle in (None, orbit.cycle_of(absolute))


@pytest.mark.parametrize(
    ("satellite", "instant", "absolute"),
    [
        ("S1A", "2018-02-27T14:53:44Z", 20794),
        ("S2B", "2019-12-28T21:05:52Z", 14683),
        ("S3A", "2021-06-11T01:14:37Z", 27681),
        ("S3B", "2021-04-19T05:17:54Z", 15534),
    ],
)
def test_an_instant_has_the_orbit_number_of_the_real_product(satellite: str, instant: str, absolute: int) -> None:
    assert ORBITS[satellite].absolute_at(parse_instant(instant)) == absolute


def test_a_position_lies_on_the_track_of_a_real_altimeter_product() -> None:
    longitude, latitude = ORBITS["S3A"].below(parse_instant("2021-06-11T01:14:37.943332Z"))
    assert (longitude, latitude) == pytest.approx((110.57, -67.02), abs=0.3)


def test_a_latitude_is_reached_when_it_is_said_to_be() -> None:
    orbit = ORBITS["S2A"]
    for descending in (False, True):
        instant = orbit.time_of_latitude(41826, 43.5, descending=descending)
        assert orbit.absolute_at(instant) == 41826
        assert orbit.below(instant)[1] == pytest.approx(43.5, abs=1e-3)
        assert orbit.descending(instant) is descending


def test_the_ground_track_repeats_after_its_cycle() -> None:
    orbit = ORBITS["S3B"]
    instant = parse_instant("2024-09-17T05:43:21Z")
    assert orbit.below(instant + timedelta(days=27)) == pytest.approx(orbit.below(instant), abs=1e-6)


def test_going_somewhere_goes_there() -> None:
    start = (179.5, -72.0)
    assert bearing(start, offset(start, 100.0, 50_000.0)) == pytest.approx(100.0, abs=1e-6)


@pytest.mark.parametrize(
    ("point", "zone", "name", "corner"),
    [
        ((93.5, 27.5), None, "46RER", (92.99979654001324, 28.025435531419042)),
        ((-179.9, 66.2), None, "01WCP", (178.47410712070305, 66.65375557692569)),
        ((179.9, 66.2), 1, "01WCP", (178.47410712070305, 66.65375557692569)),
    ],
)
def test_tiles_have_the_names_and_corners_of_real_ones(
    point: tuple[float, float], zone: int | None, name: str, corner: tuple[float, float]
) -> None:
    tile = tile_at(*point, zone=zone)
    assert tile.name == name
    # real corners differ by up to 40 m, depending on the tile
    assert tile.ring()[0] == pytest.approx(corner, abs=5e-4)


def test_a_tile_across_the_antimeridian_has_vertices_on_it() -> None:
    ring = tile_at(179.9, 66.2, zone=1).ring()
    assert [longitude for longitude, _ in ring].count(180.0) == 2
    assert ring[0] == ring[-1]
