"""Cron expressions as Quartz and Log4j write them: `sec min hour day month weekday [year]`, asked for an instant (UTC).

Understood are `*`, `?` (day or weekday), numbers, names (JAN, MON), ranges, which may go round (22-2, FRI-MON), lists
and steps (0/15, */5, 10-30/2); weekdays count from 1 = SUN. `L`, `W` and `#` are refused, and so is an expression that
restricts both day and weekday, as Quartz does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_PART: Final = re.compile(r"(?:(?P<all>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?|)(?:/(?P<step>\d{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + 1
        if not text.isdecimal() or not self.least <= int(text) <= self.most:
            known = f", {self.names[0]} to {self.names[-1]}" if self.names else ""
            raise ValueError(f"{self.name} is {text}; it is {self.least} to {self.most}{known}")
        return int(text)


_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 1, 7, _WEEKDAYS),
    _Field("year", 1970, 2099),
)
_DAY, _WEEKDAY = 3, 5
#: The last day, the nearest weekday, the third Friday: what an instant alone cannot be asked for.
_SPECIAL: Final = {"day": re.compile(r"[LW]"), "weekday": re.compile(r"#|L(,|$)")}


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression: the values of each field that match, None where all do."""

    text: str
    fields: tuple[frozenset[int] | None, ...]

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises ValueError that says which field is wrong, and why."""
        words = text.upper().split()
        if len(words) not in (6, 7):
            raise ValueError(f"has {len(words)} fields; it is: second minute hour day month weekday, and perhaps year")
        if words[_DAY] == words[_WEEKDAY] == "?":
            raise ValueError("day and weekday are both ?; only one of them may be left open")
        fields = tuple(_values(field, word) for field, word in zip(_FIELDS, words, strict=False))
        if fields[_DAY] is not None and fields[_WEEKDAY] is not None:
            raise ValueError("day and weekday are both restricted; one of them has to be ?")
        return cls(text, fields)

    def matches(self, instant: datetime) -> bool:
        """Whether an instant is one of those that the expression means, to the second."""
        at = instant.astimezone(UTC)
        values = (at.second, at.minute, at.hour, at.day, at.month, at.isoweekday() % 7 + 1, at.year)
        return all(field is None or value in field for field, value in zip(self.fields, values, strict=False))


def _values(field: _Field, word: str) -> frozenset[int] | None:
    if word == "*":
        return None
    if word == "?":
        if field.name not in ("day", "weekday"):
            raise ValueError(f"{field.name} is ?; that is for day and weekday")
        return None
    if field.name in _SPECIAL and _SPECIAL[field.name].search(word):
        raise ValueError(f"{field.name} is {word}; L, W and # are not understood")
    return frozenset(value for part in word.split(",") for value in _part(field, part))


def _part(field: _Field, part: str) -> range | list[int]:
    match = _PART.fullmatch(part)
    if match is None or not part:
        raise ValueError(f"{field.name} is {part or 'empty'}; it is *, a number, a range or a list, and perhaps a step")
    step = int(match["step"] or 1)
    if step < 1 or step > field.most:
        raise ValueError(f"{field.name} has the step {step}; it is 1 to {field.most}")
    if match["first"] is None:
        return range(field.least, field.most + 1, step)
    first = field.number(match["first"])
    if match["last"] is None:
        return range(first, field.most + 1, step) if match["step"] else [first]
    last = field.number(match["last"])
    if last >= first:
        return range(first, last + 1, step)
    if field.name == "year":
        raise ValueError(f"year is {part}; it ends before it begins")
    span = field.most - field.least + 1
    return [field.least + (value - field.least) % span for value in range(first, last + span + 1, step)]
