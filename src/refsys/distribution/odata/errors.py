"""What a request that cannot be answered gets (shapes: standards 2.1).

ODataError               400 and the other statuses: {"error": {"code": …, "message": …}}
 └─ OutOfLimits          422: {"detail": [{"type", "loc", "msg", "input", "ctx"}]}, as the hub answers
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from refsys.core.errors import RefsysError

_CODES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "ContentTooLarge",
    415: "UnsupportedMediaType",
    416: "RangeNotSatisfiable",
    422: "UnprocessableContent",
    429: "TooManyRequests",
    431: "RequestHeaderFieldsTooLarge",
    500: "InternalServerError",
    501: "NotImplemented",
    503: "ServiceUnavailable",
}


class ODataError(RefsysError):
    """A request cannot be answered; `status` says whose fault that is."""

    def __init__(self, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        return error_body(self.status, self.message)


class OutOfLimits(ODataError):
    """A query option has a value outside its limits, or none of its type."""

    def __init__(
        self, option: str, text: str, kind: str, message: str, limits: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(f"{option}: {message}", status=422)
        self.detail: dict[str, Any] = {"type": kind, "loc": ["query", option], "msg": message, "input": text}
        if limits:
            self.detail["ctx"] = dict(limits)

    @property
    def body(self) -> dict[str, Any]:
        return {"detail": [self.detail]}


def error_body(status: int, message: str) -> dict[str, Any]:
    """The body of an error in OData's shape."""
    return {"error": {"code": _CODES.get(status, str(status)), "message": message}}


def error_response(error: ODataError) -> Response:
    """The response that an error asks for."""
    return Response(orjson.dumps(error.body), error.status, error.headers, media_type="application/json")
