"""What becomes of steps that fail: pauses, parking, and what is kept of the failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from refsys.core.errors import InvalidProduct, Overloaded, Transient
from refsys.infra.work import Attempt
from refsys.infra.work import runner as runner_module
from refsys.infra.work.model import LONGEST_RETRY_AFTER_S, MESSAGE_LIMIT, TRACEBACK_LIMIT, clean, judge, pause_before
from tests.waiting import wait_for
from tests.working import EFFECTS, due, effects, nothing_left, running, stage, step


@pytest.fixture(autouse=True)
def nobody_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts here was told to start, or its time had come."""
    monkeypatch.setattr(runner_module, "_POLL_S", 3600.0)


@pytest.fixture
async def pool(pool: asyncpg.Pool) -> asyncpg.Pool:
    await pool.execute(EFFECTS)
    return pool


def failing(error: BaseException, times: int = 1_000) -> Callable[[Attempt], Awaitable[None]]:
    """Fail so many times, with this error."""

    async def fail(attempt: Attempt) -> None:
        attempt.note(f"try {attempt.number}")
        if attempt.number <= times:
            raise error

    return fail


async def after_a_failure(pool: asyncpg.Pool, key: str = "k") -> asyncpg.Record:
    """The step, once its first attempt failed."""

    async def has_failed() -> bool:
        return bool(await pool.fetchval("SELECT error IS NOT NULL AND state <> 'running' FROM work.step"))

    await wait_for(has_failed)
    return await step(pool, key)


# -- transient -----------------------------------------------------------------------------------------------------


async def test_a_transient_failure_goes_back_with_a_pause_and_its_error(dsn: str, pool: asyncpg.Pool) -> None:
    error = Transient("answers 503", subject="station A", advice="wait")
    await due(pool, "k", payload={"id": 1})
    async with running(dsn, pool, stage(before=failing(error)), backoff_s=60, backoff_limit_s=600):
        failed = await after_a_failure(pool)
    assert (failed["state"], failed["attempts"], failed["payload"]) == ("due", 1, {"id": 1})
    assert timedelta(seconds=30) <= failed["not_before"] - failed["deferred_at"] <= timedelta(seconds=60)
    told = failed["error"]
    assert (told["type"], told["message"], told["subject"], told["advice"], told["why"], told["worker"]) == (
        "Transient", "answers 503", "station A", "wait", "transient", "w1",
    )  # fmt: skip
    assert "raise error" in told["traceback"]
    assert failed["log"][0].endswith("attempt 1: try 1")
    assert await pool.fetchval("SELECT execute_after FROM work.pgqueuer") == failed["not_before"]


async def test_it_is_tried_again_when_its_pause_is_over_and_then_done(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, "k")
    async with running(dsn, pool, stage(before=failing(RuntimeError("unforeseen"), times=3))):
        await nothing_left(pool)
    assert await effects(pool) == ["k"]
    assert await pool.fetchval("SELECT attempts FROM work.history WHERE outcome = 'done'") == 4


async def test_a_peer_is_left_alone_for_as_long_as_it_asked(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, "k")
    async with running(dsn, pool, stage(before=failing(Overloaded("answers 429", retry_after_s=120)))):
        failed = await after_a_failure(pool)
    assert failed["not_before"] - failed["deferred_at"] == timedelta(seconds=120)


def test_of_several_requests_for_patience_the_longest_counts_up_to_a_day() -> None:
    both = ExceptionGroup("two", [Overloaded("a", retry_after_s=5), Overloaded("b", retry_after_s=7)])
    assert judge(both).retry_after_s == 7
    assert judge(Overloaded("for ever", retry_after_s=1e9)).retry_after_s == LONGEST_RETRY_AFTER_S


def test_pauses_double_with_jitter_up_to_their_limit() -> None:
    for number, full in ((1, 2.0), (2, 4.0), (5, 32.0), (9, 300.0), (5_000, 300.0)):
        pauses = [pause_before(number, first_s=2, limit_s=300).total_seconds() for _ in range(200)]
        assert full / 2 <= min(pauses) < 0.7 * full
        assert 0.8 * full < max(pauses) <= full


# -- parked --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        InvalidProduct("lies about its size", subject="S1A_X"),
        ExceptionGroup("several", [Transient("slow"), ExceptionGroup("more", [InvalidProduct("lies about its size")])]),
    ],
    ids=["alone", "in a group"],
)
async def test_a_permanent_failure_is_parked_at_once_with_everything_that_is_known(
    dsn: str, pool: asyncpg.Pool, error: Exception
) -> None:
    await due(pool, "k", payload={"arrival": 12}, priority=70)
    async with running(dsn, pool, stage(before=failing(error))):
        await nothing_left(pool)
    parked = await step(pool, "k")
    assert (parked["state"], parked["attempts"], parked["payload"], parked["priority"]) == (
        "parked", 1, {"arrival": 12}, 70,
    )  # fmt: skip
    told = parked["error"]
    assert (told["type"], told["message"], told["why"]) == ("InvalidProduct", "lies about its size", "permanent")
    assert parked["log"][-1].endswith("attempt 1: try 1")
    assert await effects(pool) == []


async def test_the_last_attempt_parks(dsn: str, pool: asyncpg.Pool) -> None:
    await due(pool, "k")
    async with running(dsn, pool, stage(before=failing(Transient("answers 503")), max_attempts=3)):
        await nothing_left(pool)
    parked = await step(pool, "k")
    assert (parked["state"], parked["attempts"], parked["error"]["why"]) == ("parked", 3, "the last of 3 attempts")
    assert [line.split(" ", 1)[1] for line in parked["log"]] == [f"attempt {n}: try {n}" for n in (1, 2, 3)]


async def test_a_parked_step_does_not_hold_up_the_next_of_its_key(dsn: str, pool: asyncpg.Pool) -> None:
    async def fail_first(attempt: Attempt) -> None:
        if attempt.payload["n"] == 1:
            await due(pool, "k", payload={"n": 2})
            raise InvalidProduct("is broken")

    await due(pool, "k", payload={"n": 1})
    async with running(dsn, pool, stage(before=fail_first)):
        await nothing_left(pool)
    assert await effects(pool) == ["k"]
    assert (await step(pool, "k"))["payload"] == {"n": 1}


async def test_any_text_of_an_error_can_be_kept(dsn: str, pool: asyncpg.Pool) -> None:
    hostile = "NUL \0, half a pair \ud800, and long " + "x" * 50_000
    await due(pool, "k")
    async with running(dsn, pool, stage(before=failing(InvalidProduct(hostile, subject=hostile, advice=hostile)))):
        await nothing_left(pool)
    told = (await step(pool, "k"))["error"]
    assert told["message"].startswith("NUL \\0, half a pair \\ud800, and long xxx")
    assert all(len(told[part]) <= MESSAGE_LIMIT + 2 for part in ("message", "subject", "advice"))
    assert len(told["traceback"]) <= TRACEBACK_LIMIT + 2


def test_a_long_text_keeps_its_beginning_or_its_end() -> None:
    assert clean("abcdef", 3) == "abc …"
    assert clean("abcdef", -3) == "… def"
    assert clean("abc", 3) == clean("abc", -3) == "abc"


# -- with a newer step of the same key behind it -------------------------------------------------------------------


async def test_a_failed_step_gives_way_to_a_newer_one_with_another_payload(dsn: str, pool: asyncpg.Pool) -> None:
    async def fail_first(attempt: Attempt) -> None:
        if attempt.payload["revision"] == 1:
            await due(pool, "k", payload={"revision": 2}, priority=10)
            raise Transient("answers 503")

    await due(pool, "k", payload={"revision": 1}, priority=70)
    async with running(dsn, pool, stage(before=fail_first), backoff_s=600, backoff_limit_s=600):
        await nothing_left(pool)
    assert await effects(pool) == ["k"]
    older, newer = await pool.fetch("SELECT * FROM work.history ORDER BY step_id")
    assert (older["outcome"], newer["outcome"], newer["attempts"]) == ("superseded", "done", 1)
    assert older["detail"]["by"] == newer["step_id"]
    assert older["detail"]["payload"] == {"revision": 1}
    assert older["detail"]["error"]["message"] == "answers 503"


async def test_a_step_that_is_made_due_again_while_it_fails_keeps_its_pause_and_its_attempts(
    dsn: str, pool: asyncpg.Pool
) -> None:
    async def fail_while_announced_again(attempt: Attempt) -> None:
        await due(pool, "k", payload={"revision": 1})
        raise Transient("answers 503")

    await due(pool, "k", payload={"revision": 1})
    async with running(dsn, pool, stage(before=fail_while_announced_again, max_attempts=3)):
        await wait_for(lambda: pool.fetchval("SELECT count(*) FROM work.step WHERE state = 'parked'"))
        parked = await pool.fetchrow("SELECT * FROM work.step WHERE state = 'parked'")
    assert parked["attempts"] == 3


async def test_announcing_a_pausing_step_again_changes_its_pause_only_where_its_payload_is_new(
    dsn: str, pool: asyncpg.Pool
) -> None:
    await due(pool, "k", payload={"revision": 1})
    async with running(dsn, pool, stage(before=failing(Transient("answers 503"))), backoff_s=600, backoff_limit_s=600):
        failed = await after_a_failure(pool)
    await due(pool, "k", payload={"revision": 1})
    kept = await step(pool, "k")
    assert (kept["attempts"], kept["not_before"], kept["error"]) == (1, failed["not_before"], failed["error"])
    await due(pool, "k", payload={"revision": 2})
    anew = await step(pool, "k")
    assert (anew["attempts"], anew["not_before"], anew["error"], anew["log"]) == (0, None, None, [])
    assert await pool.fetchval("SELECT execute_after FROM work.pgqueuer") < failed["not_before"]


# -- cancelled, stopped --------------------------------------------------------------------------------------------


async def test_a_handler_that_cancels_itself_has_failed(dsn: str, pool: asyncpg.Pool) -> None:
    """As happens where a handler awaits a task that somebody else cancelled."""
    await due(pool, "k")
    async with running(dsn, pool, stage(before=failing(asyncio.CancelledError()), max_attempts=2), lease_s=3600):
        await nothing_left(pool)
    told = (await step(pool, "k"))["error"]
    assert (told["type"], told["why"]) == ("CancelledError", "the last of 2 attempts")


async def test_what_does_not_end_within_the_grace_of_a_stop_is_left_to_its_lease(dsn: str, pool: asyncpg.Pool) -> None:
    entered = asyncio.Event()

    async def hang_once(attempt: Attempt) -> None:
        if attempt.number == 1:
            entered.set()
            await asyncio.Event().wait()

    await due(pool, "k")
    async with running(dsn, pool, stage(before=hang_once), stop_s=0.1, lease_s=0.5):
        await entered.wait()
    assert (await step(pool, "k"))["state"] == "running"
    async with running(dsn, pool, stage(before=hang_once), lease_s=0.5, worker="w2"):
        await nothing_left(pool)
    assert [tuple(row) for row in await pool.fetch("SELECT key, attempt FROM effect")] == [("k", 2)]
