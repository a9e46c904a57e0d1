"""Five minutes of publishers at once, with harvesters that are killed and go on where their cursors are."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import orjson
import pytest

from refsys.catalogue import feed
from refsys.infra.postgres import connect, connected
from tests.publishers import (
    CURSOR,
    SEEN,
    ByDate,
    Publishers,
    check_by_position,
    check_feed,
    missed_by_date,
    take_batch,
    until,
)
from tests.up import REFSYS, environment
from tests.waiting import wait_for

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

SOAK_S = 300.0
_KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'harvester'"


async def harvest_in_the_database(dsn: str, done: asyncio.Event) -> int:
    """Take batches; a connection that is lost is opened again. Returns how often it was."""
    for lost in itertools.count():
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            connection = await connect(dsn, application="harvester")
            try:
                await until(done, lambda held=connection: take_batch(held))
                return lost
            finally:
                connection.terminate()
    raise AssertionError


class Followers:
    """`refsys feed follow`, one process after the other; each has a file of its own."""

    def __init__(self, dsn: str, folder: Path) -> None:
        words = ("feed", "follow", "--json", "--cursor", "follower", "--from", "start")
        self._command = [*REFSYS, "--set", f"database_url={dsn}", *words]
        self._folder = folder
        self.runs = 0

    async def run(self, done: asyncio.Event, pool: asyncpg.Pool, rng: random.Random) -> None:
        """Start, let it print some, SIGKILL; the last one may finish."""
        while not done.is_set():
            enough = rng.randint(1, 200_000)
            with self._following() as log:
                await wait_for(lambda log=log, enough=enough: log.stat().st_size > enough or done.is_set(), 120)
        last = await pool.fetchval("SELECT max(position) FROM catalogue.change")
        with self._following():
            finished = "SELECT position = $1 FROM catalogue.cursor WHERE name = 'follower'"
            await wait_for(lambda: pool.fetchval(finished, last), 120)

    @contextlib.contextmanager
    def _following(self) -> Iterator[Path]:
        log = self._log(self.runs)
        self.runs += 1
        with log.open("wb") as output:
            process = subprocess.Popen(self._command, stdout=output, env=environment(), stdin=subprocess.DEVNULL)
        try:
            yield log
        finally:
            process.kill()
            process.wait()

    def _log(self, number: int) -> Path:
        return self._folder / f"follower-{number}.jsonl"

    def printed(self) -> Iterator[list[int]]:
        """The positions that each run printed; a line that the kill cut is none."""
        for number in range(self.runs):
            whole, _, _ = self._log(number).read_bytes().rpartition(b"\n")
            yield [orjson.loads(line)["position"] for line in whole.splitlines()]


async def test_nothing_is_missed_and_nothing_taken_twice_while_harvesters_are_killed(
    dsn: str, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    rng = random.Random(7)
    await pool.execute(SEEN)
    async with pool.acquire() as connection:
        await feed.open_cursor(connection, CURSOR)
    publishers = Publishers(dsn)
    followers = Followers(dsn, tmp_path)
    started = time.monotonic()
    async with connected(dsn) as reader:
        by_date = ByDate(reader)
        harvesters = [
            asyncio.create_task(harvest_in_the_database(dsn, publishers.done)),
            asyncio.create_task(harvest_in_the_database(dsn, publishers.done)),
            asyncio.create_task(followers.run(publishers.done, pool, rng)),
            asyncio.create_task(until(publishers.done, by_date.look)),
        ]
        async with publishers.running():
            while time.monotonic() < started + SOAK_S:
                # at any moment, of a transaction too
                enough = len(publishers.published) + rng.randint(50, 300)
                await wait_for(lambda enough=enough: len(publishers.published) >= enough, 60)
                await pool.fetch(_KILL)
        lost_1, lost_2, _, _ = await asyncio.gather(*harvesters)
    changes = await check_feed(pool)
    await check_by_position(pool, changes)
    assert missed_by_date(by_date, changes) == []
    runs = list(followers.printed())
    printed = set(itertools.chain.from_iterable(runs))
    assert printed == {change["position"] for change in changes}
    for run in runs:
        assert run == list(range(run[0], run[-1] + 1)) if run else True
    again = sum(map(len, runs)) - len(printed)
    # a batch, for each that was killed
    assert again <= 100 * (followers.runs - 1)
    assert min(lost_1, lost_2, followers.runs) > 10
    kinds = {kind: sum(change["kind"] == kind for change in changes) for kind in sorted({c["kind"] for c in changes})}
    print(
        f"{len(changes)} changes {kinds} in {SOAK_S:.0f} s; {len(by_date.seen)} publications seen by date; "
        f"connections lost {lost_1} and {lost_2}; {followers.runs} followers, which printed {again} lines again"
    )
