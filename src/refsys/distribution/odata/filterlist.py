"""The body of `Products/OData.CSC.FilterList`: names of products (standards 2.1, distribution 6.9)."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request

from refsys.core.filters import InvalidFilter, check_text
from refsys.distribution.odata.errors import ODataError

#: Most bytes of a body.
_LARGEST: Final = 2**20
_EXAMPLE: Final = 'for example {"FilterProducts":[{"Name":"S1A_….SAFE"}]}'


async def read_names(request: Request, most: int) -> list[str]:
    """The names, at most so many. Raises ODataError: 400, 413."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ODataError(f"the body is expected as application/json, {_EXAMPLE}")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            raise ODataError(f"the body has more than {_LARGEST} bytes", status=413)
    try:
        document = orjson.loads(body)
    except ValueError as error:
        raise ODataError(f"the body is not JSON: {error}") from error
    products = document.get("FilterProducts") if isinstance(document, dict) else None
    if not isinstance(products, list):
        raise ODataError(f"the body has no list FilterProducts; {_EXAMPLE}")
    if len(products) > most:
        raise ODataError(f"FilterProducts names {len(products)} products, more than {most}")
    return [_name(product, number) for number, product in enumerate(products, 1)]


def _name(product: Any, number: int) -> str:
    name = product.get("Name") if isinstance(product, dict) else None
    if not isinstance(name, str):
        raise ODataError(f"entry {number} of FilterProducts has no Name; {_EXAMPLE}")
    try:
        return check_text(name)
    except InvalidFilter as error:
        raise ODataError(f"entry {number} of FilterProducts: {error}") from error
