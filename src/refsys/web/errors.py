"""Every answer has a shape: errors as OData JSON; unexpected ones tell only the number that they were logged under."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refsys.catalogue.search import TooCostly
from refsys.core.errors import RefsysError, Transient
from refsys.distribution.odata import routes as odata
from refsys.distribution.odata.errors import ODataError, error_body, error_response
from refsys.distribution.stac.api import ROOT as STAC_ROOT
from refsys.distribution.stac.api import errors as stac_errors
from refsys.operations.errors import OperationRefused
from refsys.web.identity.gate import Refused

log = structlog.get_logger(__name__)

RETRY_AFTER_S: Final = 10
_LOST_DATABASE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


class Guard:
    """The outermost layer: numbers each request, adds the headers of security, answers what nobody caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        started = False
        # routes raise their errors, instead of answering in plain text, where they find themselves in an application
        scope["app"] = self._app

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name.lower() for name, _ in message["headers"]}
                extra = [*_HEADERS, (b"x-request-id", request_id.encode())]
                message["headers"] = [*message["headers"], *(pair for pair in extra if pair[0] not in given)]
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception:
            log.exception("request.failed", request=request_id, method=scope["method"], path=scope["path"])
            if started:
                # half an answer cannot be turned into an error: the connection has to break
                raise
            message = f"something went wrong here; it was noted under the number {request_id}"
            response = Response(orjson.dumps(error_body(500, message)), 500, media_type="application/json")
            await response(scope, receive, send_guarded)


async def on_odata_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ODataError)
    return error_response(error)


async def on_refused_operation(request: Request, error: Exception) -> Response:
    assert isinstance(error, OperationRefused)
    return _answer(request, error.status, str(error), error.headers)


async def on_refused(request: Request, error: Exception) -> Response:
    """Nobody keeps it."""
    assert isinstance(error, Refused)
    return _answer(request, error.status, error.message, {"Cache-Control": "no-store", **error.headers})


async def on_gone_client(request: Request, error: Exception) -> Response:
    """Nobody reads it."""
    return _answer(request, 400, "the request was not whole", None)


async def on_refsys_error(request: Request, error: Exception) -> Response:
    """What the system said of itself: busy or too costly is 503; the rest is ours to explain, not the user's."""
    assert isinstance(error, RefsysError)
    if not isinstance(error, TooCostly | Transient):
        raise error
    retry_after_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
    log.warning("request.refused", path=request.url.path, error=str(error))
    return _answer(request, 503, str(error), {"Retry-After": str(int(retry_after_s))})


async def on_lost_database(request: Request, error: Exception) -> Response:
    log.warning("request.refused", path=request.url.path, error=f"{type(error).__name__}: {error}")
    return _answer(
        request, 503, "the database does not answer; try again in a moment", {"Retry-After": str(RETRY_AFTER_S)}
    )


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = error.detail
    if error.status_code == 404:
        told = f"there is nothing at {request.url.path[:200]!a}; products are at {odata.ROOT}"
    if error.status_code == 405:
        told = f"{request.method[:20]!a} is not possible here"
    return _answer(request, error.status_code, told, error.headers)


def _answer(request: Request, status: int, message: str, headers: Mapping[str, str] | None) -> Response:
    """In the shape of the root that was asked."""
    if request.url.path.startswith(STAC_ROOT):
        return stac_errors.error_answer(status, message, headers)
    return Response(orjson.dumps(error_body(status, message)), status, headers, media_type="application/json")


def bare_answer(status: int, message: str) -> bytes:
    """The whole answer to what never became a request, after which the connection ends."""
    body = orjson.dumps(error_body(status, message))
    headers = (
        *_HEADERS,
        (b"x-request-id", uuid.uuid4().hex.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    )
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    return b"\r\n".join([first, *(name + b": " + value for name, value in headers), b"", body])


def handlers() -> dict[Any, Any]:
    """Exception → who answers it, for Starlette."""
    lost = dict.fromkeys(_LOST_DATABASE, on_lost_database)
    return {
        ODataError: on_odata_error,
        OperationRefused: on_refused_operation,
        Refused: on_refused,
        ClientDisconnect: on_gone_client,
        RefsysError: on_refsys_error,
        HTTPException: on_http_error,
        **lost,
    }
