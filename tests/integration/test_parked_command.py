"""`refsys parked` against steps that a real runner parked."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from refsys.core.errors import Permanent, Transient
from refsys.infra.postgres import connected
from refsys.infra.work import emit, enqueue, work_overview
from refsys.operations import service
from refsys.operations.model import Instruction
from tests.parking_lot import (
    DESCRIBE,
    GRD,
    MSI,
    OLCI,
    PACKAGE,
    Works,
    ended,
    park,
    running,
    step,
    three_parked,
)
from tests.waiting import wait_for

RESTART = Instruction("restart", author="anna")


@pytest.fixture
def listed(refsys):
    """Ids of the steps that `refsys parked list` lists."""

    async def ids(*words):
        return [json.loads(line)["id"] for line in (await refsys("parked", "list", "--json", *words)).splitlines()]

    return ids


async def test_list_shows_what_could_not_be_done_and_why(refsys, pool, dsn):
    assert "nothing is parked" in await refsys("parked", "list")
    ids = await three_parked(pool, dsn)
    shown = await refsys("parked", "list")
    for expected in (*ids, DESCRIBE, PACKAGE, GRD, MSI, OLCI, "InvalidProduct: lacks 3 files", "storage denies access"):
        assert str(expected) in shown
    assert "nothing is parked that is like that" in await refsys("parked", "list", "--key", "S5P")


async def test_list_takes_stages_errors_texts_keys_and_times(listed, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    assert sorted(await listed()) == [grd, msi, olci]
    assert sorted(await listed("--stage", DESCRIBE)) == [grd, msi]
    assert await listed("--stage", "distribution.*") == [olci]
    assert await listed("--error", "Permanent") == [olci]
    assert sorted(await listed("--error", "*Product")) == [grd, msi]
    assert await listed("--text", "LACKS 3") == [grd]
    assert sorted(await listed("--text", "send it again")) == [grd, msi]
    assert await listed("--key", "_MSIL1C_") == [msi]
    assert await listed("--key", "S3?_OL_1_EFR____*.SEN3") == [olci]
    assert await listed("--key", "S_A_IW") == []
    assert await listed("--key", "%") == []
    assert len(await listed("--since", "1h")) == 3
    assert await listed("--until", "1h") == []
    assert await listed("--since", "1d", "--until", "1h") == []
    assert await listed("--stage", DESCRIBE, "--key", "OL_1") == []


async def test_list_by_group_counts_errors_that_differ_in_names_and_numbers_only(refsys, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    lines = (await refsys("parked", "list", "--group", "--json")).splitlines()
    alike, other = (json.loads(line) for line in lines)
    assert (alike["stage"], alike["error"], alike["message"]) == (DESCRIBE, "InvalidProduct", "lacks # files")
    assert alike["count"] == 2
    assert alike["example"] in (grd, msi)
    assert (other["message"], other["count"], other["example"]) == ("storage denies access", 1, olci)
    assert "lacks # files" in await refsys("parked", "list", "--group")


async def test_messages_of_a_group_keep_their_words_and_lose_names_and_ids(listed, refsys, pool, dsn):
    told = "{} of 6ba7b810-9dad-11d1-80b4-00c04fd430c8 took 12.5 s with uncharacteristically bad timing"
    await park(pool, dsn, {(DESCRIBE, name): Permanent(told.format(name)) for name in (GRD, MSI)})
    [line] = (await refsys("parked", "list", "--group", "--json")).splitlines()
    assert json.loads(line)["message"] == "… of … took # s with uncharacteristically bad timing"


async def test_list_says_how_many_there_are(refsys, pool, dsn):
    await three_parked(pool, dsn)
    assert "2 of 3" in await refsys("parked", "list", "--limit", 2)


@pytest.mark.parametrize("columns", [80, 140])
async def test_lists_fit_the_terminal_and_lose_nothing(refsys, pool, dsn, columns):
    ids = await three_parked(pool, dsn)
    for words in (("list",), ("list", "--group"), ("restart", "--all", "--dry-run")):
        shown = await refsys("parked", *words, columns=columns)
        assert all(len(line) <= columns for line in shown.splitlines()), shown
        if "--group" not in words:
            joined = "".join(line[26:].strip() for line in shown.splitlines())
            assert all(key in joined for key in (GRD, MSI, OLCI))
    shown = await refsys("parked", "show", ids[0], columns=columns)
    table = [line for line in shown.splitlines() if line.startswith(" ") and "File" not in line and "await" not in line]
    assert len(table) > 8
    assert all(len(line) <= columns for line in table)


async def test_show_tells_everything_about_a_step(refsys, pool, dsn):
    [step_id] = await park(pool, dsn, {(DESCRIBE, GRD): Transient("is away", subject="station-1", advice="ring them")})
    shown = await refsys("parked", "show", step_id)
    for expected in (
        f"step {step_id}", DESCRIBE, "parked", GRD, "Transient: is away", "station-1", "ring them",
        "the last of 2 attempts", '{"content_id":5}', "worker-7", f"attempt 2: looks at {GRD}", "Traceback", "50",
    ):  # fmt: skip
        assert expected in shown, expected
    told = json.loads(await refsys("parked", "show", step_id, "--json"))
    assert told["payload"] == {"content_id": 5}
    assert told["attempts"] == 2
    assert told["error"]["traceback"].startswith("Traceback")
    assert told["created_at"] < told["started_at"] < told["parked_at"]
    assert len(told["log"]) == 2


async def test_what_an_error_quotes_cannot_command_the_terminal(refsys, pool, dsn):
    [step_id] = await park(pool, dsn, {(DESCRIBE, "a\x1b[31mb"): Permanent("\x1b]0;evil\x07 [bold]", subject="\x9b2J")})
    for words in (("list",), ("list", "--group"), ("show", step_id)):
        shown = await refsys("parked", *words)
        assert not set(shown) & {"\x1b", "\x07", "\x9b"}
        assert r";evil\x07 [bold]" in shown


async def test_a_restarted_step_is_the_same_step_with_its_attempts_counted_anew(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    assert "1 restarted" in await refsys("parked", "restart", step_id, "--reason", "they came", "--author", "anna")
    restarted = await step(pool, step_id)
    assert (restarted["state"], restarted["attempts"], restarted["parked_at"]) == ("due", 0, None)
    assert restarted["error"]["message"] == "lacks 3 files"
    assert restarted["log"][-1].endswith("Z restarted by anna: they came")
    works = Works()
    async with running(pool, dsn, works):
        over = await wait_for(lambda: ended(pool, step_id))
    assert works.done == [(DESCRIBE, GRD, {"content_id": 5})]
    assert (over["outcome"], over["attempts"]) == ("done", 1)


async def test_a_restarted_step_waits_from_its_restart_on(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    await pool.execute("UPDATE work.step SET created_at = created_at - interval '9 days' WHERE id = $1", step_id)
    await refsys("parked", "restart", step_id)
    async with pool.acquire() as connection:
        overview = {stage.stage: stage for stage in await work_overview(connection)}
    assert (overview[DESCRIBE].due, overview[DESCRIBE].deferred) == (1, 0)
    assert overview[DESCRIBE].oldest_due_age_s < 60


async def test_a_step_that_fails_again_is_parked_again_with_the_whole_story(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    await refsys("parked", "restart", step_id, "--author", "anna")
    works = Works()
    works.broken[GRD] = Permanent("no, really")
    async with running(pool, dsn, works):
        await wait_for(lambda: pool.fetchval("SELECT state = 'parked' FROM work.step WHERE id = $1", step_id))
    told = await step(pool, step_id)
    assert told["error"]["message"] == "no, really"
    assert [line.partition(" ")[2] for line in told["log"]] == [
        f"attempt 1: looks at {GRD}", "restarted by anna", f"attempt 1: looks at {GRD}",
    ]  # fmt: skip


async def test_a_resubmitted_step_is_a_new_one_with_the_same_input(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    told = json.loads(await refsys("parked", "resubmit", step_id, "--reason", "again", "--author", "anna", "--json"))
    [done] = told["steps"]
    assert (done["id"], done["outcome"]) == (step_id, "resubmitted")
    new = await step(pool, done["by"])
    assert (new["stage"], new["key"], new["payload"], new["attempts"]) == (DESCRIBE, GRD, {"content_id": 5}, 0)
    assert (new["error"], new["log"]) == (None, [])
    old = await ended(pool, step_id)
    assert old["outcome"] == "resubmitted"
    assert {name: old["detail"][name] for name in ("by", "author", "reason")} == {
        "by": done["by"], "author": "anna", "reason": "again",
    }  # fmt: skip
    works = Works()
    async with running(pool, dsn, works):
        await wait_for(lambda: ended(pool, done["by"]))
    assert works.done == [(DESCRIBE, GRD, {"content_id": 5})]


async def test_a_resubmission_can_begin_at_the_newest_event_of_an_earlier_stage(refsys, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    async with pool.acquire() as connection, connection.transaction():
        for content_id in (7, 8):
            await emit(connection, "product.arrived", key=OLCI, payload={"content_id": content_id}, priority=60)
        await emit(connection, "something.else", key=OLCI, payload={"content_id": 9})
        await connection.execute("DELETE FROM work.step WHERE state = 'due'")
    shown = await refsys("parked", "resubmit", olci, "--from", DESCRIBE)
    new = await pool.fetchrow("SELECT * FROM work.step WHERE state = 'due'")
    assert f"step {olci} resubmitted as step {new['id']}" in shown
    assert (new["stage"], new["key"], new["payload"], new["priority"]) == (DESCRIBE, OLCI, {"content_id": 8}, 60)
    assert (await ended(pool, olci))["stage"] == PACKAGE
    told = await refsys("parked", "resubmit", msi, "--from", DESCRIBE, code=1)
    assert f"step {msi}: nothing was done: no event of its key is kept that {DESCRIBE} is subscribed to" in told
    assert (await step(pool, msi))["state"] == "parked"
    told = await refsys("parked", "resubmit", grd, "--from", "catalogue.discribe", code=1)
    assert "(did you mean catalogue.describe?)" in told


async def test_a_deleted_step_stays_in_the_history_with_its_reason(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    assert "a deletion needs a reason" in await refsys("parked", "delete", step_id, code=1)
    assert "1 deleted" in await refsys("parked", "delete", step_id, "-m", "withdrawn by ESA", "--author", "anna")
    assert await step(pool, step_id) is None
    shown = await refsys("parked", "show", step_id)
    for expected in ("deleted", "withdrawn by ESA", "anna", "lacks 3 files", '{"content_id":5}', "looks at", "parked"):
        assert expected in shown


async def test_a_filter_is_for_all_that_it_finds_and_a_dry_run_does_nothing(refsys, listed, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    shown = await refsys("parked", "restart", "--text", "lacks", "--dry-run")
    assert "2 would be restarted; nothing was done" in shown
    assert GRD in shown
    assert OLCI not in shown
    assert len(await listed()) == 3
    assert "2 restarted" in await refsys("parked", "restart", "--text", "lacks")
    assert await listed() == [olci]
    assert {(await step(pool, step_id))["state"] for step_id in (grd, msi)} == {"due"}
    assert "1 resubmitted" in await refsys("parked", "resubmit", "--stage", PACKAGE)
    assert await listed() == []
    assert "nothing deleted" in await refsys("parked", "delete", "--all", "--reason", "x")


async def test_more_steps_than_one_transaction_takes_are_restarted_whole(refsys, listed, pool, dsn, monkeypatch):
    monkeypatch.setattr(service, "PIECE", 2)
    await three_parked(pool, dsn)
    assert "3 restarted" in await refsys("parked", "restart", "--all")
    assert await listed() == []


async def test_a_newer_step_that_is_due_supersedes_a_restarted_one(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    async with pool.acquire() as connection:
        newer = await enqueue(connection, DESCRIBE, key=GRD, payload={"content_id": 6}, priority=10)
    assert f"step {step_id} superseded by step {newer}" in await refsys("parked", "restart", step_id)
    assert (await ended(pool, step_id))["outcome"] == "superseded"
    due = await step(pool, newer)
    assert (due["payload"], due["priority"]) == ({"content_id": 6}, 50)


async def test_of_two_parked_steps_with_one_key_the_newer_input_runs(refsys, pool, dsn):
    [older] = await park(pool, dsn, {(DESCRIBE, GRD): Permanent("a")}, {"content_id": 1})
    [newer] = await park(pool, dsn, {(DESCRIBE, GRD): Permanent("b")}, {"content_id": 2})
    shown = await refsys("parked", "restart", older, newer)
    assert f"step {older} superseded by step {newer}" in shown
    assert f"step {newer} restarted" in shown


@pytest.mark.parametrize("action", ["restart", "resubmit"])
async def test_an_older_step_that_is_due_with_another_input_has_to_run_first(refsys, pool, dsn, action):
    [older] = await park(pool, dsn, {(DESCRIBE, GRD): Permanent("a")}, {"content_id": 1})
    [newer] = await park(pool, dsn, {(DESCRIBE, GRD): Permanent("b")}, {"content_id": 2})
    await refsys("parked", "restart", older)
    told = await refsys("parked", action, newer, code=1)
    assert f"step {newer}: nothing was done: step {older} of the same stage and key is due with another input" in told
    assert (await step(pool, newer))["state"] == "parked"


async def test_a_step_restarted_twice_at_the_same_time_is_restarted_once(pool, dsn):
    ids = await three_parked(pool, dsn)

    async def restart():
        async with connected(dsn) as connection:
            return await service.act(connection, RESTART, ids)

    reports = await asyncio.gather(*(restart() for _ in range(4)))
    assert sorted(done.id for report in reports for done in report.steps) == ids
    assert {skipped.why for report in reports for skipped in report.skipped} == {"it is due already"}
    assert await pool.fetchval("SELECT count(*) FROM work.pgqueuer") == 3


@pytest.mark.parametrize("action", ["restart", "resubmit"])
async def test_a_step_that_becomes_due_at_this_very_moment_is_not_doubled(pool, dsn, action):
    step_id, *_ = await three_parked(pool, dsn)
    async with connected(dsn) as stage, connected(dsn) as operator:
        transaction = stage.transaction()
        await transaction.start()
        newer = await enqueue(stage, DESCRIBE, key=GRD, payload={"content_id": 6})
        acting = asyncio.create_task(service.act(operator, Instruction(action, author="anna"), [step_id]))
        await wait_for(lambda: is_waiting(pool, operator), message="the operator waits for the stage")
        await transaction.commit()
        [done] = (await acting).steps
    assert (done.outcome, done.by) == ("superseded", newer)
    assert (await step(pool, newer))["payload"] == {"content_id": 6}


async def test_an_operator_who_gets_into_a_deadlock_with_a_stage_begins_anew(pool, dsn):
    grd, msi, _ = await three_parked(pool, dsn)
    async with connected(dsn) as stage, connected(dsn) as operator:
        await operator.execute("SET deadlock_timeout = '300ms'")
        await stage.execute("SET deadlock_timeout = '60s'")
        transaction = stage.transaction()
        await transaction.start()
        newer_grd = await enqueue(stage, DESCRIBE, key=GRD, payload={"content_id": 6})
        acting = asyncio.create_task(service.act(operator, RESTART, [grd, msi]))
        await wait_for(lambda: is_waiting(pool, operator), message="the operator waits for the stage")
        newer_msi = await enqueue(stage, DESCRIBE, key=MSI, payload={"content_id": 7})
        await transaction.commit()
        report = await acting
    assert {(done.id, done.outcome, done.by) for done in report.steps} == {
        (grd, "superseded", newer_grd),
        (msi, "superseded", newer_msi),
    }


async def is_waiting(pool, connection):
    return await pool.fetchval(
        "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", connection.get_server_pid()
    )


async def test_a_step_that_is_not_parked_says_what_became_of_it(refsys, pool, dsn):
    restarted, resubmitted, deleted = await three_parked(pool, dsn)
    await refsys("parked", "restart", restarted)
    await refsys("parked", "resubmit", resubmitted, "--author", "anna", "--reason", "again")
    await refsys("parked", "delete", deleted, "--author", "bob", "--reason", "useless")
    [parked] = await park(pool, dsn, {(DESCRIBE, "other"): Permanent("no")})
    for step_id, why in ((resubmitted, "it was resubmitted as step"), (deleted, "it was deleted by bob")):
        told = await refsys("parked", "restart", step_id, code=1)
        assert f"step {step_id}: nothing was done: {why}" in told
        assert f"`refsys parked show {step_id}` tells more" in told
    told = await refsys("parked", "restart", parked, deleted, 999, code=1)
    assert f"step {parked} restarted" in told
    assert "(useless)" in told
    assert "step 999 skipped: there is no such step" in told
    assert "2 of 3 steps were skipped" in told
    assert "it was done" in await refsys("parked", "restart", restarted, code=1)
    assert "step 999: there is no such step" in await refsys("parked", "show", 999, code=1)


async def test_a_running_step_is_left_alone(refsys, pool, dsn):
    step_id, *_ = await three_parked(pool, dsn)
    await pool.execute(
        "UPDATE work.step SET state = 'running', parked_at = NULL, token = gen_random_uuid(), lease_until = now()"
        " WHERE id = $1",
        step_id,
    )
    assert "it runs at this moment" in await refsys("parked", "delete", step_id, "--reason", "x", code=1)
    assert (await step(pool, step_id))["state"] == "running"


WRONG = [
    (("list", "--since", "yesterday"), "since 'yesterday' is no time (for example 2024-09-01"),
    (("list", "--since", "999999w"), "since '999999w' is no time"),
    (("list", "--since", "1h", "--until", "2h"), "is not before until"),
    (("list", "--key", "x" * 1001), "key has 1001 characters; 1000 are possible"),
    (("list", "--stage", "catalogue.discribe"), "(did you mean catalogue.describe?)"),
    (("restart",), "no step is named (give ids or a filter, or say all)"),
    (("restart", "1", "--stage", DESCRIBE), "ids together with a filter"),
    (("restart", "--all", "--stage", DESCRIBE), "all together with a filter"),
    (("restart", "99999999999999999999"), "cannot be the id of a step"),
    (("show", "0"), "cannot be the id of a step"),
    (("delete", "1", "--reason", "  "), "a deletion needs a reason"),
    (("restart", "1", "--author", " "), "author is empty"),
]


async def test_a_command_that_cannot_be_meant_says_why(refsys, subtests):
    for words, told in WRONG:
        with subtests.test(told):
            assert told in await refsys("parked", *words, code=1)


def test_errors_are_one_line_and_have_the_documented_exit_codes(dsn):
    def run(*words):
        program = Path(sys.executable).with_name("refsys")
        return subprocess.run(
            [program, "--set", f"database_url={dsn}", "parked", *words], capture_output=True, text=True, timeout=60
        )

    wrong, missing = run("restart"), run("show", "999")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "refsys: no step is named (give ids or a filter, or say all)\n"
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.count("\n") == 1
