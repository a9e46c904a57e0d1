"""The OData catalogues of other hubs: PRIP, the Data Space, and pages of them that were saved."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit, urlunsplit

import orjson

from refsys.catalogue.takeover.entering import Batch, Found
from refsys.catalogue.takeover.known import Known
from refsys.core.errors import ConfigurationError, RefsysError, Transient
from refsys.core.times import format_instant, parse_instant
from refsys.infra.jitter import jittered
from refsys.infra.stations.client import StationClient
from refsys.missions import TypeRegistry

#: Entries that are asked for at once, unless the URL says $top; a hub may give fewer.
PAGE: Final = 500
#: How often a page is asked for, and seconds before the second time; twice as many before each one that follows.
_TRIES: Final = 4
_PAUSE_S: Final = 1.0
#: Longest pause that a hub may ask for, in seconds.
_PATIENCE_S: Final = 300.0
#: Most bytes of a saved page.
_LARGEST: Final = 256 * 2**20
#: Most entries of a batch (bulk.MOST is the limit of one transaction).
_BATCH: Final = 500

_LISTS: Final = (
    "Attributes", "StringAttributes", "IntegerAttributes", "DoubleAttributes", "BooleanAttributes",
    "DateTimeOffsetAttributes",
)  # fmt: skip
_WKT: Final = re.compile(r"(?:geography'SRID=4326;)?\s*([A-Za-z]+)\s*(\(.*\))\s*'?", re.DOTALL)
_PAIR: Final = re.compile(r"([-+.0-9eE]+)\s+([-+.0-9eE]+)")


def entity_of(entity: Any, types: TypeRegistry) -> Known:
    """A product as a hub describes it. Raises ValueError where it is no product."""
    if not isinstance(entity, Mapping) or not isinstance(entity.get("Name"), str):
        raise ValueError("has no Name")
    dates = entity.get("ContentDate")
    dates = dates if isinstance(dates, Mapping) else {}
    geometry = entity.get("GeoFootprint") or entity.get("Footprint")
    identity = entity.get("Id")
    return Known(
        name=entity["Name"],
        attributes=_attributes(entity, types),
        geometry=geometry_of_wkt(geometry) if isinstance(geometry, str) else geometry,
        start=dates.get("Start"),
        stop=dates.get("End"),
        available_at=entity.get("PublicationDate"),
        t0_raw=entity.get("OriginDate"),
        size_bytes=entity.get("ContentLength"),
        checksums=[(item.get("Algorithm"), item.get("Value")) for item in _objects(entity.get("Checksum"))],
        origin={"id": str(identity)[:100]} if isinstance(identity, str | int) else {},
    )


def geometry_of_wkt(text: str) -> Any:
    """Well-known text as GeoJSON; what is none stays what it is, and is refused as a geometry."""
    found = _WKT.fullmatch(text.strip())
    if found is None:
        return text[:100]
    drawn = _PAIR.sub(r"[\1,\2]", found[2]).replace("(", "[").replace(")", "]")
    try:
        coordinates = orjson.loads(drawn)
    except ValueError:
        return text[:100]
    is_point = found[1].upper() == "POINT"
    return {"type": found[1], "coordinates": coordinates[0] if is_point and coordinates else coordinates}


def _attributes(entity: Mapping[str, Any], types: TypeRegistry) -> dict[str, Any]:
    """By our names; the hub's may be those of the Data Space or of the PRIP."""
    ours = {definition.prip: name for name, definition in types.attributes.items() if definition.prip}
    found: dict[str, Any] = {}
    for item in (item for name in _LISTS for item in _objects(entity.get(name))):
        name = item.get("Name")
        if isinstance(name, str) and (known := name if name in types.attributes else ours.get(name)):
            found.setdefault(known, item.get("Value"))
    return found


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def _found(entities: Sequence[Any], place: str, types: TypeRegistry) -> list[Found]:
    found = []
    for number, entity in enumerate(entities, 1):
        where = f"{place}, entry {number}"
        try:
            found.append(Found(where, entity_of(entity, types)))
        except ValueError as error:
            found.append(Found(where, why=f"the entry {error}"))
    return found


async def saved_pages(path: Path, types: TypeRegistry, place: Mapping[str, Any]) -> AsyncIterator[Batch]:
    """One file: a page of an answer, a list of entities, or one entity. What cannot be read is one refused line."""
    try:
        entities = await asyncio.to_thread(_read, path)
    except ValueError as error:
        yield Batch([Found(str(path), why=str(error))], {})
        return
    found = _found(entities, str(path), types)
    for start in range(int(place.get("entries", 0)), len(found), _BATCH):
        yield Batch(found[start : start + _BATCH], {"entries": start + _BATCH})


def _read(path: Path) -> list[Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"the file is larger than {_LARGEST} bytes")
        page = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(path)) from error
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the file is not JSON: {error}") from error
    if isinstance(page, Mapping):
        return page["value"] if isinstance(page.get("value"), list) else [page]
    if not isinstance(page, list):
        raise ValueError("the file holds no entities")
    return page


class Hub:
    """A hub's products, in the order of their publication.

    `url` is the OData root, or its Products with a $filter and a $top. Products are asked for by publication date from
    the last one that came, so it needs no nextLink, no $skip beyond what was published at one instant, and no $count.
    """

    def __init__(self, url: str, client: StationClient, types: TypeRegistry, *, since: datetime | None) -> None:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        self._products = urlunsplit(
            parts._replace(path=path if path.endswith("/Products") else f"{path}/Products", query="")
        )
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._filter = options.pop("$filter", "")
        self._top = options.pop("$top", str(PAGE))
        if unknown := [name for name in options if name != "$expand"]:
            raise ConfigurationError(f"{unknown[0]} cannot be given with the URL", advice="$filter and $top can")
        self._client = client
        self._types = types
        self._since = since

    async def batches(self, place: Mapping[str, Any]) -> AsyncIterator[Batch]:
        """From a place that was reached on. Raises RefsysError where the hub does not answer, or not in order."""
        last = parse_instant(place["published"]) if "published" in place else self._since
        seen: set[str] = set(place.get("seen", ()))
        skip = 0
        while entities := await self._page(last, skip):
            new = [entity for entity in entities if _identity(entity) not in seen]
            if not new:
                # all published at the last instant, or a hub that repeats itself
                skip += len(entities)
                continue
            latest = self._latest(new, last)
            seen = {_identity(entity) for entity in entities if _published(entity) == latest} | (
                seen if latest == last else set()
            )
            last, skip = latest, 0
            reached = {"published": format_instant(latest), "seen": sorted(seen)}
            found = _found(new, f"published until {format_instant(latest)}", self._types)
            for start in range(0, len(found), _BATCH):
                is_last = start + _BATCH >= len(found)
                yield Batch(found[start : start + _BATCH], reached if is_last else place)
            place = reached

    def _latest(self, entities: Iterable[Any], last: datetime | None) -> datetime:
        dates = [date for entity in entities if (date := _published(entity)) is not None]
        if not dates:
            raise RefsysError("gives products without PublicationDate", subject=self._client.station)
        if dates != sorted(dates) or (last is not None and dates[0] < last):
            raise RefsysError(
                "does not list products in the order of their publication", subject=self._client.station,
                advice="save its pages and import the files",
            )  # fmt: skip
        return dates[-1]

    async def _page(self, last: datetime | None, skip: int) -> list[Any]:
        terms = [f"({self._filter})"] if self._filter else []
        terms += [f"PublicationDate ge {format_instant(last)}"] if last else []
        options = {"$filter": " and ".join(terms), "$orderby": "PublicationDate asc", "$top": self._top}
        options |= {"$skip": str(skip) if skip else "", "$expand": "Attributes"}
        entities, _ = await ask_page(self._client, f"{self._products}?{query_of(options)}")
        return entities


def query_of(options: Mapping[str, str]) -> str:
    """Query options as a URL has them; those that are empty are left out."""
    given = {name: text for name, text in options.items() if text}
    return urlencode(given, safe="$:,()", quote_via=quote)


async def ask_page(client: StationClient, url: str) -> tuple[list[Any], str]:
    """The entities of a page, and the link to the next as it stands there.

    What may pass by (cut connections, refusals for a time, Retry-After) is tried again. Raises RefsysError.
    """
    page = await _ask(client, url)
    entities = page.get("value") if isinstance(page, Mapping) else page
    if not isinstance(entities, list):
        raise RefsysError(
            "answered a listing without `value`", subject=client.station, advice="is the URL an OData root?"
        )
    link = page.get("@odata.nextLink") if isinstance(page, Mapping) else None
    return entities, link if isinstance(link, str) else ""


async def _ask(client: StationClient, url: str) -> Any:
    for number in range(1, _TRIES):
        try:
            return await client.get_json(url)
        except Transient as error:
            pause_s = min(error.retry_after_s or _PAUSE_S * 2 ** (number - 1), _PATIENCE_S)
        await asyncio.sleep(jittered(pause_s))
    return await client.get_json(url)


def _identity(entity: Any) -> str:
    return str(entity.get("Id") or entity.get("Name"))[:300] if isinstance(entity, Mapping) else repr(entity)[:300]


def _published(entity: Any) -> datetime | None:
    try:
        return parse_instant(entity["PublicationDate"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
