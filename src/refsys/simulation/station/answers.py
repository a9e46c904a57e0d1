"""The answers of a station that behaves, but for what its bytes or its pages are made to do by a fault."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote

import orjson
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp

from refsys.simulation.station.content import Held, Opened
from refsys.simulation.station.dialect import Dialect
from refsys.simulation.station.faults import Fault, NoRange, OtherETag, Short, Twice, WrongChecksums, WrongSizes
from refsys.simulation.station.model import NAMESPACE
from refsys.simulation.station.query import Chooser, EntitySet, Query, next_link, parse_query
from refsys.simulation.station.transfer import Span, Transfer, parse_range

ROOT: Final = "/odata/v1"
_JSON: Final = "application/json;odata.metadata=minimal"
#: Properties that hold a size.
_SIZES: Final = ("ContentLength", "Size", "TotalVolume")


class Refusal(Exception):
    """The request gets an error in OData's shape."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(slots=True)
class Desk:
    """Answers requests about entity sets.

    Raises Refusal, FilterError, QueryError; OSError where what is offered cannot be read.
    """

    sets: Mapping[str, EntitySet[Any]]
    metadata: bytes
    dialect: Dialect
    #: Ends what is stalled when the station stops.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _choosers: dict[str, Chooser[Any]] = field(default_factory=dict)
    _twins: dict[str, str] = field(default_factory=dict)

    def entities(self, name: str) -> EntitySet[Any]:
        if name not in self.sets:
            raise Refusal(404, f"{name}: there is no such resource")
        return self.sets[name]

    def find(self, entities: EntitySet[Any], key: str) -> Any:
        """The row that `Set(key)` names."""
        try:
            row = entities.find(self._twins.get(key, key))
        except ValueError:
            raise Refusal(400, f"{entities.name}({key}): is not an id; an id is a GUID without quotes") from None
        if row is None:
            raise Refusal(404, f"{entities.name}({key}): there is no such {entities.singular.lower()}")
        return row

    async def listing(self, http: HttpRequest, entities: EntitySet[Any], fault: Fault | None) -> ASGIApp:
        query = parse_query(http.query_params.multi_items(), entities, self.dialect)
        return await self._page(http, entities, query, self._chosen(entities, query), fault)

    def count(self, http: HttpRequest, entities: EntitySet[Any], fault: Fault | None) -> ASGIApp:
        """How many there are, as a number in plain text: `Files/$count`."""
        query = parse_query(http.query_params.multi_items(), entities, self.dialect)
        if "$count" in self.dialect.refuses:
            raise Refusal(400, "$count is not known here")
        found = str(len(self._chosen(entities, query)))
        return self.body(found.encode(), 200, {"Content-Type": "text/plain"}, fault)

    async def related(
        self, http: HttpRequest, entities: EntitySet[Any], row: Any, name: str, fault: Fault | None
    ) -> ASGIApp:
        """What a navigation property leads to: `Sessions(id)/Files`, `Orders(id)/Product`."""
        if name not in entities.expands:
            raise Refusal(404, f"{name}: there is no such resource")
        target = entities.expands[name]
        rows = entities.related(row, name)
        if entities.is_single(name):
            return await self.entity(http, target, rows[0], fault)
        query = parse_query(http.query_params.multi_items(), target, self.dialect)
        return await self._page(http, target, query, rows, fault)

    async def entity(self, http: HttpRequest, entities: EntitySet[Any], row: Any, fault: Fault | None) -> ASGIApp:
        query = parse_query(http.query_params.multi_items(), entities, self.dialect)
        [told] = await asyncio.to_thread(self._told, entities, [row], query)
        context = {"@odata.context": f"{_context(http, entities, query)}/$entity"}
        return self.document(context | told, fault)

    async def download(self, http: HttpRequest, entities: EntitySet[Any], row: Any, fault: Fault | None) -> ASGIApp:
        """The bytes, or one range of them (RFC 9110, 14); what is there now, whatever was announced."""
        media = await asyncio.to_thread(entities.media, row)
        if media is None:
            raise Refusal(404, f"{entities.title(row)}: has no content")
        opened = await asyncio.to_thread(media.content.open)
        if isinstance(fault, Short):
            opened = replace(opened, size_bytes=min(opened.size_bytes, fault.at_byte))
        whole = Span(0, opened.size_bytes)
        headers = {
            "Content-Type": media.content_type,
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(media.name, safe='')}",
            "Last-Modified": formatdate(opened.modified_ns / 1e9, usegmt=True),
        }
        if isinstance(fault, NoRange):
            return self._transfer(opened, whole, 200, headers, fault)
        headers["Accept-Ranges"] = "bytes"
        headers["ETag"] = f'"{opened.modified_ns:x}-{opened.size_bytes:x}"'
        if isinstance(fault, OtherETag):
            headers["ETag"] = f'"{uuid.uuid4().hex}"'
        try:
            span = _wanted(http, headers, opened.size_bytes)
        except ValueError as error:
            opened.file.close()
            raise Refusal(416, str(error), {"Content-Range": f"bytes */{opened.size_bytes}"}) from error
        if span is None:
            return self._transfer(opened, whole, 200, headers, fault)
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{opened.size_bytes}"
        return self._transfer(opened, span, 206, headers, fault)

    def service(self, path: str) -> ASGIApp:
        if path.endswith("/$metadata"):
            return self.body(self.metadata, 200, {"Content-Type": "application/xml"})
        value = [{"name": name, "kind": "EntitySet", "url": name} for name in self.sets]
        return self.document({"@odata.context": "$metadata", "value": value}, None)

    def document(
        self, document: Any, fault: Fault | None, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> ASGIApp:
        """A JSON document."""
        sent = {"Content-Type": _JSON, "OData-Version": "4.0", **(headers or {})}
        return self.body(orjson.dumps(document), status, sent, fault)

    def body(self, body: bytes, status: int, headers: Mapping[str, str], fault: Fault | None = None) -> ASGIApp:
        return self._transfer(Held(body).open(), Span(0, len(body)), status, headers, fault)

    def _chosen(self, entities: EntitySet[Any], query: Query) -> list[Any]:
        return self._choosers.setdefault(entities.name, Chooser(entities)).choose(query, self.dialect)

    async def _page(
        self, http: HttpRequest, entities: EntitySet[Any], query: Query, chosen: Sequence[Any], fault: Fault | None
    ) -> ASGIApp:
        limit = self.dialect.page_limit
        stop = query.skip + (limit if query.top is None else min(query.top, limit))
        if self.dialect.short_pages and stop < len(chosen):
            stop = query.skip + (stop - query.skip + 1) // 2
        page = chosen[query.skip : stop]
        if self.dialect.empty_list and not page:
            return self.document([], fault)
        document: dict[str, Any] = {"@odata.context": _context(http, entities, query)}
        if query.count:
            document["@odata.count"] = len(chosen)
        told = await asyncio.to_thread(self._told, entities, page, query)
        document["value"] = self._mistold(told, fault)
        if self.dialect.next_links and query.top != 0 and stop < len(chosen):
            address = f"{http.url.scheme}://{http.url.netloc}{http.url.path}"
            document["@odata.nextLink"] = next_link(address, http.query_params.multi_items(), stop)
        return self.document(document, fault)

    def _told(self, entities: EntitySet[Any], rows: Sequence[Any], query: Query) -> list[dict[str, Any]]:
        """The entities with what was to be expanded. Blocks."""
        told = []
        for row in rows:
            entity = self._written(entities.entity(row))
            for name in query.expand:
                target = entities.expands[name]
                found = [self._written(target.entity(each)) for each in entities.related(row, name)]
                entity[name] = found[0] if entities.is_single(name) else found
            told.append(entity)
        return told

    def _written(self, entity: dict[str, Any]) -> dict[str, Any]:
        if self.dialect.text_numbers:
            return entity | {name: str(entity[name]) for name in _SIZES if name in entity}
        return entity

    def _mistold(self, told: list[dict[str, Any]], fault: Fault | None) -> list[dict[str, Any]]:
        match fault:
            case Twice(other_id):
                return [twin for entity in told for twin in (entity, self._twin(entity) if other_id else entity)]
            case WrongChecksums():
                return [entity | {"Checksum": [_wrong(sum_) for sum_ in entity.get("Checksum", [])]} for entity in told]
            case WrongSizes(more):
                return [
                    entity | {name: int(entity[name]) + more for name in _SIZES if name in entity} for entity in told
                ]
        return told

    def _twin(self, entity: dict[str, Any]) -> dict[str, Any]:
        twin = str(uuid.uuid5(NAMESPACE, f"{entity['Id']}#twin"))
        self._twins[twin] = entity["Id"]
        return entity | {"Id": twin}

    def _transfer(
        self, opened: Opened, span: Span, status: int, headers: Mapping[str, str], fault: Fault | None
    ) -> ASGIApp:
        return Transfer(opened.file, span, status=status, headers=headers, fault=fault, stopping=self.stopping)


def _context(http: HttpRequest, entities: EntitySet[Any], query: Query) -> str:
    """The OData context as the client addressed it."""
    expanded = f"({','.join(f'{name}()' for name in query.expand)})" if query.expand else ""
    return f"{http.url.scheme}://{http.url.netloc}{ROOT}/$metadata#{entities.name}{expanded}"


def _wrong(checksum: dict[str, Any]) -> dict[str, Any]:
    """The same with another first digit."""
    value = checksum["Value"]
    return checksum | {"Value": ("1" if value[0] == "0" else "0") + value[1:]}


def _wanted(http: HttpRequest, headers: Mapping[str, str], size_bytes: int) -> Span | None:
    """The range that is asked for and may be given; None = everything. Raises ValueError for one outside."""
    text, condition = http.headers.get("range"), http.headers.get("if-range")
    if text is None or http.method != "GET" or condition not in (None, headers["ETag"], headers["Last-Modified"]):
        return None
    return parse_range(text, size_bytes)
