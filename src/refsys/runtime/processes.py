"""One supervised process: started on a leash, awaited, restarted with back-off, stopped with its whole group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog

from refsys.core.times import format_instant
from refsys.infra.runfile import ProcessRecord
from refsys.runtime import leash

log = structlog.get_logger(__name__)

BACKOFF_S: Final = 0.5
BACKOFF_LIMIT_S: Final = 30.0
#: A process that was ready for so long is healthy: its next end counts as the first.
HEALTHY_S: Final = 60.0
#: Ends in a row that make a crash loop.
CRASH_LOOP: Final = 3


def now() -> str:
    return format_instant(datetime.now(UTC))


def pause_after(ends: int) -> float:
    """Seconds to wait before the next start, after so many ends in a row (1, 2 …)."""
    return float(min(BACKOFF_LIMIT_S, BACKOFF_S * 2 ** (ends - 1)))


@dataclass(frozen=True, slots=True)
class Program:
    """What to start. `stdin` is given as a file (settings hold secrets: no argument, no environment).

    The program gets the number of a descriptor in place of the word READY and writes a line to it when it is ready.
    """

    name: str
    role: str
    words: Sequence[str]
    stdin: bytes
    descriptors: tuple[int, ...] = ()


READY: Final = "{ready}"


class SupervisedProcess:
    """Keeps one program running until `stop`. To be used from the event loop of a thread that lives as long.

    `on_change` is called whenever `record` changed.
    """

    def __init__(self, program: Program, log_file: Path, on_change: Callable[[], None]) -> None:
        self.program = program
        self.log_file = log_file
        self.record = ProcessRecord(program.name, program.role, since=now())
        self.ready = asyncio.Event()
        self.crash_loop = asyncio.Event()
        self._on_change = on_change
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start, await the end, pause, start again; returns after `stop`."""
        ends = 0
        while not self._stopping.is_set():
            became_ready = await self._run_once()
            if self._stopping.is_set():
                break
            healthy = became_ready is not None and asyncio.get_running_loop().time() - became_ready > HEALTHY_S
            ends = 1 if healthy else ends + 1
            pause_s = pause_after(ends)
            self._note(state="restarting", pid=0, restarts=self.record.restarts + 1, crash_loop=ends >= CRASH_LOOP)
            if ends >= CRASH_LOOP:
                self.crash_loop.set()
            log.warning(
                "process.ended", name=self.program.name, how=self.record.last_exit, in_a_row=ends, pause_s=pause_s
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
        self._note(state="stopped", pid=0)

    def terminate(self) -> None:
        """Ask it to finish (SIGTERM); `run` returns once it has."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._note(state="stopping")
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End it and its group."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._kill_group()

    async def _run_once(self) -> float | None:
        """One life. Returns the loop's time at which it became ready, None where it never did."""
        loop = asyncio.get_running_loop()
        became_ready: float | None = None
        reading, writing = os.pipe()

        def heard() -> None:
            nonlocal became_ready
            if os.read(reading, 4096):
                became_ready = loop.time()
                self._note(state="running")
                self.ready.set()
            else:
                loop.remove_reader(reading)

        loop.add_reader(reading, heard)
        try:
            self._process = await self._spawn(writing)
            os.close(writing)
            writing = -1
            self._note(state="starting", pid=self._process.pid)
            if self._stopping.is_set():
                self.terminate()
            code = await self._process.wait()
        finally:
            self._kill_group()
            loop.remove_reader(reading)
            os.close(reading)
            if writing != -1:
                os.close(writing)
        self.ready.clear()
        self._note(last_exit=in_words(code))
        return became_ready

    async def _spawn(self, ready: int) -> asyncio.subprocess.Process:
        words = [str(ready) if word == READY else word for word in self.program.words]
        with tempfile.TemporaryFile() as stdin, self.log_file.open("ab") as output:
            stdin.write(self.program.stdin)
            stdin.seek(0)
            return await asyncio.create_subprocess_exec(
                *leash.command(words, death_signal=signal.SIGKILL),
                stdin=stdin,
                stdout=output,
                stderr=output,
                pass_fds=(ready, *self.program.descriptors),
                start_new_session=True,
            )

    def _kill_group(self) -> None:
        """The process leads a session of its own: whatever it started and left is in its group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _note(self, **changes: Any) -> None:
        before = self.record
        self.record = replace(before, **changes)
        if self.record.state != before.state:
            self.record = replace(self.record, since=now())
        self._on_change()


def in_words(code: int) -> str:
    """How a process ended, from its return code (negative = the signal)."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name} at {now()}"
    return f"exit {code} at {now()}"
