"""STAC API 1.x at `/stac`, on stac-fastapi's application and models; answers are stored bodies, joined."""

from __future__ import annotations

import logging
from typing import Final

#: Where the API is mounted.
ROOT: Final = "/stac"

# when it is imported it warns of settings that it reads from its environment, which are not ours
logging.getLogger("stac_fastapi").setLevel(logging.ERROR)
