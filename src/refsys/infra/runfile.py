"""What runs in a state folder: written by its supervisor at every change, read by `refsys status`, `/metrics`, people.

`<state>/lock` is held (flock) as long as the supervisor lives; `<state>/run.json` says who it is. Where the lock is
free, what the file says is history.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from refsys.core.errors import RefsysError

_PATIENCE_S = 0.5

ProcessState = Literal["starting", "running", "restarting", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """One supervised process. `since` is an instant; `last_exit` is how it ended last time, in words."""

    name: str
    role: str
    pid: int = 0
    state: ProcessState = "starting"
    since: str = ""
    restarts: int = 0
    last_exit: str = ""
    crash_loop: bool = False


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a supervisor. `database` and `storage` say which services it uses, without secrets."""

    pid: int
    started_at: str
    url: str
    version: str
    database: str
    storage: str
    processes: tuple[ProcessRecord, ...] = field(default=())
    stopped_at: str = ""


class StateLock:
    """The lock on a state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "lock"
        self._descriptor = -1

    def acquire(self) -> None:
        """Take it. Raises RefsysError naming who holds it (a look by `is_held` is waited for, a supervisor is not)."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.02)
                    continue
                os.close(descriptor)
                raise _in_use(self._path.parent) from None
            self._descriptor = descriptor
            return

    def release(self) -> None:
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(state_dir: Path) -> bool:
    """Whether a supervisor lives in this folder."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_run(state_dir: Path, record: RunRecord) -> None:
    """Replace the file in one move."""
    new = state_dir / "run.json.new"
    new.write_bytes(orjson.dumps(asdict(record), option=orjson.OPT_INDENT_2) + b"\n")
    new.replace(state_dir / "run.json")


def read_run(state_dir: Path) -> RunRecord | None:
    """What the last supervisor wrote; None where there was none, or where it cannot be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        plain: dict[str, Any] = orjson.loads((state_dir / "run.json").read_bytes())
        processes = tuple(ProcessRecord(**process) for process in plain.pop("processes"))
        return RunRecord(**plain, processes=processes)
    return None


def running(state_dir: Path) -> RunRecord | None:
    """The run that is going on in this folder, if one is."""
    return read_run(state_dir) if is_held(state_dir) else None


def pids_of(record: RunRecord) -> Iterator[tuple[str, int]]:
    """Name and pid of the supervisor and of everything that lives under it."""
    yield "supervisor", record.pid
    for process in record.processes:
        if process.pid and process.state in ("starting", "running", "stopping"):
            yield process.name, process.pid


def _in_use(state_dir: Path) -> RefsysError:
    record = read_run(state_dir)
    if record is None:
        return RefsysError("another refsys is starting in this folder", subject=str(state_dir))
    return RefsysError(
        f"is in use by refsys, process {record.pid}, since {record.started_at}, at {record.url or '(no URL yet)'}",
        subject=str(state_dir),
        advice="use that one, stop it, or give another folder with --state",
    )
