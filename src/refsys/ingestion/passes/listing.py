"""Every pass, planned or not, and what became of it: the rows that operators see. Pure, no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Literal

#: How far a session's start may lie outside of its planned pass.
_TOLERANCE: Final = timedelta(minutes=15)
#: How long after its planned end a pass may stay without a session before it is missing.
PATIENCE: Final = timedelta(hours=1)
#: Orbits in a row without a session above which a satellite counts as silent, not as missed.
_MOST_MISSED: Final = 30

#: expected   planned, not over yet
#: missing    planned and over, and no station told of a session
#: suspected  no plan tells of it, but sessions of the orbits before and after came
#: announced  a station told of a session, nothing is here
#: receiving  some of its files are here
#: incomplete its deadline passed, and something is missing
#: complete   nothing is missing
PassState = Literal["expected", "missing", "suspected", "announced", "receiving", "incomplete", "complete"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A row of ingestion.planned_pass. `station` is the plan's code without underscores."""

    satellite: str
    station: str
    orbit: int | None
    starts_at: datetime
    ends_at: datetime
    plan: str


@dataclass(frozen=True, slots=True)
class Received:
    """One session, both transfers together, as far as it came.

    Of its files: `offered` by any station, `fetched` = stored here with the size and checksum that were announced,
    `verified` = in channels whose blocks are all here and agree with what the station says of them, `lost` = evicted or
    failed and not here from anywhere else. `evicted_at` is when the next one that is not here is evicted.
    """

    name: str
    state: PassState
    satellite: str
    inboxes: tuple[str, ...]
    orbit: int | None
    starts_at: datetime
    ends_at: datetime | None
    offered: int = 0
    fetched: int = 0
    verified: int = 0
    lost: int = 0
    size_bytes: int = 0
    has_retransfer: bool = False
    handed_at: datetime | None = None
    revision: int = 0
    evicted_at: datetime | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass: planned, received, or both."""

    state: PassState
    satellite: str
    station: str
    orbit: int | None
    starts_at: datetime
    ends_at: datetime | None
    plan: str = ""
    session: Received | None = None

    @property
    def evicted_at(self) -> datetime | None:
        return self.session.evicted_at if self.session else None


def list_passes(
    planned: Iterable[Planned], received: Iterable[Received], stations: Mapping[str, str], now: datetime
) -> list[Pass]:
    """All passes in the order of their starts.

    `stations` maps an inbox to its station's code in plans, or to its name where no code is set: a session is that of
    the planned pass of its satellite that was going on when it started, of its own station where that is known.
    """
    plans: dict[str, list[Planned]] = defaultdict(list)
    for each in planned:
        plans[each.satellite].append(each)
    codes = {each.station for several in plans.values() for each in several}
    taken: dict[int, Pass] = {}
    passes: list[Pass] = []
    for session in sorted(received, key=lambda session: (session.starts_at, session.name)):
        names = sorted({stations.get(inbox, inbox) for inbox in session.inboxes})
        own = codes.intersection(names)
        plan = _plan_of(session, plans[session.satellite], own, taken)
        row = Pass(
            state=session.state,
            satellite=session.satellite,
            station=plan.station if plan else "+".join(names),
            orbit=session.orbit if session.orbit is not None or plan is None else plan.orbit,
            starts_at=session.starts_at,
            ends_at=session.ends_at,
            plan=plan.plan if plan else "",
            session=session,
        )
        passes.append(row)
        if plan is not None:
            taken[id(plan)] = row
    passes += _without_session(plans, taken, now)
    passes += _gaps(passes, plans)
    return sorted(passes, key=lambda each: (each.starts_at, each.satellite, each.station))


def _plan_of(session: Received, plans: Sequence[Planned], own: set[str], taken: Mapping[int, Pass]) -> Planned | None:
    """The planned pass that a session is of; one that another session has is only shared where no other is left."""
    fitting = [
        plan
        for plan in plans
        if plan.starts_at - _TOLERANCE <= session.starts_at <= plan.ends_at + _TOLERANCE
        and (not own or plan.station in own)
    ]
    return min(
        fitting,
        key=lambda plan: (id(plan) in taken, abs(plan.starts_at - session.starts_at), plan.station),
        default=None,
    )


def _without_session(
    plans: Mapping[str, Sequence[Planned]], taken: Mapping[int, Pass], now: datetime
) -> Iterable[Pass]:
    for several in plans.values():
        for plan in several:
            if id(plan) not in taken:
                state: PassState = "missing" if now > plan.ends_at + PATIENCE else "expected"
                yield Pass(state, plan.satellite, plan.station, plan.orbit, plan.starts_at, plan.ends_at, plan.plan)


def _gaps(passes: Sequence[Pass], plans: Mapping[str, Sequence[Planned]]) -> list[Pass]:
    """Orbits between two received ones of which nobody tells anything; where there are plans, they tell."""
    orbits: dict[str, dict[int, datetime]] = defaultdict(dict)
    for each in passes:
        if each.orbit is not None and each.satellite and not plans.get(each.satellite):
            orbits[each.satellite].setdefault(each.orbit, each.starts_at)
    found = []
    for satellite, starts in orbits.items():
        known = sorted(starts)
        for before, after in pairwise(known):
            missed = after - before - 1
            if 0 < missed <= _MOST_MISSED:
                step = (starts[after] - starts[before]) / (after - before)
                for number in range(1, missed + 1):
                    at = starts[before] + number * step
                    found.append(Pass("suspected", satellite, "", before + number, at, None))
    return found


def state_of(transfers: Iterable[str]) -> PassState:
    """The state of a session by those of its transfers: a retransfer completes what the nominal one lacks."""
    states = set(transfers)
    order: tuple[PassState, ...] = ("complete", "receiving", "announced", "incomplete")
    return next(state for state in order if state in states)
