"""Geometries in a `$filter`: `SRID=4326;POLYGON((lon lat, …))`, checked."""

from __future__ import annotations

import re
from typing import Any, Final

from refsys.core.areas import Area, Kind
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.tokens import Token, fail

#: Well-known text's name → GeoJSON's, and how deep lists of positions are nested.
GEOMETRIES: Final[dict[str, tuple[Kind, int]]] = {
    "POINT": ("Point", 0),
    "LINESTRING": ("LineString", 1),
    "MULTILINESTRING": ("MultiLineString", 2),
    "POLYGON": ("Polygon", 2),
    "MULTIPOLYGON": ("MultiPolygon", 3),
}

_SRID = re.compile(r"\s*SRID\s*=\s*(\d{1,9})\s*;", re.IGNORECASE)
_NAME = re.compile(r"\s*([A-Za-z]+)")
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)")


def area_from(token: Token) -> Area:
    """The area of a token `geography'…'`. Raises ODataError with the position of what is wrong."""
    return _Reader(token).area()


class _Reader:
    def __init__(self, token: Token) -> None:
        self._token = token
        self._text = token.text[:-1]
        self._at = token.text.index("'") + 1

    def area(self) -> Area:
        if srid := _SRID.match(self._text, self._at):
            if int(srid[1]) != 4326:
                raise self._fail("SRID=4326", f"SRID={srid[1]}")
            self._at = srid.end()
        name = _NAME.match(self._text, self._at)
        if name is None or name[1].upper() not in GEOMETRIES:
            raise self._fail(f"SRID=4326; and one of {', '.join(GEOMETRIES)}")
        kind, depth = GEOMETRIES[name[1].upper()]
        self._at = name.end()
        area = Area(kind, self._position_in_parentheses() if depth == 0 else self._list(depth))
        self._blanks()
        if self._at < len(self._text):
            raise self._fail("the closing quote")
        if problem := area.problem():
            raise ODataError(
                f"$filter, at position {self._token.start + 1}: the {name[1].lower()} {problem.strip()}; expected "
                "longitude before latitude, closed rings that do not cross themselves, at most 90 degrees of latitude"
            )
        return area

    def _list(self, depth: int) -> tuple[Any, ...]:
        """Lists in parentheses, `depth` deep; the innermost holds positions."""
        self._take("(")
        members: list[Any] = []
        while True:
            members.append(self._position() if depth == 1 else self._list(depth - 1))
            self._blanks()
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._take(")", "',' or ')'")
        return tuple(members)

    def _position_in_parentheses(self) -> tuple[float, float]:
        self._take("(")
        position = self._position()
        self._take(")")
        return position

    def _position(self) -> tuple[float, float]:
        return self._number("a longitude"), self._number("a latitude")

    def _number(self, what: str) -> float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            raise self._fail(what)
        self._at = match.end()
        return float(match[1])

    def _take(self, character: str, expected: str = "") -> None:
        self._blanks()
        if not self._text.startswith(character, self._at):
            raise self._fail(expected or f"'{character}'")
        self._at += 1

    def _blanks(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1

    def _fail(self, expected: str, found: str = "") -> ODataError:
        self._blanks()
        rest = self._text[self._at : self._at + 20].strip()
        return fail(self._token.start + self._at, expected, found or (ascii(rest) if rest else "the end"))
