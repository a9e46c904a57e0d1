"""The supervisor from inside: a start that cannot succeed says why and leaves nothing; a run lives through troubles."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.runfile import is_held, read_run
from refsys.infra.settings import Settings
from refsys.runtime import supervisor as module
from refsys.runtime.supervisor import Supervisor, running_system
from tests.waiting import wait_for


def on(dsn: str, settings: Settings, **changes: Any) -> Settings:
    return settings.model_copy(update={"database_url": SecretStr(dsn), **changes})


async def fails_and_leaves_nothing(supervisor: Supervisor, kind: type[RefsysError], message: str) -> None:
    children = psutil.Process().children()
    with pytest.raises(kind, match=message):
        await supervisor.start()
    assert psutil.Process().children() == children
    assert not is_held(supervisor.state_dir)
    assert all(process.state == "stopped" for process in supervisor.record.processes)


async def test_a_port_in_use_is_named_with_its_holder(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        http = settings.http.model_copy(update={"port": port})
        supervisor = Supervisor(settings.model_copy(update={"http": http}))
        await fails_and_leaves_nothing(supervisor, ConfigurationError, rf"port {port}: .*\(process {os.getpid()}, ")
    assert not (settings.state_dir / "postgresql").exists()


async def test_a_database_that_does_not_answer_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DATABASE_TIMEOUT_S", 0.1)
    away = on("postgresql://user:secret@127.0.0.1:1/name", settings)
    await fails_and_leaves_nothing(
        Supervisor(away), RefsysError, r"^database name at 127\.0\.0\.1: does not answer.*check database_url"
    )


async def test_a_role_that_does_not_come_up_is_named_with_the_end_of_its_log(
    dsn: str, settings: Settings, tmp_path: Path
) -> None:
    wrong = on(dsn, settings, type_tables=(tmp_path / "nowhere",))
    await fails_and_leaves_nothing(
        Supervisor(wrong, roles=["worker"]),
        RefsysError,
        r"(?s)^worker-1: does not start \(exit 2 at .*\); its log ends with:.*role\.refused.*nowhere",
    )


async def test_a_run_goes_on_where_its_record_cannot_be_written_and_ends_where_a_process_does_not(
    dsn: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROTATION_S", 0.05)
    monkeypatch.setattr(module, "_STOP_MARGIN_S", 0.2)
    quick = settings.work.model_copy(update={"stop_s": 0.5})
    one = settings.http.model_copy(update={"processes": 1})
    logs = settings.log.model_copy(update={"rotate_bytes": 2**16})
    async with running_system(on(dsn, settings, work=quick, http=one, log=logs), roles=["api"]) as system:
        assert read_run(settings.state_dir) == system.record
        assert set(system.pids()) == {"supervisor", "api-1"}
        noise = settings.state_dir / "logs" / "noise.log"
        noise.write_bytes(b"x" * (2**16 + 1))
        await wait_for(lambda: noise.with_name("noise.log.1").exists() and noise.stat().st_size == 0)

        (settings.state_dir / "run.json.new").mkdir()  # as a full disk would
        killed = system.pids()["api-1"]
        os.kill(killed, signal.SIGKILL)
        await wait_for(lambda: system.pids().get("api-1", killed) != killed and system.record.processes[0].restarts)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{system.url}/health/live", timeout=30)).status_code == 200
        (settings.state_dir / "run.json.new").rmdir()

        deaf = psutil.Process(system.pids()["api-1"])
        deaf.suspend()
        await asyncio.wait_for(system.stop(), 30)
        assert not deaf.is_running()
    assert not is_held(settings.state_dir)
    assert read_run(settings.state_dir).processes[0].last_exit.startswith("killed by SIGKILL")
