"""A dummy stage in real worker processes under SIGKILL, SIGSTOP, poison, clocks that step, and a restored backup."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from refsys.infra.postgres import create_pool, migrate
from refsys.infra.work import store
from refsys.runtime import leash
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.pginstall import choose_account, find_installation
from refsys.runtime.wiring import MIGRATED_PACKAGES
from tests.chaos import stepped_clock
from tests.chaos.dummy_worker import TABLES
from tests.conftest import PROJECT, database
from tests.waiting import wait_for
from tests.working import due, nothing_left, step

pytestmark = pytest.mark.chaos

LEASE_S = 1.5


class Workers:
    """Worker processes on one database; their logs are files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, dsn: str, **work: Any) -> None:
        told = {"lease_s": LEASE_S, "backoff_s": 0.5, "backoff_limit_s": 2.0, "max_attempts": 4} | work
        with (self._folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                leash.command([sys.executable, "-m", "tests.chaos.dummy_worker"]),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=PROJECT,
            )
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write(orjson.dumps({"name": name, "dsn": dsn, "work": told}))
        self._processes[name] = process

    def send(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def is_alive(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8")

    def end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    workers.end()


@pytest.fixture
async def pool(pool: asyncpg.Pool) -> asyncpg.Pool:
    await pool.execute(TABLES)
    return pool


async def seen(pool: asyncpg.Pool, key: str) -> list[tuple[int, str]]:
    """Attempt and worker of each start of the step."""
    return [tuple(row) for row in await pool.fetch("SELECT attempt, worker FROM seen WHERE key = $1", key)]


async def is_seen(pool: asyncpg.Pool, key: str, times: int = 1) -> None:
    async def enough() -> bool:
        return len(await seen(pool, key)) >= times

    await wait_for(enough, message=f"{key} was started {times} times")


async def effects(pool: asyncpg.Pool) -> dict[str, list[tuple[int, str]]]:
    """Key → attempt and worker of each of its effects."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row in await pool.fetch("SELECT key, attempt, worker FROM effect"):
        found.setdefault(row["key"], []).append((row["attempt"], row["worker"]))
    return found


async def open_gate(pool: asyncpg.Pool) -> None:
    await pool.execute("UPDATE gate SET is_open = true")


async def test_a_step_whose_worker_is_killed_is_taken_over_and_has_its_effect_once(
    dsn: str, pool: asyncpg.Pool, workers: Workers
) -> None:
    await due(pool, "k", payload={"do": "hold"})
    workers.start("w1", dsn)
    await is_seen(pool, "k")
    workers.start("w2", dsn)
    workers.send("w1", signal.SIGKILL)
    await is_seen(pool, "k", 2)
    await open_gate(pool)
    await nothing_left(pool)
    assert await seen(pool, "k") == [(1, "w1"), (2, "w2")]
    assert await effects(pool) == {"k": [(2, "w2")]}
    assert await pool.fetchval("SELECT attempts FROM work.history WHERE outcome = 'done'") == 2


#: In its commit, and not just in another transaction of the worker's.
_IN_COMMIT = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND state LIKE 'idle in trans%' AND pid <> pg_backend_pid()
   AND clock_timestamp() - xact_start > interval '0.3 s'
"""


@pytest.mark.parametrize("do", ["hold", "hold in commit"])
async def test_a_worker_that_is_stopped_past_its_lease_has_no_effect_when_it_wakes(
    dsn: str, pool: asyncpg.Pool, workers: Workers, do: str
) -> None:
    """In its commit too: there it has the step's row locked, and its effect written but not committed."""
    await due(pool, "k", payload={"do": do})
    workers.start("w1", dsn)
    await is_seen(pool, "k")
    if do == "hold in commit":
        await wait_for(lambda: pool.fetchval(_IN_COMMIT))
    workers.send("w1", signal.SIGSTOP)
    workers.start("w2", dsn)
    await is_seen(pool, "k", 2)
    await open_gate(pool)
    await nothing_left(pool)
    workers.send("w1", signal.SIGCONT)
    await wait_for(lambda: "step.void" in workers.log("w1"), message="the woken worker knows that its attempt is void")
    await due(pool, *(f"after {number}" for number in range(20)), payload={"do": "work"})
    await nothing_left(pool)
    found = await effects(pool)
    assert found["k"] == [(2, "w2")]
    assert len(found) == 21
    assert {len(each) for each in found.values()} == {1}
    assert "w1" in {worker for each in found.values() for _, worker in each}, "the woken worker goes on"


async def test_poison_that_kills_its_worker_is_parked_and_the_others_are_done(
    dsn: str, pool: asyncpg.Pool, workers: Workers
) -> None:
    await due(pool, "poison", payload={"do": "kill"})
    await due(pool, *(f"good {number}" for number in range(5)), payload={"do": "work"})
    workers.start("w", dsn)
    deaths = 0

    async def is_parked() -> bool:
        nonlocal deaths
        if not workers.is_alive("w"):
            deaths += 1
            workers.start("w", dsn)
        return bool(await pool.fetchval("SELECT count(*) FROM work.step WHERE state = 'parked'"))

    await wait_for(is_parked, 60, "the poison is parked")
    await nothing_left(pool)
    parked = await step(pool, "poison")
    assert [attempt for attempt, _ in await seen(pool, "poison")] == [1, 2, 3, 4]
    assert deaths == parked["attempts"] == 4
    assert (parked["error"]["type"], parked["error"]["why"]) == ("WorkerLost", "the last of 4 attempts")
    assert "gave no sign of life during attempt 4 of 4" in parked["error"]["message"]
    assert {key: len(each) for key, each in (await effects(pool)).items()} == {f"good {n}": 1 for n in range(5)}
    assert workers.is_alive("w")


# -- clocks --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def stepped(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[stepped_clock.Clock, EmbeddedPostgres, asyncpg.Pool]]:
    """A real PostgreSQL of its own whose clock the test steps; migrated, with the dummy stage's tables."""
    folder = tmp_path_factory.mktemp("stepped")
    with stepped_clock.run(folder) as (clock, server):
        await migrate(server.dsn, MIGRATED_PACKAGES)
        pool = await create_pool(server.dsn)
        await pool.execute(TABLES)
        yield clock, server, pool
        pool.terminate()


@pytest.mark.parametrize("by_s", [3600, -3600], ids=["forward", "back"])
async def test_a_clock_that_steps_by_an_hour_neither_loses_nor_repeats_nor_holds_up_a_step(
    stepped: tuple[stepped_clock.Clock, EmbeddedPostgres, asyncpg.Pool], workers: Workers, by_s: int
) -> None:
    clock, server, pool = stepped
    workers.start("w1", server.dsn, lease_s=2.0)
    await due(pool, "held by w1", payload={"do": "hold"})
    await is_seen(pool, "held by w1")
    workers.send("w1", signal.SIGSTOP)
    workers.start("w2", server.dsn, lease_s=2.0)
    await due(pool, "held by w2", payload={"do": "hold"})
    await due(pool, "paused", payload={"do": "fail once"})
    await is_seen(pool, "held by w2")
    workers.send("w1", signal.SIGCONT)
    await wait_for(lambda: pool.fetchval("SELECT count(*) FROM work.step WHERE not_before IS NOT NULL"))
    clock.step(by_s)
    await due(pool, "after", payload={"do": "work"})

    async def are_done() -> bool:
        return {"paused", "after"} <= set(await effects(pool))

    await wait_for(are_done, message="what was paused and what became due afterwards is done")
    workers.send("w1", signal.SIGKILL)
    await is_seen(pool, "held by w1", 2)
    await open_gate(pool)
    await nothing_left(pool)
    assert {key: [attempt for attempt, _ in each] for key, each in (await effects(pool)).items()} == {
        "held by w1": [2], "held by w2": [1], "paused": [2], "after": [1],
    }, "each effect once; the killed worker alone lost its lease"  # fmt: skip


# -- backups -------------------------------------------------------------------------------------------------------


async def test_a_restored_backup_finishes_every_step_that_was_due_or_running(
    dsn: str, pool: asyncpg.Pool, workers: Workers, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await due(pool, "running", payload={"do": "hold"})
    await due(pool, "paused", payload={"do": "fail once"})
    workers.start("w1", dsn)
    await is_seen(pool, "running")
    await wait_for(lambda: pool.fetchval("SELECT count(*) FROM work.step WHERE not_before IS NOT NULL"))
    workers.send("w1", signal.SIGSTOP)  # so that there is something due in the backup
    await due(pool, *(f"due {number}" for number in range(5)), payload={"do": "work"})
    keys = {row["key"] for row in await pool.fetch("SELECT key FROM work.step")}
    token = (await step(pool, "running"))["token"]
    backup = dump(dsn, tmp_path / "backup")
    workers.send("w1", signal.SIGCONT)
    await open_gate(pool)
    await nothing_left(pool)

    restored = await restore(postgres_server.dsn, backup)
    copy = await create_pool(restored)
    await open_gate(copy)
    workers.start("w2", restored)
    await nothing_left(copy)
    found = await effects(copy)
    async with copy.acquire() as connection:
        old = await connection.fetchrow("SELECT step_id FROM work.history WHERE key = 'running'")
        is_valid = await store.finish(connection, old["step_id"], token, idle_limit_s=1)
    copy.terminate()
    assert len(keys) == 7
    assert {key: len(each) for key, each in found.items()} == dict.fromkeys(keys, 1)
    assert found["running"] == [(2, "w2")]
    assert not is_valid, "an attempt from before the backup has no effect after it"


def program(name: str) -> str:
    """One of the wheel's programs, as a path that this user can run."""
    return str(find_installation(choose_account()).bin / name)


def dump(dsn: str, file: Path) -> Path:
    subprocess.run([program("pg_dump"), "--format=custom", f"--file={file}", dsn], check=True, cwd="/")
    return file


async def restore(dsn: str, backup: Path) -> str:
    """Restore into a database of its own; returns its address."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE DATABASE restored")
    await connection.close()
    restored = database(dsn, "restored")
    command = [program("pg_restore"), "--exit-on-error", f"--dbname={restored}", str(backup)]
    await asyncio.to_thread(subprocess.run, command, check=True, cwd="/")
    return restored
