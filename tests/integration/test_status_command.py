"""`refsys status` of systems that are well, that are not, and that are down."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from refsys.cli.main import app
from refsys.infra.runfile import RunRecord, StateLock, write_run
from refsys.infra.settings import load_settings
from refsys.infra.work import enqueue
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.rating import Judged
from refsys.ingestion.model import Offer
from refsys.runtime.supervisor import running_system
from refsys.simulation.samples import make_many
from tests.waiting import wait_for

Status = Callable[..., Awaitable[str]]
UNKNOWN = "S9Z_XX_YYYY_UNKNOWN.SAFE"


@pytest.fixture
def config(tmp_path: Path, dsn: str) -> Path:
    """Two inboxes: a folder, and a station that is not there."""
    config = tmp_path / "refsys.toml"
    config.write_text(f'''
database_url = "{dsn}"
state_dir = "state"
[http]
processes = 1
[[inbox]]
id = "drop"
type = "folder"
url = "in"
poll_s = 0.1
stable_s = 0.1
[[inbox]]
id = "station"
type = "prip"
url = "http://127.0.0.1:1/odata/v1"
''')
    (tmp_path / "in").mkdir()
    return config


@pytest.fixture
def status() -> Status:
    """Run the command in a thread, as it has an event loop of its own."""

    async def run(*words: str | Path, code: int = 0, columns: int = 80) -> str:
        arguments = ["status", *map(str, words)]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": str(columns)}).invoke, app, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output

    return run


def row(told: str, name: str) -> list[str]:
    """The cells of the one line that begins with a name."""
    [line] = [line for line in told.splitlines() if line.startswith(f"{name}  ")]
    return re.split(r"\s{2,}", line.strip())


async def test_a_system_that_is_up_and_well(status: Status, config: Path, pool: asyncpg.Pool, tmp_path: Path) -> None:
    async with running_system(load_settings(config, environ={})) as system:
        [product] = make_many(tmp_path / "made", 1, size_bytes=60_000)
        product.rename(tmp_path / "in" / product.name)
        (tmp_path / "in" / UNKNOWN).mkdir()
        (tmp_path / "in" / UNKNOWN / "a").write_bytes(b"x")
        counted = "SELECT count(*) FROM catalogue.product WHERE state = 'published'"
        parked = "SELECT count(*) FROM work.step WHERE state = 'parked'"
        failing = "SELECT failures FROM ingestion.inbox WHERE id = 'station'"
        for query in (counted, parked, failing):
            await wait_for(lambda query=query: pool.fetchval(query))
        told = await status("-c", config)
        url, pids = system.url, system.pids()
        lines = told.splitlines()
        assert lines[0].startswith(f"up        {url}   refsys ")
        assert f", pid {os.getpid()}, since 20" in lines[0]
        assert "database  ok   PostgreSQL at a local socket, database test_" in told
        assert f"storage   ok   folder {tmp_path / 'state' / 'storage'}" in told
        assert "published 1" in lines
        assert "strangers may search, download and subscribe" in lines
        for name in ("worker-1", "ingest-1", "api-1"):
            _, pid, state, since, restarts = row(told, name)
            assert (int(pid), state, restarts) == (pids[name], "running", "0")
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
        assert row(told, "ingestion.fetch.drop") == ["ingestion.fetch.drop", "0", "0", "1", "–"]
        drop, station = row(told, "drop"), row(told, "station")
        assert drop[:3] == ["drop", "folder", "ok"]
        assert drop[4:] == ["0", "0", "1", "0"]
        assert station[:3] == ["station", "prip", "failing"]
        assert (
            "inbox station failed once (no good look yet): cannot be reached: Connection refused (127.0.0.1:1)" in told
        )
        wide = await status("-c", config, columns=140)
        assert "newest seen" in wide
        for columns, shown in ((80, told), (140, wide)):
            tables = [line for line in shown.partition("\n\n")[2].splitlines() if " failed once " not in line]
            assert len(tables) > 8
            assert all(len(line) <= columns for line in tables)
        found = json.loads(await status("-c", config, "--json"))
        assert (found["is_up"], found["is_well"], found["published"]) == (True, True, 1)
        assert {process["name"]: process["pid"] for process in found["run"]["processes"]}.items() <= pids.items()
        assert [(inbox["id"], inbox["state"], inbox["stored"]) for inbox in found["inboxes"]] == [
            ("drop", "ok", 1),
            ("station", "failing", 0),
        ]
    # services of one's own outlive it
    assert "apart " in await status("-c", config)


async def test_a_process_that_keeps_ending_is_shown_with_how_and_where_to_look(
    status: Status, config: Path, tmp_path: Path
) -> None:
    async with running_system(load_settings(config, environ={}), roles=["worker"]) as system:
        killed = 0

        def kill() -> bool:
            nonlocal killed
            pid = system.pids().get("worker-1", killed)
            if pid != killed:
                os.kill(pid, signal.SIGKILL)
                killed = pid
            return any(process.crash_loop for process in system.record.processes)

        await wait_for(kill)
        told = await status("-c", config, code=1)
        assert row(told, "worker-1")[2:] == ["crash loop", row(told, "worker-1")[3], "3"]
        [how] = [
            line for line in told.splitlines() if line.startswith("worker-1 ended last time: killed by SIGKILL at")
        ]
        assert how.endswith(f"; see {tmp_path}/state/logs/worker-1.log")
        assert not json.loads(await status("-c", config, "--json", code=1))["is_well"]


async def test_a_folder_in_which_nothing_ran_is_down_and_stays_untouched(status: Status, tmp_path: Path) -> None:
    state = tmp_path / "state"
    told = await status("--state", state, code=3)
    assert told.startswith("down      nothing has run in this folder yet\n          start it with `refsys up`;")
    assert "database  not running   embedded PostgreSQL\n" in told
    assert f"storage   not made yet   folder {state / 'storage'}\n" in told
    assert not state.exists()
    found = json.loads(await status("--state", state, "--json", code=3))
    assert (found["is_up"], found["is_well"], found["run"], found["database"]) == (False, False, None, "not running")


@pytest.mark.parametrize(
    ("stopped_at", "told"), [("2024-11-01T12:30:00Z", "stopped 2024-11-01T12:30:00Z"), ("", "it was killed")]
)
async def test_a_system_that_is_down_says_how_it_ended(
    status: Status, tmp_path: Path, stopped_at: str, told: str
) -> None:
    record = RunRecord(4711, "2024-11-01T12:00:00.123456Z", "http://h:1", "0", "PG", "S", stopped_at=stopped_at)
    write_run(tmp_path, record)
    shown = await status("--state", tmp_path, code=3)
    assert shown.startswith(f"down      last started 2024-11-01T12:00:00Z (pid 4711), {told}\n")
    assert "database  not running   embedded PostgreSQL\n" in shown


async def test_a_storage_that_vanished_under_a_running_system_is_told(
    status: Status, config: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    lock = StateLock(state)
    lock.acquire()
    write_run(state, RunRecord(os.getpid(), "2024-11-01T12:00:00Z", "http://h:1", "0", "PG", "the folder"))
    try:
        told = await status("-c", config, code=1)
    finally:
        lock.release()
    assert f"storage   {state / 'storage'} is not there   the folder" in told
    assert not (state / "storage").exists()


async def test_a_database_that_does_not_answer_is_told_without_its_password(status: Status, tmp_path: Path) -> None:
    away = "database_url=postgresql://anna:hunter2@127.0.0.1:1/facts"
    told = await status("--state", tmp_path, "--set", away, code=1)
    assert "database  database facts at 127.0.0.1: does not answer" in told
    assert "hunter2" not in told
    assert "hunter2" not in await status("--state", tmp_path, "--set", away, "--json", code=1)


async def test_a_database_without_our_schema_says_what_to_do(status: Status, tmp_path: Path, dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE public.refsys_migration")
    await connection.close()
    told = await status("--state", tmp_path, "--set", f"database_url={dsn}", code=1)
    assert "database  the database has no schema yet (run `refsys migrate`)" in told


async def test_stages_come_in_the_order_of_the_way_with_what_waits_and_what_pauses(
    status: Status, config: Path, pool: asyncpg.Pool
) -> None:
    way = ["ingestion.fetch.drop", "catalogue.describe", "distribution.package", "distribution.publish", "other.stage"]
    async with pool.acquire() as connection, connection.transaction():
        for stage in reversed(way):
            await enqueue(connection, stage, key="a", payload={})
        await enqueue(connection, way[1], key="b", payload={}, not_before=datetime.now(UTC) + timedelta(hours=1))
        await connection.execute(
            "UPDATE work.step SET created_at = created_at - interval '5 minutes' WHERE stage = $1", way[0]
        )
    told = await status("-c", config)
    found = [line.split()[0] for line in told.splitlines() if re.match(r"\w+\.\w+", line)]
    assert found == way
    assert row(told, way[0]) == [way[0], "1", "0", "0", "5 min"]
    assert row(told, way[1])[1] == "2 (1 paused)"


async def test_inboxes_show_their_offers_and_what_their_last_looks_said(
    status: Status, config: Path, pool: asyncpg.Pool
) -> None:
    published_at = datetime(2024, 10, 28, 1, 2, 3, tzinfo=UTC)
    offers = [
        Judged(Offer(str(n), "1", f"{n}.zip", 1, published_at), str(n), 50, state, "unwanted" * (state == "filtered"))
        for n, state in enumerate(["waiting"] * 5 + ["filtered"] * 2)
    ]
    async with pool.acquire() as connection:
        for inbox in ("drop", "station", "demo"):
            await store.open_inbox(connection, inbox)
        await store.enter(connection, "drop", [(offer, None) for offer in offers])
        await store.dispatch(connection, "drop", 2, guard=timedelta(), near_only=False, group_files=1, group_bytes=0)
        await store.look_succeeded(connection, "drop", published_at)
        await store.look_succeeded(connection, "station", None)
        for _ in range(3):
            await store.look_failed(connection, "station", "inbox station: said \x1b[31m[bold]no[/bold] (ask them)")
        await connection.execute(
            "UPDATE ingestion.inbox SET looked_at = looked_at - interval '3 hours' WHERE id = 'station'"
        )
    told = await status("-c", config, columns=140)
    assert row(told, "drop") == [
        "drop",
        "folder",
        "ok",
        "2024-10-28T01:02:03Z",
        row(told, "drop")[4],
        "3",
        "2",
        "0",
        "2",
        "0",
    ]
    assert re.fullmatch(r"\d+(\.\d)? s ago", row(told, "drop")[4])
    assert row(told, "station")[2:5] == ["failing", "–", "3 h ago"]
    assert row(told, "demo")[1:3] == ["–", "not looked yet"]
    [problem] = [
        line
        for line in told.splitlines()
        if line.startswith("inbox station failed 3 times in a row (last good look 20")
    ]
    assert problem.endswith("Z): said \\x1b[31m[bold]no[/bold] (ask them)")
    assert "an inbox without a type is not in these settings" in told


async def test_where_nobody_looks_nothing_is_folded(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a" * 60
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = f'[{{"id": "{name}", "type": "folder", "url": "in"}}]'
    run = CliRunner(env={"COLUMNS": None}).invoke
    result = await asyncio.to_thread(run, app, ["-c", str(config), "--set", f"inbox={folder}", "status"])
    assert row(result.output, name)[1] == "folder"
