"""Chance in pauses, so that what waits for the same thing does not come back all at once."""

from __future__ import annotations

import random
from typing import Final

_CHANCE: Final = random.SystemRandom()


def jittered(seconds: float, least: float = 0.5, most: float = 1.0) -> float:
    """Between `least` and `most` times `seconds`."""
    return seconds * _CHANCE.uniform(least, most)
