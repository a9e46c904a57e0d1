"""The run: passes, faults, kills and freezes, then rest, then the account."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from refsys.infra.postgres import DATABASE_ERRORS, create_pool
from refsys.runtime.embedded import dsn_of
from refsys.runtime.services import postgres_folder
from tests.soak.ingestion.account import Account, settle_account
from tests.soak.ingestion.farm import Farm
from tests.up import System, are_gone, await_up, started
from tests.waiting import wait_for

#: How long everything may take, once nothing goes wrong any more, until nothing is left to be done.
REST_S: Final = 240.0
_LEASE_S: Final = 5.0
#: A freeze is longer than a lease.
_FREEZE_S: Final = 8.0
CONFIG: Final = """
[http]
processes = 1

[work]
processes = 2
concurrency = 6
lease_s = {lease}
backoff_s = 0.2
backoff_limit_s = 2.0
max_attempts = 30

[fetch]
read_timeout_s = 3.0
range_bytes = 262144

[sessions]
deadline_s = 20.0
quiet_s = 8.0
"""
_OPEN: Final = """
SELECT (SELECT count(*) FROM work.step WHERE state IN ('due', 'running'))
     + (SELECT count(*) FROM ingestion.remote WHERE state IN ('seen', 'waiting', 'queued', 'fetching'))
     + (SELECT count(*) FROM ingestion.session WHERE NOT is_settled)
"""


@dataclass(slots=True)
class Plan:
    """How long, how much, how rough. `every_s`: seconds between two passes, troubles, blows (kill, freeze, restart)."""

    seconds: float = 900.0
    seed: int = 1
    blocks: int = 10
    pass_s: float = 12.0
    passes_every_s: float = 5.0
    trouble_every_s: float = 1.5
    blow_every_s: float = 12.0
    retention_s: float = 600.0


@dataclass(slots=True)
class Run:
    """What was done to the system, and the account."""

    passes: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    troubles: int = 0
    account: Account = field(default_factory=Account)


async def play(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Run:
    """Play the plan in a folder of its own. Raises AssertionError where the system does not come to rest."""
    farm, run = Farm(plan.seed, timedelta(seconds=plan.retention_s)), Run()
    state = folder / "state"
    with farm.serving():
        config = CONFIG.format(lease=_LEASE_S) + farm.settings()
        until = time.monotonic() + plan.seconds
        lives = 0
        while time.monotonic() < until:
            with started(state, config=config) as system:
                await asyncio.to_thread(await_up, system)
                lives += 1
                # one life in four ends by a blow at everything
                await _live(plan, farm, run, system, min(until, time.monotonic() + max(30.0, plan.seconds / 4)), tell)
                tree = system.tree()
                for process in tree:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
                assert are_gone(tree)
                run.blows["everything killed"] += 1
        farm.behave()
        with started(state, config=config) as system:
            await asyncio.to_thread(await_up, system)
            await _rest(system, farm, tell)
            async with _pool(system) as pool:
                farm.note()
                run.account = await settle_account(pool, farm, state / "storage")
    return run


async def _live(plan: Plan, farm: Farm, run: Run, system: System, until: float, tell: Callable[[str], None]) -> None:
    chance = random.Random(f"{plan.seed}/{run.passes}")
    due = dict.fromkeys(("pass", "trouble", "blow"), time.monotonic())
    due["blow"] += plan.blow_every_s * chance.random()
    pauses = {"pass": plan.passes_every_s, "trouble": plan.trouble_every_s, "blow": plan.blow_every_s}
    while time.monotonic() < until:
        what = min(due, key=lambda each: due[each])
        pause_s = min(due[what], until) - time.monotonic()
        await _pass_time(pause_s)
        if time.monotonic() < due[what]:
            return
        due[what] += pauses[what] * chance.uniform(0.5, 1.5)
        farm.note()
        match what:
            case "pass":
                farm.play(plan.blocks, plan.pass_s)
                run.passes += 1
            case "trouble":
                farm.trouble()
                run.troubles += 1
            case "blow":
                told = await asyncio.to_thread(_blow, system, farm, chance)
                run.blows[told.partition(":")[0]] += 1
                tell(told)


def _blow(system: System, farm: Farm, chance: random.Random) -> str:
    """Kill or freeze something."""
    if chance.random() < 0.2:
        return f"station restarted: {farm.restart_one()}"
    names = [*("worker-1", "worker-2") * 3, "ingest-1", "ingest-1", "postgresql"]
    name = chance.choice(names)
    record = system.processes.get(name)
    if record is None or not record.pid:
        return f"nobody hit: {name} is away"
    with contextlib.suppress(ProcessLookupError):
        if name != "postgresql" and chance.random() < 0.4:
            os.kill(record.pid, signal.SIGSTOP)
            threading.Event().wait(_FREEZE_S)
            os.kill(record.pid, signal.SIGCONT)
            return f"frozen: {name}"
        os.kill(record.pid, signal.SIGKILL)
        return f"killed: {name}"
    return f"nobody hit: {name} has gone"


async def _rest(system: System, farm: Farm, tell: Callable[[str], None]) -> None:
    """Wait until all passes are over and nothing is left to be done."""
    await wait_for(lambda: farm.schedule.done, REST_S, "the passes end")
    async with _pool(system) as pool:
        last = -1

        async def is_over() -> bool:
            nonlocal last
            farm.note()
            try:
                left: int = await pool.fetchval(_OPEN)
            except DATABASE_ERRORS:
                return False
            if left != last:
                last = left
                tell(f"{left} things left")
            return left == 0

        # a look that begins when nothing is left may still find something
        for _ in range(3):
            await wait_for(is_over, REST_S, "everything is done")
            await _pass_time(2.0)

        async def is_tidied() -> bool:
            return not await pool.fetchval("SELECT count(*) FROM work.step WHERE state = 'parked'")

        # the memory is put in order once a minute; what is parked after that is told by the account
        with contextlib.suppress(AssertionError):
            await wait_for(is_tidied, 75.0)


async def _pass_time(seconds: float) -> None:
    at = time.monotonic() + seconds
    await wait_for(lambda: time.monotonic() >= at, seconds + 60)


@contextlib.asynccontextmanager
async def _pool(system: System) -> AsyncIterator[asyncpg.Pool]:
    pool = await create_pool(dsn_of(postgres_folder(system.state)), max_size=2)
    try:
        yield pool
    finally:
        await pool.close()
