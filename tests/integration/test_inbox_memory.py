"""What inboxes remember of remote files: their states, their order, and one identity across sources."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from refsys.core.errors import Unreachable
from refsys.infra.settings import FetchSettings, Settings
from refsys.ingestion import store as memory
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.entering import Look
from refsys.ingestion.inboxes.rating import Rater
from refsys.ingestion.inboxes.service import keep_memory
from refsys.ingestion.model import Findings, Offer, SessionFile
from tests.looking import (
    NOW,
    SESSION,
    TYPES,
    block,
    dispatch,
    fetch,
    ids,
    look,
    offer,
    remembered,
    settings_of,
    states,
)


async def test_a_growing_file_is_seen_until_it_may_be_taken(pool: asyncpg.Pool) -> None:
    await look(pool, "a", offer("file", "1", 0, held="it is empty"))
    (seen,) = await remembered(pool)
    assert (seen["state"], seen["why"]) == ("seen", "it is empty")
    await look(pool, "a", offer("file", "2", 10, held="it grows"))
    made = Look(pool, Rater(settings_of("a"), TYPES))
    (held,) = (await made.begin()).held
    assert (held.remote_id, held.version, held.held) == ("file", "2", "it grows")
    await look(pool, "a", offer("file", "3", 20))
    (row,) = await remembered(pool)
    assert (row["id"], row["state"], row["version"], row["size"], row["why"]) == (seen["id"], "waiting", "3", 20, "")


async def test_a_file_that_is_replaced_while_it_waits_comes_in_its_new_version_only(pool: asyncpg.Pool) -> None:
    await look(pool, "a", offer("file", "1", 10))
    await look(pool, "a", offer("file", "2", 0, held="it is empty"))
    assert await states(pool) == [("file", "superseded"), ("file", "seen")]
    await look(pool, "a", offer("file", "1", 10))  # the station takes it back
    await look(pool, "a", offer("file", "3", 11))
    assert [row["version"] for row in await remembered(pool, state="waiting")] == ["3"]


async def test_what_a_whole_listing_lacks_expires_and_comes_back(pool: asyncpg.Pool) -> None:
    a, b, c = (offer(name, minutes=n) for n, name in enumerate("abc"))
    await look(pool, "x", a, b, c, whole=True)
    await dispatch(pool, "x", 1)
    await fetch(pool, await ids(pool, "x"))
    await look(pool, "x", c)  # not whole: says nothing of the others
    with pytest.raises(Unreachable):
        await look(pool, "x", Findings([c], is_whole=True), Unreachable("cut"))
    assert await states(pool) == [("a", "stored"), ("b", "waiting"), ("c", "waiting")]
    await look(pool, "x", c, whole=True)
    assert await states(pool) == [("a", "stored"), ("b", "expired"), ("c", "waiting")]
    await look(pool, "x", b, c, whole=True)
    assert await states(pool) == [("a", "stored"), ("b", "waiting"), ("c", "waiting")]
    await look(pool, "x", whole=True)
    async with pool.acquire() as connection:
        (state,) = await memory.inbox_states(connection)
    assert state.expired_total == 3
    assert {name: files for name, files in state.states.items() if files} == {"stored": 1, "expired": 2}
    assert state.fetched_bytes == 7


async def test_what_was_given_up_after_tries_is_not_tried_again_at_each_look(pool: asyncpg.Pool) -> None:
    await look(pool, "x", offer("a"))
    await pool.execute("UPDATE ingestion.remote SET state = 'expired', why = '404', tries = 3")
    await look(pool, "x", offer("a"))
    assert await states(pool) == [("a", "expired")]
    await pool.execute("UPDATE ingestion.remote SET state_at = state_at - interval '3 hours'")
    await look(pool, "x", offer("a"))
    assert await states(pool) == [("a", "waiting")]


async def test_the_same_content_again_is_a_duplicate_also_within_one_page(pool: asyncpg.Pool) -> None:
    twins = [offer("a.zip", remote_id=str(n), checksums={"MD5": "0"}) for n in range(3)]
    await look(pool, "x", *twins, twins[0])
    rows = await remembered(pool)
    assert [row["state"] for row in rows] == ["waiting", "duplicate", "duplicate"]
    assert {row["why"] for row in rows[1:]} == {f"name, size and checksum are those of offer {rows[0]['id']}"}


async def test_a_better_delivery_takes_the_place_of_one_that_failed(pool: asyncpg.Pool) -> None:
    await look(pool, "x", offer("a.zip", "1"))
    await dispatch(pool, "x")
    (step,) = await pool.fetch("SELECT id FROM work.step")
    await fetch(pool, await ids(pool, "x"), "wrong checksum")
    await pool.execute(
        "UPDATE work.step SET state = 'parked', parked_at = clock_timestamp(), error = '{}', attempts = 1, "
        "started_at = clock_timestamp()"
    )
    await look(pool, "x", offer("a.zip", "2"))
    assert await states(pool) == [("a.zip", "superseded"), ("a.zip", "waiting")]
    assert await pool.fetchval("SELECT count(*) FROM work.step") == 0
    assert await pool.fetchval("SELECT outcome FROM work.history WHERE step_id = $1", step["id"]) == "deleted"


async def test_a_listing_that_said_something_else_for_a_while_leaves_nothing(pool: asyncpg.Pool) -> None:
    right, wrong = offer("a.zip", "1", size=7), offer("a.zip", "2", size=8)
    # what it invented is over as soon as the station says again what it said before, stored or not
    await look(pool, "station", right)
    await look(pool, "station", wrong)
    await look(pool, "station", right)
    assert [state for _, state in await states(pool, "station")] == ["waiting", "superseded"]
    await dispatch(pool, "station")
    await fetch(pool, await ids(pool, "station"))
    await look(pool, "station", wrong)
    await dispatch(pool, "station")
    await fetch(pool, await ids(pool, "station"), "has another size")
    assert [state for _, state in await states(pool, "station")] == ["stored", "failed"]
    await look(pool, "station", right)
    assert [state for _, state in await states(pool, "station")] == ["stored", "superseded"]
    assert await pool.fetchval("SELECT count(*) FROM work.step WHERE state = 'parked'") == 0


async def test_a_block_under_another_id_is_a_duplicate_where_it_was_published_at_the_same_moment(
    pool: asyncpg.Pool,
) -> None:
    await look(pool, "station", block(1), replace(block(1), remote_id="again"))
    assert [state for _, state in await states(pool, "station")] == ["waiting", "duplicate"]
    # published again, it is fetched again: the station may have corrected it
    await look(pool, "station", replace(block(1, minutes=5), remote_id="later", version="2"))
    assert [state for _, state in await states(pool, "station")] == ["superseded", "duplicate", "waiting"]


async def test_a_session_and_its_retransfer_are_two_files_and_two_steps(pool: asyncpg.Pool) -> None:
    nominal = block(1)
    again = Offer("again", "1", nominal.name, 7, NOW, session=SessionFile(SESSION, True, 1, 1))
    await look(pool, "x", nominal, again)
    assert await dispatch(pool, "x") == 2
    assert await pool.fetchval("SELECT count(DISTINCT (stage, key)) FROM work.step") == 2


async def test_a_second_source_waits_and_then_has_a_duplicate(pool: asyncpg.Pool) -> None:
    await look(pool, "one", block(1), block(2))
    await look(pool, "two", block(1), block(2, size=None), block(3))
    assert await dispatch(pool, "one") == 2
    assert await dispatch(pool, "two") == 1  # only the gap
    first = await ids(pool, "one")
    await fetch(pool, first)
    await dispatch(pool, "two")
    rows = await remembered(pool, "two")
    assert [row["state"] for row in rows] == ["duplicate", "duplicate", "queued"]
    assert rows[0]["why"] == f"stored from offer {first[0]} of inbox one"
    await look(pool, "three", block(1))
    await dispatch(pool, "three")
    assert await states(pool, "three") == [(block(1).name, "duplicate")]


@pytest.mark.parametrize("trouble", ["failed", "expired", "put back", "paused", "failing", "stuck"])
async def test_another_source_takes_over_what_the_first_does_not_bring(pool: asyncpg.Pool, trouble: str) -> None:
    await look(pool, "one", block(1))
    await look(pool, "two", block(1))
    await dispatch(pool, "one")
    assert await dispatch(pool, "two") == 0
    if trouble == "failed":
        await fetch(pool, await ids(pool, "one"), "wrong size")
    changes = {
        "expired": "UPDATE ingestion.remote SET state = 'expired', why = '404' WHERE inbox = 'one'",
        "put back": "UPDATE ingestion.remote SET state = 'waiting', not_before = clock_timestamp() + interval '1 hour' "
        "WHERE inbox = 'one'",
        "paused": "UPDATE ingestion.inbox SET paused_at = clock_timestamp() WHERE id = 'one'",
        "failing": "UPDATE ingestion.inbox SET failures = 3 WHERE id = 'one'",
        "stuck": "UPDATE ingestion.remote SET state_at = state_at - interval '1 hour' WHERE inbox = 'one'",
    }
    if trouble in changes:
        await pool.execute(changes[trouble])
    assert await dispatch(pool, "two") == 1
    await fetch(pool, await ids(pool, "two"))
    # whatever the first one does now, the file comes once
    assert await fetch(pool, [row["id"] for row in await remembered(pool, "one")]) == []
    await dispatch(pool, "one")
    assert (await states(pool, "two"))[0][1] == "stored"
    assert (await states(pool, "one"))[0][1] in ("duplicate", "waiting")


async def test_files_of_other_sizes_or_numbers_are_other_files(pool: asyncpg.Pool) -> None:
    zero_based = offer(f"DCS_04_{SESSION}_ch1_DSDB_00000.raw", session=SessionFile(SESSION, False, 1, 1))
    await look(pool, "one", zero_based, block(2))
    await look(pool, "two", block(1), block(2, size=8))
    assert await dispatch(pool, "one") == 2
    assert await dispatch(pool, "two") == 2


async def test_two_dispatchers_and_many_claims_at_once_bring_each_file_once(pool: asyncpg.Pool) -> None:
    blocks = [block(number) for number in range(1, 21)]
    for inbox in ("one", "two"):
        await look(pool, inbox, *blocks)
    await asyncio.gather(*(dispatch(pool, inbox, 7) for inbox in ("one", "two") * 4))
    queued = [row["name"] for row in await remembered(pool, state="queued")]
    assert len(queued) == len(set(queued)) == 20
    # as where one was down for long: both have queued everything
    await pool.execute("UPDATE ingestion.remote SET state = 'queued'")
    every = [row["id"] for row in await remembered(pool)]
    claimed = await asyncio.gather(*(fetch(pool, [each]) for each in every))
    assert sorted(remote.offer.name for found in claimed for remote in found) == sorted(each.name for each in blocks)


async def test_what_the_station_deletes_soon_goes_first_then_by_priority_with_a_share_for_the_backlog(
    pool: asyncpg.Pool,
) -> None:
    telemetry = "S1A_HK_RAW__0____20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE.zip"
    live = [offer(f"live-{n}", minutes=n) for n in range(6)]
    old = [offer(f"old-{n}", minutes=n - 10_000) for n in range(4)]
    near = [offer(f"near-{n}", minutes=n - 9_000, evicted_at=NOW + timedelta(hours=2 - n)) for n in range(2)]
    later = offer("later", evicted_at=NOW + timedelta(days=5), minutes=9)
    await look(pool, "x", *live, *old, *near, later, offer(telemetry, minutes=5))
    await pool.execute(
        "UPDATE ingestion.remote SET not_before = clock_timestamp() + interval '1 h' WHERE name = 'live-0'"
    )
    assert await dispatch(pool, "x", 8) == 8
    queue = await pool.fetch("SELECT key, priority FROM work.step ORDER BY priority DESC, id")
    assert [row["key"].removesuffix(".zip") for row in queue] == [
        *("near-1", "near-0", telemetry.removesuffix(".zip")),
        *("live-1", "live-2", "live-3"),
        *("old-0", "old-1"),
    ]
    assert queue[0]["priority"] > queue[2]["priority"]


async def test_where_there_is_no_room_only_what_is_deleted_soon_is_queued(pool: asyncpg.Pool) -> None:
    near = offer("near", evicted_at=NOW + timedelta(hours=2))
    passed = offer("passed", evicted_at=NOW - timedelta(hours=2))
    await look(pool, "x", offer("live"), near, passed)
    assert await dispatch(pool, "x", near_only=True) == 2
    assert dict(await states(pool)) == {
        "live": "waiting",
        "near": "queued",
        "passed": "queued",  # one try, whatever its date says
    }


async def test_small_files_come_in_groups_and_blocks_alone(pool: asyncpg.Pool) -> None:
    small = [offer(f"small-{n:03}", minutes=n / 100) for n in range(150)]
    others = [offer("large", size=2**20 + 1), offer("unknown", size=None), block(1)]
    await look(pool, "x", *small, *others)
    assert await dispatch(pool, "x", 200, group_files=64) == 153
    steps = await pool.fetch("SELECT key, payload FROM work.step ORDER BY id")
    groups = [row["payload"]["remote_ids"] for row in steps if "remote_ids" in row["payload"]]
    names = {row["id"]: row["name"] for row in await remembered(pool)}
    assert [len(group) for group in groups] == [64, 64, 22]
    assert [names[each] for group in groups for each in group] == [each.name for each in small]
    alone = sorted(row["key"] for row in steps if "remote_id" in row["payload"])
    assert alone == sorted(each.name for each in others)


async def test_a_paused_inbox_queues_and_claims_nothing(pool: asyncpg.Pool) -> None:
    await look(pool, "x", offer("a"))
    await dispatch(pool, "x")
    await pool.execute("UPDATE ingestion.inbox SET paused_at = clock_timestamp()")
    assert await fetch(pool, await ids(pool, "x")) == []
    assert await states(pool) == [("a", "waiting")]
    async with pool.acquire() as connection:
        assert not await store.has_waiting(connection, "x")


async def test_an_attempt_that_lost_its_claim_changes_nothing(pool: asyncpg.Pool) -> None:
    from uuid import uuid4

    await look(pool, "x", offer("a"))
    await dispatch(pool, "x")
    frozen, living = uuid4(), uuid4()
    async with pool.acquire() as connection:
        (remote,) = await memory.claim(connection, await ids(pool, "x"), frozen)
        await memory.claim(connection, [remote.id], living)
        assert not await memory.set_failed(connection, remote.id, frozen, "too late")
        assert not await memory.set_expired(connection, remote.id, frozen, "too late")
        assert await memory.put_back(connection, [remote.id], frozen) == 0
        assert await memory.hold(connection, [remote.id], frozen) == set()
        assert await memory.hold(connection, [remote.id], living) == {remote.id}
    assert [row["tries"] for row in await remembered(pool)] == [2]


async def test_what_lost_its_step_waits_again_and_what_is_parked_has_failed(pool: asyncpg.Pool) -> None:
    await look(pool, "x", *(offer(name) for name in ("lost", "parked", "due")))
    await dispatch(pool, "x")
    await pool.execute("DELETE FROM work.step WHERE key = 'lost'")
    await pool.execute(
        "UPDATE work.step SET state = 'parked', parked_at = clock_timestamp(), attempts = 1, "
        "started_at = clock_timestamp(), error = '{\"message\": \"no type\"}' WHERE key = 'parked'"
    )
    async with pool.acquire() as connection:
        assert await store.repair(connection, "x") == 0  # its step may be on the way
        await pool.execute("UPDATE ingestion.remote SET state_at = state_at - interval '2 minutes'")
        assert await store.repair(connection, "x") == 2
    assert {row["name"]: (row["state"], row["problem"]) for row in await remembered(pool)} == {
        "lost": ("waiting", ""),
        "parked": ("failed", "no type"),
        "due": ("queued", ""),
    }
    # what was given up just as its step was parked needs nobody
    await pool.execute("UPDATE ingestion.remote SET state = 'expired', why = 'answered 404' WHERE name = 'parked'")
    async with pool.acquire() as connection:
        await store.repair(connection, "x")
    assert [row["key"] for row in await pool.fetch("SELECT key FROM work.step")] == ["due"]


async def test_the_alarm_for_what_is_deleted_soon_is_given_once_and_again_for_another_date(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    settings = settings.model_copy(update={"inbox": (settings_of("x"),), "fetch": FetchSettings(eviction_guard_h=24.0)})
    near = offer("near", evicted_at=NOW + timedelta(hours=3))
    await look(pool, "x", near, offer("far", evicted_at=NOW + timedelta(days=3)), offer("gone", size=1))

    async def alarms() -> int:
        with capture_logs() as told:
            await keep_memory(pool, settings)
        return sum(line["event"] == "fetch.eviction_near" for line in told)

    assert [await alarms(), await alarms()] == [1, 0]
    await look(pool, "x", offer("near", evicted_at=NOW + timedelta(hours=2)))
    assert [await alarms(), await alarms()] == [1, 0]
    async with pool.acquire() as connection:
        (state,) = await memory.inbox_states(connection)
    assert state.near == 1


async def test_sessions_are_cut_by_no_window_even_over_several_looks(pool: asyncpg.Pool) -> None:
    session, window = "S1B__MPS__________017080", "* * 0-5 ? * MON *"
    monday = NOW.replace(year=2024, month=11, day=18, hour=5, minute=59)

    def piece(number: int, minutes: float) -> Offer:
        name = f"DCS_95_{session}_ch1_DSDB_{number:05}.raw"
        of = SessionFile(session, False, 1, number)
        return Offer(name, "1", name, 7, monday + timedelta(minutes=minutes), session=of)

    await look(pool, "x", piece(1, 0), window=window)
    await look(pool, "x", piece(2, 30), window=window)
    assert {state for _, state in await states(pool)} == {"waiting"}
    await look(pool, "y", piece(3, 60), window=window)
    await look(pool, "y", piece(1, 0), window=window)
    assert {row["why"] for row in await remembered(pool, "y")} == {"its session began outside the `window`"}


async def test_every_file_is_counted_in_its_state(pool: asyncpg.Pool) -> None:
    await look(pool, "x", *(offer(str(n)) for n in range(5)), offer("left.tmp"))
    await dispatch(pool, "x", 3)
    await fetch(pool, (await ids(pool, "x"))[:2])
    await pool.execute("DELETE FROM ingestion.remote WHERE state = 'filtered'")
    async with pool.acquire() as connection:
        for _ in range(2):
            (state,) = await memory.inbox_states(connection)
            counted = {name: files for name, files in state.states.items() if files}
            assert counted == {"waiting": 2, "queued": 1, "stored": 2}
            await store.add_up(connection)
    assert await pool.fetchval("SELECT count(*) FROM ingestion.tally") <= 5


async def test_a_look_at_a_hundred_thousand_known_files_costs_little(pool: asyncpg.Pool) -> None:
    files, page = 100_000, 1000
    await pool.execute("INSERT INTO ingestion.inbox (id) VALUES ('x')")
    await pool.execute(
        "INSERT INTO ingestion.remote (inbox, remote_id, version, name, product, state, content_id, priority) "
        "SELECT 'x', 'id-' || n, 'v' || n, 'f' || n, 'f' || n, 'stored', n, 50 FROM generate_series(1, $1) n",
        files,
    )
    offers = [offer(f"f{n}", f"v{n}", remote_id=f"id-{n}") for n in range(1, files + 1)]
    new = [offer(f"new-{n}") for n in range(10)]
    rater = Rater(settings_of("x"), TYPES)
    started = time.process_time()
    made = Look(pool, rater)
    await made.begin()
    for start in range(0, files, page):
        await made.take(Findings(offers[start : start + page]), None)
    await made.take(Findings(new), None)
    await made.finish(None)
    spent_s = time.process_time() - started
    assert (made.fresh, made.listed) == (10, files + 10)
    assert spent_s < 1.0


NAMES = [f"file-{n}" for n in range(6)]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_found_in_whatever_order_every_file_is_stored_once_in_its_last_version(
    pool: asyncpg.Pool, seed: int
) -> None:
    """Files come, grow, change and go, on a plain source and in a session that two sources have, between failed looks,
    failing and lost attempts; in the end all that the sources still have is stored, and nothing twice."""
    chance = random.Random(seed)
    plain: dict[str, tuple[int, bool]] = {}
    blocks: dict[str, set[int]] = {"one": set(), "two": set()}
    fetched: list[tuple[str, str, str]] = []

    def listed(inbox: str) -> list[Offer]:
        if inbox in blocks:
            return [block(number) for number in sorted(blocks[inbox])]
        return [
            offer(name, str(version), version * 10, held="it grows" if is_held else "")
            for name, (version, is_held) in plain.items()
        ]

    async def attempt(*, works: bool) -> None:
        for inbox in ("plain", "one", "two"):
            await dispatch(pool, inbox, 4, group_files=2)
            for each in await ids(pool, inbox):
                problem = "" if works or chance.random() < 0.6 else "it failed"
                for remote in await fetch(pool, [each], problem):
                    if not problem:
                        fetched.append((inbox if inbox == "plain" else "session", remote.product, remote.offer.version))

    for _ in range(25):
        what, name = chance.choice(["change", "block", "look", "look", "fail", "fetch", "lose"]), chance.choice(NAMES)
        if what == "change":
            version, _ = plain.get(name, (0, False))
            if chance.random() < 0.2:
                plain.pop(name, None)
            else:
                plain[name] = (version + 1, chance.random() < 0.4)
        elif what == "block":
            blocks[chance.choice(["one", "two"])].add(chance.randrange(1, 6))
        elif what in ("look", "fail"):
            inbox = chance.choice(["plain", "one", "two"])
            found = Findings(listed(inbox), is_whole=what == "look")
            if what == "look":
                await look(pool, inbox, found)
            else:
                with pytest.raises(Unreachable):
                    await look(pool, inbox, found, Unreachable("cut"))
        elif what == "fetch":
            await attempt(works=False)
        else:
            await pool.execute("UPDATE ingestion.remote SET state = 'waiting' WHERE state = 'queued'")
    plain = {name: (version, False) for name, (version, _) in plain.items()}
    for inbox in ("plain", "one", "two") * 2:
        await look(pool, inbox, *listed(inbox), whole=True)
        # an operator restarts what failed
        await pool.execute("UPDATE ingestion.remote SET state = 'waiting' WHERE state = 'failed'")
        await attempt(works=True)
        await attempt(works=True)
    for name, (version, _) in plain.items():
        assert ("plain", name, str(version)) in fetched
    for number in blocks["one"] | blocks["two"]:
        assert fetched.count(("session", block(number).name, "1")) == 1
    assert len(fetched) == len(set(fetched))
    left = {row["state"] for row in await remembered(pool)}
    assert left <= {"stored", "duplicate", "superseded", "expired"}
    tallied = await pool.fetch("SELECT state, sum(files) AS files FROM ingestion.tally GROUP BY state")
    counted = await pool.fetch("SELECT state, count(*) AS files FROM ingestion.remote GROUP BY state")
    assert {row["state"]: row["files"] for row in tallied if row["files"]} == {
        row["state"]: row["files"] for row in counted
    }
