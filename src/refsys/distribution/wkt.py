"""Geometries as well-known text, as filters have them: `POLYGON((lon lat, …))`, checked. Heights are dropped."""

from __future__ import annotations

import re
from typing import Any, Final

from refsys.core.areas import Area, Kind

#: Well-known text's name → GeoJSON's, and how deep lists of positions are nested.
GEOMETRIES: Final[dict[str, tuple[Kind, int]]] = {
    "POINT": ("Point", 0),
    "LINESTRING": ("LineString", 1),
    "POLYGON": ("Polygon", 2),
    "MULTIPOINT": ("MultiPoint", 1),
    "MULTILINESTRING": ("MultiLineString", 2),
    "MULTIPOLYGON": ("MultiPolygon", 3),
}
#: Several of them; not in itself.
COLLECTION: Final = "GEOMETRYCOLLECTION"

_NAME: Final = re.compile(r"\s*([A-Za-z]+)(?:\s+(?:ZM|Z|M)\b)?", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)", re.ASCII)
_BLANK: Final = re.compile(r"\s*")


class WktError(ValueError):
    """What is wrong with a geometry, and where in the text it stands (from 0)."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def read_geometry(text: str, at: int, *, collections: bool = False) -> tuple[tuple[Area, ...], int]:
    """The geometry that begins at a place, several of a collection, and where it ends. Raises WktError."""
    reader = _Reader(text, at)
    areas = reader.collection() if collections else (reader.area(),)
    return areas, reader.at


def write_geometry(area: Area) -> str:
    """The text of an area."""
    return f"{area.kind.upper()}{_written(area.coordinates)}"


class _Reader:
    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self.at = at

    def collection(self) -> tuple[Area, ...]:
        name = _NAME.match(self._text, self.at)
        if name is None or name[1].upper() != COLLECTION:
            return (self.area(),)
        self.at = name.end()
        return tuple(self._members(self.area))

    def area(self) -> Area:
        self._blanks()
        start, name = self.at, _NAME.match(self._text, self.at)
        if name is None or name[1].upper() not in GEOMETRIES:
            raise self._fail(f"one of {', '.join(GEOMETRIES)}")
        kind, depth = GEOMETRIES[name[1].upper()]
        self.at = name.end()
        if kind == "MultiPoint":
            area = Area(kind, tuple(self._members(self._point)))
        else:
            area = Area(kind, self._in_parentheses() if depth == 0 else self._list(depth))
        if problem := area.problem():
            raise WktError(
                start,
                f"the {name[1].lower()} {problem.strip()}; expected longitude before latitude, closed rings that do "
                "not cross themselves, at most 90 degrees of latitude",
            )
        return area

    def _list(self, depth: int) -> tuple[Any, ...]:
        """Lists in parentheses, `depth` deep; the innermost holds positions."""
        return tuple(self._members(self._position if depth == 1 else lambda: self._list(depth - 1)))

    def _members(self, read: Any) -> list[Any]:
        self._take("(")
        members: list[Any] = []
        while True:
            members.append(read())
            self._blanks()
            if not self._text.startswith(",", self.at):
                break
            self.at += 1
        self._take(")", "',' or ')'")
        return members

    def _point(self) -> tuple[float, float]:
        """A position of several points, which may stand in parentheses."""
        self._blanks()
        return self._in_parentheses() if self._text.startswith("(", self.at) else self._position()

    def _in_parentheses(self) -> tuple[float, float]:
        self._take("(")
        position = self._position()
        self._take(")")
        return position

    def _position(self) -> tuple[float, float]:
        position = self._number("a longitude"), self._number("a latitude")
        for _ in range(2):
            if height := _NUMBER.match(self._text, self.at):
                self.at = height.end()
        return position

    def _number(self, what: str) -> float:
        match = _NUMBER.match(self._text, self.at)
        if match is None:
            raise self._fail(what)
        self.at = match.end()
        return float(match[1])

    def _take(self, character: str, expected: str = "") -> None:
        self._blanks()
        if not self._text.startswith(character, self.at):
            raise self._fail(expected or f"'{character}'")
        self.at += 1

    def _blanks(self) -> None:
        match = _BLANK.match(self._text, self.at)
        self.at = self.at if match is None else match.end()

    def _fail(self, expected: str) -> WktError:
        self._blanks()
        rest = self._text[self.at : self.at + 20].strip()
        return WktError(self.at, f"expected {expected}, found {ascii(rest) if rest else 'the end'}")


def _written(coordinates: Any) -> str:
    if isinstance(coordinates[0], float):
        return f"({coordinates[0]!r} {coordinates[1]!r})"
    members = (f"{m[0]!r} {m[1]!r}" if isinstance(m[0], float) else _written(m) for m in coordinates)
    return f"({','.join(members)})"
