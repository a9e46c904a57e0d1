"""The entity set `Products` of AUXIP and PRIP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from refsys.core.times import format_instant
from refsys.simulation.station.filters import Kinds
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import Packer
from refsys.simulation.station.query import EntitySet, Media
from refsys.simulation.station.shelf import Shelf

#: How long a station keeps what it publishes (ingestion 19.3).
RETENTION: Final = timedelta(days=7)

_KINDS: Final[Kinds] = {
    "Name": "text",
    "Id": "id",
    "PublicationDate": "instant",
    "ContentDate/Start": "instant",
    "ContentDate/End": "instant",
}
_CONTENT_TYPES: Final = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
    ".xml": "application/xml",
    ".eof": "application/xml",
}


class ProductSet(EntitySet[Offered]):
    """The products on a shelf, in the PRIP's shape; without `is_online` all are online."""

    name = "Products"
    kinds = _KINDS

    def __init__(
        self, shelf: Shelf, packer: Packer, is_online: Callable[[Offered], bool] = lambda offered: True
    ) -> None:
        self._shelf = shelf
        self._packer = packer
        self._is_online = is_online

    @property
    def revision(self) -> int:
        return self._shelf.revision

    def rows(self) -> Sequence[Offered]:
        return self._shelf.offered()

    def find(self, key: str) -> Offered | None:
        return self._shelf.find(uuid.UUID(key))

    def title(self, row: Offered) -> str:
        return row.name

    def value(self, row: Offered, name: str) -> Any:
        match name:
            case "Name":
                return row.name
            case "PublicationDate":
                return row.published_at
            case "Id":
                return str(row.id)
        return row.interval and row.interval[name == "ContentDate/End"]

    def entity(self, row: Offered) -> dict[str, Any]:
        """One product as the station announces it, which need not be the truth."""
        package = self._packer.package(row)
        published, interval = format_instant(row.published_at), row.interval
        return {
            "@odata.mediaContentType": content_type(row.name),
            "Id": str(row.id),
            "Name": row.name,
            "ContentType": content_type(row.name),
            "ContentLength": package.size_bytes
            if row.size_bytes is None
            else None
            if row.size_bytes < 0
            else row.size_bytes,
            "OriginDate": published,
            "PublicationDate": published,
            "EvictionDate": format_instant(row.published_at + RETENTION),
            "Online": self._is_online(row),
            "ProductionType": "systematic_production",
            "Checksum": [
                {"Algorithm": algorithm, "Value": value, "ChecksumDate": format_instant(package.checked_at)}
                for algorithm, value in {**package.checksums, **row.checksums}.items()
            ],
            "ContentDate": interval and {"Start": format_instant(interval[0]), "End": format_instant(interval[1])},
        }

    def media(self, row: Offered) -> Media:
        return Media(self._packer.package(row).content, row.name, content_type(row.name))


def content_type(name: str) -> str:
    """By the suffix of the name."""
    suffix = re.search(r"\.[^.]+$", name.lower())
    return _CONTENT_TYPES.get(suffix[0] if suffix else "", "application/octet-stream")
