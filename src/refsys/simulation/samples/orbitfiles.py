"""Earth Explorer orbit files: AUX_RESORB, a state vector every ten seconds (GMES-GSEG-EOPG-FS-10-0075)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from refsys.simulation.samples.orbits import Orbit
from refsys.simulation.samples.package import Sample, compact, fill, iso

STEP_S: Final = 10
#: TAI - UTC since 2017.
_LEAP_S: Final = 37


def resorb(orbit: Orbit, start: datetime, *, duration_s: int) -> Sample:
    """Restituted orbit from `start` on, made 53 minutes after its last state vector."""
    start = start.replace(microsecond=0)
    count = duration_s // STEP_S + 1
    stop = start + timedelta(seconds=(count - 1) * STEP_S)
    created = stop + timedelta(minutes=53)
    name = f"{orbit.satellite}_OPER_AUX_RESORB_OPOD_{compact(created)}_V{compact(start)}_{compact(stop)}"
    states = "".join(_state(orbit, start + timedelta(seconds=STEP_S * step)) for step in range(count))
    content = fill(
        "resorb.xml",
        name=name,
        mission=f"Sentinel-1{orbit.platform}",
        start=start.strftime("%Y-%m-%dT%H:%M:%S"),
        stop=stop.strftime("%Y-%m-%dT%H:%M:%S"),
        created=created.strftime("%Y-%m-%dT%H:%M:%S"),
        count=count,
        states=states,
    )
    return Sample(f"{name}.EOF", {"": content})


def _state(orbit: Orbit, instant: datetime) -> str:
    position, velocity = orbit.state(instant)
    places = "".join(
        f'      <{axis} unit="m">{value:.6f}</{axis}>\n' for axis, value in zip("XYZ", position, strict=True)
    )
    speeds = "".join(
        f'      <V{axis} unit="m/s">{value:.6f}</V{axis}>\n' for axis, value in zip("XYZ", velocity, strict=True)
    )
    return (
        f"    <OSV>\n"
        f"      <TAI>TAI={iso(instant + timedelta(seconds=_LEAP_S))}</TAI>\n"
        f"      <UTC>UTC={iso(instant)}</UTC>\n"
        f"      <UT1>UT1={iso(instant)}</UT1>\n"
        f"      <Absolute_Orbit>+{orbit.absolute_at(instant):05d}</Absolute_Orbit>\n"
        f"{places}{speeds}"
        f"      <Quality>NOMINAL</Quality>\n"
        f"    </OSV>\n"
    )
