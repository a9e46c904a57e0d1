"""How often something happens at the same time, over all processes of the system.

A slot is an advisory lock in PostgreSQL (migration 0024), held by one session that a process keeps for this alone: it
is free when it is given back, and when the process ends, however. A session that was lost is opened anew, and takes the
slots that are in use; what somebody else got meanwhile is one too many, and not ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import asyncpg
import structlog

from refsys.core.errors import RefsysError, Transient
from refsys.infra.postgres import DATABASE_ERRORS

log = structlog.get_logger(__name__)

#: Seconds that the database has for one question, and the pause before a lost session is opened anew.
_TIMEOUT_S: Final = 5.0
_REOPEN_S: Final = 1.0

# the server notices within a minute that the machine of a process is gone, too
_NOTICE: Final = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_TAKE: Final = "SELECT work.take_slot($1, $2, $3)"
_FREE: Final = "SELECT work.free_slot($1, $2)"
_TAKE_EACH: Final = "SELECT work.take_slot($1, ARRAY[key], NULL) FROM unnest($2::int[]) AS keys(key)"
_TAKEN: Final = "SELECT work.slots_taken($1, $2)"


def slot_keys(who: str, count: int) -> list[int]:
    """The keys of the slots of `who`."""
    digests = (hashlib.blake2b(f"{slot} {who}".encode(), digest_size=4).digest() for slot in range(count))
    return [int.from_bytes(digest, signed=True) for digest in digests]


class Slots:
    """The slots of one `space` that a process holds. Its session is one of the pool's, taken when first needed."""

    def __init__(self, pool: asyncpg.Pool, space: int) -> None:
        self._pool = pool
        self._space = space
        self._session: Any = None
        self._asking = asyncio.Lock()
        self._held: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def take(self, keys: Sequence[int], turn: int | None = None) -> int | None:
        """A key of these that nobody holds; None where there is none, or somebody holds `turn`, whose turn it is.

        Raises Transient without database.
        """
        async with self._asking:
            wanted = [key for key in keys if key not in self._held]
            if not wanted or turn in self._held:
                return None
            key: int | None = await self._ask(_TAKE, wanted, turn)
            if key is not None:
                self._held.add(key)
            return key

    def free(self, key: int) -> None:
        """Give a key back that is held. For the event loop's thread."""
        self._run(self._give_back, key)

    async def share(self, keys: Sequence[int]) -> float:
        """Of these keys that are held by anyone, the share that we hold; 1 where we hold none. Raises Transient."""
        async with self._asking:
            ours = sum(key in self._held for key in keys)
            taken: int = await self._ask(_TAKEN, list(keys)) if ours else 0
        return ours / max(ours, taken, 1) if ours else 1.0

    async def close(self) -> None:
        """Give all slots back."""
        self._is_closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await self._hang_up()

    async def _give_back(self, key: int) -> None:
        async with self._asking:
            self._held.discard(key)
            if self._session is not None:
                await self._ask(_FREE, key)

    async def _ask(self, sql: str, *values: Any) -> Any:
        """A session in which a question was broken off may have more locks than we know of: it is ended."""
        try:
            session = await self._opened()
            return await session.fetchval(sql, self._space, *values, timeout=_TIMEOUT_S)
        except DATABASE_ERRORS as error:
            await self._hang_up()
            self._run(self._reopen)
            raise Transient("the database does not answer", advice="try again in a moment") from error
        except asyncio.CancelledError:
            await self._hang_up()
            self._run(self._reopen)
            raise

    async def _opened(self) -> Any:
        if self._session is None:
            session: Any = await self._pool.acquire(timeout=_TIMEOUT_S)

            def on_end(_: Any) -> None:
                # the server ended it, and the pool has it back
                if self._session is session:
                    self._session = None
                    if self._held:
                        self._run(self._reopen)

            self._session = session
            session.add_termination_listener(on_end)
            await session.execute(_NOTICE, timeout=_TIMEOUT_S)
            if self._held:
                await session.fetch(_TAKE_EACH, self._space, list(self._held), timeout=_TIMEOUT_S)
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
                log.warning("slots.lost", slots=len(self._held), error=str(error) or type(error).__name__)
            async with self._asking:
                await self._hang_up()
            await asyncio.sleep(_REOPEN_S)

    def _run(self, work: Callable[..., Awaitable[None]], *values: Any) -> None:
        if self._is_closed:
            return
        task = asyncio.get_running_loop().create_task(self._quietly(work, *values))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _quietly(work: Callable[..., Awaitable[None]], *values: Any) -> None:
        try:
            await work(*values)
        except RefsysError as error:
            log.warning("slots.lost", error=str(error))
