"""How many downloads a user has at the same time, over all API processes of the system.

A slot is an advisory lock in PostgreSQL (migration 0036), held by one session that a process keeps for this alone: it
is free when the download ends, and when the process does, however. A session that was lost is opened anew, and takes
the slots of the downloads that go on; what somebody else got meanwhile is one download too many, and not ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections import Counter
from typing import Any, Final

import asyncpg
import structlog

from refsys.core.errors import RefsysError, Transient
from refsys.infra.postgres import DATABASE_ERRORS

log = structlog.get_logger(__name__)

#: Seconds that a download waits for a slot: the death of a connection may be told to another process than the one that
#: gets the request to go on. And how often it looks.
PATIENCE_S: Final = 2.0
_PAUSE_S: Final = 0.1
#: So many downloads of a user wait in one process; more are refused at once.
MOST_WAITING: Final = 16
#: Seconds that the database has for one question, and the pause before a lost session is opened anew.
_TIMEOUT_S: Final = 5.0
_REOPEN_S: Final = 1.0

# the server notices within a minute that the machine of a process is gone, too
_NOTICE: Final = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_TAKE: Final = "SELECT distribution.take_slot($1)"
_FREE: Final = "SELECT distribution.free_slot($1)"
_TAKE_EACH: Final = "SELECT distribution.take_slot(ARRAY[key]) FROM unnest($1::int[]) AS keys(key)"


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
            slots._free(self._key)


class Slots:
    """The slots that a process holds. Its session is one of the pool's connections, taken when it is first needed."""

    def __init__(self, pool: asyncpg.Pool, per_user: int) -> None:
        self._pool = pool
        self._per_user = per_user
        self._session: Any = None
        self._asking = asyncio.Lock()
        self._held: set[int] = set()
        self._waiting: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def take(self, who: str) -> Slot:
        """A slot of `who`, which is waited for a moment. Raises AllTaken, and Transient without database."""
        keys, deadline = self._keys(who), time.monotonic() + PATIENCE_S
        if self._waiting[who] >= MOST_WAITING:
            raise self._all_taken()
        self._waiting[who] += 1
        try:
            while (key := await self._take(keys)) is None:
                if time.monotonic() > deadline:
                    raise self._all_taken()
                await asyncio.sleep(_PAUSE_S)
        finally:
            self._waiting[who] -= 1
            if not self._waiting[who]:
                del self._waiting[who]
        return Slot(self, key)

    async def close(self) -> None:
        """Give all slots back."""
        self._is_closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await self._hang_up()

    def _keys(self, who: str) -> list[int]:
        """One for each slot of `who`; without a limit, one that is nobody's."""
        if not self._per_user:
            return [secrets.randbits(32) - 2**31]
        names = (f"{slot} {who}".encode() for slot in range(self._per_user))
        digests = (hashlib.blake2b(name, digest_size=4).digest() for name in names)
        return [int.from_bytes(digest, signed=True) for digest in digests]

    def _all_taken(self) -> AllTaken:
        return AllTaken(f"{self._per_user} downloads at the same time are all that one user may have")

    async def _take(self, keys: list[int]) -> int | None:
        async with self._asking:
            wanted = [key for key in keys if key not in self._held]
            if not wanted:
                return None
            key: int | None = await self._ask(_TAKE, wanted)
            if key is not None:
                self._held.add(key)
            return key

    def _free(self, key: int) -> None:
        self._run(self._give_back(key))

    async def _give_back(self, key: int) -> None:
        async with self._asking:
            self._held.discard(key)
            if self._session is not None:
                await self._ask(_FREE, key)

    async def _ask(self, sql: str, *values: Any) -> Any:
        """A session in which a question was broken off may have more locks than we know of: it is ended."""
        try:
            session = await self._opened()
            return await session.fetchval(sql, *values, timeout=_TIMEOUT_S)
        except DATABASE_ERRORS as error:
            await self._hang_up()
            self._run(self._reopen())
            raise Transient("the database does not answer", advice="try again in a moment") from error
        except asyncio.CancelledError:
            await self._hang_up()
            raise

    async def _opened(self) -> Any:
        if self._session is None:
            session: Any = await self._pool.acquire(timeout=_TIMEOUT_S)

            def on_end(_: Any) -> None:
                # the server ended it, and the pool has it back
                if self._session is session:
                    self._session = None
                    if self._held:
                        self._run(self._reopen())

            self._session = session
            session.add_termination_listener(on_end)
            await session.execute(_NOTICE, timeout=_TIMEOUT_S)
            if self._held:
                await session.fetch(_TAKE_EACH, list(self._held), timeout=_TIMEOUT_S)
        return self._session

    async def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            # whatever of it has ended already, the pool has it back afterwards
            with contextlib.suppress(*DATABASE_ERRORS):
                session.terminate()
                await self._pool.release(session)

    async def _reopen(self) -> None:
        """At once, not at the next download: until then the slots of those that go on would be free to others."""
        while self._held:
            try:
                async with self._asking:
                    await self._opened()
                return
            except DATABASE_ERRORS as error:
                log.warning("slots.lost", downloads=len(self._held), error=str(error) or type(error).__name__)
            async with self._asking:
                await self._hang_up()
            await asyncio.sleep(_REOPEN_S)

    def _run(self, work: Any) -> None:
        if self._is_closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _quietly(work: Any) -> None:
        try:
            await work
        except RefsysError as error:
            log.warning("slots.lost", error=str(error))
