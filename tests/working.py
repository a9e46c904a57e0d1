"""Runners and effects for tests of work: steps that note what they did in a table of the test's database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg

from refsys.infra.settings import WorkSettings
from refsys.infra.work import Attempt, Runner, Stage, enqueue
from tests.waiting import wait_for

#: No key and no constraint: an effect that happened twice stands here twice.
EFFECTS = "CREATE TABLE effect (id bigserial, stage text, key text, attempt int, worker text)"
EFFECT = "INSERT INTO effect (stage, key, attempt, worker) VALUES ($1, $2, $3, $4)"


@contextlib.asynccontextmanager
async def running(
    dsn: str, pool: asyncpg.Pool, *stages: Stage, worker: str = "w1", **changes: Any
) -> AsyncIterator[None]:
    """A runner in this process for the time of the block; its short times can be changed by name."""
    times = {"lease_s": 2.0, "backoff_s": 0.02, "backoff_limit_s": 0.1, "stop_s": 5.0} | changes
    stop = asyncio.Event()
    runner = asyncio.create_task(Runner(pool, dsn, stages, WorkSettings(**times), worker).run(stop))
    try:
        yield
    finally:
        stop.set()
        await runner


def stage(name: str = "dummy", before: Callable[[Attempt], Awaitable[None]] | None = None, **changes: Any) -> Stage:
    """A stage whose effect is a row; `before` is what its handler does first."""

    async def handle(attempt: Attempt) -> None:
        if before is not None:
            await before(attempt)
        async with attempt.commit() as connection:
            await note_effect(connection, attempt)

    return Stage(name, handle, **changes)


async def note_effect(connection: asyncpg.Connection, attempt: Attempt, worker: str = "") -> None:
    await connection.execute(EFFECT, attempt.stage, attempt.key, attempt.number, worker)


async def due(pool: asyncpg.Pool, *keys: str, of: str = "dummy", **rest: Any) -> list[int]:
    """Enqueue a step for each key, in one transaction; returns their ids."""
    async with pool.acquire() as connection, connection.transaction():
        return [await enqueue(connection, of, key=key, **({"payload": {}} | rest)) for key in keys]


async def effects(pool: asyncpg.Pool) -> list[str]:
    """The keys whose effects are there, in their order."""
    return [row["key"] for row in await pool.fetch("SELECT key FROM effect ORDER BY id")]


async def step(pool: asyncpg.Pool, key: str) -> asyncpg.Record:
    """The one unfinished step of a key."""
    (row,) = await pool.fetch("SELECT * FROM work.step WHERE key = $1", key)
    return row


async def nothing_left(pool: asyncpg.Pool, timeout_s: float = 30.0) -> None:
    """Wait until every step is over (or parked), and see that the queue agrees."""

    async def is_over() -> bool:
        return not await pool.fetchval("SELECT count(*) FROM work.step WHERE state <> 'parked'")

    await wait_for(is_over, timeout_s, "every step is over")
    assert await pool.fetchval("SELECT count(*) FROM work.pgqueuer") == 0
