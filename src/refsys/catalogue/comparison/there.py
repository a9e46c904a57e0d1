"""The other hub: its products by sensing time, in windows that are small enough to be kept in memory.

Hubs end their lists somewhere (the Data Space at `$skip` 10000), so a window with too much in it is cut in two, never
paged through. Of a PRIP only what every station understands is asked (ingestion 19.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final
from urllib.parse import parse_qs, urljoin, urlsplit, urlunsplit

from refsys.catalogue.comparison.products import names_of
from refsys.catalogue.takeover.odata import ask_page, query_of
from refsys.core.errors import ConfigurationError, Permanent
from refsys.core.times import format_instant
from refsys.infra.stations.client import StationClient

#: Entries that are asked for at once; a hub may give fewer.
PAGE: Final = 500
#: Most products of a window that can be cut.
MOST: Final = 5000
#: The shortest window.
LEAST: Final = timedelta(seconds=1)
#: Most entries of a shortest window, and names that are looked up in one request.
_END: Final = 100_000
_NAMES: Final = 15
#: Where lists of the Data Space end (standards 2.1).
_CDSE_END: Final = 10_000


class Dialect(Enum):
    """Whose OData a hub speaks; `order` is what its products can be ordered by wherever it is spoken."""

    CDSE = "ContentDate/Start"
    PRIP = "PublicationDate"


class TooMany(Exception):
    """A window holds more than is kept in memory."""


async def dialect_of(url: str, client: StationClient) -> Dialect:
    """What a hub speaks, by its first product: only the Data Space's have an S3Path. Raises RefsysError."""
    entities, _ = await ask_page(client, f"{products_url(url)}?{query_of({'$top': '1'})}")
    is_cdse = any(isinstance(entity, Mapping) and "S3Path" in entity for entity in entities)
    return Dialect.CDSE if is_cdse else Dialect.PRIP


def products_url(url: str) -> str:
    """The address of Products, of a root or of Products itself. Raises ConfigurationError where it has options."""
    parts = urlsplit(url)
    if options := list(parse_qs(parts.query, keep_blank_values=True)):
        raise ConfigurationError(f"{options[0]} cannot be given with the URL", advice="there are options for that")
    path = parts.path.rstrip("/")
    path = path if path.endswith("/Products") else f"{path}/Products"
    return urlunsplit(parts._replace(path=path, query="", fragment=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """Another hub. `filter` is OData of its dialect; `types` are names of product types, of which only those are asked
    for where the hub can tell.
    """

    url: str
    client: StationClient
    dialect: Dialect
    filter: str = ""
    types: Sequence[str] = ()
    with_attributes: bool = False

    async def within(self, start: datetime, stop: datetime) -> list[Any]:
        """Entities of products whose sensing starts in [start, stop). Raises TooMany, RefsysError."""
        terms = [f"ContentDate/Start ge {format_instant(start)}", f"ContentDate/Start lt {format_instant(stop)}"]
        terms += [f"({self.filter})"] if self.filter else []
        if self.dialect is Dialect.CDSE and self.types:
            terms.append(f"({' or '.join(map(_type_is, self.types))})")
        return await self._all(" and ".join(terms), MOST if stop - start > LEAST else _END)

    async def named(self, keys: Sequence[str]) -> list[Any]:
        """Entities of products of these names (products.key_of), whenever they were sensed."""
        found: list[Any] = []
        for first in range(0, len(keys), _NAMES):
            piece = keys[first : first + _NAMES]
            if self.dialect is Dialect.CDSE:
                tests = [f"Name eq '{name}'" for key in piece for name in names_of(key)]
            else:
                tests = [f"startswith(Name,'{key}')" for key in piece]
            found += await self._all(" or ".join(tests), _END)
        return found

    async def _all(self, odata: str, limit: int) -> list[Any]:
        """Every entity that a filter finds, at most `limit`, whether the hub links its pages or not."""
        options = {"$filter": odata, "$orderby": f"{self.dialect.value} asc", "$top": str(PAGE)}
        options |= {"$expand": "Attributes" if self.with_attributes else ""}
        products = products_url(self.url)
        first = url = f"{products}?{query_of(options)}"
        found: list[Any] = []
        is_linked = False
        while True:
            try:
                entities, link = await ask_page(self.client, url)
            except Permanent as error:
                # who gives a page and refuses the next is asked for less
                if found and limit == MOST:
                    raise TooMany from error
                raise
            found += entities
            if len(found) > limit:
                raise TooMany
            if link and (following := urljoin(products, link.replace(" ", "%20"))) != url:
                url, is_linked = following, True
            elif not entities or is_linked or (self.dialect is Dialect.CDSE and len(found) < _CDSE_END):
                return found
            else:
                url = f"{first}&$skip={len(found)}"


def _type_is(name: str) -> str:
    attribute = "OData.CSC.StringAttribute"
    text = name.replace("'", "''")
    return f"Attributes/{attribute}/any(att:att/Name eq 'productType' and att/{attribute}/Value eq '{text}')"
