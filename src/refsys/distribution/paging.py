"""Where a page goes on, as a text that clients carry and cannot change: keys of a row, signed.

    token = base64url( HMAC-SHA256(key, about, payload)[:16] + payload )
    payload = JSON [[kind, text], …]; kind: d date, i id, n whole number, s text, b true or false, 0 nothing

The signature covers what the token is for: a token of another query is no token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from refsys.core.errors import RefsysError
from refsys.core.times import format_instant, parse_instant

#: Longer texts are no tokens.
_LIMIT: Final = 4096
_MAC_LENGTH: Final = 16

_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "d": parse_instant,
    "i": UUID,
    "n": int,
    "s": str,
    "b": "true".__eq__,
    "0": lambda _: None,
}


class InvalidToken(RefsysError):
    """A text is no token of ours for this query."""


def write_token(secret: bytes, after: tuple[Any, ...], about: str) -> str:
    """The token of a row's keys (catalogue.search.Page.after), in letters that need no quoting in a URL."""
    payload = orjson.dumps([_written(value) for value in after])
    return base64.urlsafe_b64encode(_mac(secret, about, payload) + payload).rstrip(b"=").decode()


def read_token(secret: bytes, token: str, about: str) -> tuple[Any, ...]:
    """The keys that `write_token` was given, for the same `about`. Raises InvalidToken."""
    try:
        raw = token.encode("ascii") if len(token) <= _LIMIT else b""
        whole = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _invalid() from error
    mac, payload = whole[:_MAC_LENGTH], whole[_MAC_LENGTH:]
    if not hmac.compare_digest(mac, _mac(secret, about, payload)):
        raise _invalid()
    return tuple(_READ[kind](text) for kind, text in orjson.loads(payload))


def _mac(secret: bytes, about: str, payload: bytes) -> bytes:
    # the length keeps what is about and what is payload apart
    told = about.encode("utf-8", "surrogatepass")
    message = len(told).to_bytes(8, "big") + told + payload
    return hmac.new(secret, message, hashlib.sha256).digest()[:_MAC_LENGTH]


def _written(value: Any) -> tuple[str, str]:
    match value:
        case None:
            return "0", ""
        case bool():
            return "b", "true" if value else "false"
        case int():
            return "n", str(value)
        case str():
            return "s", value
        case datetime():
            return "d", format_instant(value)
        case UUID():
            return "i", str(value)
        case _:
            raise AssertionError(f"{value!r} is the key of no order")


def _invalid() -> InvalidToken:
    return InvalidToken("the token of the page is not one of this query", advice="begin with the first page again")
