"""SRAL level 2 over land, SR_2_LAN___ (S3IPF.PDS.003.2): a stripe of ten minutes, three netCDF files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from refsys.simulation.samples import rasters
from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import Sample
from refsys.simulation.samples.rasters import Array, Variable
from refsys.simulation.samples.sentinel3 import Acquisition, Kind, sen3

STRIPE_S: Final = 598
_WAVEFORM: Final = 128
_HALF_BEAM_M: Final = 150.0
LAN: Final = Kind(
    type="SR_2_LAN___",
    level=2,
    instrument="SRAL",
    instrument_name="Sar Radar ALtimeter",
    title="SENTINEL-3 SRAL Level 2",
    centre="LN3",
    timeliness="ST",
    baseline="005",
    delay=timedelta(hours=38),
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def lan(orbit: Orbit, middle: datetime, seed: int) -> Sample:
    """The stripe of ten minutes around an instant."""
    half = timedelta(seconds=STRIPE_S / 2)
    seen = Acquisition(orbit, middle - half, middle + half)
    elevation = rasters.texture(seed, 2, STRIPE_S + 1)[0] * 3000
    reduced = _reduced(seen, elevation)
    standard = reduced | {
        "range_ocean_01_ku": _metres(orbit.altitude_m - elevation),
        "elevation_ocog_20_ku": _metres(elevation + 0.3),
    }
    waveform = rasters.numbers(rasters.texture(seed + 1, STRIPE_S + 1, _WAVEFORM), 60_000)
    enhanced = standard | {"waveform_20_ku": Variable(waveform, ("time_01", "echo_sample_ind"), {"units": "count"})}
    files = {
        "enhanced_measurement.nc": enhanced,
        "standard_measurement.nc": standard,
        "reduced_measurement.nc": reduced,
    }
    about = {"title": "SRAL Level 2 Product", "institution": "refsys samples", "Conventions": "CF-1.8"}
    contents = {path: rasters.netcdf(variables, about) for path, variables in files.items()}
    ring = seen.swath(-_HALF_BEAM_M, _HALF_BEAM_M, 16)
    return sen3(LAN, seen, ring=ring, contents=contents, information=_information())


def _reduced(seen: Acquisition, elevation: Array) -> dict[str, Variable]:
    instants = seen.instants(len(elevation))
    track = np.array([seen.orbit.below(instant) for instant in instants])
    seconds = np.array([(instant - _EPOCH).total_seconds() for instant in instants])
    return {
        "time_01": Variable(seconds, ("time_01",), {"units": "seconds since 2000-01-01 00:00:00.0"}),
        "lat_01": Variable(track[:, 1], ("time_01",), {"units": "degrees_north", "standard_name": "latitude"}),
        "lon_01": Variable(track[:, 0], ("time_01",), {"units": "degrees_east", "standard_name": "longitude"}),
        "elevation_01": _metres(elevation),
    }


def _metres(values: Array) -> Variable:
    return Variable(values.astype(np.float64), ("time_01",), {"units": "m"})


def _information() -> list[str]:
    fields: dict[str, object] = {
        "ellipsoidSemiMajorAxis": "6378137.000000",
        "ellipsoidFlattening": "0.003353",
        "lrmModePercentage": 0,
        "sarModePercentage": 100,
        "landPercentage": 0,
        "closedSeaPercentage": 0,
        "continentalIcePercentage": 97,
        "openOceanPercentage": 3,
        "landWaterMaskFlag": "TRUE",
    }
    return [f"<sral:{name}>{value}</sral:{name}>" for name, value in fields.items()]
