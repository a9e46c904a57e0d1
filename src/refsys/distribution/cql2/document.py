"""CQL2 JSON, decoded → syntax tree. Older spellings of drafts are read too where they mean the same.

{"op": operator, "args": [node, …]} | {"property": name} | text | number | true | false | [node, …]
{"timestamp": text} | {"date": text} | {"interval": [end, end]}, an end being a time, ".." or a property
a GeoJSON geometry | {"bbox": [numbers]}
"""

from __future__ import annotations

import sys
from typing import Any, Final

from refsys.core.areas import POSITIONS_LIMIT, area_of_box, areas_of
from refsys.distribution.cql2.tree import (
    DEPTH_LIMIT,
    NODES_LIMIT,
    OPERATORS,
    VALUES_LIMIT,
    Call,
    Constant,
    Geometry,
    Items,
    Name,
    Node,
    instant_of,
    interval_of,
    problem,
    shown,
    unexpected,
)
from refsys.distribution.odata.cursor import nearest

#: Members that say what an object is.
_MEMBERS: Final = "op, property, timestamp, date, interval, bbox or type"


def read_document(value: Any) -> Node:
    """The tree of a filter. Raises InvalidCql2."""
    return _Reader().node(value, "", 0)


class _Reader:
    def __init__(self) -> None:
        self._nodes = 0
        self._positions = 0

    def node(self, value: Any, at: str, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > NODES_LIMIT:
            raise problem(at, f"more than {NODES_LIMIT} members")
        if depth > DEPTH_LIMIT:
            raise problem(at, f"nested more than {DEPTH_LIMIT} deep")
        match value:
            case bool() | str():
                return Constant(value, at)
            case int() if abs(value) >= 10**18:
                if abs(value) > sys.float_info.max:
                    raise unexpected(at, "a number of 64 bits", "a greater one")
                return Constant(float(value), at)
            case int() | float():
                return Constant(value, at)
            case list():
                return Items(tuple(self._list(value, at, depth)), at)
            case dict():
                return self._object(value, at, depth)
            case _:
                raise unexpected(at, "an object, a list, a text, a number, true or false", _told(value))

    def _list(self, values: list[Any], at: str, depth: int) -> list[Node]:
        if len(values) > VALUES_LIMIT:
            raise problem(at, f"a list of more than {VALUES_LIMIT} values")
        return [self.node(value, f"{at}[{number}]", depth + 1) for number, value in enumerate(values)]

    def _object(self, value: dict[Any, Any], at: str, depth: int) -> Node:
        match value:
            case {"op": op}:
                return self._call(op, value.get("args"), at, depth)
            case {"property": str() as name}:
                return Name(name, at)
            case {"timestamp": str() as text} | {"date": str() as text}:
                return instant_of(text, at)
            case {"interval": list() as ends}:
                return self._interval(ends, at, depth)
            case {"bbox": numbers} if "type" not in value:
                return self._geometry(lambda: (area_of_box(numbers),), "box", at)
            case {"type": _}:
                return self._geometry(lambda: areas_of(value), "geometry", at)
            case {"casei": inner} | {"accenti": inner}:
                op = "casei" if "casei" in value else "accenti"
                return Call(op, (self.node(inner, f"{_below(at)}{op}", depth + 1),), at)
            case _:
                raise unexpected(at, f"an object with {_MEMBERS}", _told(value))

    def _call(self, op: Any, args: Any, at: str, depth: int) -> Node:
        known = OPERATORS.get(op.lower()) if isinstance(op, str) else None
        if known is None:
            hint = nearest(op.lower(), OPERATORS.values()) if isinstance(op, str) else ""
            raise unexpected(f"{_below(at)}op", f"an operator of CQL2{hint}", _told(op))
        place = f"{_below(at)}args"
        if known == "isNull" and not isinstance(args, list):
            args = [args]
        if not isinstance(args, list):
            raise unexpected(place, "a list", _told(args))
        nodes = self._list(args, place, depth)
        if known == "between" and len(nodes) == 2 and isinstance(nodes[1], Items):
            nodes = [nodes[0], *nodes[1].members]
        return Call(known, tuple(nodes), at)

    def _interval(self, ends: list[Any], at: str, depth: int) -> Node:
        if len(ends) != 2:
            raise unexpected(at, "an interval of two times", f"one of {len(ends)}")
        start, stop = (self._end(end, f"{_below(at)}interval[{number}]", depth) for number, end in enumerate(ends))
        return interval_of(start, stop, at)

    def _end(self, end: Any, at: str, depth: int) -> Node | None:
        match end:
            case "..":
                return None
            case str():
                return instant_of(end, at)
            case {"property": str()} | {"timestamp": str()} | {"date": str()}:
                return self.node(end, at, depth + 1)
            case _:
                raise unexpected(at, 'a time, ".." or a property', _told(end))

    def _geometry(self, read: Any, what: str, at: str) -> Geometry:
        try:
            areas = read()
        except ValueError as error:
            raise problem(at, f"the {what} {error}") from error
        self._positions += sum(area.size for area in areas)
        if self._positions > POSITIONS_LIMIT:
            raise problem(at, f"geometries of more than {POSITIONS_LIMIT} positions")
        return Geometry(areas, at)


def _below(at: str) -> str:
    return f"{at}." if at else ""


def _told(value: Any) -> str:
    """A value in an error, whatever it is and however long."""
    match value:
        case dict():
            return f"an object with {shown(', '.join(str(key)[:40] for key in list(value)[:5]))}" if value else "{}"
        case list():
            return f"a list of {len(value)}"
        case None:
            return "null"
        case int():
            return "a number"
        case _:
            return shown(str(value)[:100])
