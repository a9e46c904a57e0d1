"""The station's own small reading of `$filter`: what AUXIP, PRIP and CADIP promise, and nothing more.

    or  = and { "or" and }
    and = not { "and" not }
    not = "not" not | "(" or ")" | function "(" property "," text ")" | property operator literal
                                                                     | property "in" "(" literal {"," literal} ")"

Properties are those of the entity set. What is not known (ContentDate of a name without instants) compares as false.
Written apart from the system's parser: a station is a stranger.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from refsys.core.times import parse_instant

#: What a property holds, by name; None = not known.
Properties = Callable[[str], Any]
Predicate = Callable[[Properties], bool]

#: What a property's values are.
ValueKind = Literal["text", "id", "instant", "number", "boolean"]
Kinds = Mapping[str, ValueKind]

_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
}  # fmt: skip
_FUNCTIONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<instant>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,12})?)?(?:[Zz]|[+-]\d{2}:\d{2})?)?(?![\w-]))"
    r"|(?P<id>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-]))"
    r"|(?P<number>-?\d{1,18}(?:\.\d{1,9})?(?![\w.-]))"
    r"|(?P<word>[A-Za-z][\w.]*(?:/[A-Za-z][\w.]*)*)"
    r"|(?P<sign>[(),]))"
)
_DEEPEST: Final = 50


class FilterError(ValueError):
    """The text is no filter that this station understands; says where."""


def parse_filter(text: str, kinds: Kinds, refused: Collection[str] = ()) -> Predicate:
    """Compile `$filter` over properties of `kinds`; the operators and functions of `refused` are not known here.

    Raises FilterError.
    """
    parser = _Parser(text, kinds, refused)
    predicate = parser.either(0)
    parser.end()
    return predicate


class _Parser:
    def __init__(self, text: str, kinds: Kinds, refused: Collection[str]) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        self._kinds = kinds
        self._operators = {name: holds for name, holds in _OPERATORS.items() if name not in refused}
        self._functions = {name: holds for name, holds in _FUNCTIONS.items() if name not in refused}
        self._refused = refused

    def either(self, depth: int) -> Predicate:
        terms = [self._both(depth)]
        while self._accept("or"):
            terms.append(self._both(depth))
        return terms[0] if len(terms) == 1 else lambda row: any(term(row) for term in terms)

    def end(self) -> None:
        if self._kind != "end":
            raise self._error("expected the end, 'and' or 'or'")

    def _both(self, depth: int) -> Predicate:
        terms = [self._negated(depth)]
        while self._accept("and"):
            terms.append(self._negated(depth))
        return terms[0] if len(terms) == 1 else lambda row: all(term(row) for term in terms)

    def _negated(self, depth: int) -> Predicate:
        if depth > _DEEPEST:
            raise self._error(f"is nested deeper than {_DEEPEST}")
        if self._accept("not"):
            term = self._negated(depth + 1)
            return lambda row: not term(row)
        if self._accept("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        return self._condition()

    def _condition(self) -> Predicate:
        word = self._take("word", "a property or a function")
        if word in self._functions:
            return self._function(word)
        kind = self._kinds.get(word)
        if kind is None:
            raise self._error(f"{word!r} is not one of {', '.join(self._kinds)}", back=1)
        if "in" not in self._refused and self._accept("in"):
            return self._membership(word, kind)
        name = self._take("word", "an operator")
        if name not in self._operators:
            raise self._error(f"{name!r} is not one of {', '.join(self._operators)}", back=1)
        if kind in ("id", "boolean") and name not in ("eq", "ne"):
            raise self._error(f"{kind}s have no order", back=1)
        compare, wanted = self._operators[name], self._literal(kind)
        return lambda row: (value := row(word)) is not None and compare(value, wanted)

    def _membership(self, word: str, kind: ValueKind) -> Predicate:
        self._expect("(")
        wanted = {self._literal(kind)}
        while self._accept(","):
            wanted.add(self._literal(kind))
        self._expect(")")
        return lambda row: row(word) in wanted

    def _function(self, name: str) -> Predicate:
        holds = self._functions[name]
        self._expect("(")
        word = self._take("word", "a property")
        if self._kinds.get(word) != "text":
            raise self._error(f"{name} takes a text, which {word!r} is not", back=1)
        self._expect(",")
        wanted = _unquoted(self._take("text", "a literal (text)"))
        self._expect(")")
        return lambda row: (value := row(word)) is not None and holds(value, wanted)

    def _literal(self, kind: ValueKind) -> str | datetime | float | bool:
        text = self._take("word" if kind == "boolean" else kind, f"a literal ({kind})")
        if kind == "text":
            return _unquoted(text)
        if kind == "id":
            return text.lower()
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "boolean":
            if text not in ("true", "false"):
                raise self._error("is neither true nor false", back=1)
            return text == "true"
        try:
            return parse_instant(text)
        except ValueError as error:
            raise self._error(str(error), back=1) from error

    @property
    def _kind(self) -> str:
        return self._tokens[self._next][0]

    def _accept(self, text: str) -> bool:
        kind, found, _position = self._tokens[self._next]
        if kind in ("word", "sign") and found == text:
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._error(f"expected {text!r}")

    def _take(self, kind: str, expected: str) -> str:
        found, text, _position = self._tokens[self._next]
        if found != kind:
            raise self._error(f"expected {expected}")
        self._next += 1
        return text

    def _error(self, message: str, back: int = 0) -> FilterError:
        _kind, text, position = self._tokens[self._next - back]
        return FilterError(f"$filter, at character {position + 1} ({text or 'the end'}): {message}")


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    """(kind, text, position) of each, with ("end", "", …) as the last."""
    found: list[tuple[str, str, int]] = []
    position, stop = 0, len(text.rstrip())
    while position < stop:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise FilterError(f"$filter, at character {start + 1}: cannot be read: {text[start : start + 20]!r}")
        found.append((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*found, ("end", "", stop)]
