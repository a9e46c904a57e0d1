"""What is wrong with a request, in the shape of STAC API: `{"code": …, "description": …}`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from refsys.catalogue.search import TooCostly
from refsys.core.errors import RefsysError, Transient
from refsys.core.filters import InvalidFilter
from refsys.distribution.cql2 import InvalidCql2
from refsys.distribution.paging import InvalidToken
from refsys.infra.postgres import DATABASE_ERRORS

log = structlog.get_logger(__name__)

_RETRY_AFTER_S: Final = 10


class StacError(RefsysError):
    """A request that cannot be meant, or what it asks for is not there."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def wrong(parameter: str, problem: str) -> StacError:
    """A parameter that cannot be meant."""
    return StacError(f"{parameter}: {problem}")


def handlers() -> dict[Any, Any]:
    """Exception → who answers it, for Starlette. What is not here is ours to explain, not the user's."""
    bad = dict.fromkeys((InvalidCql2, InvalidFilter, InvalidToken), _on_bad_request)
    busy = dict.fromkeys((TooCostly, Transient, *DATABASE_ERRORS), _on_busy)
    return {StacError: _on_stac_error, HTTPException: _on_http_error, **bad, **busy}


async def _on_stac_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StacError)
    return error_answer(error.status, str(error))


async def _on_bad_request(request: Request, error: Exception) -> Response:
    return error_answer(400, str(error))


async def _on_busy(request: Request, error: Exception) -> Response:
    log.warning("request.refused", path=request.url.path, error=f"{type(error).__name__}: {error}")
    told = str(error) if isinstance(error, RefsysError) else "the database does not answer; try again in a moment"
    retry_after_s = getattr(error, "retry_after_s", None) or _RETRY_AFTER_S
    return error_answer(503, told, {"Retry-After": str(int(retry_after_s))})


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = error.detail
    if error.status_code == 404:
        told = f"there is nothing at {request.url.path[:200]!a}; the API begins at /stac"
    if error.status_code == 405:
        told = f"{request.method[:20]!a} is not possible here"
    return error_answer(error.status_code, told, error.headers)


def error_answer(status: int, description: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in STAC API's shape."""
    code = HTTPStatus(status).phrase.title().replace(" ", "")
    body = orjson.dumps({"code": code, "description": description})
    return Response(body, status, headers, media_type="application/json")
