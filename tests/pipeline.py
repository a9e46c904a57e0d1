"""Inboxes and workers in this process, on a test's database and storage: everything but the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from refsys.infra.settings import InboxSettings, Settings, WorkSettings
from refsys.infra.storage import Storage
from refsys.infra.work import Runner
from refsys.ingestion.inboxes.service import run_inboxes
from refsys.missions import TypeRegistry, load_types
from refsys.runtime.wiring import build_stages, run_subscriptions
from tests.waiting import wait_for

#: Failing steps are tried again at once; nobody waits for back-offs here.
WORK = WorkSettings(backoff_s=0.02, backoff_limit_s=0.05, lease_s=10.0, stop_s=5.0, max_attempts=3)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A running pipeline, asked through its database."""

    pool: asyncpg.Pool
    storage: Storage
    settings: Settings

    async def published(self, *names: str, timeout_s: float = 30.0) -> list[asyncpg.Record]:
        """The products, once all of the names are published."""

        async def look() -> list[asyncpg.Record]:
            rows = await self.pool.fetch(
                "SELECT * FROM catalogue.product WHERE name = ANY ($1) AND state = 'published' ORDER BY name", names
            )
            return rows if len(rows) == len(names) else []

        try:
            found: list[asyncpg.Record] = await wait_for(look, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"not published: {names}; parked: {await self.parked_steps()}") from error
        return found

    async def parked(self, name: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """The error with which the step of a name is parked, with its `stage`; waits for it."""

        async def look() -> dict[str, Any] | None:
            row = await self.pool.fetchrow(
                "SELECT stage, error FROM work.step WHERE state = 'parked' AND key = $1", name
            )
            return {**row["error"], "stage": row["stage"]} if row else None

        found: dict[str, Any] = await wait_for(look, timeout_s, f"{name} parked")
        return found

    async def parked_steps(self) -> list[tuple[str, str, str]]:
        rows = await self.pool.fetch("SELECT key, stage, error FROM work.step WHERE state = 'parked'")
        return [(row["key"], row["stage"], row["error"]["message"]) for row in rows]

    async def idle(self, timeout_s: float = 30.0) -> None:
        """Wait until no step is due or running and nothing waits in an inbox."""

        async def look() -> bool:
            busy = await self.pool.fetchval("SELECT count(*) FROM work.step WHERE state <> 'parked'")
            waiting = await self.pool.fetchval("SELECT count(*) FROM ingestion.remote WHERE state = 'waiting'")
            return not busy and not waiting

        await wait_for(look, timeout_s, "idle")

    async def offers(self, name: str = "") -> list[asyncpg.Record]:
        """What the inboxes remember, in its order."""
        return list(
            await self.pool.fetch("SELECT * FROM ingestion.remote WHERE strpos(name, $1) > 0 ORDER BY id", name)
        )


@contextlib.asynccontextmanager
async def running_pipeline(
    settings: Settings,
    inboxes: Sequence[InboxSettings],
    *,
    pool: asyncpg.Pool,
    dsn: str,
    storage: Storage,
    types: TypeRegistry | None = None,
    work: WorkSettings = WORK,
) -> AsyncIterator[Pipeline]:
    """Watch the inboxes, run every step and tell subscribers for the time of the block."""
    settings = settings.model_copy(update={"inbox": tuple(inboxes), "work": work})
    types = types or load_types(settings.type_tables)
    stop = asyncio.Event()
    runner = Runner(pool, dsn, build_stages(settings, pool, storage, types), work, "test-worker")
    tasks = [
        asyncio.create_task(runner.run(stop)),
        asyncio.create_task(run_inboxes(settings, pool, storage, types, stop)),
        asyncio.create_task(run_subscriptions(settings, pool, types, stop)),
    ]
    try:
        yield Pipeline(pool, storage, settings)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
