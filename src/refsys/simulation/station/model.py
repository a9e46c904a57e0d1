"""A product that a station offers: a name, where its bytes come from, and what the station says about it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from refsys.core.times import parse_compact
from refsys.simulation.station.content import Content

#: Not the namespace of the system's own ids: whoever mixes up the two finds nothing.
NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:refsys:simulated-station")

#: Two instants in a name: sensing or validity, `20210401T150000_20210401T150030` or `V2017…_2017…`.
_INTERVAL: Final = re.compile(r"_V?(\d{8}T\d{6})_(\d{8}T\d{6})(?=[_.]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A product as offered. `serial` is new for each content that lay under a name.

    `source` is a folder or file on disk, or content that is made.

    `size_bytes` and `checksums` (algorithm → hexadecimal value) are announced in place of the true ones where given;
    a size below 0 is none.
    """

    id: uuid.UUID
    name: str
    source: Path | Content
    published_at: datetime
    serial: int
    size_bytes: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[datetime, datetime] | None:
        """Start and end of ContentDate as the name tells them; None where it tells none."""
        match = _INTERVAL.search(self.name)
        if match is None:
            return None
        try:
            return parse_compact(match[1]), parse_compact(match[2])
        except ValueError:
            return None


def offered_id(name: str, version: int) -> uuid.UUID:
    """UUIDv5(name) for the first content under a name, UUIDv5(name#n) for the n-th: other bytes, other id."""
    return uuid.uuid5(NAMESPACE, name if version == 1 else f"{name}#{version}")
