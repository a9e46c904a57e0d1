"""What the real products say of themselves, read by people from their metadata; refsys must find the same."""

from __future__ import annotations

from pathlib import Path

from tests.real_products.auxiliary import AUXILIARIES
from tests.real_products.model import Product
from tests.real_products.sentinel1 import SENTINEL_1
from tests.real_products.sentinel2 import SENTINEL_2
from tests.real_products.sentinel3 import SENTINEL_3
from tests.real_products.sessions import SESSIONS

#: Folders below `data/` that hold products.
FOLDERS = ("sentinel-1", "sentinel-2", "sentinel-3", "auxiliary", "masks/s1-l1", "masks/s1-l2", "sessions")

PRODUCTS: dict[str, Product] = SENTINEL_1 | SENTINEL_2 | SENTINEL_3 | AUXILIARIES | SESSIONS

#: No row of the tables knows this: a station's answer about a session.
UNKNOWN = {
    "S1A_20241114143038056552.json",
}


def offers(data: Path) -> list[Path]:
    """Everything that lies where the products lie."""
    return sorted(path for folder in FOLDERS for path in (data / folder).iterdir())
