"""What FTP servers say of a folder: MLSD (RFC 3659 7), and LIST as Unix and DOS write it, which no standard says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

Kind = Literal["file", "folder", "other"]

_UNIX: Final = re.compile(
    r"(?P<kind>[-a-zA-Z])\S{9,10}\s+(?:\S+\s+){1,6}?(?P<size>\d{1,18})\s+"
    r"(?:(?P<month>[A-Z][a-z]{2})\s+(?P<day>\d{1,2})\s+(?P<clock>\d{4}|\d{1,2}:\d{2})"
    r"|(?P<iso>\d{4}-\d\d-\d\d \d\d:\d\d)\S{0,20}(?: [+-]\d{4})?)\s(?P<name>.+)",
    re.ASCII,
)
_DOS: Final = re.compile(
    r"(?P<month>\d\d)-(?P<day>\d\d)-(?P<year>\d{2}|\d{4})\s+(?P<hour>\d\d):(?P<minute>\d\d)\s?(?P<half>[AP]M)?\s+"
    r"(?:(?P<folder><(?:DIR|JUNCTION|SYMLINKD?)>)|(?P<size>[\d,]{1,24}))\s+(?P<name>.+)",
    re.IGNORECASE | re.ASCII,
)
_KINDS: Final[dict[str, Kind]] = {"-": "file", "d": "folder"}
_TOTAL: Final = re.compile(r"total\s+\S+", re.IGNORECASE)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FtpEntry:
    """One name in a folder. `moment` is its time as it was written; `is_dated_only` where later listings may write it
    with less (Unix leaves the hours out after half a year).
    """

    name: str
    kind: Kind
    size_bytes: int | None
    modified_at: datetime | None
    moment: str = ""
    is_dated_only: bool = False


@dataclass(slots=True)
class FtpListing:
    """`strange` are the lines that say nothing we know."""

    entries: list[FtpEntry] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


def read_mlsd(lines: Iterable[str]) -> FtpListing:
    """`fact=value;fact=value; name`; links and the folder itself are left out."""
    listing = FtpListing()
    for line in lines:
        told, space, name = line.partition(" ")
        facts = {key.lower(): value for key, _, value in (fact.partition("=") for fact in told.split(";"))}
        kind = facts.get("type", "").lower()
        if not space or not name or not kind:
            if line.strip():
                listing.strange.append(line)
            continue
        if kind in ("cdir", "pdir"):
            continue
        size = facts.get("size", "")
        modified = facts.get("modify", "")
        listing.entries.append(
            FtpEntry(
                name=name,
                kind="file" if kind == "file" else "folder" if kind == "dir" else "other",
                size_bytes=int(size) if re.fullmatch(r"[0-9]{1,18}", size) else None,
                modified_at=read_moment(modified),
                moment=modified,
            )
        )
    return listing


def read_list(lines: Iterable[str], now: datetime) -> FtpListing:
    """Unix's or DOS's form; times are taken as UTC. `now` says of which year a date without one is."""
    listing = FtpListing()
    for line in lines:
        entry = _unix(line, now) or _dos(line)
        if entry is None:
            if line.strip() and not _TOTAL.fullmatch(line.strip()):
                listing.strange.append(line)
        elif entry.name not in (".", ".."):
            listing.entries.append(entry)
    return listing


def read_moment(text: str) -> datetime | None:
    """YYYYMMDDHHMMSS[.sss] in UTC (RFC 3659 2.3); None where it is none."""
    found = re.fullmatch(r"([0-9]{14})(\.[0-9]{1,9})?", text.strip())
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return moment + timedelta(seconds=float(found[2] or 0))


def _unix(line: str, now: datetime) -> FtpEntry | None:
    found = _UNIX.fullmatch(line)
    if found is None:
        return None
    try:
        modified_at, moment = _unix_date(found, now)
    except ValueError:
        return None
    kind = _KINDS.get(found["kind"], "other")
    return FtpEntry(found["name"], kind, int(found["size"]), modified_at, moment, is_dated_only=found["iso"] is None)


def _unix_date(found: re.Match[str], now: datetime) -> tuple[datetime, str]:
    if found["iso"]:
        return datetime.strptime(found["iso"], "%Y-%m-%d %H:%M").replace(tzinfo=UTC), found["iso"]
    month, day, clock = _MONTHS.index(found["month"]) + 1, int(found["day"]), found["clock"]
    moment = f"{found['month']} {day} {clock}"
    if ":" not in clock:
        return datetime(int(clock), month, day, tzinfo=UTC), moment
    hour, minute = (int(part) for part in clock.split(":"))
    for year in (now.year + 1, now.year, now.year - 1, now.year - 2, now.year - 3, now.year - 4):
        if month == 2 and day == 29 and year % 4:
            continue
        date = datetime(year, month, day, hour, minute, tzinfo=UTC)
        if date <= now + _DAY:  # its clock may be ahead of ours
            return date, moment
    raise ValueError(f"{moment} is no date")


def _dos(line: str) -> FtpEntry | None:
    found = _DOS.fullmatch(line)
    if found is None:
        return None
    year, hour = int(found["year"]), int(found["hour"])
    year += 0 if year >= 100 else 2000 if year < 70 else 1900
    half = (found["half"] or "").upper()
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    try:
        modified_at = datetime(year, int(found["month"]), int(found["day"]), hour, int(found["minute"]), tzinfo=UTC)
    except ValueError:
        return None
    folder = (found["folder"] or "").upper()
    kind: Kind = "file" if not folder else "folder" if folder == "<DIR>" else "other"
    size = int(found["size"].replace(",", "")) if found["size"] and found["size"].strip(",") else None
    return FtpEntry(found["name"], kind, size, modified_at, f"{modified_at:%Y-%m-%d %H:%M}")
