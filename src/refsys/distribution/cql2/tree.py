"""What a filter in CQL2 says, in either spelling: a tree of calls, names and values, each with its place.

A place is a position in the text (from 0), or a path in the JSON (`args[0].args[1]`, empty for the whole).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final

from refsys.core.areas import Area
from refsys.core.times import parse_instant
from refsys.distribution.cql2.errors import InvalidCql2

#: Most characters of a text.
LENGTH_LIMIT: Final = 65_536
#: How deep calls, parentheses and `not` may be nested.
DEPTH_LIMIT: Final = 50
#: How many tests a filter may have, and values a list.
TESTS_LIMIT: Final = 500
VALUES_LIMIT: Final = 1000
#: Most members of all kinds in a filter in JSON, about what fits into a text.
NODES_LIMIT: Final = 20_000

Place = int | str

LOGICAL: Final = frozenset({"and", "or", "not"})
COMPARISONS: Final = ("=", "<>", "<", "<=", ">", ">=")
#: What stands between its two sides, with how strongly it binds.
ARITHMETIC: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "div": 2, "^": 3}
FOLDINGS: Final = ("casei", "accenti")
SPATIAL: Final = (
    *("s_intersects", "s_disjoint", "s_within", "s_contains"),
    *("s_equals", "s_touches", "s_crosses", "s_overlaps"),
)
#: In the spelling of the JSON.
TEMPORAL: Final = (
    *("t_after", "t_before", "t_contains", "t_disjoint", "t_during", "t_equals", "t_finishedBy", "t_finishes"),
    *("t_intersects", "t_meets", "t_metBy", "t_overlappedBy", "t_overlaps", "t_startedBy", "t_starts"),
)
ARRAYS: Final = ("a_contains", "a_containedBy", "a_equals", "a_overlaps")
#: What is true or false.
TESTS: Final = frozenset({*COMPARISONS, *SPATIAL, *TEMPORAL, *ARRAYS, "like", "between", "in", "isNull"})
#: Any spelling → that of the JSON.
OPERATORS: Final = {op.lower(): op for op in (*LOGICAL, *TESTS, *ARITHMETIC, *FOLDINGS)}


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    at: Place


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | float | bool
    at: Place


@dataclass(frozen=True, slots=True)
class Instant:
    """From `start` to `stop`: a moment, or all of a day."""

    start: datetime
    stop: datetime
    at: Place


@dataclass(frozen=True, slots=True)
class Interval:
    """None where it has no end."""

    start: Node | None
    stop: Node | None
    at: Place


@dataclass(frozen=True, slots=True)
class Geometry:
    """Together what is meant."""

    areas: tuple[Area, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Items:
    members: tuple[Node, ...]
    at: Place


@dataclass(frozen=True, slots=True)
class Call:
    """One of OPERATORS and what it is said of. Raises InvalidCql2 where that is nested too deep."""

    op: str
    args: tuple[Node, ...]
    at: Place
    depth: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        depth = 1 + max((arg.depth for arg in self.args if isinstance(arg, Call)), default=0)
        if depth > DEPTH_LIMIT:
            raise problem(self.at, f"nested more than {DEPTH_LIMIT} deep")
        object.__setattr__(self, "depth", depth)


Node = Name | Constant | Instant | Interval | Geometry | Items | Call


def problem(at: Place, message: str) -> InvalidCql2:
    """The error of a place."""
    if isinstance(at, int):
        return InvalidCql2(f"filter, at position {at + 1}: {message}")
    return InvalidCql2(f"filter, at {at}: {message}" if at else f"filter: {message}")


def unexpected(at: Place, expected: str, found: str) -> InvalidCql2:
    return problem(at, f"expected {expected}, found {found}")


def shown(value: object) -> str:
    """A value in an error."""
    text = str(value)
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def instant_of(text: str, at: Place) -> Instant:
    """A moment such as 2024-09-01T12:00:00Z, without zone in UTC, or a day. Raises InvalidCql2."""
    try:
        start = parse_instant(text)
    except ValueError as error:
        raise unexpected(at, "a time such as 2024-09-01T12:00:00Z or 2024-09-01", shown(text)) from error
    is_day = len(text.strip()) == len("2024-09-01") and start.timetz() == time(tzinfo=UTC)
    return Instant(start, start + timedelta(days=1, microseconds=-1) if is_day else start, at)


def interval_of(start: Node | None, stop: Node | None, at: Place) -> Interval:
    """An interval, checked: what begins it is not behind what ends it. Raises InvalidCql2."""
    if isinstance(start, Instant) and isinstance(stop, Instant) and start.start > stop.stop:
        raise problem(at, "the interval ends before it begins")
    return Interval(start, stop, at)
