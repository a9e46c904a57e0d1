"""A source of one file in memory, which cuts, changes, lies and counts as a test wants."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from refsys.core.errors import Gone
from refsys.ingestion.model import Findings, Memory, Offer, Part, Stream


@dataclass(frozen=True)
class Asked:
    """A request: from where to where, and by which tag."""

    start: int
    stop: int | None
    tag: str


@dataclass
class ByteSource:
    """Answers `open` with the bytes of `data`.

    `before` is called before each answer with the number of the request: it may change the source, or raise.
    `cuts` says after how many bytes each answer is cut (None = not); answers beyond them are whole.
    """

    data: bytes
    tag: str = "v1"
    has_ranges: bool = True
    knows_ranges: bool = True
    says_size: bool = True
    cuts: Sequence[int | None] = ()
    before: Callable[[int], None] = lambda number: None
    asked: list[Asked] = field(default_factory=list)
    sent_bytes: int = 0
    open_streams: int = 0
    most_open: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, memory: Memory) -> AsyncIterator[Findings]:
        raise AssertionError("nobody looks")

    async def prepare(self, offer: Offer) -> None:
        return None

    def parts(self, offer: Offer) -> Sequence[Part]:
        return [Part("", offer.size_bytes, offer.version)]

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        with self.lock:
            number = len(self.asked)
            self.asked.append(Asked(start, stop, tag))
        self.before(number)
        if self.tag == "gone":
            raise Gone("is gone", subject=offer.name)
        is_whole = not self.knows_ranges or (tag and tag != self.tag)
        if is_whole:
            start, stop = 0, None
        cut = self.cuts[number] if number < len(self.cuts) else None
        return _Bytes(self, start, self.data[start:stop], cut)

    async def count(self, start: object, stop: object) -> int | None:
        return None

    async def close(self) -> None:
        return None


class _Bytes:
    def __init__(self, source: ByteSource, start: int, data: bytes, cut: int | None) -> None:
        self.start = start
        self.size_bytes = len(source.data) if source.says_size else None
        self.tag = source.tag
        self._source = source
        self._left = memoryview(data)
        self._cut = cut
        self._is_open = True
        with source.lock:
            source.open_streams += 1
            source.most_open = max(source.most_open, source.open_streams)

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._is_open:
            raise OSError("closed")
        count = min(len(buffer), len(self._left))
        if self._cut is not None and count >= self._cut:
            count = self._cut
            if not count:
                raise OSError("cut")
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        if self._cut is not None:
            self._cut -= count
        with self._source.lock:
            self._source.sent_bytes += count
        return count

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            with self._source.lock:
                self._source.open_streams -= 1
