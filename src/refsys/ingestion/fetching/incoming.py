"""A file's bytes in order, over as many connections as it takes.

Where a connection is cut, another one goes on at the same byte; three cuts in a row without a new byte end the attempt.
Where the file turns out to be another one than before, or its source knows no ranges, it begins again (`Restarted`).
A large file is fetched in several ranges at the same time where connections are free: an ordered window of a few
buffers, whose bytes are handed over in their order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final

import structlog

from refsys.core.errors import HostileInput, NotAsAnnounced, Overloaded, Unreachable
from refsys.infra.jitter import jittered
from refsys.ingestion.fetching.leash import Leash
from refsys.ingestion.model import Offer, Part, Source, Stream

log = structlog.get_logger(__name__)

#: Bytes that are handed over at a time from a single stream.
PIECE: Final = 2**20
#: Cuts in a row without a new byte after which the attempt ends.
_BARREN: Final = 3
_PAUSE_S: Final = 0.2
#: A file of fewer ranges than this comes in one stream.
_FEW: Final = 4


class Restarted(Exception):
    """What was handed over is void: the file comes from its beginning."""


class _OtherContent(Exception):
    """A range was answered from the beginning: it is another file now, or the source knows no ranges."""


class Connections:
    """The connections of one source that this process may have at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._lock = threading.Lock()

    def take(self, *, must: bool = False) -> bool:
        """Take one; False where none is free, unless it `must` be."""
        with self._lock:
            if self._used >= self._most and not must:
                return False
            self._used += 1
            return True

    def give(self) -> None:
        """Give one back."""
        with self._lock:
            self._used -= 1


@dataclass(slots=True)
class Line:
    """How files come from one source: its connections, and the window of ranges."""

    source: Source
    connections: Connections
    ranges: ThreadPoolExecutor
    window: int
    range_bytes: int


@dataclass(slots=True)
class _Patience:
    """Counts cuts that brought nothing new."""

    leash: Leash
    name: str
    furthest: int
    barren: int = 0

    def cut(self, at: int, problem: str, error: Exception | None) -> None:
        """Pause after a cut; raises Unreachable where the connection does not hold."""
        if isinstance(error, Overloaded):
            raise error
        self.barren = 0 if at > self.furthest else self.barren + 1
        self.furthest = max(self.furthest, at)
        log.info("download.cut", product=self.name, at_byte=at, problem=problem)
        if self.barren >= _BARREN:
            message = f"the connection does not hold, last cut at byte {at}: {problem}"
            raise Unreachable(message, subject=self.name, advice="it is fetched again") from error
        self.leash.pause(jittered(_PAUSE_S * 2**self.barren))


@dataclass(slots=True)
class Incoming:
    """One file of an offer, read by one thread. At most `limit_bytes` are accepted.

    `position` is how many bytes were handed over; `tag` names the content that they are of.
    """

    line: Line
    offer: Offer
    part: Part
    leash: Leash
    limit_bytes: int
    position: int = 0
    tag: str = ""
    _opened: Stream | None = None
    _in_one: bool = False
    _patience: _Patience = field(init=False)

    def __post_init__(self) -> None:
        self._patience = _Patience(self.leash, self.name, 0)
        self._in_one = not self.line.source.has_ranges or self.line.window < 2

    @property
    def name(self) -> str:
        """By which errors call it."""
        return f"{self.offer.name}, {self.part.path}" if self.part.path else self.offer.name

    @property
    def announced(self) -> int | None:
        """The size that was announced."""
        return self.part.size_bytes

    def pieces(self, position: int = 0, tag: str = "") -> Generator[memoryview]:
        """The bytes from `position` on, of the content that `tag` names; each piece is valid until the next.

        Raises Restarted (call it again), HostileInput where more comes than is accepted, NotAsAnnounced where more or
        less comes than was announced, Gone, and Unreachable where the connection does not hold.
        """
        if self._opened is None:
            self.position, self.tag = position, tag
        self._patience.furthest = max(self._patience.furthest, self.position)
        self.line.connections.take(must=True)
        try:
            if self._is_large():
                yield from self._wide()
            if self.position != self.announced or not self.position:
                yield from self._single()
        finally:
            self.line.connections.give()
        if self.announced is not None and self.position != self.announced:
            raise self._short()

    def close(self) -> None:
        """Give up what may be open."""
        if self._opened is not None:
            self._opened.close()

    def _single(self) -> Generator[memoryview]:
        buffer = memoryview(bytearray(max(1, min(PIECE, self.announced or PIECE))))
        while True:
            error: Unreachable | OSError | None = None
            try:
                with self.leash.holding(self._open(None)) as stream:
                    yield from self._drained(stream, buffer)
                    expected = self.announced if stream.size_bytes is None else stream.size_bytes
                if self.position >= (expected or 0):
                    return
                problem = "the answer ended early"
            except (Unreachable, OSError) as caught:
                if isinstance(caught, Unreachable) and not self.position:
                    raise
                error, problem = caught, f"{type(caught).__name__}: {caught}".rstrip(": ")
            self.leash.check()
            try:
                self._patience.cut(self.position, problem, error)
            except Unreachable:
                if error is None and self.announced is not None:
                    return  # the source says again and again that this is all
                raise

    def _drained(self, stream: Stream, buffer: memoryview) -> Generator[memoryview]:
        """What a stream brings, in full buffers; what came before a cut counts."""
        filled, cut = 0, None
        while True:
            try:
                count = stream.readinto(buffer[filled:])
            except OSError as error:
                count, cut = 0, error
            filled += count
            if filled and (not count or filled == len(buffer)):
                yield self._taken(buffer[:filled])
                filled = 0
            if not count:
                break
        if cut is not None:
            raise cut

    def _wide(self) -> Generator[memoryview]:
        """As much as comes in ranges; the rest, if any, is for a single stream."""
        step = self.line.range_bytes
        stream = self._open(self.position + step)
        size_bytes = stream.size_bytes
        if size_bytes is None or size_bytes != self.announced:
            self._opened = stream
            return
        starts = iter(range(self.position, size_bytes, step))
        free = [memoryview(bytearray(step))]
        first: Stream | None = stream
        running: deque[tuple[memoryview, Future[None]]] = deque()
        with self.leash.branch() as leash:
            try:
                while True:
                    while len(running) < self.line.window and (not running or self.line.connections.take()):
                        start = next(starts, None)
                        if start is None:
                            if running:
                                self.line.connections.give()
                            break
                        buffer = free.pop() if free else memoryview(bytearray(step))
                        part = buffer[: min(step, size_bytes - start)]
                        future = self.line.ranges.submit(self._fill, leash, part, start, first)
                        first = None
                        running.append((buffer, future))
                    if not running:
                        return
                    buffer, future = running[0]
                    future.result()
                    yield self._taken(buffer[: min(step, size_bytes - self.position)])
                    running.popleft()
                    free.append(buffer)
                    if running:
                        self.line.connections.give()
            except _OtherContent:
                log.info("download.again", product=self.name, problem="ranges are of another file, or not known")
                self._in_one, self.position, self.tag = True, 0, ""
                raise Restarted from None
            finally:
                leash.close()
                wait([future for _, future in running if not future.cancel()])
                for _ in range(len(running) - 1):
                    self.line.connections.give()
                if first is not None:
                    first.close()

    def _fill(self, leash: Leash, buffer: memoryview, start: int, stream: Stream | None) -> None:
        """Fill a buffer with the bytes from `start` on, in a thread of the window."""
        filled, stop = 0, start + len(buffer)
        patience = _Patience(leash, self.name, start)
        while filled < len(buffer):
            error: Unreachable | OSError | None = None
            problem = "the answer ended early"
            try:
                stream = stream or self.line.source.open(self.offer, self.part, start + filled, stop, self.tag)
                with leash.holding(stream):
                    if stream.start != start + filled:
                        raise _OtherContent
                    while filled < len(buffer) and (count := stream.readinto(buffer[filled:])):
                        filled += count
            except (Unreachable, OSError) as caught:
                error, problem = caught, f"{type(caught).__name__}: {caught}".rstrip(": ")
            stream = None
            leash.check()
            if filled < len(buffer):
                patience.cut(start + filled, problem, error)

    def _open(self, stop: int | None) -> Stream:
        """A stream from where we are. Raises Restarted where it begins at the beginning."""
        stream, self._opened = self._opened, None
        if stream is None:
            tag = self.tag if self.position else ""
            stream = self.line.source.open(self.offer, self.part, self.position, stop, tag)
        if stream.start != self.position:
            log.info("download.again", product=self.name, at_byte=self.position, problem="it comes from its beginning")
            self._opened, self._in_one = stream, True
            self.position, self.tag = 0, stream.tag
            raise Restarted
        self.tag = stream.tag or self.tag
        return stream

    def _is_large(self) -> bool:
        if self._in_one or self._opened is not None or self.announced is None:
            return False
        return self.announced - self.position >= _FEW * self.line.range_bytes and self._has_idle()

    def _has_idle(self) -> bool:
        if not self.line.connections.take():
            return False
        self.line.connections.give()
        return True

    def _taken(self, piece: memoryview) -> memoryview:
        self.leash.check()
        announced = self.announced
        limit = self.limit_bytes if announced is None else min(self.limit_bytes, announced)
        if self.position + len(piece) > limit:
            if limit != announced:
                raise HostileInput(
                    f"has more than {limit} bytes, the most accepted",
                    subject=self.name,
                    advice="ask the station what it sent, or raise fetch.max_product_bytes and restart this step",
                )
            raise NotAsAnnounced(
                f"has more than {limit} bytes, which were announced",
                subject=self.name,
                advice="ask the station what it sent",
            )
        self.position += len(piece)
        return piece

    def _short(self) -> NotAsAnnounced:
        return NotAsAnnounced(
            f"has {self.position} bytes, {self.announced} were announced",
            subject=self.name,
            advice="compare it with the one at the station; once it is whole there, restart this step",
        )
