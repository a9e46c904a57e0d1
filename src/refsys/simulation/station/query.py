"""A listing: query options read, products chosen, ordered and cut into pages, entities in the PRIP's shape.

Shapes: standards 2.10, 2.11; the pages' links as the Copernicus Data Space writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from refsys.core.times import format_instant
from refsys.simulation.station.filters import Predicate, parse_filter
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import Package

#: How long a station keeps its products (ingestion 19.3).
RETENTION: Final = timedelta(days=7)

_SORTABLE: Final[dict[str, Callable[[Offered], Any]]] = {
    "PublicationDate": lambda offered: offered.published_at,
    "Name": lambda offered: offered.name,
    "Id": lambda offered: str(offered.id),
}
_CONTENT_TYPES: Final = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
    ".xml": "application/xml",
    ".eof": "application/xml",
}


class QueryError(ValueError):
    """A query option that cannot be answered; `status` 400, or 501 for what this station does not do."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Query:
    """Query options. `order`: (key, descending) pairs; without any the order is the ids', which means nothing."""

    predicate: Predicate | None
    order: tuple[tuple[Callable[[Offered], Any], bool], ...]
    top: int
    skip: int
    count: bool

    def choose(self, everything: Iterable[Offered]) -> list[Offered]:
        """All that match, ordered."""
        chosen = [each for each in everything if self.predicate is None or self.predicate(_properties(each))]
        chosen.sort(key=_SORTABLE["Id"])
        for key, descending in reversed(self.order):
            chosen.sort(key=key, reverse=descending)
        return chosen


def parse_query(options: Iterable[tuple[str, str]], page_limit: int) -> Query:
    """Read the options of a listing; raises QueryError or FilterError."""
    given: dict[str, str] = {}
    for name, text in options:
        if not name.startswith("$"):
            continue
        if name not in ("$filter", "$orderby", "$top", "$skip", "$count", "$format"):
            raise QueryError(f"{name} is not supported by this station", 501)
        if name in given:
            raise QueryError(f"{name} is given twice")
        given[name] = text
    count = given.get("$count", "false").lower()
    if count not in ("true", "false"):
        raise QueryError(f"$count is true or false, not {count!r}")
    return Query(
        predicate=parse_filter(given["$filter"]) if "$filter" in given else None,
        order=_order(given.get("$orderby", "")),
        top=min(_number("$top", given, page_limit), page_limit),
        skip=_number("$skip", given, 0),
        count=count == "true",
    )


def next_link(collection: str, options: Iterable[tuple[str, str]], skip: int) -> str:
    """The address of the page that begins at `skip`, option names and values encoded."""
    pairs = [(name, text) for name, text in options if name != "$skip"] + [("$skip", str(skip))]
    return f"{collection}?" + "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs)


def entity(offered: Offered, package: Package) -> dict[str, Any]:
    """One product as the station announces it, which need not be the truth."""
    checksums = {**package.checksums, **offered.checksums}
    published = format_instant(offered.published_at)
    interval = offered.interval
    return {
        "@odata.mediaContentType": content_type(offered.name),
        "Id": str(offered.id),
        "Name": offered.name,
        "ContentType": content_type(offered.name),
        "ContentLength": package.size_bytes if offered.size_bytes is None else offered.size_bytes,
        "OriginDate": published,
        "PublicationDate": published,
        "EvictionDate": format_instant(offered.published_at + RETENTION),
        "Online": True,
        "ProductionType": "systematic_production",
        "Checksum": [
            {"Algorithm": algorithm, "Value": value, "ChecksumDate": format_instant(package.checked_at)}
            for algorithm, value in checksums.items()
        ],
        "ContentDate": interval and {"Start": format_instant(interval[0]), "End": format_instant(interval[1])},
    }


def content_type(name: str) -> str:
    """By the suffix of the name."""
    suffix = re.search(r"\.[^.]+$", name.lower())
    return _CONTENT_TYPES.get(suffix[0] if suffix else "", "application/octet-stream")


def _properties(offered: Offered) -> Callable[[str], Any]:
    def value(name: str) -> Any:
        match name:
            case "Name":
                return offered.name
            case "PublicationDate":
                return offered.published_at
            case "Id":
                return str(offered.id)
        return offered.interval and offered.interval[name == "ContentDate/End"]

    return value


def _order(text: str) -> tuple[tuple[Callable[[Offered], Any], bool], ...]:
    order = []
    for term in filter(None, map(str.strip, text.split(","))):
        match = re.fullmatch(r"(\w+)(?:\s+(asc|desc))?", term)
        if match is None or match[1] not in _SORTABLE:
            raise QueryError(f"$orderby: {term!r} is not one of {', '.join(_SORTABLE)}, with asc or desc or neither")
        order.append((_SORTABLE[match[1]], match[2] == "desc"))
    return tuple(order)


def _number(name: str, given: dict[str, str], default: int) -> int:
    text = given.get(name, str(default))
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise QueryError(f"{name} is a number from 0, not {text!r}")
    return int(text)
