"""Whether pieces cover an interval: granules by time or number, segments of a datatake (catalogue 12.2, 12.3).

Pure computation on pieces of any kind that have the properties named here. What covers is what was reached furthest:
a piece that lies within an earlier one takes nothing away.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, Protocol, TypeVar


class Piece(Protocol):
    """Something that lasts from `start` to `stop`."""

    @property
    def start(self) -> datetime: ...
    @property
    def stop(self) -> datetime: ...


class Granule(Piece, Protocol):
    """A numbered piece of a dump; `position` is FIRST, LAST or anything else."""

    @property
    def number(self) -> int | None: ...
    @property
    def position(self) -> str: ...


class Made(Piece, Protocol):
    """A piece that was made at an instant, None where that is not known."""

    @property
    def made_at(self) -> datetime | None: ...


class Segment(Piece, Protocol):
    """A part of a datatake in one polarisation: SH, SV, VH, VV, HV or HH.

    `consolidation` says whether it is the whole (FULL), `sensing_consolidation` whether it is where sensing began or
    ended (BEGIN, END); `inserted_at` is when it came.
    """

    @property
    def polarisation(self) -> str: ...
    @property
    def consolidation(self) -> str: ...
    @property
    def sensing_consolidation(self) -> str: ...
    @property
    def inserted_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Gap:
    """Why an interval is not covered: nothing lies from `start` to `stop`, or what `why` says is wrong there."""

    start: datetime
    stop: datetime
    why: str


_Made = TypeVar("_Made", bound=Made)
_Segment = TypeVar("_Segment", bound=Segment)

#: The polarisations that a datatake's segments may have together.
SINGLE: Final = (frozenset({"SH"}), frozenset({"SV"}))
DUAL: Final = (frozenset({"VV", "VH"}), frozenset({"HH", "HV"}))


def without_duplicates(pieces: Iterable[_Made]) -> list[_Made]:
    """Of pieces with the same start and stop the newest made, in the order of their starts; of equal ones the last."""
    newest: dict[tuple[datetime, datetime], _Made] = {}
    for piece in pieces:
        key = (piece.start, piece.stop)
        other = newest.get(key)
        if other is None or other.made_at is None or (piece.made_at is not None and piece.made_at >= other.made_at):
            newest[key] = piece
    return [newest[key] for key in sorted(newest)]


def time_gap(pieces: Iterable[Piece], start: datetime, stop: datetime, *, threshold: timedelta) -> Gap | None:
    """The first gap longer than `threshold` between `start` and `stop`; None where they are covered."""
    row = sorted(pieces, key=_start)
    reached = start
    for piece in row:
        begins = min(piece.start, stop)
        if begins - reached > threshold:
            return Gap(reached, begins, "nothing lies there")
        reached = max(reached, piece.stop)
    return Gap(reached, stop, "nothing lies there") if stop - reached > threshold or not row else None


def sequence_gap(
    granules: Iterable[Granule], start: datetime, stop: datetime, *, ends_may_lack: bool = False
) -> Gap | None:
    """Where granules are not consecutive by their numbers from `start` to `stop`; None where they are.

    After a LAST one a FIRST one has to come. With `ends_may_lack` nothing is wanted before a FIRST one that begins the
    row, nor after a LAST one that ends it (`disable-first-last-waiting`).
    """
    row = sorted(granules, key=lambda granule: (granule.start, granule.number or 0))
    if not row:
        return Gap(start, stop, "there is no granule")
    if row[0].start > start and not (ends_may_lack and row[0].position == "FIRST"):
        return Gap(start, row[0].start, f"{_called(row[0])} is the first that there is")
    for one, other in itertools.pairwise(row):
        if one.position == "LAST":
            follows = other.position == "FIRST"
        else:
            follows = one.number is not None and other.number == one.number + 1
        if not follows:
            return Gap(one.stop, other.start, f"{_called(other)} does not follow {_called(one)}")
    if row[-1].stop < stop and not (ends_may_lack and row[-1].position == "LAST"):
        return Gap(row[-1].stop, stop, f"{_called(row[-1])} is the last that there is")
    return None


@dataclass(frozen=True, slots=True)
class Datatake(Generic[_Segment]):
    """Segments of a datatake by polarisation, in the order of their starts, and the time that all of them take.

    `lacks` says what is waited for: empty where they are complete.
    """

    by_polarisation: dict[str, list[_Segment]]
    start: datetime | None
    stop: datetime | None
    lacks: str


def join_segments(segments: Iterable[_Segment]) -> Datatake[_Segment]:
    """Whether segments (none of RF characterisation) make their datatake complete.

    Of segments with the same start and polarisation the one that came last counts. One polarisation has to be SH or SV,
    two VV and VH or HH and HV, each without a gap.
    """
    rows = _by_polarisation(segments)
    pair = frozenset(rows)
    if pair not in SINGLE + DUAL:
        lacks = f"polarisations {', '.join(sorted(rows)) or 'none'} are no datatake's"
    else:
        lacks = "; ".join(f"{name}: {told}" for name, row in rows.items() if (told := _segments_lack(row)))
    return _datatake(rows, lacks)


def join_rf_segments(segments: Iterable[_Segment], start: datetime) -> Datatake[_Segment]:
    """Whether the segments of RF characterisation that start at `start` are a pair (VV and VH, or HH and HV).

    Where they are not they are of no use: the next segment asks anew.
    """
    rows = _by_polarisation(segment for segment in segments if segment.start == start)
    lacks = "" if frozenset(rows) in DUAL else f"polarisations {', '.join(sorted(rows)) or 'none'} are no pair"
    return _datatake(rows, lacks)


def _by_polarisation(segments: Iterable[_Segment]) -> dict[str, list[_Segment]]:
    newest: dict[tuple[str, datetime], _Segment] = {}
    for segment in segments:
        key = (segment.polarisation, segment.start)
        other = newest.get(key)
        if other is None or segment.inserted_at >= other.inserted_at:
            newest[key] = segment
    rows: dict[str, list[_Segment]] = {}
    for polarisation, start in sorted(newest):
        rows.setdefault(polarisation, []).append(newest[polarisation, start])
    return rows


def _segments_lack(row: Sequence[Segment]) -> str:
    if len(row) == 1:
        return "" if row[0].consolidation == "FULL" else f"one segment, which is {row[0].consolidation or 'not FULL'}"
    if row[0].sensing_consolidation != "BEGIN":
        return "the begin lacks"
    if row[-1].sensing_consolidation != "END":
        return "the end lacks"
    reached = row[0].stop
    for segment in row[1:]:
        if segment.start > reached:
            return f"nothing lies from {reached:%Y-%m-%dT%H:%M:%S.%fZ} to {segment.start:%Y-%m-%dT%H:%M:%S.%fZ}"
        reached = max(reached, segment.stop)
    return ""


def _datatake(rows: dict[str, list[_Segment]], lacks: str) -> Datatake[_Segment]:
    every = [segment for row in rows.values() for segment in row]
    start = min((segment.start for segment in every), default=None)
    return Datatake(rows, start, max((segment.stop for segment in every), default=None), lacks)


def _start(piece: Piece) -> datetime:
    return piece.start


def _called(granule: Granule) -> str:
    number = "without a number" if granule.number is None else str(granule.number)
    return f"granule {number} ({granule.position or 'NONE'})"
