"""Instants: aware datetimes in UTC with microseconds, written `…Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

#: Validity that never ends (EOF files: `UTC=9999-99-99…`; the hub's EvictionDate of products that stay).
FOREVER = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?P<time>\d{2}:\d{2}(?::\d{2})?)(?:[.,](?P<fraction>\d{1,12}))?)?"
    r"\s*(?P<zone>[Zz]|[+-]\d{2}:?\d{2})?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2}))?", re.ASCII)
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 instant or an Earth Explorer one (`UTC=2017-12-13T10:27:37`); naive means UTC.

    Digits beyond microseconds are cut. Years 9999 with impossible fields (`9999-99-99`) mean FOREVER; a leap second is
    the next minute. Raises ValueError naming the text.
    """
    cleaned = text.strip().removeprefix("UTC=")
    if cleaned.startswith("9999-99"):
        return FOREVER
    match = _ISO.fullmatch(cleaned)
    if match is None:
        raise ValueError(f"not an instant: {text!r}; expected for example 2024-09-01T12:00:00.000000Z")
    clock = match["time"] or "00:00:00"
    clock = clock if len(clock) == 8 else f"{clock}:00"
    leap = clock.endswith(":60")
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    zone = (match["zone"] or "Z").upper()
    plain = f"{match['date']}T{clock[:6]}{59 if leap else clock[6:]}.{fraction}{'+00:00' if zone == 'Z' else zone}"
    try:
        instant = datetime.fromisoformat(plain).astimezone(UTC)
        return instant + timedelta(seconds=1) if leap else instant
    except OverflowError:
        raise ValueError(f"not an instant: {text!r}; it lies outside the years 1 to 9999") from None


def parse_moment(text: str, *, now: datetime) -> datetime:
    """What a person means by a time: an instant as `parse_instant` takes it, or how long before `now` (6h, 2d).

    Units: s, m, h, d, w. Raises ValueError naming the text.
    """
    try:
        if ago := _AGO.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not a time: {text!r}; expected for example 2024-09-01, 30m, 6h or 2d") from error


def parse_compact(text: str) -> datetime:
    """Parse the compact form of product names, `20171213T121623` or `20171213`; UTC. Raises ValueError."""
    match = _COMPACT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a compact instant: {text!r}; expected for example 20171213T121623")
    if text.startswith("99999999"):
        return FOREVER
    year, month, day, *clock = (int(part or 0) for part in match.groups())
    hour, minute, second = clock
    leap = second == 60
    try:
        return datetime(year, month, day, hour, minute, 59 if leap else second, tzinfo=UTC) + timedelta(seconds=leap)
    except OverflowError:
        raise ValueError(f"not a compact instant: {text!r}; it lies outside the years 1 to 9999") from None


def format_instant(instant: datetime) -> str:
    """Write with six fraction digits and `Z`, as the hubs do since 2024-09-02."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
