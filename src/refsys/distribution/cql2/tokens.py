"""The words of a filter in CQL2 text: one regular expression, positions kept for the errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from refsys.core.areas import Area
from refsys.distribution.cql2.tree import LENGTH_LIMIT, problem, shown, unexpected
from refsys.distribution.wkt import COLLECTION, GEOMETRIES, WktError, read_geometry


class T(Enum):
    """Kinds of tokens, named as errors name them."""

    GEOMETRY = "a geometry"
    WORD = "a name"
    QUOTED = "a name in double quotes"
    STRING = "a text in single quotes"
    NUMBER = "a number"
    SIGN = "a sign"
    OPEN = "'('"
    CLOSE = "')'"
    COMMA = "','"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """`start` is the index of its first character, from 0; `areas` what a geometry is."""

    type: T
    text: str
    start: int
    areas: tuple[Area, ...] = ()

    @property
    def word(self) -> str:
        """A word or sign in lower case; empty where it is none."""
        return self.text.lower() if self.type in (T.WORD, T.SIGN) else ""

    def __str__(self) -> str:
        return "the end" if self.type is T.END else shown(self.text)


_TOKEN = re.compile(
    rf"""
      (?P<GEOMETRY>(?:{"|".join([*GEOMETRIES, COLLECTION])})(?:\s+(?:ZM|Z|M))?\s*\()
    | (?P<NUMBER>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:E[+-]?[0-9]+)?(?![\w.:]))
    | (?P<WORD>(?:[^\W\d]|:)[\w.:]*)
    | (?P<QUOTED>"[^"]*(?:""[^"]*)*")
    | (?P<STRING>'[^']*(?:''[^']*)*')
    | (?P<SIGN><>|!=|<=|>=|[=<>+\-*/%^])
    | (?P<OPEN>[(\[]) | (?P<CLOSE>[)\]]) | (?P<COMMA>,)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BLANK = re.compile(r"\s*")


def tokens_of(text: str) -> list[Token]:
    """Cut a filter into tokens, the last of type END. Raises InvalidCql2 at the first place that is none."""
    if len(text) > LENGTH_LIMIT:
        raise problem("", f"it has {len(text)} characters, more than {LENGTH_LIMIT}")
    tokens: list[Token] = []
    at = _end_of_blanks(text, 0)
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _no_token(text, at)
        kind, end = T[str(match.lastgroup)], match.end()
        if kind is T.GEOMETRY:
            areas, end = _geometry(text, at)
            tokens.append(Token(kind, text[at:end], at, areas))
        else:
            tokens.append(Token(kind, match[0], at))
        at = _end_of_blanks(text, end)
    tokens.append(Token(T.END, "", len(text)))
    return tokens


def _geometry(text: str, at: int) -> tuple[tuple[Area, ...], int]:
    try:
        return read_geometry(text, at, collections=True)
    except WktError as error:
        raise problem(error.at, error.message) from error


def _end_of_blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return at if match is None else match.end()


def _no_token(text: str, at: int) -> Exception:
    if text[at] in "'\"":
        return unexpected(at, f"a closing {text[at]}", "the end")
    word = re.match(r"[^\s(),']{1,40}", text[at:])
    return unexpected(at, "a name, a value or a parenthesis", shown(word[0] if word else text[at]))
