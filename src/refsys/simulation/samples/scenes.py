"""Which samples are made: a set of scenes over known orbits, one repeat cycle later for every further round."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refsys.simulation.samples.orbitfiles import resorb
from refsys.simulation.samples.orbits import ORBITS, Orbit
from refsys.simulation.samples.sentinel1 import Slice, grd
from refsys.simulation.samples.tiles import tile_at

if TYPE_CHECKING:
    from refsys.simulation.samples.package import Sample

_BEGIN: Final = datetime(2024, 9, 1, tzinfo=UTC)
_EDGE: Final = 256

Scene = Callable[[datetime, int], "Sample"]


def make_samples(folder: Path, *, seed: int = 1, count: int = 9) -> list[Path]:
    """Write `count` products into `folder` and return their paths; the same seed makes the same bytes.

    In this order, then again from later cycles: S1 GRD over land; S1 GRD across the antimeridian; S1 restituted orbit;
    S2 L1C and the L2A of the same tile; S2 L2A across the antimeridian; S3 OLCI frame; S3 OLCI frame near the south
    pole; S3 SRAL stripe around the southernmost point of its orbit. Some 100 kB to 1 MB each.
    Raises ConfigurationError where the raster libraries (extra `demo`) are not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [sample.write(folder) for sample in itertools.islice(_samples(seed), count)]


def _samples(seed: int) -> Iterator[Sample]:
    for turn in itertools.count():
        after = _BEGIN + timedelta(days=27 * (turn + seed % 12 * 2))
        for index, scene in enumerate(_SCENES):
            yield scene(after, seed * 1_000_003 + turn * 1_009 + index * 101)


def _time(orbit: Orbit, after: datetime, relative: int, latitude: float, *, descending: bool) -> datetime:
    """When the satellite next flies over a latitude in an orbit of the repeat cycle."""
    return orbit.time_of_latitude(orbit.next_pass(after, relative), latitude, descending=descending)


def _grd(relative: int, latitude: float, *, descending: bool, slice_number: int, timeliness: str) -> Scene:
    def make(after: datetime, seed: int) -> Sample:
        from refsys.simulation.samples import rasters

        orbit = ORBITS["S1A"]
        start = _time(orbit, after, relative, latitude, descending=descending)
        scene = Slice(orbit, start, slice_number, 20, _EDGE, _EDGE, timeliness)
        image = rasters.texture(seed, _EDGE, _EDGE)
        tie_points = [(float(pixel), float(line), x, y) for line, pixel, _, x, y in scene.grid()]
        bands = {"vv": image, "vh": image**2 * 0.4}

        def measurement(polarisation: str) -> bytes:
            pixels = rasters.numbers(bands[polarisation], 1200)
            return rasters.geotiff(pixels, tie_points, f"Sentinel-1{orbit.platform} IW GRD HR L1, sample")

        quick_look = rasters.png(bands["vv"], bands["vh"] * 2, bands["vv"] ** 2)
        return grd(scene, measurement=measurement, quick_look=quick_look)

    return make


def _resorb(relative: int) -> Scene:
    def make(after: datetime, seed: int) -> Sample:
        orbit = ORBITS["S1A"]
        return resorb(orbit, orbit.anx_of(orbit.next_pass(after, relative)), duration_s=int(2 * orbit.period_s))

    return make


def _msi(satellite: str, level: str, relative: int, latitude: float, *, zone: int | None = None, group: int) -> Scene:
    """`group` names a tile: scenes of one group see the same ground, so that an L2A belongs to its L1C."""

    def make(after: datetime, seed: int) -> Sample:
        from refsys.simulation.samples.sentinel2 import Acquisition, msi

        orbit = ORBITS[satellite]
        sensing = _time(orbit, after, relative, latitude, descending=True)
        tile = tile_at(*orbit.below(sensing), zone=zone)
        return msi(Acquisition(orbit, tile, sensing, int(sensing.timestamp()) + group), level)

    return make


def _olci(satellite: str, relative: int, latitude: float, *, descending: bool) -> Scene:
    def make(after: datetime, seed: int) -> Sample:
        from refsys.simulation.samples.olci import efr

        orbit = ORBITS[satellite]
        return efr(orbit, _time(orbit, after, relative, latitude, descending=descending), seed)

    return make


def _sral(satellite: str, relative: int) -> Scene:
    def make(after: datetime, seed: int) -> Sample:
        from refsys.simulation.samples.sral import lan

        orbit = ORBITS[satellite]
        southernmost = orbit.anx_of(orbit.next_pass(after, relative)) + timedelta(seconds=0.75 * orbit.period_s)
        return lan(orbit, southernmost, seed)

    return make


_SCENES: Final = (
    _grd(59, 43.5, descending=False, slice_number=7, timeliness="NRT-3h"),
    _grd(139, 65.0, descending=False, slice_number=3, timeliness="Fast-24h"),
    _resorb(59),
    _msi("S2B", "1C", 8, 45.2, group=1),
    _msi("S2B", "2A", 8, 45.2, group=1),
    _msi("S2A", "2A", 73, 66.2, zone=1, group=2),
    _olci("S3B", 22, 44.0, descending=True),
    _olci("S3A", 334, -76.0, descending=True),
    _sral("S3A", 373),
)
