"""Bytes of a station's answer, read by a thread straight into its buffers (http.client over `wire`)."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from refsys.infra.stations.wire import Wire

#: Bytes that one `readinto` collects before it returns: the fewer calls, the less of a processor they cost.
_ENOUGH: Final = 2**18
_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_UNSATISFIED: Final = re.compile(r"bytes\s+\*/(\d{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Where an answer's bytes lie: from `start` on, `count` of them (None: until it ends), in a file of `size_bytes`.

    None as `size_bytes`: nobody said.
    """

    start: int
    count: int | None
    size_bytes: int | None


def span_of(answer: http.client.HTTPResponse, start: int, stop: int | None, tag: str) -> Span | None:
    """What an answer (200, 206 or 416) to a request for [start, stop) gives; None: not what was asked for.

    Not what was asked for is a part of other content than `tag`, of another place, or of another length than it says.
    """
    if answer.status == 200:
        return Span(0, answer.length, answer.length)
    if answer.status == 416:
        told = _UNSATISFIED.fullmatch(answer.headers.get("Content-Range", "").strip())
        size = int(told[1]) if told else start
        return Span(start, 0, size) if size == start else None
    told = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if told is None or (tag and tag_of(answer) not in ("", tag)):
        return None
    first, last, whole = int(told[1]), int(told[2]), None if told[3] == "*" else int(told[3])
    count = last + 1 - first
    if first != start or count < 1 or (whole is not None and last >= whole) or answer.length not in (None, count):
        return None
    return Span(start, count if stop is None else min(count, stop - start), whole)


def tag_of(answer: http.client.HTTPResponse) -> str:
    """The strong ETag of an answer; "" where there is none."""
    tag = answer.headers.get("ETag", "").strip()
    return tag if re.fullmatch(r'"[!#-~\x80-\xff]*"', tag) else ""


class HttpStream:
    """A `Stream` of an answer. `release` is called once, with whether the connection can be used again.

    `throttle` is called after each piece with its length, and waits where that was too much; the event ends its wait.
    """

    def __init__(
        self,
        answer: http.client.HTTPResponse,
        wire: Wire,
        span: Span,
        *,
        throttle: Callable[[int, threading.Event], None],
        release: Callable[[bool], None],
    ) -> None:
        self.start = span.start
        self.size_bytes = span.size_bytes
        self.tag = tag_of(answer)
        self._answer = answer
        self._wire = wire
        self._left = span.count
        # what comes after a part of an answer is still on its way
        self._is_whole = answer.length is not None and answer.length == span.count
        self._throttle = throttle
        self._release = release
        self._closing = threading.Lock()
        self._closed = threading.Event()
        self._is_released = False
        self._is_at_end = False
        self._failure: Exception | None = None
        if span.count == 0:
            self._end(is_usable=self._is_whole and not answer.will_close)

    def readinto(self, buffer: memoryview, /) -> int:
        """The next bytes, at least one; 0 at the end. Raises OSError where it was cut, or nothing came for too long."""
        if self._failure is not None:
            raise OSError(str(self._failure) or type(self._failure).__name__) from self._failure
        if self._is_at_end:
            return 0
        if self._closed.is_set():
            raise ConnectionAbortedError("the stream was closed")
        wanted = len(buffer) if self._left is None else min(len(buffer), self._left)
        filled = 0
        try:
            while filled < min(wanted, _ENOUGH) and not self._is_at_end:
                filled += self._receive(buffer[filled:wanted])
        except (OSError, http.client.HTTPException) as error:
            self._failure = error
            self._end(is_usable=False)
            if not filled:
                raise OSError(str(error) or type(error).__name__) from error
        self._throttle(filled, self._closed)
        return filled

    def close(self) -> None:
        """Any thread may call it; a `readinto` that waits then raises OSError."""
        self._closed.set()
        self._end(is_usable=False)

    def _receive(self, buffer: memoryview) -> int:
        self._wire.be_patient()
        if self._answer.chunked:
            piece = self._answer.read1(len(buffer))
            count = len(piece)
            buffer[:count] = piece
        else:
            count = self._answer.fp.readinto1(buffer)
        if count and self._left is not None:
            self._left -= count
        if not count and self._left:
            raise ConnectionError(f"the answer ended {self._left} bytes early")
        if not count or self._left == 0:
            self._is_at_end = True
            is_whole = not count if self._answer.chunked else self._is_whole
            self._end(is_usable=is_whole and not self._answer.will_close)
        return count

    def _end(self, *, is_usable: bool) -> None:
        with self._closing:
            if self._is_released:
                return
            self._is_released = True
        self._is_at_end |= self._left == 0
        if is_usable:
            self._answer.close()
        else:
            self._wire.hang_up()
        self._release(is_usable)
