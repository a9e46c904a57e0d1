"""Leases and runners: who may commit, who lives, what a stop, a lost database or a lost row leaves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from refsys.infra.postgres import create_pool
from refsys.infra.settings import WorkSettings
from refsys.infra.work import Attempt, AttemptVoid, Runner, Stage, emit, store
from refsys.infra.work import runner as runner_module
from tests.waiting import wait_for
from tests.working import EFFECTS, due, effects, note_effect, nothing_left, running, stage, step


@pytest.fixture(autouse=True)
def nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts here was told to start, or its time had come."""
    monkeypatch.setattr(runner_module, "_POLL_S", 3600.0)


@pytest.fixture
async def pool(pool: asyncpg.Pool) -> asyncpg.Pool:
    await pool.execute(EFFECTS)
    return pool


async def test_an_attempt_without_the_current_token_has_no_effect(dsn: str, pool: asyncpg.Pool) -> None:
    void: list[AttemptVoid] = []

    async def handle(attempt: Attempt) -> None:
        if attempt.number == 1:
            await pool.execute("UPDATE work.step SET token = gen_random_uuid() WHERE id = $1", attempt.step_id)
            for use in (attempt.check, lambda: commit(attempt)):
                with pytest.raises(AttemptVoid, match="its lease was lost and another attempt took over") as caught:
                    await use()
                void.append(caught.value)
            raise caught.value
        await commit(attempt)

    async def commit(attempt: Attempt) -> None:
        async with attempt.commit() as connection:
            await note_effect(connection, attempt)

    await due(pool, "k")
    async with running(dsn, pool, Stage("dummy", handle), lease_s=0.3):
        await nothing_left(pool)
    assert len(void) == 2
    assert [tuple(row) for row in await pool.fetch("SELECT key, attempt FROM effect")] == [("k", 2)]


async def test_a_handler_whose_lease_is_lost_is_cancelled(dsn: str, pool: asyncpg.Pool) -> None:
    cancelled = asyncio.Event()

    async def hang(attempt: Attempt) -> None:
        if attempt.number == 1:
            await pool.execute("UPDATE work.step SET token = gen_random_uuid() WHERE id = $1", attempt.step_id)
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    await due(pool, "k")
    async with running(dsn, pool, stage(before=hang), lease_s=0.3):
        await asyncio.wait_for(cancelled.wait(), 30)
        await nothing_left(pool)
    assert await effects(pool) == ["k"]


async def test_a_lease_is_renewed_as_long_as_its_step_runs(dsn: str, pool: asyncpg.Pool) -> None:
    async def until_well_after_the_first_lease(attempt: Attempt) -> None:
        first = (await step(pool, attempt.key))["lease_until"]

        async def is_past() -> bool:
            return bool(await pool.fetchval("SELECT clock_timestamp() > $1::timestamptz + interval '0.4 s'", first))

        await wait_for(is_past)

    await due(pool, "k")
    async with running(dsn, pool, stage(before=until_well_after_the_first_lease), lease_s=0.4):
        await nothing_left(pool)
    assert await pool.fetchval("SELECT attempts FROM work.history") == 1


async def test_holders_that_live_keep_their_leases_where_all_are_over_at_once(dsn: str, pool: asyncpg.Pool) -> None:
    """As after the machine slept, or the database's clock was set forward."""
    opened = asyncio.Event()

    async def hold(attempt: Attempt) -> None:
        await opened.wait()

    async def all_run_with(tokens: set[object] | None = None) -> set[object]:
        found = await pool.fetch("SELECT token FROM work.step WHERE lease_until > clock_timestamp()")
        current = {row["token"] for row in found}
        return current if len(current) == 4 and tokens in (None, current) else set()

    held = stage(before=hold, lease_s=0.8)
    await due(pool, *"abcd")
    async with running(dsn, pool, held, worker="w1", concurrency=2), running(dsn, pool, held, worker="w2"):
        tokens = await wait_for(all_run_with)
        for _ in range(5):
            await pool.execute("UPDATE work.step SET lease_until = lease_until - interval '1 hour'")
            await wait_for(lambda: all_run_with(tokens), 5, "the same attempts have leases again")
        opened.set()
        await nothing_left(pool)
    assert await pool.fetchval("SELECT max(attempts) FROM work.history") == 1


async def test_a_runner_that_stops_finishes_what_runs_and_takes_nothing_new(dsn: str, pool: asyncpg.Pool) -> None:
    stop, entered, opened = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(attempt: Attempt) -> None:
        entered.set()
        await opened.wait()

    runner = Runner(pool, dsn, [stage(before=hold)], WorkSettings(stop_s=30), "w1")
    run = asyncio.create_task(runner.run(stop))
    await due(pool, "a")
    await entered.wait()
    stop.set()
    await wait_for(lambda: "work.take" not in {task.get_name() for task in asyncio.all_tasks()})
    await due(pool, "b")
    opened.set()
    await run
    assert await effects(pool) == ["a"]
    left = await step(pool, "b")
    assert (left["state"], left["attempts"]) == ("due", 0)


async def test_the_database_may_be_lost_and_found_again(dsn: str, pool: asyncpg.Pool) -> None:
    opened, entered = asyncio.Event(), asyncio.Event()

    async def hold(attempt: Attempt) -> None:
        if attempt.key == "running":
            entered.set()
            await opened.wait()

    async with (
        await create_pool(dsn, application="refsys worker") as its_own,
        running(dsn, its_own, stage(before=hold)),
    ):
        await due(pool, "running")
        await entered.wait()
        cut = await pool.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'refsys work%'"
        )
        await due(pool, "due meanwhile")
        await wait_for(lambda: effects(pool))
        opened.set()
        await nothing_left(pool)
    assert cut == 3, "one that takes, one that keeps, and one of the pool"
    assert await effects(pool) == ["due meanwhile", "running"]
    assert await pool.fetchval("SELECT attempts FROM work.history WHERE key = 'running'") == 1


async def test_steps_whose_rows_of_the_queue_were_lost_are_queued_again(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, "a", "b")
    await pool.execute("DELETE FROM work.pgqueuer")
    await pool.execute(
        "INSERT INTO work.pgqueuer (priority, entrypoint, payload, dedupe_key, status)"
        " VALUES (1, 'dummy', '4711', '4711', 'queued'), (1, 'unknown', '', 'no number', 'picked')"
    )
    async with running(dsn, pool, stage()):
        await nothing_left(pool)
    assert sorted(await effects(pool)) == ["a", "b"]


async def test_pauses_are_counted_anew_where_the_clock_was_set_back(pool: asyncpg.Pool) -> None:
    await due(pool, "k")
    await pool.execute(
        "UPDATE work.step SET deferred_at = now() + interval '1 hour', not_before = now() + interval '61 minutes'"
    )
    async with pool.acquire() as connection:
        found = await store.reconcile(connection)
        pauses = await connection.fetchrow(
            "SELECT s.not_before - now(), q.execute_after - now() FROM work.step s, work.pgqueuer q"
        )
    assert found.rebased == 1
    assert timedelta(seconds=30) < pauses[0] <= timedelta(seconds=60)
    assert pauses[0] == pauses[1]


async def test_what_is_over_is_forgotten_after_its_time_and_a_piece_at_a_time(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, *"abcd")
    async with running(dsn, pool, stage()):
        await nothing_left(pool)
    async with pool.acquire() as connection:
        for key in "abcd":
            await emit(connection, "test.e", key=key, payload={})
        await pool.execute("UPDATE work.history SET finished_at = now() - interval '40 days' WHERE key <> 'd'")
        await pool.execute("UPDATE work.event SET at = now() - interval '40 days' WHERE key <> 'd'")
        gone = [await store.forget(connection, keep=timedelta(days=30), piece=2) for _ in range(3)]
    assert gone == [4, 2, 0]
    assert [row["key"] for row in await pool.fetch("SELECT key FROM work.history")] == ["d"]
    assert [row["key"] for row in await pool.fetch("SELECT key FROM work.event")] == ["d"]
