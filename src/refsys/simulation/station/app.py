"""A station's HTTP side: which resource is asked for, who asks, and which fault the script has for it."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refsys.simulation.station.answers import ROOT, Desk, Refusal
from refsys.simulation.station.auth import Gate, TokenError
from refsys.simulation.station.faults import Answer, Fault, Faults, Html, Kind, Redirect, TokensDie
from refsys.simulation.station.filters import FilterError
from refsys.simulation.station.journal import Journal, Request
from refsys.simulation.station.query import QueryError

GRANTS: Final = "/oauth2/token"
_REDIRECTED: Final = "/redirected"
_FORM_LIMIT: Final = 2**16
_PAGE: Final = (
    b"<!DOCTYPE html>\n<html><head><title>Maintenance</title></head><body>We will be back soon.</body></html>\n"
)

_log = logging.getLogger(__name__)

_RESOURCE: Final = re.compile(
    rf"{ROOT}/(?P<set>\w+)(?:/(?P<count>\$count)|\((?P<key>[^/()]*)\)(?:/(?P<then>[\w.$]+))?)?"
)


class Service(Protocol):
    """What a station does beside answering about its entity sets."""

    @property
    def elsewhere(self) -> str:
        """scheme://host:port of its other address; empty where it has none."""
        ...

    def look(self) -> None:
        """See what changed since the last request. Blocks."""
        ...

    def may_download(self, row: Any) -> None:
        """Raises Refusal where the bytes cannot be had now."""
        ...

    def act(self, row: Any, action: str, form: bytes) -> dict[str, Any]:
        """Do what is asked of a row, and say what became of it. Raises Refusal."""
        ...


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names: `set`, `set/$count`, `set(key)` or `set(key)/then`."""

    kind: Kind
    set: str = ""
    key: str = ""
    then: str = ""


class StationApp:
    """An ASGI application."""

    def __init__(self, desk: Desk, service: Service, gate: Gate, faults: Faults, journal: Journal) -> None:
        self._desk = desk
        self._service = service
        self._gate = gate
        self._faults = faults
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        redirected = scope["path"].startswith(f"{_REDIRECTED}/")
        path = scope["path"].removeprefix(_REDIRECTED) if redirected else scope["path"]
        target = _target(http.method, path)
        request = Request(
            kind=target.kind,
            method=http.method,
            path=path,
            query=http.url.query,
            range=http.headers.get("range", ""),
            if_range=http.headers.get("if-range", ""),
            redirected=redirected,
        )

        async def noted_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)
            if message["type"] == "http.response.body":
                request.sent_bytes += len(message.get("body", b""))
                request.complete = not message.get("more_body", False)

        self._journal.begin(request)
        try:
            response = await self._respond(http, request, target)
            await response(scope, receive, noted_send)
        except ClientDisconnect:
            pass  # before its form was read: there is nobody to answer
        finally:
            self._journal.end(request)

    async def _respond(self, http: HttpRequest, request: Request, target: _Target) -> ASGIApp:
        try:
            if request.kind == "token":
                return await self._token(http, request)
            return await self._resource(http, request, target)
        except Refusal as error:
            return self._error(error.status, str(error), error.headers)
        except FilterError as error:
            return self._error(400, str(error))
        except QueryError as error:
            return self._error(error.status, str(error))
        except OSError as error:
            return self._error(500, f"{error.filename}: cannot be read: {error.strerror}")
        except Exception:
            _log.exception("%s %s", http.method, http.url.path)
            return self._error(500, "this station has a defect; its log tells more")

    async def _resource(self, http: HttpRequest, request: Request, target: _Target) -> ASGIApp:
        if http.method not in ("GET", "HEAD") and target.kind != "order":
            raise Refusal(405, f"{http.method}: nothing can be changed here", {"Allow": "GET, HEAD"})
        authorised_by = self._gate.admit(http.headers)
        if authorised_by is None:
            raise Refusal(401, "Unauthorized", {"WWW-Authenticate": self._gate.challenge})
        request.authorised_by = authorised_by
        match target.kind:
            case "service":
                return self._desk.service(request.path)
            case "nothing":
                raise Refusal(404, f"{request.path}: there is no such resource")
        if target.kind != "download":
            await asyncio.to_thread(self._service.look)
        entities = self._desk.entities(target.set)
        row = self._desk.find(entities, target.key) if target.key else None
        request.name = entities.title(row) if target.key else target.set
        fault = request.fault = self._faults.take(
            target.kind, request.name, head=http.method == "HEAD", redirected=request.redirected
        )
        if isinstance(fault, Redirect):
            origin = fault.to or self._service.elsewhere or f"{http.url.scheme}://{http.url.netloc}"
            location = f"{origin}{_REDIRECTED}{http.url.path}{'?' * bool(http.url.query)}{http.url.query}"
            return self._desk.body(b"", 307, {"Location": location})
        if (instead := self._instead(fault)) is not None:
            return instead
        if target.kind == "order":
            said = self._service.act(row, target.then, await _body(http))
            return self._desk.document(said, fault, 201)
        if target.then == "$count":
            return self._desk.count(http, entities, fault)
        if not target.key:
            return await self._desk.listing(http, entities, fault)
        if target.kind == "download":
            self._service.may_download(row)
            return await self._desk.download(http, entities, row, fault)
        if target.then:
            return await self._desk.related(http, entities, row, target.then, fault)
        return await self._desk.entity(http, entities, row, fault)

    async def _token(self, http: HttpRequest, request: Request) -> ASGIApp:
        if http.method != "POST":
            raise Refusal(405, f"{http.method}: tokens are asked for by POST", {"Allow": "POST"})
        fault = request.fault = self._faults.take("token")
        form = await _form(http)
        if (instead := self._instead(fault)) is not None:
            return instead
        headers = {"Cache-Control": "no-store"}
        try:
            return self._desk.document(self._gate.grant(form, http.headers), fault, headers=headers)
        except TokenError as error:
            return self._desk.document(error.body, fault, error.status, headers)

    def _instead(self, fault: Fault | None) -> ASGIApp | None:
        """What takes the place of the answer, if the fault is of that kind."""
        match fault:
            case TokensDie():
                self._gate.expire()
            case Html():
                return self._desk.body(_PAGE, 200, {"Content-Type": "text/html; charset=utf-8"})
            case Answer(status, retry_after_s):
                headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
                if status == 401:
                    headers["WWW-Authenticate"] = self._gate.challenge
                return self._error(status, "this answer was scripted", headers)
        return None

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> ASGIApp:
        return self._desk.document({"error": {"code": str(status), "message": message}}, None, status, headers)


def _target(method: str, path: str) -> _Target:
    if path == GRANTS:
        return _Target("token")
    if path in (ROOT, f"{ROOT}/", f"{ROOT}/$metadata"):
        return _Target("service")
    match = _RESOURCE.fullmatch(path)
    if match is None or match["key"] == "":
        return _Target("nothing")
    set_, key, then = match["set"], match["key"] or "", match["then"] or match["count"] or ""
    kind: Kind = "listing" if not key else "entity"
    if then == "$value":
        kind = "download"
    elif method == "POST" and "." in then:
        kind = "order"
    elif then:
        kind = "listing"
    return _Target(kind, set_, key, then)


async def _body(http: HttpRequest) -> bytes:
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > _FORM_LIMIT:
            raise Refusal(413, f"a form of more than {_FORM_LIMIT} bytes is not read")
    return bytes(body)


async def _form(http: HttpRequest) -> dict[str, str]:
    """application/x-www-form-urlencoded; of what is said twice, the first."""
    pairs = parse_qsl((await _body(http)).decode("utf-8", "replace"), keep_blank_values=True)
    return dict(reversed(pairs))
