"""Where each satellite is: circular repeating orbits, tied to a published orbit number, time and node longitude.

Good to a few kilometres along and some tens across track: enough for orbit numbers, times and footprints of samples
to agree with each other and with what real products of the same orbit say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from refsys.core.times import parse_instant

EARTH_RADIUS_M = 6_371_000.0
_DAY_S = 86_400.0

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Orbit:
    """A satellite's repeating orbit.

    `anx` is the time of ascending node of absolute orbit `absolute`, `longitude` (degrees east) where it crossed the
    equator. The ground track repeats after `revolutions` in `days`. `first` is an absolute orbit with relative orbit
    number 1 at the begin of cycle `cycle`.
    """

    mission: str
    platform: str
    cospar: str
    absolute: int
    anx: datetime
    longitude: float
    days: int
    revolutions: int
    inclination: float
    altitude_m: float
    first: int
    cycle: int

    @property
    def satellite(self) -> str:
        """For example `S1A`."""
        return self.mission + self.platform

    @property
    def period_s(self) -> float:
        return self.days * _DAY_S / self.revolutions

    def relative(self, absolute: int) -> int:
        return (absolute - self.first) % self.revolutions + 1

    def cycle_of(self, absolute: int) -> int:
        return (absolute - self.first) // self.revolutions + self.cycle

    def anx_of(self, absolute: int) -> datetime:
        """Time at which the orbit begins: the crossing of the ascending node."""
        return self.anx + timedelta(seconds=(absolute - self.absolute) * self.period_s)

    def absolute_at(self, instant: datetime) -> int:
        return self.absolute + math.floor((instant - self.anx).total_seconds() / self.period_s)

    def next_pass(self, after: datetime, relative: int) -> int:
        """The first absolute orbit with this relative orbit number that begins after an instant."""
        absolute = self.absolute_at(after) + 1
        return absolute + (relative - self.relative(absolute)) % self.revolutions

    def time_of_latitude(self, absolute: int, latitude: float, *, descending: bool) -> datetime:
        """When the satellite passes over a latitude (degrees) in this orbit; ValueError beyond its reach."""
        argument = math.asin(math.sin(math.radians(latitude)) / math.sin(math.radians(self.inclination)))
        if descending:
            argument = math.pi - argument
        share = argument % math.tau / math.tau
        return self.anx_of(absolute) + timedelta(seconds=share * self.period_s)

    def below(self, instant: datetime) -> tuple[float, float]:
        """Longitude and latitude (degrees) of the point below the satellite, on a spherical Earth."""
        absolute = self.absolute_at(instant)
        elapsed_s = (instant - self.anx_of(absolute)).total_seconds()
        u, i = math.tau * elapsed_s / self.period_s, math.radians(self.inclination)
        node = self.longitude - 360.0 * (absolute - self.absolute) * self.days / self.revolutions
        turned = 360.0 * elapsed_s / _DAY_S
        longitude = node + math.degrees(math.atan2(math.cos(i) * math.sin(u), math.cos(u))) - turned
        return wrap(longitude), math.degrees(math.asin(math.sin(i) * math.sin(u)))

    def heading(self, instant: datetime) -> float:
        """Direction of flight over ground, degrees clockwise from north."""
        later = self.below(instant + timedelta(seconds=1))
        return bearing(self.below(instant), later)

    def descending(self, instant: datetime) -> bool:
        return 90.0 < self.heading(instant) % 360.0 < 270.0

    def beside(self, instant: datetime, right_m: float) -> tuple[float, float]:
        """Longitude and latitude of the point `right_m` metres to the right of the track (negative: left)."""
        return offset(self.below(instant), self.heading(instant) + 90.0, right_m)

    def state(self, instant: datetime) -> tuple[Vector, Vector]:
        """Position (m) and velocity (m/s) in the Earth-fixed frame."""
        half = timedelta(milliseconds=500)
        before, position, after = (self._position(at) for at in (instant - half, instant, instant + half))
        velocity = (after[0] - before[0], after[1] - before[1], after[2] - before[2])
        return position, velocity

    def _position(self, instant: datetime) -> Vector:
        longitude, latitude = (math.radians(degrees) for degrees in self.below(instant))
        radius = EARTH_RADIUS_M + self.altitude_m
        flat = radius * math.cos(latitude)
        return flat * math.cos(longitude), flat * math.sin(longitude), radius * math.sin(latitude)


def wrap(longitude: float) -> float:
    """The same longitude in -180 ≤ longitude < 180."""
    return (longitude + 180.0) % 360.0 - 180.0


def bearing(start: tuple[float, float], end: tuple[float, float]) -> float:
    """Initial direction of the great circle between two points, degrees clockwise from north."""
    (lon1, lat1), (lon2, lat2) = (tuple(map(math.radians, point)) for point in (start, end))
    east = math.sin(lon2 - lon1) * math.cos(lat2)
    north = math.cos(lat1) * math.sin(lat2) - math.sin(lat1) * math.cos(lat2) * math.cos(lon2 - lon1)
    return math.degrees(math.atan2(east, north))


def offset(point: tuple[float, float], direction: float, distance_m: float) -> tuple[float, float]:
    """The point `distance_m` away along the great circle that leaves in `direction` (degrees from north)."""
    longitude, latitude = (math.radians(degrees) for degrees in point)
    angle, course = distance_m / EARTH_RADIUS_M, math.radians(direction)
    sine = math.sin(latitude) * math.cos(angle) + math.cos(latitude) * math.sin(angle) * math.cos(course)
    east = math.sin(course) * math.sin(angle) * math.cos(latitude)
    north = math.cos(angle) - math.sin(latitude) * sine
    return wrap(math.degrees(longitude + math.atan2(east, north))), math.degrees(math.asin(sine))


def _orbit(satellite: str, cospar: str, absolute: int, anx: str, longitude: float, first: int, cycle: int) -> Orbit:
    days, revolutions, inclination, altitude_m = {
        "S1": (12, 175, 98.18, 693_000.0),
        "S2": (10, 143, 98.62, 786_000.0),
        "S3": (27, 385, 98.65, 814_500.0),
    }[satellite[:2]]
    return Orbit(
        mission=satellite[:2],
        platform=satellite[2],
        cospar=cospar,
        absolute=absolute,
        anx=parse_instant(anx),
        longitude=longitude,
        days=days,
        revolutions=revolutions,
        inclination=inclination,
        altitude_m=altitude_m,
        first=first,
        cycle=cycle,
    )


#: Ties taken from manifests (S1A, S3A, S3B: node times and state vectors) and from tiles' sensing times (S2A, S2B).
ORBITS = {
    orbit.satellite: orbit
    for orbit in (
        _orbit("S1A", "2014-016A", 39156, "2021-08-09T17:27:46.469908Z", 8.38, 73, 15),
        _orbit("S2A", "2015-028A", 41826, "2023-06-25T23:16:17Z", -11.55, -2, 1),
        _orbit("S2B", "2017-013A", 14683, "2019-12-28T19:54:41Z", 38.80, 27, 1),
        _orbit("S3A", "2016-011A", 29567, "2021-10-21T06:26:27.254946Z", -126.54, -26, 1),
        _orbit("S3B", "2018-039A", 17013, "2021-07-31T21:22:11.326124Z", 9.51, -112, 11),
    )
}
