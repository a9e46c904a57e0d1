"""`refsys replay`: the steps of a stage that was not there when things happened."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from refsys.cli.main import app
from refsys.infra.work import emit, enqueue
from tests.parking_lot import DESCRIBE, GRD, MSI, OLCI, Works, running
from tests.waiting import wait_for

STAGE = DESCRIBE


@pytest.fixture
def refsys(dsn, tmp_path):
    async def run(*words, code=0):
        arguments = ["--state", str(tmp_path), "--set", f"database_url={dsn}", "replay", *words]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output if code == 0 else str(result.exception)

    return run


@pytest.fixture
async def events(pool):
    """Four events for the stage, two of them of one key, an hour apart; and one that is none of its business."""
    async with pool.acquire() as connection:
        for hours, event, key, content_id in (
            (5, "product.arrived", GRD, 1),
            (4, "product.arrived", MSI, 2),
            (3, "product.arrived", GRD, 3),
            (2, "product.arrived", OLCI, 4),
            (1, "something.else", "other", 5),
        ):
            await emit(connection, event, key=key, payload={"content_id": content_id}, priority=70)
            await connection.execute(
                "UPDATE work.event SET at = now() - make_interval(hours => $1)"
                " WHERE id = (SELECT max(id) FROM work.event)",
                hours,
            )
        await connection.execute("DELETE FROM work.step; DELETE FROM work.pgqueuer")


async def due(pool):
    rows = await pool.fetch("SELECT key, payload FROM work.step WHERE stage = $1 ORDER BY id", STAGE)
    return [(row["key"], row["payload"]["content_id"]) for row in rows]


async def test_each_key_gets_one_step_of_its_newest_event_in_their_order(refsys, pool, events):
    assert "3 steps made, of the newest events of 3 keys" in await refsys("--stage", STAGE, "--since", "1d")
    assert await due(pool) == [(MSI, 2), (GRD, 3), (OLCI, 4)]


async def test_replayed_steps_wait_behind_what_is_live(refsys, pool, events):
    await refsys("--stage", STAGE, "--since", "1d")
    assert {row["priority"] for row in await pool.fetch("SELECT priority FROM work.step")} == {10}
    assert {row["priority"] for row in await pool.fetch("SELECT priority FROM work.pgqueuer")} == {10}


async def test_replayed_steps_run_and_a_second_replay_makes_them_again(refsys, pool, dsn, events):
    works = Works()
    async with running(pool, dsn, works):
        for times in (1, 2):
            await refsys("--stage", STAGE, "--since", "1d")
            # sooner than the five seconds after which a worker looks by itself: it was told
            await wait_for(lambda times=times: len(works.done) == 3 * times, 4.0, f"all ran {times} times")
    assert {(key, payload["content_id"]) for _, key, payload in works.done} == {(MSI, 2), (GRD, 3), (OLCI, 4)}


async def test_only_the_events_between_the_instants_and_of_the_key_count(refsys, pool, events):
    await refsys("--stage", STAGE, "--since", "210m", "--until", "150m")
    assert await due(pool) == [(GRD, 3)]
    await pool.execute("DELETE FROM work.step; DELETE FROM work.pgqueuer")
    await refsys("--stage", STAGE, "--since", "1d", "--key", "S2*")
    assert await due(pool) == [(MSI, 2)]
    await pool.execute("DELETE FROM work.step; DELETE FROM work.pgqueuer")
    await refsys("--stage", STAGE, "--since", "1d", "--until", "200m")
    assert await due(pool) == [(GRD, 1), (MSI, 2)]


async def test_a_step_that_is_due_already_is_left_as_it_is(refsys, pool, events):
    async with pool.acquire() as connection:
        await enqueue(connection, STAGE, key=GRD, payload={"content_id": 9})
    for words in (("--dry-run",), ()):
        told = await refsys("--stage", STAGE, "--since", "1d", *words)
        assert "2 steps " in told
        assert "1 are due already" in told
    assert await due(pool) == [(GRD, 9), (MSI, 2), (OLCI, 4)]
    assert "0 steps made" in await refsys("--stage", STAGE, "--since", "1d")


async def test_a_dry_run_tells_how_many_and_makes_none(refsys, pool, events):
    assert "3 steps would be made" in await refsys("--stage", STAGE, "--since", "1d", "--dry-run")
    assert await due(pool) == []


async def test_it_tells_how_far_back_events_are_kept(refsys, pool, events):
    assert "the oldest event that is kept is of 20" in await refsys("--stage", STAGE, "--since", "2020-01-01")
    assert "oldest" not in await refsys("--stage", STAGE, "--since", "4h")
    told = json.loads(await refsys("--stage", STAGE, "--since", "2020-01-01", "--json"))
    assert (told["since"], told["events"], told["made"], told["due"]) == ("2020-01-01T00:00:00.000000Z", 3, 0, 3)
    await pool.execute("DELETE FROM work.event")
    assert "no event is kept at all" in await refsys("--stage", STAGE, "--since", "1d")


async def test_many_events_are_replayed_in_pieces(refsys, pool):
    async with pool.acquire() as connection:
        await connection.execute(
            "SELECT work.emit('product.arrived', 'key ' || n, '{}', 50, 1) FROM generate_series(1, 1203) n"
        )
        await connection.execute("TRUNCATE work.step, work.pgqueuer")
    assert "1203 steps made" in await refsys("--stage", STAGE, "--since", "1d")
    assert await pool.fetchval("SELECT count(*) FROM work.pgqueuer") == 1203


WRONG = [
    (("--stage", "catalogue.discribe", "--since", "1d"), "(did you mean catalogue.describe?)"),
    (("--stage", "zzz", "--since", "1d"), "(there are catalogue.describe"),
    (("--stage", STAGE, "--since", "tomorrow"), "--since 'tomorrow' is no time (for example 2024-09-01"),
    (("--stage", STAGE, "--since", "1d", "--until", "soon"), "--until 'soon' is no time"),
    (("--stage", STAGE, "--since", ""), "--since is empty"),
    (("--stage", STAGE, "--since", "1h", "--until", "1d"), "is not before until"),
]


async def test_a_replay_that_cannot_be_meant_says_why(refsys, subtests):
    for words, told in WRONG:
        with subtests.test(told):
            assert told in await refsys(*words, code=1)
