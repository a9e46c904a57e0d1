"""Streams of a station within its limits, for protocols that bring connections of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from refsys.infra.stations import Held, Station
from refsys.ingestion.model import Stream


def open_metered(station: Station, begin: Callable[[], Stream]) -> Stream:
    """The stream that `begin` opens, once one of the station's connections is free (blocking)."""
    held = station.take()
    try:
        with station.breaker.passing():
            return MeteredStream(begin(), station, held)
    except BaseException:
        station.free(held)
        raise


class MeteredStream:
    """A stream that takes one of the station's connections until it ends, and waits where it brings too much."""

    def __init__(self, stream: Stream, station: Station, held: Held) -> None:
        self.start = stream.start
        self.size_bytes = stream.size_bytes
        self.tag = stream.tag
        self._stream = stream
        self._station = station
        self._held: Held | None = held
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int:
        try:
            count = self._stream.readinto(buffer)
        except BaseException:
            self._free()
            raise
        if count:
            self._station.throttle(count, self._closed)
        else:
            self._free()
        return count

    def close(self) -> None:
        self._closed.set()
        self._stream.close()
        self._free()

    def _free(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            self._station.free(held)
