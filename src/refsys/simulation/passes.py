"""Downlink passes: what a station publishes, and when, while a satellite sends (ingestion 5.1, 19.3).

    schedule = Schedule()
    schedule.add(Pass(satellite="S1A", orbit=56552, start=now).faster(10), cadip)
    schedule.add(same_pass, xbip)              # the same session at another station
    with schedule: …                           # plays in a thread, by the clock
    schedule.step()                            # or by hand: what is due by the clock

The session appears 27 s after the downlink's start. Blocks follow each other in each channel, interleaved, some seconds
after their data came; at the end come quality information or DSIBs.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, Self

from refsys.simulation.station.content import CADU_BYTES
from refsys.simulation.station.sessions import FULL_BLOCK_BYTES, Archive, Block, Session
from refsys.simulation.station.shelf import utc_now

#: When a real station publishes a session and, after its data, a block (s); the pass lasted 128 s.
_APPEARS_S: Final = 27.0
_LAG_S: Final = 20.0
_REAL_S: Final = 128.0

What = Literal["session", "block", "grow", "stop", "end"]
#: A block by channel and number.
Key = tuple[int, int]


class Receiver(Protocol):
    """A station at which passes play."""

    archive: Archive
    delivers_dsib: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One downlink. `start` is DownlinkStart; sizes in bytes, those of channels cut to whole CADUs.

    With `relay` it comes by a relay satellite (EDRS), whose sessions have ids of another kind.
    """

    satellite: str
    orbit: int
    start: datetime
    duration_s: float = _REAL_S
    channels: int = 2
    channel_bytes: int = 5_767_640_648
    block_bytes: int = FULL_BLOCK_BYTES
    relay: bool = False

    @property
    def session_id(self) -> str:
        if self.relay:
            return f"L{self.start:%Y%m%d%H%M%S}{self.start.microsecond // 1000:03}{self.orbit:06}"
        return f"{self.satellite}_{self.start:%Y%m%d%H%M%S}{self.orbit:06}"

    @property
    def stop(self) -> datetime:
        return self.start + timedelta(seconds=self.duration_s)

    def faster(self, speed: float) -> Pass:
        """The same bytes in a `speed`-th of the time."""
        return replace(self, duration_s=self.duration_s / speed)

    def sizes(self) -> list[int]:
        """Of the blocks of a channel, in order."""
        block = max(1, self.block_bytes // CADU_BYTES) * CADU_BYTES
        full, rest = divmod(self.channel_bytes // CADU_BYTES * CADU_BYTES, block)
        return [block] * full + [rest] * (rest > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaws:
    """What goes wrong in a pass at one station; blocks are named by channel and number.

    `missing` never come; `late` come so many seconds after the end, with the date at which they were due. `shuffled`:
    blocks change places with their neighbours. `final_first`: the final block comes before the others. `growing`: files
    are there empty first, then half, then whole. `duplicated` blocks are published again, with another id. `quality`
    off: no quality information and no DSIB ever comes. `retransfer_s`: so many seconds after the end everything is sent
    again, as a retransfer. `seed` decides what is shuffled with what.
    """

    missing: frozenset[Key] = frozenset()
    late: Mapping[Key, float] = field(default_factory=dict)
    shuffled: bool = False
    final_first: bool = False
    growing: bool = False
    duplicated: frozenset[Key] = frozenset()
    quality: bool = True
    retransfer_s: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishaps:
    """How likely flaws are: for blocks of those that blocks have, else for passes."""

    missing: float = 0.0
    late: float = 0.0
    duplicated: float = 0.0
    shuffled: float = 0.0
    final_first: float = 0.0
    growing: float = 0.0
    no_quality: float = 0.0
    retransfer: float = 0.0
    #: How long after the end what is late comes, and a retransfer.
    late_s: float = 30.0
    retransfer_s: float = 30.0

    def flaws(self, downlink: Pass, seed: int) -> Flaws:
        """The flaws of one pass, by chance: the same for the same seed."""
        chance = random.Random(f"{downlink.session_id}/{seed}/flaws")
        numbers = range(1, len(downlink.sizes()) + 1)
        keys = [(channel, number) for channel in range(1, downlink.channels + 1) for number in numbers]

        def some(likely: float) -> frozenset[Key]:
            return frozenset(key for key in keys if chance.random() < likely)

        return Flaws(
            missing=some(self.missing),
            late=dict.fromkeys(sorted(some(self.late)), self.late_s),
            duplicated=some(self.duplicated),
            shuffled=chance.random() < self.shuffled,
            final_first=chance.random() < self.final_first,
            growing=chance.random() < self.growing,
            quality=chance.random() >= self.no_quality,
            retransfer_s=self.retransfer_s if chance.random() < self.retransfer else None,
            seed=seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a station does `at_s` seconds after the downlink's start; `due_s` is the date that it gives it.

    "block" publishes, with `fraction` of its bytes, "grow" lets it have `fraction`; "stop" is the end of the downlink,
    "end" that of the channel's delivery.
    """

    at_s: float
    what: What
    channel: int = 0
    number: int = 0
    fraction: float = 1.0
    due_s: float | None = None
    retransfer: bool = False


def timeline(downlink: Pass, flaws: Flaws = Flaws()) -> list[Event]:
    """Everything that happens in a pass, in order."""
    events = list(_delivery(downlink, flaws, retransfer=False))
    if flaws.retransfer_s is not None:
        after = max(event.at_s for event in events) + flaws.retransfer_s
        again = _delivery(downlink, Flaws(), retransfer=True)
        events += [replace(event, at_s=event.at_s + after, retransfer=True) for event in again]
    return sorted(events, key=lambda event: event.at_s)


def passes(first: Pass, satellites: Mapping[str, int], *, every_s: float, count: int) -> Iterator[Pass]:
    """`count` passes like the `first`, `every_s` apart, of the satellites in turn: name → orbit of its first pass."""
    for number, satellite in zip(range(count), itertools.cycle(satellites), strict=False):
        start = first.start + timedelta(seconds=every_s * number)
        yield replace(first, satellite=satellite, orbit=satellites[satellite] + number // len(satellites), start=start)


class Playing:
    """One pass at one station, whose clock is `ahead` of the one that the pass is played by."""

    def __init__(self, downlink: Pass, station: Receiver, flaws: Flaws, ahead: timedelta) -> None:
        self.downlink = replace(downlink, start=downlink.start + ahead)
        self.flaws = flaws
        self._session_id = downlink.session_id
        self._station = station
        self._sizes = downlink.sizes()
        self._sessions: dict[bool, Session] = {}
        self._blocks: dict[tuple[bool, int, int], Block] = {}

    def session(self, *, retransfer: bool = False) -> Session | None:
        """What the station published; None before it did."""
        return self._sessions.get(retransfer)

    def play(self, event: Event) -> None:
        if event.what == "session":
            self._sessions[event.retransfer] = self._publish(event)
            return
        session = self._sessions[event.retransfer]
        match event.what:
            case "block":
                self._block(session, event)
            case "grow":
                block = self._blocks[event.retransfer, event.channel, event.number]
                session.grow(block, _part(block.whole_bytes, event.fraction))
            case "stop":
                session.downlink_stop = self.downlink.stop
                session.archive.changed()
            case "end" if self._station.delivers_dsib:
                session.publish_dsib(event.channel, sizes=self._sizes)
            case "end":
                session.deliver(event.channel, TotalChunks=len(self._sizes), TotalVolume=sum(self._sizes))

    def _publish(self, event: Event) -> Session:
        downlink, margin = self.downlink, timedelta(seconds=5)
        return self._station.archive.session(
            self._session_id,
            satellite=downlink.satellite,
            channels=downlink.channels,
            retransfer=event.retransfer,
            orbit=downlink.orbit,
            planned_start=downlink.start - margin,
            planned_stop=downlink.stop + margin,
            downlink_start=downlink.start,
        )

    def _block(self, session: Session, event: Event) -> None:
        size_bytes = self._sizes[event.number - 1]
        due = None if event.due_s is None else self.downlink.start + timedelta(seconds=event.due_s)
        block = session.publish(
            event.channel,
            event.number,
            size_bytes=size_bytes,
            is_final=event.number == len(self._sizes),
            written_bytes=_part(size_bytes, event.fraction),
            published_at=due,
        )
        self._blocks[event.retransfer, event.channel, event.number] = block


class Schedule:
    """Passes at stations, played by a clock: `step` by hand, or `with` in a thread."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._serial = itertools.count()
        self._waiting: list[tuple[datetime, int, Playing, Event]] = []
        self._changed = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(self, downlink: Pass, station: Receiver, flaws: Flaws = Flaws()) -> Playing:
        """Let a pass play at a station; at several, the session is the same."""
        ahead = timedelta(seconds=round((station.archive.now() - self._clock()).total_seconds()))
        playing = Playing(downlink, station, flaws, ahead)
        with self._lock:
            for event in timeline(downlink, flaws):
                at = downlink.start + timedelta(seconds=event.at_s)
                heapq.heappush(self._waiting, (at, next(self._serial), playing, event))
        self._changed.set()
        return playing

    @property
    def done(self) -> bool:
        """Whether everything was played."""
        return not self._waiting

    def step(self) -> float | None:
        """Play what is due; return in how many seconds the next is, None = nothing is left."""
        with self._lock:
            while self._waiting:
                left_s = (self._waiting[0][0] - self._clock()).total_seconds()
                if left_s > 0:
                    return left_s
                _at, _serial, playing, event = heapq.heappop(self._waiting)
                playing.play(event)
        return None

    def __enter__(self) -> Self:
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="passes", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._thread is not None
        self._stopping = True
        self._changed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            self._changed.clear()
            self._changed.wait(self.step())


def _delivery(downlink: Pass, flaws: Flaws, *, retransfer: bool) -> Iterator[Event]:
    """The events of a session; of a retransfer, everything comes as fast as blocks do."""
    scale, count = downlink.duration_s / _REAL_S, len(downlink.sizes())
    appears_s, lag_s = (0.0, 0.0) if retransfer else (_APPEARS_S * scale, _LAG_S * scale)
    step_s = downlink.duration_s / max(1, count)
    yield Event(at_s=appears_s, what="session")
    yield Event(at_s=appears_s if retransfer else max(appears_s, downlink.duration_s), what="stop")
    chance = random.Random(f"{downlink.session_id}/{flaws.seed}")
    for channel in range(1, downlink.channels + 1):
        last_s = appears_s
        for place, number in enumerate(_order(count, flaws, chance), start=1):
            shift_s = step_s * (channel / (downlink.channels + 1))
            at_s = max(appears_s, step_s * place + shift_s + lag_s)
            last_s = max(last_s, at_s)
            yield from _block(channel, number, at_s, step_s, flaws, downlink.duration_s + 2 * step_s + lag_s)
        if flaws.quality:
            yield Event(at_s=last_s + 2 * step_s, what="end", channel=channel)


def _order(count: int, flaws: Flaws, chance: random.Random) -> list[int]:
    """The numbers of a channel's blocks in the order in which they come."""
    numbers = list(range(1, count + 1))
    if flaws.shuffled:
        for start in range(0, count, 4):
            window = numbers[start : start + 4]
            chance.shuffle(window)
            numbers[start : start + 4] = window
        if numbers == sorted(numbers) and count > 1:
            numbers[0], numbers[1] = numbers[1], numbers[0]
    if flaws.final_first:
        numbers.remove(count)
        numbers.insert(0, count)
    return numbers


def _block(channel: int, number: int, at_s: float, step_s: float, flaws: Flaws, end_s: float) -> Iterator[Event]:
    key = (channel, number)
    if key in flaws.missing:
        return
    if key in flaws.late:
        yield Event(at_s=end_s + flaws.late[key], what="block", channel=channel, number=number, due_s=at_s)
        return
    if flaws.growing:
        yield Event(at_s=at_s, what="block", channel=channel, number=number, fraction=0.0)
        yield Event(at_s=at_s + step_s / 2, what="grow", channel=channel, number=number, fraction=0.5)
        yield Event(at_s=at_s + step_s, what="grow", channel=channel, number=number)
    else:
        yield Event(at_s=at_s, what="block", channel=channel, number=number)
    if key in flaws.duplicated:
        yield Event(at_s=at_s + 1.5 * step_s, what="block", channel=channel, number=number)


def _part(size_bytes: int, fraction: float) -> int | None:
    """Bytes that are there so far; None = all."""
    return None if fraction == 1.0 else int(size_bytes * fraction)
