"""The answers of a station that behaves, but for what its product's bytes or its pages are made to do by a fault."""

from __future__ import annotations

import asyncio
import io
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final
from urllib.parse import quote

import orjson
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp

from refsys.simulation.station.faults import Fault, NoRange, OtherETag, Twice
from refsys.simulation.station.folder import FolderWatch
from refsys.simulation.station.metadata import METADATA, SERVICE_DOCUMENT
from refsys.simulation.station.model import Offered, offered_id
from refsys.simulation.station.packing import Package, Packer
from refsys.simulation.station.query import content_type, entity, next_link, parse_query
from refsys.simulation.station.shelf import Shelf
from refsys.simulation.station.transfer import Span, Transfer, parse_range

ROOT: Final = "/odata/v1"
_JSON: Final = "application/json;odata.metadata=minimal"


class Refusal(Exception):
    """The request gets an error in OData's shape."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(slots=True, kw_only=True)
class Desk:
    """Answers requests. `page_limit`: most products of one page, whatever `$top` says.

    Raises Refusal, FilterError, QueryError; OSError where a product's source cannot be read.
    """

    shelf: Shelf
    packer: Packer
    watch: FolderWatch | None
    page_limit: int
    next_links: bool
    #: Ends what is stalled when the station stops.
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _twins: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)

    async def look(self) -> None:
        """See what changed in the folder."""
        if self.watch is not None:
            await asyncio.to_thread(self.watch.refresh)

    def find(self, text: str) -> Offered:
        """The product that `Products(text)` names."""
        try:
            identity = uuid.UUID(text)
        except ValueError:
            raise Refusal(400, f"Products({text}): is not an id; an id is a GUID without quotes") from None
        offered = self.shelf.find(self._twins.get(identity, identity))
        if offered is None:
            raise Refusal(404, f"Products({identity}): there is no such product")
        return offered

    async def listing(self, http: HttpRequest, fault: Fault | None) -> ASGIApp:
        options = http.query_params.multi_items()
        query = parse_query(options, self.page_limit)
        chosen = query.choose(self.shelf.offered())
        stop = query.skip + query.top
        page = chosen[query.skip : stop]
        packages = await asyncio.gather(*map(self._package, page))
        collection = f"{_root(http)}/Products"
        document: dict[str, Any] = {"@odata.context": f"{_root(http)}/$metadata#Products"}
        if query.count:
            document["@odata.count"] = len(chosen)
        document["value"] = [entity(offered, package) for offered, package in zip(page, packages, strict=True)]
        if isinstance(fault, Twice):
            document["value"] = [
                twin
                for each, told in zip(page, document["value"], strict=True)
                for twin in self._twice(each, told, fault)
            ]
        if self.next_links and query.top and stop < len(chosen):
            document["@odata.nextLink"] = next_link(collection, options, stop)
        return self.document(document, fault)

    async def entity(self, http: HttpRequest, offered: Offered, fault: Fault | None) -> ASGIApp:
        package = await self._package(offered)
        context = {"@odata.context": f"{_root(http)}/$metadata#Products/$entity"}
        return self.document(context | entity(offered, package), fault)

    async def download(self, http: HttpRequest, offered: Offered, fault: Fault | None) -> ASGIApp:
        """The bytes, or one range of them (RFC 9110, 14); what is there now, whatever was announced."""
        package = await self._package(offered)
        file = await asyncio.to_thread(package.path.open, "rb")
        status = os.fstat(file.fileno())
        whole = Span(0, status.st_size)
        headers = {
            "Content-Type": content_type(offered.name),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(offered.name, safe='')}",
            "Last-Modified": formatdate(status.st_mtime, usegmt=True),
        }
        if isinstance(fault, NoRange):
            return self._transfer(file, whole, 200, headers, fault)
        headers["Accept-Ranges"] = "bytes"
        headers["ETag"] = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if isinstance(fault, OtherETag):
            headers["ETag"] = f'"{uuid.uuid4().hex}"'
        try:
            span = _wanted(http, headers, status.st_size)
        except ValueError as error:
            file.close()
            raise Refusal(416, str(error), {"Content-Range": f"bytes */{status.st_size}"}) from error
        if span is None:
            return self._transfer(file, whole, 200, headers, fault)
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{status.st_size}"
        return self._transfer(file, span, 206, headers, fault)

    def service(self, path: str) -> ASGIApp:
        if path.endswith("/$metadata"):
            return self.body(METADATA, 200, {"Content-Type": "application/xml"})
        return self.document(SERVICE_DOCUMENT, None)

    def document(
        self, document: Any, fault: Fault | None, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> ASGIApp:
        """A JSON document."""
        sent = {"Content-Type": _JSON, "OData-Version": "4.0", **(headers or {})}
        return self.body(orjson.dumps(document), status, sent, fault)

    def body(self, body: bytes, status: int, headers: Mapping[str, str], fault: Fault | None = None) -> ASGIApp:
        return self._transfer(io.BytesIO(body), Span(0, len(body)), status, headers, fault)

    def _transfer(
        self, file: io.BufferedIOBase, span: Span, status: int, headers: Mapping[str, str], fault: Fault | None
    ) -> ASGIApp:
        return Transfer(file, span, status=status, headers=headers, fault=fault, stopping=self.stopping)

    async def _package(self, offered: Offered) -> Package:
        known = self.packer.known(offered)
        return known if known is not None else await asyncio.to_thread(self.packer.package, offered)

    def _twice(self, offered: Offered, told: dict[str, Any], fault: Twice) -> tuple[dict[str, Any], dict[str, Any]]:
        if not fault.other_id:
            return told, told
        twin = offered_id(f"{offered.name}#twin", 1)
        self._twins[twin] = offered.id
        return told, told | {"Id": str(twin)}


def _root(http: HttpRequest) -> str:
    """The OData root as the client addressed it."""
    return f"{http.url.scheme}://{http.url.netloc}{ROOT}"


def _wanted(http: HttpRequest, headers: Mapping[str, str], size_bytes: int) -> Span | None:
    """The range that is asked for and may be given; None = everything. Raises ValueError for one outside."""
    text, condition = http.headers.get("range"), http.headers.get("if-range")
    if text is None or http.method != "GET" or condition not in (None, headers["ETag"], headers["Last-Modified"]):
        return None
    return parse_range(text, size_bytes)
