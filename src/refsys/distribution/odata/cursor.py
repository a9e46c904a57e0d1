"""Where a reader of tokens is: what comes next, what has to come next, how deep it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from refsys.core.filters import InvalidFilter
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.tokens import T, Token, fail

#: How deep parentheses and `not` may be nested.
DEPTH_LIMIT: Final = 50

_Made = TypeVar("_Made")


class Cursor:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    @property
    def _after(self) -> Token:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    @property
    def _last(self) -> Token:
        """The token that was taken last."""
        return self._tokens[self._at - 1]

    def _take(self, wanted: T, expected: str = "") -> Token:
        token = self._next
        if token.type is not wanted:
            raise self._fail(expected or wanted.value)
        self._at += 1
        return token

    def _take_word(self, word: str) -> bool:
        found = self._next.type is T.WORD and self._next.text.lower() == word
        self._at += found
        return found

    def _fail(self, expected: str) -> ODataError:
        return fail(self._next.start, expected, str(self._next))

    def _deeper(self, start: Token, parse: Callable[[], _Made]) -> _Made:
        """What `parse` finds one level down. Raises ODataError where that is too deep."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise ODataError(f"$filter, at position {start.start + 1}: nested more than {DEPTH_LIMIT} deep")
        found = parse()
        self._depth -= 1
        return found

    @staticmethod
    def _build(token: Token, make: Callable[[], _Made]) -> _Made:
        """What `make` makes; its objections get the token's position."""
        try:
            return make()
        except InvalidFilter as error:
            raise ODataError(f"$filter, at position {token.start + 1}: {error}") from error


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint that follows what was expected; empty where no name is near."""
    found = difflib.get_close_matches(name[:100], list(names), 1)
    return f" (did you mean {found[0]}?)" if found else ""
