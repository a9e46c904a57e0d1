"""Steps that a real runner parked, for the tests of operations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from refsys.core.errors import InvalidProduct, Permanent
from refsys.infra.settings import WorkSettings
from refsys.infra.work import Attempt, Runner, Stage, enqueue
from tests.waiting import wait_for

DESCRIBE = "catalogue.describe"
PACKAGE = "distribution.package"
GRD = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
MSI = "S2B_MSIL1C_20240101T101319_N0510_R022_T32TQM_20240101T121005.SAFE"
OLCI = "S3A_OL_1_EFR____20240101T092640_20240101T092940_20240102T101010_0179_107_264_2160_PS1_O_NT_004.SEN3"


class Works:
    """What a stage's handler does: it fails for the keys in `broken`, and remembers what it did."""

    def __init__(self) -> None:
        self.broken: dict[str, Exception] = {}
        self.done: list[tuple[str, str, dict[str, object]]] = []

    async def handle(self, attempt: Attempt) -> None:
        attempt.note(f"looks at {attempt.key}")
        if error := self.broken.get(attempt.key):
            raise error
        self.done.append((attempt.stage, attempt.key, attempt.payload))


@asynccontextmanager
async def running(pool: asyncpg.Pool, dsn: str, works: Works) -> AsyncIterator[None]:
    """A runner of the two stages, until the end of the block."""
    stages = [Stage(name=name, handle=works.handle, max_attempts=2) for name in (DESCRIBE, PACKAGE)]
    settings = WorkSettings(backoff_s=0.01, backoff_limit_s=0.01)
    stop = asyncio.Event()
    task = asyncio.create_task(Runner(pool, dsn, stages, settings, "worker-7").run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def park(
    pool: asyncpg.Pool,
    dsn: str,
    errors: Mapping[tuple[str, str], Exception],
    payload: Mapping[str, object] | None = None,
) -> list[int]:
    """Let a runner fail with these errors, by stage and key; returns the ids of the parked steps, in order."""
    works = Works()
    works.broken = {key: error for (_, key), error in errors.items()}
    async with pool.acquire() as connection:
        ids = [await enqueue(connection, stage, key=key, payload=payload or {"content_id": 5}) for stage, key in errors]
    async with running(pool, dsn, works):
        await wait_for(lambda: all_parked(pool, ids), message=f"{ids} are parked")
    return ids


async def all_parked(pool: asyncpg.Pool, ids: list[int]) -> bool:
    states = await pool.fetch("SELECT state FROM work.step WHERE id = ANY ($1)", ids)
    return [row["state"] for row in states] == ["parked"] * len(ids)


async def three_parked(pool: asyncpg.Pool, dsn: str) -> list[int]:
    """Two that could not be described, for the same reason but for a number, and one that could not be packaged."""
    return await park(
        pool,
        dsn,
        {
            (DESCRIBE, GRD): InvalidProduct("lacks 3 files", subject=GRD, advice="ask the station to send it again"),
            (DESCRIBE, MSI): InvalidProduct("lacks 12 files", subject=MSI, advice="ask the station to send it again"),
            (PACKAGE, OLCI): Permanent("storage denies access", subject=OLCI, advice="check the storage's keys"),
        },
    )


async def step(pool: asyncpg.Pool, step_id: int) -> dict[str, object] | None:
    """The step's row in work.step."""
    row = await pool.fetchrow("SELECT * FROM work.step WHERE id = $1", step_id)
    return dict(row) if row else None


async def ended(pool: asyncpg.Pool, step_id: int) -> dict[str, object] | None:
    """The step's row in work.history."""
    row = await pool.fetchrow("SELECT * FROM work.history WHERE step_id = $1", step_id)
    return dict(row) if row else None
