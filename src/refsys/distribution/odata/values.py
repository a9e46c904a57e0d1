"""Values in a `$filter`: what a token means where a value of some kind is expected."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from refsys.core.filters import Kind
from refsys.core.times import parse_instant
from refsys.distribution.odata.tokens import T, Token, fail

BOOLEANS: Final = {"true": True, "false": False}
#: The kind that a value has by itself.
KINDS: Final = {
    T.STRING: Kind.TEXT,
    T.NUMBER: Kind.NUMBER,
    T.INSTANT: Kind.INSTANT,
    T.GUID: Kind.ID,
    T.WORD: Kind.BOOLEAN,
}
#: What a property of a kind is compared with.
_EXPECTED: Final = {
    Kind.TEXT: "a text in quotes",
    Kind.NUMBER: "a number",
    Kind.BOOLEAN: "true or false",
    Kind.INSTANT: "a date such as 2024-09-01T12:00:00.000Z",
    Kind.ID: "an id such as 00000000-0000-4000-8000-000000000000",
}


def is_value(token: Token) -> bool:
    """Whether a token is a value by itself."""
    return token.type in KINDS and (token.type is not T.WORD or token.text.lower() in BOOLEANS)


def value_of(token: Token, kind: Kind) -> str | int | float | datetime | UUID:
    """A token's value as `kind`. Raises ODataError where it cannot be one."""
    is_text = token.type is T.STRING
    try:
        if kind is Kind.TEXT and is_text:
            return text_of(token)
        if kind is Kind.NUMBER and token.type is T.NUMBER:
            return int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
        if kind is Kind.BOOLEAN and token.type is T.WORD:
            return BOOLEANS[token.text.lower()]
        if kind is Kind.INSTANT and (is_text or token.type is T.INSTANT):
            # a `+` that was not percent-encoded arrives as a blank
            return parse_instant(text_of(token) if is_text else token.text.replace(" ", "+"))
        if kind is Kind.ID and (is_text or token.type is T.GUID):
            return UUID(text_of(token) if is_text else token.text)
    except (ValueError, OverflowError) as error:
        raise fail(token.start, _EXPECTED[kind], str(token)) from error
    raise fail(token.start, _EXPECTED[kind], str(token))


def text_of(token: Token) -> str:
    return token.text[1:-1].replace("''", "'")
