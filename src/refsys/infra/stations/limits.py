"""What keeps a station from being asked too much, and us from waiting too long for it. No I/O, any thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from refsys.core.errors import Overloaded, RefsysError, Unreachable
from refsys.infra.jitter import jittered
from refsys.infra.stations.answers import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

#: Longest pause of a breaker, in seconds, unless the station asks for more.
LONGEST_PAUSE_S: Final = 600.0
#: What may come at once after a silence, in seconds of the bound.
_BURST_S: Final = 0.25
#: Seconds of waiting for bytes over which their least rate is measured.
RATE_WINDOW_S: Final = 60.0


class Breaker:
    """Leaves a station alone after `failures` in a row, for `pause_s`, doubled each time that it still fails.

    After the pause one request goes through, and what becomes of it decides for all. What failed at the same time
    counts once. Failures are Unreachable and connection errors; every other answer says that the station is there.
    """

    def __init__(
        self, station: str, *, failures: int, pause_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._station = station
        self._most = failures
        self._first_pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._failed_at = clock()
        self._pause_s = 0.0
        self._open_until = 0.0
        self._is_open = False
        self._probe: object | None = None
        self._why = ""

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """One request, for the time of the block. Raises Unreachable at once while the station is left alone."""
        begun, request = self._clock(), object()
        self._enter(request)
        try:
            yield
        except (Unreachable, *CONNECTION_ERRORS) as error:
            self._fail(error, begun, request)
            raise
        except RefsysError:
            self._succeed()
            raise
        except BaseException:
            with self._lock:  # nobody knows; the next one tries
                self._probe = None if self._probe is request else self._probe
            raise
        self._succeed()

    def _enter(self, request: object) -> None:
        with self._lock:
            if not self._is_open:
                return
            left_s = self._open_until - self._clock()
            if left_s <= 0 and self._probe is None:
                self._probe = request
                return
            raise Unreachable(
                f"is left alone for {max(left_s, 1.0):.0f} s more, after it failed: {self._why}",
                subject=self._station,
                advice="it is asked again then",
                retry_after_s=max(left_s, 1.0),
            )

    def _succeed(self) -> None:
        with self._lock:
            was_open, self._is_open = self._is_open, False
            self._failed, self._pause_s, self._probe = 0, 0.0, None
        if was_open:
            log.info("station.back", station=self._station)

    def _fail(self, error: Exception, begun: float, request: object) -> None:
        now = self._clock()
        with self._lock:
            was_probe, self._probe = self._probe is request, None if self._probe is request else self._probe
            if begun >= self._failed_at:
                self._failed, self._failed_at = self._failed + 1, now
            asked_s = (isinstance(error, Unreachable) and error.retry_after_s) or 0.0
            if was_probe or (self._failed >= self._most and not self._is_open):
                self._pause_s = min(2 * self._pause_s or self._first_pause_s, LONGEST_PAUSE_S)
                left_s = max(jittered(self._pause_s, 0.8, 1.0), asked_s)
            elif asked_s > max(0.0, self._open_until - now):
                left_s = asked_s
            else:
                return
            self._is_open, self._open_until, self._why = True, now + left_s, str(error) or type(error).__name__
        log.warning(
            "station.left_alone",
            station=self._station,
            seconds=round(left_s, 1),
            asked=isinstance(error, Overloaded),
            error=str(error) or type(error).__name__,
        )


class Throttle:
    """So many bytes a second over all threads of this process. `share` is this process's part of the bound."""

    def __init__(self, bytes_per_s: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock()
        self.share = 1.0

    def wait_s(self, count: int) -> float:
        """How long to wait after `count` more bytes came."""
        if not self._bytes_per_s or not count:
            return 0.0
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _BURST_S) + count / (self._bytes_per_s * self.share)
            return max(0.0, self._paid_until - now)


class LeastRate:
    """Bytes a second that a peer has to bring at least while one waits for it; 0 = any."""

    def __init__(self, bytes_per_s: int) -> None:
        self._least = bytes_per_s
        self._came, self._waited_s = 0, 0.0

    def note(self, count: int, waited_s: float) -> None:
        """So many bytes came. Raises TimeoutError once too few came in a minute of waiting."""
        self._came += count
        self._waited_s += waited_s
        if self._waited_s <= RATE_WINDOW_S:
            return
        came, waited_s = self._came, self._waited_s
        self._came, self._waited_s = 0, 0.0
        if came < self._least * waited_s:
            raise TimeoutError(f"{came} bytes came in {waited_s:.0f} s, {self._least} a second are the least")
