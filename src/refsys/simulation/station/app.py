"""The station's HTTP side: which resource is asked for, who asks, and which fault the script has for it."""

from __future__ import annotations

import logging
import re
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refsys.simulation.station.answers import ROOT, Desk, Refusal
from refsys.simulation.station.auth import Gate, TokenError
from refsys.simulation.station.faults import Answer, Fault, Faults, Html, Kind, Redirect
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

#: A group in a pattern is a product's id.
_PATHS: Final[tuple[tuple[Kind, re.Pattern[str]], ...]] = (
    ("token", re.compile(GRANTS)),
    ("listing", re.compile(f"{ROOT}/Products")),
    ("entity", re.compile(rf"{ROOT}/Products\(([^/()]*)\)")),
    ("download", re.compile(rf"{ROOT}/Products\(([^/()]*)\)/\$value")),
    ("service", re.compile(rf"{ROOT}(?:/|/\$metadata)?")),
)


class StationApp:
    """An ASGI application."""

    def __init__(self, desk: Desk, gate: Gate, faults: Faults, journal: Journal) -> None:
        self._desk = desk
        self._gate = gate
        self._faults = faults
        self._journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        redirected = scope["path"].startswith(f"{_REDIRECTED}/")
        path = scope["path"].removeprefix(_REDIRECTED) if redirected else scope["path"]
        kind, identity = _resource(path)
        request = Request(
            kind=kind,
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
            response = await self._respond(http, request, identity)
            await response(scope, receive, noted_send)
        except ClientDisconnect:
            pass  # before its form was read: there is nobody to answer
        finally:
            self._journal.end(request)

    async def _respond(self, http: HttpRequest, request: Request, identity: str) -> ASGIApp:
        try:
            if request.kind == "token":
                return await self._token(http, request)
            return await self._resource(http, request, identity)
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

    async def _resource(self, http: HttpRequest, request: Request, identity: str) -> ASGIApp:
        if http.method not in ("GET", "HEAD"):
            raise Refusal(405, f"{http.method}: nothing can be changed here", {"Allow": "GET, HEAD"})
        authorised_by = self._gate.admit(http.headers)
        if authorised_by is None:
            raise Refusal(401, "Unauthorized", {"WWW-Authenticate": self._gate.challenge})
        request.authorised_by = authorised_by
        match request.kind:
            case "service":
                return self._desk.service(request.path)
            case "nothing":
                raise Refusal(404, f"{request.path}: there is no such resource")
        if request.kind != "download":
            await self._desk.look()
        offered = self._desk.find(identity) if request.kind != "listing" else None
        request.name = offered.name if offered else ""
        fault = request.fault = self._faults.take(
            request.kind, request.name, head=http.method == "HEAD", redirected=request.redirected
        )
        if isinstance(fault, Redirect):
            origin = fault.to or f"{http.url.scheme}://{http.url.netloc}"
            location = f"{origin}{_REDIRECTED}{http.url.path}{'?' * bool(http.url.query)}{http.url.query}"
            return self._desk.body(b"", 307, {"Location": location})
        if (instead := self._instead(fault)) is not None:
            return instead
        if offered is None:
            return await self._desk.listing(http, fault)
        if request.kind == "entity":
            return await self._desk.entity(http, offered, fault)
        return await self._desk.download(http, offered, fault)

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


def _resource(path: str) -> tuple[Kind, str]:
    """The kind of resource, and the id in its path."""
    for kind, pattern in _PATHS:
        if match := pattern.fullmatch(path):
            return kind, match[1] if pattern.groups else ""
    return "nothing", ""


async def _form(http: HttpRequest) -> dict[str, str]:
    """application/x-www-form-urlencoded; of what is said twice, the first."""
    body = bytearray()
    async for piece in http.stream():
        body += piece
        if len(body) > _FORM_LIMIT:
            raise Refusal(413, f"a form of more than {_FORM_LIMIT} bytes is not read")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return dict(reversed(pairs))
