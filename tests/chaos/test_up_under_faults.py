"""`refsys up` as users start, stop and kill it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from refsys.infra.runfile import is_held
from refsys.runtime.embedded import EmbeddedPostgres
from tests.conftest import database
from tests.s3_gateway import ACCESS_KEY, SECRET_KEY, Gateway
from tests.up import INBOX, REFSYS, System, are_gone, await_up, started
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

ROLES = ("worker-1", "ingest-1", "api-1", "api-2")


def offer(folder: Path, name: str) -> None:
    """A file that no product type knows: its way ends in the parking lot, by way of every role."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.zip").write_bytes(b"no product")


def is_parked(system: System, steps: int) -> None:
    wait_until(lambda: system.steps("parked") == steps, 60, f"{steps} offers went through")


def ask_to_stop(system: System, number: signal.Signals) -> list[psutil.Process]:
    """Send it to the whole foreground group, as a terminal does; returns what ran."""
    tree = system.tree()
    os.killpg(system.process.pid, number)
    assert system.process.wait(60) == 0, system.errors
    return tree


def test_it_runs_until_ctrl_c_comes_again_as_it_was_and_mends_itself(tmp_path: Path) -> None:
    state, inbox = tmp_path / "state", tmp_path / "inbox"
    inbox.mkdir()
    config = INBOX.format(folder=inbox)
    with started(state, config=config) as first:
        await_up(first)
        assert first.is_ready()
        assert httpx.get(f"{first.run.url}/health/live").json()["status"] == "ok"
        assert {name: process.state for name, process in first.processes.items()} == dict.fromkeys(
            ("postgresql", *ROLES), "running"
        )
        url = first.run.url
        offer(inbox, "before")
        is_parked(first, 1)
        another_is_refused(first)
        tree = ask_to_stop(first, signal.SIGINT)
        assert are_gone(tree, 0)
        assert first.output == f"refsys is up at {url}   logs: {state / 'logs'}   Ctrl-C stops it\n"
        assert first.errors.endswith("stopping …\n")
        assert "database system is shut down" in (state / "logs/postgresql.log").read_text("utf-8").splitlines()[-1]
        assert first.run.stopped_at
        assert not is_held(state)
    with started(state, config=config) as second:
        await_up(second)
        assert second.run.url == url
        assert second.steps("parked") == 1
        each_role_is_restarted(second)
        postgresql_is_restarted(second)
        offer(inbox, "after")
        is_parked(second, 2)
        assert are_gone(ask_to_stop(second, signal.SIGTERM), 0)


def another_is_refused(system: System) -> None:
    done = subprocess.run([*REFSYS, "--state", str(system.state), "up"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"is in use by refsys, process {system.process.pid}, since" in done.stderr
    assert system.run.url in done.stderr
    assert system.is_ready()


def each_role_is_restarted(system: System) -> None:
    before = system.processes
    for name in ROLES:
        os.kill(before[name].pid, signal.SIGKILL)

    def are_back() -> bool:
        now = system.processes
        return all(now[name].state == "running" and now[name].pid != before[name].pid for name in ROLES)

    wait_until(are_back, 60, "every role runs again")
    assert {system.processes[name].restarts for name in ROLES} == {1}
    assert all("killed by SIGKILL" in system.processes[name].last_exit for name in ROLES)


def postgresql_is_restarted(system: System) -> None:
    before = system.processes
    os.kill(before["postgresql"].pid, signal.SIGKILL)
    wait_until(lambda: system.processes["postgresql"].restarts == 1, 60, "its end is noted")
    wait_until(lambda: system.processes["postgresql"].state == "running" and system.is_ready(), 60, "it runs again")
    assert {name: system.processes[name].pid for name in ROLES} == {name: before[name].pid for name in ROLES}


def test_a_killed_supervisor_leaves_nothing_that_the_next_start_does_not_settle(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state, inbox = closed / "one" / "state", tmp_path / "inbox"
    inbox.mkdir()
    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, closed)]
    with started(state, config=INBOX.format(folder=inbox)) as first:
        await_up(first)
        offer(inbox, "one")
        is_parked(first, 1)
        tree = first.tree()
        first.process.kill()
        assert are_gone(tree), "children die with their parent"
    with started(state, config=INBOX.format(folder=inbox)) as second:
        await_up(second)
        assert second.steps("parked") == 1
        tree = second.tree()
        for process in tree:
            # one may have died with its parent already
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        second.process.wait()
        assert are_gone(tree)
        assert (state / "postgresql/data/postmaster.pid").exists()
    with started(state, config=INBOX.format(folder=inbox)) as third:
        await_up(third)
        offer(inbox, "two")
        is_parked(third, 2)
        ask_to_stop(third, signal.SIGTERM)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (tmp_path, closed)] == modes


async def test_it_uses_the_database_and_the_storage_that_it_is_told_and_leaves_them_running(
    tmp_path: Path, postgres_server: EmbeddedPostgres, s3_gateway: Gateway
) -> None:
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute("CREATE DATABASE elsewhere")
    await connection.close()
    dsn = database(postgres_server.dsn, "elsewhere")
    bucket = s3_gateway.new_bucket()
    config = f"""
        database_url = "{dsn}"
        storage_url = "s3://{bucket}/bytes"
        [s3]
        endpoint = "{s3_gateway.endpoint}"
        access_key_id = "{ACCESS_KEY}"
        secret_access_key = "{SECRET_KEY}"
        allow_http = true
    """
    with started(tmp_path / "state", config=config) as system:
        await asyncio.to_thread(await_up, system)
        assert set(system.processes) == {"worker-1", "api-1", "api-2"}, "no PostgreSQL of its own, nothing to ingest"
        assert system.is_ready()
        assert (system.run.database, system.run.storage) == (
            "PostgreSQL at a local socket, database elsewhere",
            f"s3://{bucket}/bytes",
        )
        ask_to_stop(system, signal.SIGTERM)
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"lock", "logs", "ports.json", "run.json"}
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM catalogue.product") == 0
    await connection.close()


def test_an_ordinary_user_runs_it_too(tmp_path: Path) -> None:
    """As root it is started as `nobody`, who is lent the right to read: Python may lie below root's home."""
    prefix: list[str] = []
    folder = tmp_path
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        folder = Path(tempfile.mkdtemp(prefix="refsys-test-user-"))
        os.chown(folder, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        prefix += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    try:
        with started(folder / "state", prefix=prefix) as system:
            await_up(system)
            assert system.is_ready()
            assert {process.uids().real for process in system.tree()} == {(folder / "state").stat().st_uid}
            assert 0 not in {process.uids().real for process in system.tree()}
            assert are_gone(ask_to_stop(system, signal.SIGINT), 0)
    finally:
        if folder != tmp_path:
            shutil.rmtree(folder)


def test_a_start_that_is_interrupted_leaves_nothing_and_is_no_error(tmp_path: Path) -> None:
    with started(tmp_path / "state") as system:
        wait_until(lambda: (tmp_path / "state/run.json").exists() and len(system.run.processes) > 1, 60)
        assert are_gone(ask_to_stop(system, signal.SIGINT), 0)
        assert system.output == ""
        assert "Traceback" not in system.errors
        assert not is_held(tmp_path / "state")
