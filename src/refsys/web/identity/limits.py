"""How often a password may be guessed."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

#: Wrong guesses in a minute: of one user from one address, and from one address whoever is meant.
PER_USER: Final = 5
PER_ADDRESS: Final = 50
_WINDOW_S: Final = 60.0
_KNOWN: Final = 10_000


class TooManyGuesses(Exception):
    """Nobody looks at another guess before `retry_after_s` seconds."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many wrong passwords; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class Guesses:
    """Wrong guesses of the last minute, in this process only. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, list[float]] = OrderedDict()

    def check(self, user: str, address: str) -> None:
        """Raises TooManyGuesses."""
        now = self._clock()
        for key, limit in _keys(user, address):
            recent = [moment for moment in self._failures.get(key, ()) if moment > now - _WINDOW_S]
            if len(recent) >= limit:
                raise TooManyGuesses(math.ceil(recent[-limit] + _WINDOW_S - now))

    def failed(self, user: str, address: str) -> None:
        """Count a guess; begin with it before it is looked at, so that many at once count too."""
        now = self._clock()
        for key, limit in _keys(user, address):
            self._failures[key] = [*self._failures.pop(key, [])[1 - limit :], now]
        while len(self._failures) > _KNOWN:
            self._failures.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """The last guess was right, and so it was no guess."""
        for key, _ in _keys(user, address):
            if known := self._failures.get(key):
                known.pop()


def _keys(user: str, address: str) -> tuple[tuple[Hashable, int], ...]:
    return ((user, address), PER_USER), (address, PER_ADDRESS)
