"""What a station was asked: which requests came, with which ranges, and how many bytes went out."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from refsys.simulation.station.faults import Fault, Kind

_KEPT: Final = 20_000


@dataclass(slots=True)
class Request:
    """One request. `name` is what it was for: a file or product, for listings the entity set or folder.

    `status` is 0 until it is answered; `authorised_by` is the header that authorised it.
    `sent_bytes` counts the body's bytes given to the network; `complete` says that all of them were; `at` is when it
    came, on the monotonic clock.
    """

    kind: Kind
    method: str
    path: str
    query: str = ""
    name: str = ""
    range: str = ""
    if_range: str = ""
    authorised_by: str = ""
    redirected: bool = False
    status: int = 0
    sent_bytes: int = 0
    complete: bool = False
    fault: Fault | None = None
    at: float = field(default_factory=time.monotonic)


class Journal:
    """The latest requests, oldest first. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._running = 0
        #: Downloads that went on at the same time, at most.
        self.most_downloads_at_once = 0

    def begin(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)
            if request.kind == "download":
                self._running += 1
                self.most_downloads_at_once = max(self.most_downloads_at_once, self._running)

    def end(self, request: Request) -> None:
        with self._lock:
            self._running -= request.kind == "download"

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()
            self.most_downloads_at_once = self._running

    @property
    def downloads_running(self) -> int:
        return self._running

    def requests(self, kind: Kind | None = None, name: str = "") -> list[Request]:
        """Those of one kind, for products whose name contains `name`."""
        with self._lock:
            everything = list(self._requests)
        return [each for each in everything if kind in (None, each.kind) and name in each.name]

    def listings(self) -> list[Request]:
        return self.requests("listing")

    def downloads(self, name: str = "") -> list[Request]:
        """Requests for bytes, HEAD left out."""
        return [each for each in self.requests("download", name) if each.method != "HEAD"]

    def ranges(self, name: str = "") -> list[str]:
        """The Range header of each download; empty where it had none."""
        return [each.range for each in self.downloads(name)]
