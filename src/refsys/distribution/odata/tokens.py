"""The words of a `$filter`: one regular expression, positions kept for the errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from refsys.distribution.odata.errors import ODataError

#: Most characters of a filter.
LENGTH_LIMIT: Final = 65_536


class T(Enum):
    """Kinds of tokens, named as errors name them."""

    WORD = "a name"
    STRING = "a text in quotes"
    NUMBER = "a number"
    INSTANT = "a date"
    GUID = "an id"
    GEOGRAPHY = "geography'…'"
    OPEN = "'('"
    CLOSE = "')'"
    COMMA = "','"
    COLON = "':'"
    EQUALS = "'='"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """`start` is the index of its first character in the filter, from 0."""

    type: T
    text: str
    start: int

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 40 else f"{self.text[:37]}..."
        return "the end" if self.type is T.END else ascii(shown) if "'" not in shown else shown


_TOKEN = re.compile(
    r"""
      (?P<GEOGRAPHY>(?i:geography|geometry)'[^']*')
    | (?P<GUID>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-]))
    | (?P<INSTANT>\d{4}-\d{2}-\d{2}
          (?:[Tt]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,12})?)?(?:[Zz]|[ +-]\d{2}:?\d{2})?)?(?![\w:.+-]))
    | (?P<NUMBER>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.-]))
    | (?P<STRING>'[^']*(?:''[^']*)*')
    | (?P<WORD>[A-Za-z_][A-Za-z0-9_.]*(?:/[A-Za-z_][A-Za-z0-9_.]*)*)
    | (?P<OPEN>\() | (?P<CLOSE>\)) | (?P<COMMA>,) | (?P<COLON>:) | (?P<EQUALS>=)
    """,
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(r"[ \t\r\n]*")


def tokens_of(text: str) -> list[Token]:
    """Cut a filter into tokens, the last of type END. Raises ODataError at the first place that is none."""
    if len(text) > LENGTH_LIMIT:
        raise ODataError(f"$filter has {len(text)} characters, more than {LENGTH_LIMIT}")
    tokens: list[Token] = []
    at = _end_of_blanks(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _no_token(text, at)
        tokens.append(Token(T[str(match.lastgroup)], match[0], at))
        at = _end_of_blanks(text, match.end())
    tokens.append(Token(T.END, "", len(text)))
    return tokens


def fail(start: int, expected: str, found: str) -> ODataError:
    """The error of a filter; positions are counted from 1."""
    return ODataError(f"$filter, at position {start + 1}: expected {expected}, found {found}")


def _end_of_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return at if match is None else match.end()


def _no_token(text: str, at: int) -> ODataError:
    if text[at] == "'" or re.match(r"geo(?:graphy|metry)'", text[at:], re.IGNORECASE):
        return fail(at, "a closing quote", "the end")
    word = re.match(r"[^\s(),']{1,40}", text[at:])
    found = ascii(word[0] if word else text[at])
    if text[at].isdigit():
        return fail(at, "a number, an id or a date such as 2024-09-01T12:00:00.000Z", found)
    if text[at] == '"':
        return fail(at, "texts in single quotes", found)
    return fail(at, "a name, a value or a parenthesis", found)
