"""One row of the expectation table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FOREVER = "9999-12-31T23:59:59.999999Z"


@dataclass(frozen=True, slots=True)
class Product:
    """What a product says of itself.

    Times are UTC. The box is west, south, east, north in degrees, west > east across the antimeridian. `swath_km` is
    the width that the instrument sees, where the product is as wide. `problems` is how each of its problems begins.
    """

    kind: str
    start: str
    stop: str
    geometry: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    swath_km: float | None = None
    problems: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
