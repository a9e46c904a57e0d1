"""What all inboxes of a station share: connections, bytes a second, and the breaker.

Connections are slots (infra/slots.py) over all processes. A process keeps one that it does not use for a moment, so
that many small files cost no question to the database each. Who lists goes first: while it waits, no download takes a
slot, in whichever process. Of the bytes a second a process may take the share that it has of the connections in use.
The breaker is each process's own: each finds out for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import asyncpg

from refsys.core.errors import Overloaded, RefsysError
from refsys.infra.settings import InboxSettings, Settings, StationSettings
from refsys.infra.slots import Slots, slot_keys
from refsys.infra.stations.limits import Breaker, Throttle

#: The class of these advisory locks: 'stat'.
_SPACE: Final = 0x7374_6174
#: Seconds that are waited for a connection, and how often other processes are looked for.
PATIENCE_S: Final = 60.0
_PAUSE_S: Final = 0.1
#: Seconds that a slot is kept without use, and after which it is given back though it would be used.
_KEPT_S: Final = 0.5
_TURN_S: Final = 2.0
#: How often the share of the bytes a second is found out, in seconds.
_SHARE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """A connection that may be used; `since` is when this process got it."""

    key: int
    since: float


class _Locks(Protocol):
    async def take(self, keys: Sequence[int], turn: int | None = None) -> int | None: ...

    def free(self, key: int) -> None: ...

    async def share(self, keys: Sequence[int]) -> float: ...


class _OwnLocks:
    """Those of a process that is alone, without database."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    async def take(self, keys: Sequence[int], turn: int | None = None) -> int | None:
        key = next((key for key in keys if key not in self._held), None)
        if key is None or turn in self._held:
            return None
        self._held.add(key)
        return key

    def free(self, key: int) -> None:
        self._held.discard(key)

    async def share(self, keys: Sequence[int]) -> float:
        return 1.0


class Station:
    """One station, for all its inboxes in this process. Made in the event loop that the threads' questions go to."""

    def __init__(self, settings: StationSettings, locks: _Locks | None = None) -> None:
        self.name = settings.name
        self.settings = settings
        self.breaker = Breaker(settings.name, failures=settings.breaker_failures, pause_s=settings.breaker_s)
        self._throttle = Throttle(settings.bytes_per_s)
        self._locks = locks or _OwnLocks()
        *self._keys, self._turn = slot_keys(settings.name, settings.connections + 1)
        self._loop = asyncio.get_running_loop()
        self._queues = {True: asyncio.Lock(), False: asyncio.Lock()}
        self._waiting = {True: 0, False: 0}
        self._freed = asyncio.Event()
        self._kept: list[tuple[Held, float]] = []
        self._guard = threading.Lock()
        self._keeping: asyncio.TimerHandle | None = None
        self._sharing: asyncio.Task[None] | None = None
        self._shared_at = 0.0
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def listing(self) -> AsyncIterator[None]:
        """A connection of the event loop, which goes before those for files. Raises Overloaded where none is free."""
        held = await self._take(is_listing=True)
        try:
            yield
        finally:
            self.free(held)

    @contextlib.contextmanager
    def connection(self) -> Iterator[None]:
        """A connection of a thread, for files. Raises Overloaded where none is free."""
        held = self.take()
        try:
            yield
        finally:
            self.free(held)

    def take(self) -> Held:
        """A connection for files, for a thread; `free` gives it back. Raises Overloaded where none is free."""
        kept = self._take_kept(is_listing=False, alone=True)
        return kept or asyncio.run_coroutine_threadsafe(self._take(is_listing=False), self._loop).result()

    def free(self, held: Held) -> None:
        """Any thread may call it, once."""
        now = time.monotonic()
        if now - held.since < _TURN_S:
            with self._guard:
                self._kept.append((held, now))
            if self._keeping is not None and not any(self._waiting.values()):
                return
        with contextlib.suppress(RuntimeError):  # the loop has ended, and all that was held with it
            self._loop.call_soon_threadsafe(self._settle, held if now - held.since >= _TURN_S else None)

    def throttle(self, count: int, closed: threading.Event) -> None:
        """Called by a thread after `count` bytes came: waits where that was too much, until `closed`."""
        wait_s = self._throttle.wait_s(count)
        if wait_s:
            if time.monotonic() - self._shared_at > _SHARE_S:
                self._shared_at = time.monotonic()
                self._loop.call_soon_threadsafe(self._find_share)
            closed.wait(wait_s)

    async def close(self) -> None:
        """Give back what is kept; who waits is told that there is none."""
        self._is_closed = True
        if self._keeping is not None:
            self._keeping.cancel()
        if self._sharing is not None:
            self._sharing.cancel()
        for held, _ in self._kept:
            self._locks.free(held.key)
        self._kept.clear()

    async def _take(self, *, is_listing: bool) -> Held:
        """In the order in which they come, listings first."""
        turn: int | None = None
        self._waiting[is_listing] += 1
        try:
            async with asyncio.timeout(PATIENCE_S), self._queues[is_listing]:
                while not self._is_closed:
                    self._freed.clear()
                    if kept := self._take_kept(is_listing=is_listing):
                        return kept
                    key = await self._locks.take(self._keys, None if is_listing else self._turn)
                    if key is not None:
                        return Held(key, time.monotonic())
                    if is_listing and turn is None:
                        turn = await self._locks.take([self._turn])
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_PAUSE_S):
                            await self._freed.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[is_listing] -= 1
            if turn is not None:
                self._locks.free(turn)
        raise Overloaded(
            f"{self.settings.connections} connections at the same time are all that it may get",
            subject=self.name,
            advice="it is tried again; `connections` of its [[station]] says how many",
            retry_after_s=PATIENCE_S,
        )

    def _take_kept(self, *, is_listing: bool, alone: bool = False) -> Held | None:
        """One that this process holds without use; none where others wait for it longer (`alone`: any others)."""
        with self._guard:
            if (self._waiting[True] and not is_listing) or (alone and self._waiting[False]) or not self._kept:
                return None
            return self._kept.pop()[0]

    def _settle(self, over: Held | None) -> None:
        if over is not None:
            self._locks.free(over.key)
        self._freed.set()
        if self._keeping is None and self._kept:
            self._keeping = self._loop.call_later(_KEPT_S, self._keep)

    def _keep(self) -> None:
        """Give back what nobody used for a while."""
        self._keeping = None
        limit = time.monotonic() - _KEPT_S
        with self._guard:
            old = [held for held, since in self._kept if since <= limit]
            self._kept = [each for each in self._kept if each[1] > limit]
        for held in old:
            self._locks.free(held.key)
        self._settle(None)

    def _find_share(self) -> None:
        if self._sharing is None or self._sharing.done():
            self._sharing = self._loop.create_task(self._shared())

    async def _shared(self) -> None:
        with contextlib.suppress(RefsysError):  # without database it stays as it was
            self._throttle.share = await self._locks.share(self._keys)


class Stations:
    """The stations of a process. Without `pool` it is alone."""

    def __init__(self, settings: Settings, pool: asyncpg.Pool | None = None) -> None:
        self.pool = pool
        self._settings = settings
        self._slots = Slots(pool, _SPACE) if pool is not None else None
        self._known: dict[str, Station] = {}

    def of(self, inbox: InboxSettings) -> Station:
        """The station of an inbox, the same for all inboxes that name it. In the event loop."""
        settings = self._settings.station_of(inbox)
        if settings.name not in self._known:
            self._known[settings.name] = Station(settings, self._slots)
        return self._known[settings.name]

    async def close(self) -> None:
        for station in self._known.values():
            await station.close()
        if self._slots is not None:
            await self._slots.close()
