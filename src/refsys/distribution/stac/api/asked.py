"""What a search asks for: the parameters of a query string, or the members of a JSON body, as the same values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson
from starlette.requests import Request

from refsys.distribution.stac.api.errors import StacError, wrong
from refsys.distribution.stac.api.fields import Fields, fields_of_json, fields_of_text

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 1000
#: The CRS of positions in filters: longitude before latitude.
CRS: Final = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"

_BODY_LIMIT: Final = 2 * 2**20
_LIST_LIMIT: Final = 1000
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)

#: The values by the name of their parameter.
Values = dict[str, Any]
Reader = Callable[[str, Any], Any]


def read_query(request: Request, known: Sequence[str]) -> Values:
    """The values of a query string. Raises StacError for what cannot be read, is unknown or given twice."""
    values: Values = {}
    query: bytes = request.scope["query_string"]
    for piece in query.decode("latin-1").split("&") if query else ():
        if not piece:
            continue
        name, text = (_decoded(part) for part in piece.partition("=")[::2])
        _check_known(name, known)
        if name in values:
            raise wrong(name, "is given twice")
        values[name] = _TEXTS[name](name, text)
    return values


async def read_body(request: Request, known: Sequence[str]) -> Values:
    """The values of a JSON body. Raises StacError. What is null is not given, except `fields`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise StacError(f"the body has more than {_BODY_LIMIT} bytes", status=413)
    try:
        given = orjson.loads(bytes(body) or b"{}")
    except orjson.JSONDecodeError as error:
        raise StacError(f"the body is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise StacError("the body is a JSON object with the members of a search")
    for name in given:
        _check_known(name, known)
    return {name: _JSON[name](name, value) for name, value in given.items() if value is not None or name == "fields"}


def without_page(query: bytes) -> str:
    """A query string but for `page`."""
    return encoded(b"&".join(piece for piece in query.split(b"&") if piece and piece.partition(b"=")[0] != b"page"))


def encoded(query: bytes) -> str:
    """A query string as it came; percent-encoded where it was not."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in query)


def about(path: str, values: Values) -> str:
    """What a page is of: other parameters make other pages, but for the number and the members of items."""
    told = {name: value for name, value in values.items() if name not in ("limit", "page", "fields")}
    return path + orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()


def _check_known(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise StacError(f"there is no parameter {name[:40]!a} here; there are {', '.join(known)}")


def _decoded(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise StacError("the query is not UTF-8") from error


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(name, "is a text")
    return value


def _list(name: str, value: Any) -> list[str]:
    # one text alone is a list of it: some clients send it so
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise wrong(name, "is a list of texts")
    if len(texts) > _LIST_LIMIT:
        raise wrong(name, f"has {len(texts)} members, more than {_LIST_LIMIT}")
    return texts


def _comma_separated(name: str, text: str) -> list[str]:
    return _list(name, [part.strip() for part in text.split(",") if part.strip()])


def _limit_text(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text.strip()):
        raise wrong(name, f"{text[:40]!a} is no whole number")
    return _limit(name, int(text))


def _limit(name: str, value: Any) -> int:
    if type(value) is not int:
        raise wrong(name, "is a whole number")
    if value < 1:
        raise wrong(name, f"{value} is less than 1")
    return min(value, MAX_LIMIT)


def _bbox_text(name: str, text: str) -> list[float]:
    parts = text.split(",")
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise wrong(name, f"{text[:80]!a} is no list of numbers with commas: west,south,east,north")
    return [float(part) for part in parts]


def _bbox(name: str, value: Any) -> list[float]:
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise wrong(name, "is a list of numbers: west, south, east, north")
    if not all(abs(number) < 1e6 and math.isfinite(number) for number in value):
        raise wrong(name, "has a number that is no longitude or latitude")
    return [float(number) for number in value]


def _json_text(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise wrong(name, f"is not JSON: {error}") from error


def _any(name: str, value: Any) -> Any:
    return value


def _crs(name: str, value: Any) -> str:
    if value != CRS:
        raise wrong(name, f"positions are longitude and latitude: {CRS}")
    return CRS


def _language(name: str, value: Any) -> str:
    if value not in ("cql2-text", "cql2-json"):
        raise wrong(name, "is cql2-text or cql2-json")
    return str(value)


def _filter(name: str, value: Any) -> Any:
    if not isinstance(value, dict | str | bool):
        raise wrong(name, "is a filter of CQL2 in JSON, or a text")
    return value


def _sort_text(name: str, text: str) -> list[tuple[str, bool]]:
    orders: list[tuple[str, bool]] = []
    for part in text.split(",") if text.strip() else ():
        # a `+` that was not percent-encoded arrives as a blank
        orders.append((part.lstrip("+- "), part.startswith("-")))
    return orders


def _sort(name: str, value: Any) -> list[tuple[str, bool]]:
    if not isinstance(value, list):
        raise wrong(name, 'is a list of objects: {"field": "datetime", "direction": "asc"}')
    orders: list[tuple[str, bool]] = []
    for member in value:
        field = member.get("field") if isinstance(member, dict) else None
        direction = member.get("direction", "asc") if isinstance(member, dict) else None
        if not isinstance(field, str) or direction not in ("asc", "desc"):
            raise wrong(name, 'has members such as {"field": "datetime", "direction": "asc"}, or "desc"')
        orders.append((field, direction == "desc"))
    return orders


def _fields_text(name: str, text: str) -> Fields:
    return fields_of_text(text)


def _fields(name: str, value: Any) -> Fields:
    return fields_of_json(value)


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(name, "is a JSON object")
    return value


_TEXTS: Final[Mapping[str, Reader]] = {
    "collections": _comma_separated,
    "ids": _comma_separated,
    "bbox": _bbox_text,
    "intersects": _json_text,
    "datetime": _string,
    "limit": _limit_text,
    "filter": _filter,
    "filter-lang": _language,
    "filter-crs": _crs,
    "fields": _fields_text,
    "sortby": _sort_text,
    "q": _comma_separated,
    "query": lambda name, text: _object(name, _json_text(name, text)),
    "page": _string,
}
_JSON: Final[Mapping[str, Reader]] = {
    "collections": _list,
    "ids": _list,
    "bbox": _bbox,
    "intersects": _any,
    "datetime": _string,
    "limit": _limit,
    "filter": _filter,
    "filter-lang": _language,
    "filter-crs": _crs,
    "fields": _fields,
    "sortby": _sort,
    "q": _list,
    "query": _object,
    "page": _string,
}
#: What can be asked of all items, of those of a collection, and of collections.
SEARCH: Final = tuple(_TEXTS)
#: pystac-client names the collection of the path again.
ITEMS: Final = tuple(name for name in SEARCH if name not in ("intersects", "query"))
COLLECTIONS: Final = ("q", "bbox", "datetime", "limit", "page")
