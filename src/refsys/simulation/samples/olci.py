"""OLCI level 1 full resolution frames, OL_1_EFR___ (S3IPF.PDS.004.1): 21 bands and their annotations, thinned."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from refsys.simulation.samples import rasters
from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import Sample
from refsys.simulation.samples.rasters import Array, Variable
from refsys.simulation.samples.sentinel3 import Acquisition, Kind, sen3

FRAME_S: Final = 180
ROWS: Final = 90
COLUMNS: Final = 112
_TIE: Final = 16
#: The swath is tilted to the west: it reaches farther to the right of a descending track than to its left.
_LEFT_M: Final = -385_000.0
_RIGHT_M: Final = 885_000.0
#: Centre and width of the bands, nm.
_BANDS: Final = (
    (400, 15), (412.5, 10), (442.5, 10), (490, 10), (510, 10), (560, 10), (620, 10), (665, 10), (673.75, 7.5),
    (681.25, 7.5), (708.75, 10), (753.75, 7.5), (761.25, 2.5), (764.375, 3.75), (767.5, 2.5), (778.75, 15),
    (865, 20), (885, 10), (900, 10), (940, 20), (1020, 40),
)  # fmt: skip
EFR: Final = Kind(
    type="OL_1_EFR___",
    level=1,
    instrument="OLCI",
    instrument_name="Ocean Land Colour Instrument",
    title="SENTINEL-3 OLCI Level 1 Earth Observation Full Resolution Product",
    centre="LN1",
    timeliness="NR",
    baseline="004",
    delay=timedelta(minutes=93),
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def efr(orbit: Orbit, instant: datetime, seed: int) -> Sample:
    """The frame that holds an instant; frames begin every three minutes after the ascending node."""
    anx = orbit.anx_of(orbit.absolute_at(instant))
    along_track_s = int((instant - anx).total_seconds() // FRAME_S) * FRAME_S
    start = anx + timedelta(seconds=along_track_s)
    seen = Acquisition(orbit, start, start + timedelta(seconds=FRAME_S - 0.043), along_track_s)
    image = rasters.texture(seed, ROWS, COLUMNS)
    contents = {path: rasters.netcdf(variables, _about(path)) for path, variables in _files(seen, image)}
    return sen3(EFR, seen, ring=seen.swath(_LEFT_M, _RIGHT_M, 13), contents=contents, information=_information(image))


def _about(path: str) -> dict[str, str]:
    return {
        "title": f"OLCI Level 1b Product, {path.removesuffix('.nc')}",
        "institution": "refsys samples",
        "source": "invented: shows no real place",
        "Conventions": "CF-1.8",
    }


def _files(seen: Acquisition, image: Array) -> Iterable[tuple[str, dict[str, Variable]]]:
    grid, tie_grid = ("rows", "columns"), ("tie_rows", "tie_columns")
    longitude, latitude = _positions(seen, COLUMNS)
    for number, (centre, _) in enumerate(_BANDS, start=1):
        values = rasters.numbers(image * (1.2 - centre / 1500), 40_000)
        about: dict[str, str | float] = {
            "long_name": f"TOA radiance for OLCI acquisition band Oa{number:02d}",
            "units": "mW.m-2.sr-1.nm-1",
            "scale_factor": 0.0139,
            "add_offset": 0.0,
        }
        yield f"Oa{number:02d}_radiance.nc", {f"Oa{number:02d}_radiance": Variable(values, grid, about)}
    time_stamp = Variable(_microseconds(seen), ("rows",), {"units": "microseconds since 2000-01-01 00:00:00"})
    yield (
        "geo_coordinates.nc",
        {
            "latitude": _degrees(latitude, "latitude", grid),
            "longitude": _degrees(longitude, "longitude", grid),
            "altitude": Variable((image * 2000).astype(np.int16), grid, {"units": "m", "standard_name": "altitude"}),
        },
    )
    yield (
        "instrument_data.nc",
        {
            "lambda0": Variable(np.array([c for c, _ in _BANDS], np.float32), ("bands",), {"units": "nm"}),
            "FWHM": Variable(np.array([w for _, w in _BANDS], np.float32), ("bands",), {"units": "nm"}),
        },
    )
    water = np.where(image < 0.25, 0, 2**31).astype(np.uint32)
    yield "qualityFlags.nc", {"quality_flags": Variable(water, grid, {"flag_masks": 2.0**31, "flag_meanings": "land"})}
    yield "removed_pixels.nc", {"removed_pixels_count": Variable(np.zeros(ROWS, np.int16), ("rows",))}
    tie_longitude, tie_latitude = _positions(seen, COLUMNS // _TIE)
    yield (
        "tie_geo_coordinates.nc",
        {
            "latitude": _degrees(tie_latitude, "latitude", tie_grid),
            "longitude": _degrees(tie_longitude, "longitude", tie_grid),
        },
    )
    angles = np.broadcast_to(np.linspace(-46, 22, tie_latitude.shape[1]), tie_latitude.shape)
    yield (
        "tie_geometries.nc",
        {
            "OZA": Variable(
                (np.abs(angles) * 1e6).astype(np.uint32), tie_grid, {"units": "degrees", "scale_factor": 1e-6}
            ),
            "SZA": Variable(
                (np.abs(tie_latitude) * 1e6).astype(np.uint32), tie_grid, {"units": "degrees", "scale_factor": 1e-6}
            ),
        },
    )
    pressure = np.full(tie_latitude.shape, 1013.25, np.float32)
    yield "tie_meteo.nc", {"sea_level_pressure": Variable(pressure, tie_grid, {"units": "hPa"})}
    yield "time_coordinates.nc", {"time_stamp": time_stamp}


def _positions(seen: Acquisition, columns: int) -> tuple[Array, Array]:
    """Longitude and latitude of every pixel (degrees), from the right edge of the swath to the left."""
    distances = np.linspace(_RIGHT_M, _LEFT_M, columns)
    points = [
        [seen.orbit.beside(instant, float(distance)) for distance in distances] for instant in seen.instants(ROWS)
    ]
    array = np.array(points)
    return array[:, :, 0], array[:, :, 1]


def _degrees(values: Array, name: str, dimensions: tuple[str, ...]) -> Variable:
    units = {"latitude": "degrees_north", "longitude": "degrees_east"}[name]
    about: dict[str, str | float] = {"standard_name": name, "units": units, "scale_factor": 1e-6}
    return Variable(np.round(values * 1e6).astype(np.int32), dimensions, about)


def _microseconds(seen: Acquisition) -> Array:
    step = timedelta(microseconds=1)
    return np.array([(instant - _EPOCH) // step for instant in seen.instants(ROWS)], np.int64)


def _information(image: Array) -> list[str]:
    water, bright = (image < 0.25).mean() * 100, (image > 0.7).mean() * 100
    bands = [
        f'  <sentinel3:band name="Oa{number:02d}"><sentinel3:centralWavelength>{centre:g}</sentinel3:centralWavelength>'
        f"<sentinel3:bandwidth>{width:g}</sentinel3:bandwidth></sentinel3:band>"
        for number, (centre, width) in enumerate(_BANDS, start=1)
    ]
    return [
        "<olci:classificationSummary>",
        f'  <sentinel3:salineWaterPixels percentage="{water:.6f}"/>',
        '  <sentinel3:coastalPixels percentage="0.000000"/>',
        '  <sentinel3:freshInlandWaterPixels percentage="0.000000"/>',
        '  <sentinel3:tidalRegionPixels percentage="0.000000"/>',
        f'  <sentinel3:brightPixels percentage="{bright:.6f}"/>',
        "</olci:classificationSummary>",
        "<olci:imageSize>",
        f"  <sentinel3:rows>{ROWS}</sentinel3:rows>",
        f"  <sentinel3:columns>{COLUMNS}</sentinel3:columns>",
        "</olci:imageSize>",
        f'<olci:bandDescriptions bands="{len(_BANDS)}">',
        *bands,
        "</olci:bandDescriptions>",
    ]
