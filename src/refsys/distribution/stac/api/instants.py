"""The parameter `datetime`: an instant or an interval of RFC 3339 (OGC API Features 7.15.4; standards 2.15)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from refsys.core.filters import Comparison, Expression, Literal, Op, Property, all_of
from refsys.core.times import parse_instant
from refsys.distribution.stac.api.errors import wrong

_RFC3339: Final = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-\d{2}[Tt](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,12})?"
    r"(?P<zone>[Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII,
)
_OPEN: Final = ("", "..")


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` to `end`, both within; None where it is open."""

    start: datetime | None
    end: datetime | None

    def expression(self) -> Expression:
        """True of products whose time of sensing has an instant in common with it."""
        terms: list[Expression] = []
        if self.end is not None:
            terms.append(Comparison(Property("sensing_start"), Op.LE, Literal(self.end)))
        if self.start is not None:
            terms.append(Comparison(Property("sensing_stop"), Op.GE, Literal(self.start)))
        return all_of(*terms)


def parse_datetime(text: str, *, needs_zone: bool) -> Interval:
    """Read `datetime`. Without `needs_zone` what says no zone is UTC. Raises StacError."""
    parts = text.split("/")
    if len(parts) == 1:
        instant = _instant(text, needs_zone)
        return Interval(instant, instant)
    if len(parts) > 2:
        raise wrong("datetime", f"an interval has a start and an end, not {len(parts)} parts")
    start, end = (None if part in _OPEN else _instant(part, needs_zone) for part in parts)
    if start is None and end is None:
        raise wrong("datetime", "an interval is open at one end at most")
    if start is not None and end is not None and start > end:
        raise wrong("datetime", f"the start {parts[0]} is after the end {parts[1]}")
    return Interval(start, end)


def _instant(text: str, needs_zone: bool) -> datetime:
    # a `+` that was not percent-encoded arrives as a blank
    given = re.sub(r" (?=\d\d:\d\d$)", "+", text)
    match = _RFC3339.fullmatch(given)
    if match is None:
        raise wrong("datetime", f"{text[:60]!a} is no instant of RFC 3339, for example 2024-09-01T12:00:00Z")
    if match["zone"] is None and needs_zone:
        raise wrong("datetime", f"{text[:60]!a} says no time zone, for example 2024-09-01T12:00:00Z")
    try:
        return parse_instant(given)
    except ValueError as error:
        raise wrong("datetime", f"{text[:60]!a} is no instant: {error}") from error
