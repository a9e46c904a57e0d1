"""Sentinel-2 tiles: UTM, the 100 km squares of MGRS, and their outline on the ellipsoid.

Formulas: C. F. F. Karney, "Transverse Mercator with an accuracy of a few nanometers" (2011), series to third order
(millimetres inside a zone); letters: NGA.STND.0037, MGRS; tile size: S2 PSD, "Tiling", 109.8 km.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from refsys.simulation.samples.orbits import wrap

TILE_M = 109_800
_A = 6_378_137.0
_F = 1 / 298.257223563
_N = _F / (2 - _F)
_RADIUS = _A / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_SCALE = 0.9996
_ALPHA = (
    _N / 2 - 2 / 3 * _N**2 + 5 / 16 * _N**3,
    13 / 48 * _N**2 - 3 / 5 * _N**3,
    61 / 240 * _N**3,
)
_BETA = (
    _N / 2 - 2 / 3 * _N**2 + 37 / 96 * _N**3,
    _N**2 / 48 + _N**3 / 15,
    17 / 480 * _N**3,
)
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile: its name (`31TCJ`), zone, hemisphere and the easting and northing (m) of its upper left corner."""

    name: str
    zone: int
    south: bool
    ulx: int
    uly: int

    @property
    def epsg(self) -> int:
        return (32700 if self.south else 32600) + self.zone

    def ring(self) -> list[tuple[float, float]]:
        """The outline as (longitude, latitude), closed, clockwise from the upper left corner.

        Where it crosses the antimeridian, the crossing is a vertex at 180, as in the published products.
        """
        x, y = self.ulx, self.uly
        corners = ((x, y), (x + TILE_M, y), (x + TILE_M, y - TILE_M), (x, y - TILE_M), (x, y))
        points = [self.geographic(*corner) for corner in corners]
        ring = [points[0]]
        for before, after in itertools.pairwise(points):
            if abs(after[0] - before[0]) > 180.0:
                ring.append(_crossing(before, after))
            ring.append(after)
        return ring

    def geographic(self, easting: float, northing: float) -> tuple[float, float]:
        """Longitude and latitude (degrees, WGS 84) of a point of the zone."""
        xi = (northing - (10_000_000.0 if self.south else 0.0)) / (_SCALE * _RADIUS)
        eta = (easting - 500_000.0) / (_SCALE * _RADIUS)
        xi_, eta_ = xi, eta
        for j, beta in enumerate(_BETA, start=1):
            xi_ -= beta * math.sin(2 * j * xi) * math.cosh(2 * j * eta)
            eta_ -= beta * math.cos(2 * j * xi) * math.sinh(2 * j * eta)
        conformal = math.asin(math.sin(xi_) / math.cosh(eta_))
        longitude = 6 * self.zone - 183 + math.degrees(math.atan2(math.sinh(eta_), math.cos(xi_)))
        return wrap(longitude), math.degrees(_geodetic(conformal))


def tile_at(longitude: float, latitude: float, *, zone: int | None = None) -> Tile:
    """The tile that holds a point; `zone` asks for a neighbouring zone's overlapping tile."""
    zone = zone or int((wrap(longitude) + 180.0) // 6) + 1
    easting, northing = _project(longitude, latitude, zone)
    south = latitude < 0
    if south:
        northing += 10_000_000.0
    column, row = int(easting // 100_000), int(northing // 100_000)
    band = _BANDS[min(int((latitude + 80.0) // 8), len(_BANDS) - 1)]
    letters = _COLUMNS[(zone - 1) % 3][column - 1] + _ROWS[(row + (0 if zone % 2 else 5)) % 20]
    # a tile is larger than its 100 km square; the real grid puts its upper left corner some 20 m above the square's
    return Tile(f"{zone:02d}{band}{letters}", zone, south, column * 100_000, (row + 1) * 100_000 + 20)


def _project(longitude: float, latitude: float, zone: int) -> tuple[float, float]:
    phi, lam = math.radians(latitude), math.radians(wrap(longitude - (6 * zone - 183)))
    e = math.sqrt(_F * (2 - _F))
    tau = math.sinh(math.atanh(math.sin(phi)) - e * math.atanh(e * math.sin(phi)))
    xi = math.atan2(tau, math.cos(lam))
    eta = math.atanh(math.sin(lam) / math.hypot(1.0, tau))
    x, y = eta, xi
    for j, alpha in enumerate(_ALPHA, start=1):
        y += alpha * math.sin(2 * j * xi) * math.cosh(2 * j * eta)
        x += alpha * math.cos(2 * j * xi) * math.sinh(2 * j * eta)
    return 500_000.0 + _SCALE * _RADIUS * x, _SCALE * _RADIUS * y


def _geodetic(conformal: float) -> float:
    e = math.sqrt(_F * (2 - _F))
    target, phi = math.asinh(math.tan(conformal)), conformal
    for _ in range(6):
        phi = math.asin(math.tanh(target + e * math.atanh(e * math.sin(phi))))
    return phi


def _crossing(before: tuple[float, float], after: tuple[float, float]) -> tuple[float, float]:
    to_edge, beyond = 180.0 - abs(before[0]), 180.0 - abs(after[0])
    return 180.0, before[1] + (after[1] - before[1]) * to_edge / (to_edge + beyond)
