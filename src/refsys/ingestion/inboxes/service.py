"""All inboxes of the settings, and what has to be done beside their looks; none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from refsys.core.errors import RefsysError
from refsys.core.times import format_instant
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import Settings
from refsys.infra.stations import Stations
from refsys.infra.storage import Storage
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.polling import Inbox, Room
from refsys.ingestion.inboxes.sweeping import sweep_attempts, sweep_unfinished
from refsys.ingestion.passes.report import tell_yesterday
from refsys.ingestion.sessions.deadlines import run_deadlines
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

_KEEP_S: Final = 60.0
_SWEEP_S: Final = 3600.0
#: How often it is looked whether a day is over that is to be reported.
_TELL_S: Final = 300.0
_ABANDONED: Final = timedelta(days=1)
#: Most files that one turn tells by name to be near their eviction.
_TOLD: Final = 100


async def run_inboxes(
    settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, stop: asyncio.Event
) -> None:
    """Watch every inbox, keep the memory in order, and sweep what dead attempts left, until `stop`."""
    room, stations = Room(storage, settings), Stations(settings, pool)

    async def keep() -> None:
        await keep_memory(pool, settings)

    async def sweep() -> None:
        before = datetime.now(UTC) - _ABANDONED
        await sweep_attempts(pool, storage, before)
        await sweep_unfinished(storage, before)

    async def tell() -> None:
        await tell_yesterday(pool, settings)

    try:
        async with asyncio.TaskGroup() as group:
            for inbox in settings.inbox:
                group.create_task(
                    Inbox(settings, inbox, pool, types, room, stations).watch(stop), name=f"inbox {inbox.id}"
                )
            group.create_task(_every(_KEEP_S, keep, stop), name="memory")
            group.create_task(_every(_SWEEP_S, sweep, stop), name="sweep")
            group.create_task(_every(_TELL_S, tell, stop), name="report")
            group.create_task(run_deadlines(settings, pool, types, stop), name="deadlines")
    finally:
        await stations.close()


async def keep_memory(pool: asyncpg.Pool, settings: Settings) -> None:
    """Let wait again what lost its step, tell what stations delete soon, add up what was counted."""
    guard = timedelta(hours=settings.fetch.eviction_guard_h)
    for inbox in settings.inbox:
        async with pool.acquire() as connection:
            repaired = await store.repair(connection, inbox.id)
            near = await store.near_eviction(connection, inbox.id, guard)
        if repaired:
            log.warning("inbox.repaired", inbox=inbox.id, files=repaired)
        for row in near[:_TOLD]:
            evicted_at = format_instant(row["evicted_at"])
            log.error(
                "fetch.eviction_near", inbox=inbox.id, file=row["name"], state=row["state"], evicted_at=evicted_at
            )
        if len(near) > _TOLD:
            log.error("fetch.eviction_near", inbox=inbox.id, others=len(near) - _TOLD)
    async with pool.acquire() as connection:
        await store.add_up(connection)


async def _every(seconds: float, do: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Do something now and then, whatever becomes of it."""
    while not stop.is_set():
        try:
            await do()
        except (RefsysError, *DATABASE_ERRORS) as error:
            log.warning("inboxes.not_kept", task=getattr(do, "__name__", ""), error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)
