"""How many downloads a user has at the same time, over all API processes of the system (infra/slots.py)."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from typing import Final

import asyncpg

from refsys.core.errors import RefsysError
from refsys.infra import slots

#: Seconds that a download waits for a slot: the death of a connection may be told to another process than the one that
#: gets the request to go on. And how often it looks.
PATIENCE_S: Final = 2.0
_PAUSE_S: Final = 0.1
#: So many downloads of a user wait in one process; more are refused at once.
MOST_WAITING: Final = 16
#: The class of these advisory locks; distribution.slots_taken (migration 0036) counts them.
_SPACE: Final = 1919247987


class AllTaken(RefsysError):
    """A user has as many downloads as there may be."""


class Slot:
    """One download may go on until `free`, which may be called again and does nothing then."""

    __slots__ = ("_key", "_slots")

    def __init__(self, slots: Slots, key: int) -> None:
        self._slots: Slots | None = slots
        self._key = key

    def free(self) -> None:
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.free(self._key)


class Slots(slots.Slots):
    """The slots of downloads that a process holds."""

    def __init__(self, pool: asyncpg.Pool, per_user: int) -> None:
        super().__init__(pool, _SPACE)
        self._per_user = per_user
        self._waiting: Counter[str] = Counter()

    async def take_for(self, who: str) -> Slot:
        """A slot of `who`, which is waited for a moment. Raises AllTaken, and Transient without database."""
        # without a limit, a key that is nobody's
        keys = slots.slot_keys(who, self._per_user) or [secrets.randbits(32) - 2**31]
        deadline = time.monotonic() + PATIENCE_S
        if self._waiting[who] >= MOST_WAITING:
            raise self._all_taken()
        self._waiting[who] += 1
        try:
            while (key := await self.take(keys)) is None:
                if time.monotonic() > deadline:
                    raise self._all_taken()
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]
        return Slot(self, key)

    def _all_taken(self) -> AllTaken:
        return AllTaken(f"{self._per_user} downloads at the same time are all that one user may have")
