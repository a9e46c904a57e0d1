"""`refsys up`: one process tree with everything in it, its state in one folder.

    lock → socket → PostgreSQL → migrations → storage → roles (worker, ingest, api), stopped in the opposite order

    <state>/lock, run.json      who supervises this folder, and what runs (infra.runfile)
    <state>/ports.json          the port, chosen once
    <state>/postgresql/         the embedded server
    <state>/storage/            local object storage
    <state>/logs/NAME.log       one per process

It may be used in-process (`async with running_system(settings) as system`), from the loop of a thread that outlives
it: the kernel ends the children when the thread that started them ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
from pydantic import SecretStr

from refsys import __version__
from refsys.core.errors import RefsysError, Transient
from refsys.infra.postgres import MIGRATED_PACKAGES, connected, migrate
from refsys.infra.runfile import ProcessRecord, RunRecord, StateLock, pids_of, write_run
from refsys.infra.settings import Settings
from refsys.infra.settings_text import to_json
from refsys.runtime import services
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.logfiles import rotate, tail
from refsys.runtime.ports import listen, url_of
from refsys.runtime.processes import CRASH_LOOP, READY, Program, SupervisedProcess, in_words, now, pause_after

log = structlog.get_logger(__name__)

ROLES: Final = ("worker", "ingest", "api")
START_TIMEOUT_S: Final = 120.0
DATABASE_TIMEOUT_S: Final = 30.0
_POLL_S = 0.02
_ROTATION_S = 10.0
#: Seconds beyond `work.stop_s` before a process that does not end is killed.
_STOP_MARGIN_S = 5.0


class Supervisor:
    """Start, watch and stop the whole system. `stop` may follow a `start` that failed."""

    def __init__(self, settings: Settings, *, roles: Sequence[str] = ROLES) -> None:
        self.state_dir = settings.state_dir.absolute()
        self.settings = settings.model_copy(update={"state_dir": self.state_dir})
        self.url = ""
        self.dsn = ""
        self._roles = roles
        self._lock = StateLock(self.state_dir)
        self._postgres: EmbeddedPostgres | None = None
        self._postgres_record = ProcessRecord("postgresql", "postgresql", since=now())
        self._processes: list[SupervisedProcess] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._socket: socket.socket | None = None
        self._stopping = False
        self._record = RunRecord(
            pid=os.getpid(),
            started_at=now(),
            url="",
            version=__version__,
            database=services.describe_database(settings),
            storage=services.describe_storage(settings),
        )

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start everything and return when all of it is ready.

        Raises RefsysError (folder in use, port taken, a process that does not come up, with its log's end); then
        everything is stopped again.
        """
        self._lock.acquire()
        try:
            await self._start(timeout_s)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Roles finish or give back, then PostgreSQL writes everything down, then the folder is free."""
        self._stopping = True
        self._close_socket()
        for process in self._processes:
            process.terminate()
        lives = [task for task in self._tasks if task.get_name().startswith("role ")]
        if lives:
            _done, late = await asyncio.wait(lives, timeout=self.settings.work.stop_s + _STOP_MARGIN_S)
            if late:
                log.warning("stop.killed", late=[task.get_name() for task in late])
                self.kill_roles()
                await asyncio.wait(late, timeout=_STOP_MARGIN_S)
        if self._postgres is not None:
            await asyncio.to_thread(self._postgres.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._postgres_record = replace(self._postgres_record, pid=0, state="stopped")
        self._record = replace(self._record, stopped_at=now())
        self._write()
        self._lock.release()

    def kill_roles(self) -> None:
        """Do not wait any longer for the roles (a second Ctrl-C)."""
        for process in self._processes:
            process.kill()

    async def wait(self) -> None:
        """Return when a task of the supervisor failed, raising its error; else never."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    def pids(self) -> dict[str, int]:
        """Name → pid of every process of the tree that lives: supervisor, postgresql, worker-1, api-1 …"""
        return dict(pids_of(self.record))

    @property
    def record(self) -> RunRecord:
        """What runs, as `refsys status` shows it."""
        first = (self._postgres_record,) if self._postgres is not None else ()
        return replace(self._record, processes=(*first, *(process.record for process in self._processes)))

    async def _start(self, timeout_s: float) -> None:
        logs = services.logs_folder(self.state_dir)
        logs.mkdir(exist_ok=True)
        self._write()
        http = self.settings.http
        self._socket = listen(http.host, http.port, self.state_dir)
        port = int(self._socket.getsockname()[1])
        self.url = (http.public_url or url_of(http.host, port)).rstrip("/")
        self.dsn = self.settings.database_url.get_secret_value()
        if self.dsn:
            await self._await_database()
        else:
            await self._start_postgres(timeout_s)
        applied = await migrate(self.dsn, MIGRATED_PACKAGES)
        log.info("schema.ready", applied=len(applied))
        for role, count in self._counts().items():
            for number in range(1, count + 1):
                name = f"{role}-{number}"
                process = SupervisedProcess(self._program(name, role, port), logs / f"{name}.log", self._write)
                self._processes.append(process)
                self._tasks.append(asyncio.create_task(process.run(), name=f"role {name}"))
        self._tasks.append(asyncio.create_task(self._rotate_logs(), name="log rotation"))
        await asyncio.gather(*(_await_ready(process, timeout_s) for process in self._processes))
        self._record = replace(self._record, url=self.url)
        self._write()
        log.info("up", url=self.url, state=str(self.state_dir), processes=len(self._processes))

    def _counts(self) -> dict[str, int]:
        """How many processes of each role; without an inbox there is nothing to ingest."""
        counts = {"worker": self.settings.work.processes, "ingest": 1 if self.settings.inbox else 0}
        counts["api"] = self.settings.http.processes
        return {role: count for role, count in counts.items() if role in self._roles and count}

    def _program(self, name: str, role: str, port: int) -> Program:
        """A role gets the whole settings, with what was found out here filled in."""
        settings = self.settings.model_copy(
            update={
                "database_url": SecretStr(self.dsn),
                "http": self.settings.http.model_copy(update={"port": port, "public_url": self.url}),
            }
        )
        words = [sys.executable, "-m", "refsys.runtime.roles", role, "--name", name, "--ready", READY]
        assert self._socket is not None
        if role == "api":
            words += ["--socket", str(self._socket.fileno())]
        descriptors = (self._socket.fileno(),) if role == "api" else ()
        return Program(name, role, words, to_json(settings), descriptors)

    async def _await_database(self) -> None:
        deadline = asyncio.get_running_loop().time() + DATABASE_TIMEOUT_S
        while True:
            try:
                async with connected(self.dsn):
                    return
            except Transient as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise RefsysError(error.message, subject=error.subject, advice="check database_url") from error
            await asyncio.sleep(1.0)

    async def _start_postgres(self, timeout_s: float) -> None:
        wanted = (
            40 + 16 * sum(self._counts().values()) + 2 * self.settings.work.processes * self.settings.work.concurrency
        )
        self._postgres = EmbeddedPostgres(
            services.postgres_folder(self.state_dir),
            log_file=services.logs_folder(self.state_dir) / "postgresql.log",
            options={"max_connections": str(max(100, wanted))},
        )
        await self._launch_postgres(self._postgres, timeout_s)
        self.dsn = self._postgres.dsn
        self._tasks.append(asyncio.create_task(self._watch_postgres(self._postgres), name="postgresql"))

    async def _launch_postgres(self, postgres: EmbeddedPostgres, timeout_s: float) -> None:
        await asyncio.to_thread(postgres.prepare)
        postgres.launch()  # here, not in a worker thread: it ends with the thread that starts it
        assert postgres.process is not None
        self._note_postgres(state="starting", pid=postgres.process.pid)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not postgres.is_ready():
            if asyncio.get_running_loop().time() > deadline:
                raise RefsysError(f"PostgreSQL is not ready after {timeout_s:.0f} s:\n{tail(postgres.log_file)}")
            await asyncio.sleep(_POLL_S)
        self._note_postgres(state="running")

    async def _watch_postgres(self, postgres: EmbeddedPostgres) -> None:
        """PostgreSQL restarts its own children; where the server itself is gone, start it again."""
        ends = 0
        while postgres.process is not None:
            code = await asyncio.to_thread(postgres.process.wait)
            if self._stopping:
                return
            ends += 1
            self._note_postgres(
                state="restarting",
                pid=0,
                restarts=self._postgres_record.restarts + 1,
                last_exit=in_words(code),
                crash_loop=ends >= CRASH_LOOP,
            )
            log.error("postgres.ended", how=in_words(code), in_a_row=ends)
            await asyncio.sleep(pause_after(ends))
            try:
                await self._launch_postgres(postgres, START_TIMEOUT_S)
                ends = 0
            except RefsysError as error:
                log.error("postgres.restart_failed", error=str(error))

    async def _rotate_logs(self) -> None:
        settings = self.settings.log
        while True:
            await asyncio.sleep(_ROTATION_S)
            for path in services.logs_folder(self.state_dir).glob("*.log"):
                await asyncio.to_thread(rotate, path, limit_bytes=settings.rotate_bytes, keep=settings.keep)

    def _note_postgres(self, **changes: Any) -> None:
        self._postgres_record = replace(self._postgres_record, since=now(), **changes)
        self._write()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _write(self) -> None:
        """A full disk leaves people with an old record, and everything running."""
        try:
            write_run(self.state_dir, self.record)
        except OSError as error:
            log.warning("run_file.not_written", error=str(error))


async def _await_ready(process: SupervisedProcess, timeout_s: float) -> None:
    """Raises RefsysError with its log's end where the process keeps ending, or takes too long."""
    waits = [asyncio.create_task(event.wait()) for event in (process.ready, process.crash_loop)]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    if not process.ready.is_set():
        how = process.record.last_exit or f"not ready after {timeout_s:.0f} s"
        raise RefsysError(
            f"does not start ({how}); its log ends with:\n{tail(process.log_file)}",
            subject=process.program.name,
            advice=f"see {process.log_file}",
        )


@contextlib.asynccontextmanager
async def running_system(settings: Settings, *, roles: Sequence[str] = ROLES) -> AsyncIterator[Supervisor]:
    """The whole system, ready, for the time of the block."""
    supervisor = Supervisor(settings, roles=roles)
    await supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()
