"""One supervised program: restarted, awaited, stopped, never outliving its parent; its log, the port, the lock."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.runfile import RunRecord, StateLock, is_held, write_run
from refsys.runtime import leash, processes
from refsys.runtime.logfiles import rotate, tail
from refsys.runtime.ports import listen, url_of
from refsys.runtime.processes import READY, Program, SupervisedProcess, pause_after
from tests.waiting import wait_for, wait_until

PYTHON = [sys.executable, "-I", "-S", "-c"]


@asynccontextmanager
async def supervised(folder: Path, script: str, *words: str, stdin: bytes = b"") -> AsyncIterator[SupervisedProcess]:
    program = Program("it", "test", [*PYTHON, script, *words], stdin)
    process = SupervisedProcess(program, folder / "it.log", lambda: None)
    life = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        process.kill()
        await life


# -- lives ---------------------------------------------------------------------------------------------------------


async def test_a_program_that_keeps_ending_is_started_again_and_told_to_be_in_a_crash_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "BACKOFF_S", 0.01)
    script = "import sys; print(sys.stdin.read()); sys.exit(3)"
    async with supervised(tmp_path, script, stdin=b"settings") as process:
        await asyncio.wait_for(process.crash_loop.wait(), 30)
        assert process.record.restarts == processes.CRASH_LOOP
        assert process.record.crash_loop
        assert process.record.last_exit.startswith("exit 3 at 2")
        assert not process.ready.is_set()
    assert process.record.state == "stopped"
    assert process.log_file.read_text().count("settings\n") >= processes.CRASH_LOOP, "each life gets its settings"


def test_pauses_between_starts_double_up_to_half_a_minute() -> None:
    assert [pause_after(ends) for ends in (1, 2, 3, 6, 7, 50)] == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0]


async def test_a_program_says_when_it_is_ready_and_ends_when_asked(tmp_path: Path) -> None:
    script = "import os, sys, signal; os.write(int(sys.argv[1]), b'ready'); signal.pause()"
    async with supervised(tmp_path, script, READY) as process:
        await asyncio.wait_for(process.ready.wait(), 30)
        assert process.record.state == "running"
        assert psutil.pid_exists(process.record.pid)
        process.terminate()
        await wait_for(lambda: process.record.state == "stopped")
        assert process.record.last_exit.startswith("killed by SIGTERM")
        assert process.record.restarts == 0


async def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    child = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)\n"
    child += "while True: signal.pause()"
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    async with supervised(tmp_path, script, *PYTHON, child) as process:
        await wait_for(lambda: process.log_file.exists() and "deaf" in process.log_file.read_text())
        (grandchild,) = psutil.Process(process.record.pid).children()
        os.kill(process.record.pid, signal.SIGKILL)
        await wait_for(lambda: not grandchild.is_running(), message="the child of the killed program is gone")


def test_a_program_on_a_leash_dies_with_its_parent(tmp_path: Path) -> None:
    words = ["/bin/sh", "-c", "echo $$; exec sleep 600"]
    outer = f"import sys; sys.path.insert(0, {str(Path(leash.__file__).parent)!r}); import leash\n"
    outer += f"import subprocess; p = subprocess.Popen(leash.command({words!r})); sys.stdin.read()"
    parent = subprocess.Popen([*PYTHON, outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_program_whose_parent_is_gone_already_does_not_start() -> None:
    words = leash.command(["/bin/echo", "started"])
    words[words.index(str(os.getpid()))] = "1"
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")


# -- logs ----------------------------------------------------------------------------------------------------------


def test_a_log_is_put_aside_at_its_size_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(4):
            writer.write(b"%d" % number * 10)
            assert not rotate(log, limit_bytes=10, keep=2), "not larger than its limit"
            writer.write(b"\n")
            assert rotate(log, limit_bytes=10, keep=2)
            assert log.read_bytes() == b""
        writer.write(b"goes on")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "it.log": b"goes on",
        "it.log.1": b"3333333333\n",
        "it.log.2": b"2222222222\n",
    }
    assert rotate(log, limit_bytes=1, keep=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it.log", "it.log.1", "it.log.2"]
    assert not rotate(tmp_path / "absent.log", limit_bytes=1, keep=2)


def test_the_end_of_a_log_is_shown_whatever_is_in_it(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    log.write_bytes(b"\xff" * 100_000 + b"\n" + b"".join(b"line %d\n" % number for number in range(50)))
    assert tail(log, 2) == "line 48\nline 49"
    assert "no log" in tail(tmp_path / "absent.log")


# -- the port and the lock -----------------------------------------------------------------------------------------


def test_a_port_is_chosen_once_and_kept(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0, tmp_path) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127.0.0.1 port {port}: .*remove .*ports.json"):
            listen("127.0.0.1", 0, tmp_path)
        with pytest.raises(ConfigurationError, match=rf"\(process {os.getpid()}, .*set http.port\)$"):
            listen("127.0.0.1", port, tmp_path)
    for _ in range(3):
        with listen("127.0.0.1", 0, tmp_path) as again:
            assert again.getsockname()[1] == port
    (tmp_path / "ports.json").write_bytes(b"{broken")
    with listen("127.0.0.1", 0, tmp_path) as anew:
        assert anew.getsockname()[1] in range(20_000, 30_000)


def test_a_wildcard_address_is_reached_by_the_loopback() -> None:
    assert url_of("0.0.0.0", 80) == url_of("", 80) == "http://127.0.0.1:80"
    assert url_of("::", 80) == "http://[::1]:80"
    assert url_of("fd00::1", 80) == "http://[fd00::1]:80"
    assert url_of("host", 80) == "http://host:80"


def test_a_state_folder_has_one_supervisor_and_says_which(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert not is_held(state)
    first, second = StateLock(state), StateLock(state)
    first.acquire()
    assert is_held(state)
    with pytest.raises(RefsysError, match="another refsys is starting in this folder"):
        second.acquire()
    write_run(state, RunRecord(4711, "2026-01-01T00:00:00Z", "http://127.0.0.1:20000", "0", "", ""))
    with pytest.raises(RefsysError, match=r"is in use by refsys, process 4711, .* at http://127.0.0.1:20000"):
        second.acquire()
    first.release()
    assert not is_held(state)
    second.acquire()
    second.release()


def test_connections_of_an_earlier_start_do_not_hold_up_the_next(tmp_path: Path) -> None:
    """What the server's side closed stays in TIME_WAIT for a minute."""
    listening = listen("127.0.0.1", 0, tmp_path)
    with socket.create_connection(listening.getsockname()):
        listening.setblocking(True)
        peer, _address = listening.accept()
        peer.close()
    listening.close()
    listen("127.0.0.1", 0, tmp_path).close()
