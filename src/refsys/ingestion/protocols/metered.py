"""Streams of a station within its limits, for protocols that bring connections of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from refsys.infra.stations import Held, Station
from refsys.infra.stations.limits import LeastRate
from refsys.ingestion.model import Stream


def open_metered(station: Station, least_bytes_per_s: int, begin: Callable[[], Stream]) -> Stream:
    """The stream that `begin` opens, once one of the station's connections is free (blocking)."""
    held = station.take()
    try:
        with station.breaker.passing():
            return MeteredStream(begin(), station, held, LeastRate(least_bytes_per_s))
    except BaseException:
        station.free(held)
        raise


class MeteredStream:
    """A stream that takes one of the station's connections until it ends.

    It waits where too much comes, and ends where too little does.
    """

    def __init__(self, stream: Stream, station: Station, held: Held, rate: LeastRate) -> None:
        self.start = stream.start
        self.size_bytes = stream.size_bytes
        self.tag = stream.tag
        self._stream = stream
        self._station = station
        self._held: Held | None = held
        self._rate = rate
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def readinto(self, buffer: memoryview, /) -> int:
        begun = time.monotonic()
        try:
            count = self._stream.readinto(buffer)
            self._rate.note(count, time.monotonic() - begun)
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
