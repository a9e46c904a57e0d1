"""Steps: due with their cause, run in their order, over with their effect."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.settings import WorkSettings
from refsys.infra.work import Attempt, Runner, Stage, emit, enqueue, has_room, work_overview
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


async def rows(pool: asyncpg.Pool, table: str) -> int:
    return int(await pool.fetchval(f"SELECT count(*) FROM work.{table}"))


# -- due ---------------------------------------------------------------------------------------------------------


async def test_a_step_is_due_only_if_its_cause_is_committed(pool: asyncpg.Pool) -> None:
    await pool.execute("INSERT INTO work.subscription VALUES ('test.happened', 'dummy')")
    async with pool.acquire() as connection:
        for is_kept in (False, True):
            transaction = connection.transaction()
            await transaction.start()
            await enqueue(connection, "other", key="one", payload={})
            await emit(connection, "test.happened", key="two", payload={})
            await (transaction.commit() if is_kept else transaction.rollback())
            counts = [await rows(pool, table) for table in ("step", "pgqueuer", "event")]
            assert counts == ([2, 2, 1] if is_kept else [0, 0, 0])


async def test_an_event_makes_one_step_for_each_subscribed_stage_and_is_kept_for_replay(pool: asyncpg.Pool) -> None:
    await pool.execute("INSERT INTO work.subscription VALUES ('test.e', 'one'), ('test.e', 'two'), ('test.f', 'three')")
    async with pool.acquire() as connection:
        await emit(connection, "test.e", key="k", payload={"id": 7}, priority=70, version=2)
        await emit(connection, "test.unheard", key="k", payload={"id": 8})
    made = await pool.fetch("SELECT stage, payload, priority, version FROM work.step ORDER BY stage")
    kept = await pool.fetch("SELECT event, key, payload, priority, version FROM work.event ORDER BY id")
    assert [tuple(row) for row in made] == [("one", {"id": 7}, 70, 2), ("two", {"id": 7}, 70, 2)]
    assert [tuple(row) for row in kept] == [("test.e", "k", {"id": 7}, 70, 2), ("test.unheard", "k", {"id": 8}, 50, 1)]


async def test_a_due_step_is_never_doubled_and_takes_over_the_newest_payload_and_the_greatest_priority(
    pool: asyncpg.Pool,
) -> None:
    first = await due(pool, "k", payload={"revision": 1}, priority=70)
    again = await due(pool, "k", payload={"revision": 2}, priority=10)
    other = await due(pool, "k", of="other")
    assert first == again != other
    kept = await step_of(pool, first[0])
    assert (kept["payload"], kept["priority"], kept["attempts"]) == ({"revision": 2}, 70, 0)
    assert await rows(pool, "pgqueuer") == 2


async def step_of(pool: asyncpg.Pool, step_id: int) -> asyncpg.Record:
    return await pool.fetchrow("SELECT * FROM work.step WHERE id = $1", step_id)


@pytest.mark.parametrize(
    "wrong", [{"priority": 100}, {"priority": -1}, {"version": 0}, {"key": ""}, {"key": "k" * 1001}, {"stage": ""}]
)
async def test_the_database_refuses_what_is_no_step(pool: asyncpg.Pool, wrong: dict[str, object]) -> None:
    words = {"stage": "dummy", "key": "k", "payload": {}} | wrong
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await enqueue(connection, words.pop("stage"), **words)


async def test_a_feeder_has_room_until_due_and_running_steps_reach_the_cap(dsn: str, pool: asyncpg.Pool) -> None:
    opened, entered = asyncio.Event(), asyncio.Event()

    async def hold(attempt: Attempt) -> None:
        entered.set()
        await opened.wait()

    async with pool.acquire() as connection:
        await due(pool, "a")
        assert await has_room(connection, "dummy", 2)
        async with running(dsn, pool, stage(before=hold, concurrency=1)):
            await entered.wait()
            await due(pool, "b")
            assert (await step(pool, "a"))["state"] == "running"
            assert not await has_room(connection, "dummy", 2)
            assert await has_room(connection, "dummy", 3)
            assert await has_room(connection, "dummy", 0)
            assert await has_room(connection, "other", 1)
            opened.set()
            await nothing_left(pool)
        assert await has_room(connection, "dummy", 1)


async def test_the_overview_counts_what_waits_runs_and_is_parked(dsn: str, pool: asyncpg.Pool) -> None:
    await pool.execute("INSERT INTO work.subscription VALUES ('test.happened', 'idle')")
    await due(pool, "a", "b")
    async with pool.acquire() as connection:
        soon = await connection.fetchval("SELECT clock_timestamp() + interval '1 hour'")
        await enqueue(connection, "dummy", key="c", payload={}, not_before=soon)
        found = {line.stage: line for line in await work_overview(connection) if line.stage in ("dummy", "idle")}
    dummy, idle = found["dummy"], found["idle"]
    assert (dummy.due, dummy.deferred, dummy.running, dummy.parked) == (3, 1, 0, 0)
    assert 0 < dummy.oldest_due_age_s < 60
    assert (idle.due, idle.oldest_due_age_s) == (0, 0)


# -- run ---------------------------------------------------------------------------------------------------------


async def test_the_highest_priority_runs_first_and_equals_in_their_order(dsn: str, pool: asyncpg.Pool) -> None:
    for key, priority in (("b1", 10), ("n1", 50), ("h", 90), ("n2", 50), ("b2", 10)):
        await due(pool, key, priority=priority)
    async with running(dsn, pool, stage(), concurrency=1):
        await nothing_left(pool)
    assert await effects(pool) == ["h", "n1", "n2", "b1", "b2"]


async def test_a_step_that_becomes_due_is_told(dsn: str, pool: asyncpg.Pool) -> None:
    async with running(dsn, pool, stage()):
        for key in ("a", "b", "c"):
            await due(pool, key)
            await nothing_left(pool)


async def test_a_step_with_a_time_starts_then_and_not_before(dsn: str, pool: asyncpg.Pool) -> None:
    instant = await pool.fetchval("SELECT clock_timestamp() + interval '0.3 s'")
    async with running(dsn, pool, stage()):
        await due(pool, "later", not_before=instant)
        await due(pool, "at once")
        await nothing_left(pool)
    assert await effects(pool) == ["at once", "later"]
    assert await pool.fetchval("SELECT started_at FROM work.history WHERE key = 'later'") >= instant


async def test_attempts_are_counted_and_committed_before_the_step_runs(dsn: str, pool: asyncpg.Pool) -> None:
    seen: list[asyncpg.Record] = []

    async def look(attempt: Attempt) -> None:
        seen.append(await step(pool, attempt.key))

    await due(pool, "k")
    async with running(dsn, pool, stage(before=look), worker="worker-7"):
        await nothing_left(pool)
    assert [(row["attempts"], row["state"], row["worker"]) for row in seen] == [(1, "running", "worker-7")]


async def test_effect_and_end_of_a_step_are_one_transaction(dsn: str, pool: asyncpg.Pool) -> None:
    async def handle(attempt: Attempt) -> None:
        async with attempt.commit() as connection:
            await note_effect(connection, attempt)
            if attempt.number == 1:
                raise RuntimeError("after the effect, before its end")

    await due(pool, "k")
    async with running(dsn, pool, Stage("dummy", handle)):
        await nothing_left(pool)
    assert [tuple(row) for row in await pool.fetch("SELECT key, attempt FROM effect")] == [("k", 2)]
    ended = await pool.fetchrow("SELECT * FROM work.history")
    assert (ended["outcome"], ended["attempts"], ended["detail"]) == ("done", 2, None)


async def test_a_step_is_over_also_where_its_handler_has_no_effect_of_its_own(dsn: str, pool: asyncpg.Pool) -> None:
    async def handle(attempt: Attempt) -> None:
        attempt.note("nothing to do")

    await due(pool, "k")
    async with running(dsn, pool, Stage("dummy", handle)):
        await nothing_left(pool)
    assert await pool.fetchval("SELECT outcome FROM work.history WHERE key = 'k'") == "done"


async def test_an_attempt_commits_once_and_what_fails_afterwards_does_not_undo_it(dsn: str, pool: asyncpg.Pool) -> None:
    refused: list[RefsysError] = []

    async def handle(attempt: Attempt) -> None:
        async with attempt.commit() as connection:
            await note_effect(connection, attempt)
        try:
            async with attempt.commit() as connection:
                await note_effect(connection, attempt)
        except RefsysError as error:
            refused.append(error)
            raise

    await due(pool, "k")
    async with running(dsn, pool, Stage("dummy", handle)):
        await nothing_left(pool)
    assert await effects(pool) == ["k"]
    assert "was committed already" in str(refused[0])


async def test_a_step_waits_behind_the_one_of_its_key_that_runs(dsn: str, pool: asyncpg.Pool) -> None:
    opened, entered = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def hold(attempt: Attempt) -> None:
        order.append(f"start {attempt.key} {attempt.payload['n']}")
        entered.set()
        if attempt.payload["n"] == 1:
            await opened.wait()

    async def put_back() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM work.pgqueuer WHERE execute_after > now()"))

    async with running(dsn, pool, stage(before=hold)):
        await due(pool, "k", payload={"n": 1})
        await entered.wait()
        await due(pool, "k", payload={"n": 2})
        await due(pool, "other", payload={"n": 3})
        await wait_for(put_back, message="the second step of k was taken and put back")
        await wait_for(lambda: "start other 3" in order)
        assert order == ["start k 1", "start other 3"]
        opened.set()
        await nothing_left(pool)
    assert order == ["start k 1", "start other 3", "start k 2"]
    assert await pool.fetchval("SELECT max(attempts) FROM work.history") == 1


async def test_a_stage_keeps_its_concurrency_over_all_workers(dsn: str, pool: asyncpg.Pool) -> None:
    now, peak = 0, 0

    async def count(attempt: Attempt) -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0.03)
        now -= 1

    narrow = stage("narrow", before=count, concurrency=2)
    await due(pool, *(f"n{number}" for number in range(12)), of="narrow")
    async with running(dsn, pool, narrow, stage(), worker="w1"), running(dsn, pool, narrow, stage(), worker="w2"):
        await due(pool, "wide", of="dummy")
        await nothing_left(pool)
    assert peak == 2
    assert len(await effects(pool)) == 13
    assert (await effects(pool))[-1] != "wide"


async def test_what_a_busy_worker_makes_due_is_taken_by_the_others(dsn: str, pool: asyncpg.Pool) -> None:
    started: list[str] = []

    async def three_at_once(attempt: Attempt) -> None:
        started.append(attempt.key)
        await wait_for(lambda: len(started) == 3)

    async def make_three_due(attempt: Attempt) -> None:
        async with attempt.commit() as connection:
            for key in "abc":
                await enqueue(connection, "dummy", key=key, payload={})

    both = (Stage("cause", make_three_due), stage(before=three_at_once))
    async with running(dsn, pool, *both, worker="w1", concurrency=1), running(dsn, pool, both[1], worker="w2"):
        await due(pool, "k", of="cause")
        await nothing_left(pool)
    assert sorted(await effects(pool)) == ["a", "b", "c"]


async def test_room_that_one_worker_leaves_in_a_stage_is_taken_by_another(dsn: str, pool: asyncpg.Pool) -> None:
    opened, entered, second_is_done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def narrow(attempt: Attempt) -> None:
        if attempt.key == "n1":
            entered.set()
            await opened.wait()
        else:
            second_is_done.set()

    async def wide(attempt: Attempt) -> None:
        await second_is_done.wait()

    narrow_stage = Stage("narrow", narrow, concurrency=1)
    async with running(dsn, pool, narrow_stage, Stage("wide", wide), worker="w1", concurrency=1):
        await due(pool, "n1", of="narrow")
        await entered.wait()
        async with running(dsn, pool, narrow_stage, worker="w2"):
            await due(pool, "w", of="wide", priority=90)
            await due(pool, "n2", of="narrow", priority=10)
            opened.set()  # w1 goes on with the other stage, which waits for n2
            await nothing_left(pool)
    ended = await pool.fetch("SELECT key, attempts FROM work.history ORDER BY finished_at")
    assert {row["key"]: row["attempts"] for row in ended} == {"n1": 1, "n2": 1, "w": 1}


async def test_steps_of_a_newer_version_are_left_to_newer_workers(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, "new", version=2, priority=90)
    await due(pool, "old")

    async def put_back() -> bool:
        return bool(await pool.fetchval("SELECT count(*) FROM work.pgqueuer WHERE execute_after > now()"))

    async with running(dsn, pool, stage(version=1)):
        await wait_for(put_back)
        await wait_for(lambda: effects(pool))
    left = await step(pool, "new")
    assert (left["state"], left["attempts"]) == ("due", 0)
    await pool.execute("UPDATE work.pgqueuer SET execute_after = 'epoch'")
    async with running(dsn, pool, stage(version=2)):
        await nothing_left(pool)
    assert await effects(pool) == ["old", "new"]


async def test_two_stages_of_one_name_are_refused(dsn: str, pool: asyncpg.Pool) -> None:
    with pytest.raises(ConfigurationError, match="two stages have the same name"):
        Runner(pool, dsn, [stage(), stage()], WorkSettings(), "w1")
