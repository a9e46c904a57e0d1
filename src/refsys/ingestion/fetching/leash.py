"""What holds the threads of an attempt: where it is let go, they stop at once, also those that wait for bytes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from refsys.core.errors import Transient


class _Closable(Protocol):
    def close(self) -> None: ...


_Held = TypeVar("_Held", bound=_Closable)


class Leash:
    """What is held by it is closed with it. `ask` raises where the attempt is void."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._held: set[_Closable] = set()
        self._over = threading.Event()

    def check(self) -> None:
        """Raise where the attempt is void, or was let go."""
        self._ask()
        if self._over.is_set():
            raise Transient("was stopped", advice="it is fetched by another worker")

    def pause(self, seconds: float) -> None:
        """Wait; ends at once, raising, where it is let go."""
        self._over.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def holding(self, held: _Held) -> Iterator[_Held]:
        """Hold something for the time of the block, and close it."""
        try:
            with self._lock:
                self._held.add(held)
            self.check()
            yield held
        finally:
            with self._lock:
                self._held.discard(held)
            held.close()

    @contextlib.contextmanager
    def branch(self) -> Iterator[Leash]:
        """A leash of its own, which is let go with this one, and at the end of the block."""
        with self.holding(Leash(self._ask)) as branch:
            yield branch

    def close(self) -> None:
        """Let go."""
        self._over.set()
        with self._lock:
            held = list(self._held)
        for each in held:
            each.close()
