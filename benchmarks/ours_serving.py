"""API processes of refsys on one port, as the supervisor starts them, on a database that is there already."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.processes import cpu_seconds
from refsys.infra.settings import Settings
from refsys.infra.settings_text import to_json


@dataclass(frozen=True, slots=True)
class Api:
    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pids)


@contextlib.contextmanager
def serving(dsn: str, folder: Path, processes: int) -> Iterator[Api]:
    """So many API processes, for the time of the block; their logs are in `folder`."""
    storage = folder / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    settings = Settings.model_validate(
        {"state_dir": folder, "database_url": dsn, "storage_url": storage.as_uri(), "log": {"level": "warning"}}
    )
    words = [["refsys.runtime.roles", "api", "--name", f"api-{number + 1}"] for number in range(processes)]
    with started(words, folder, to_json(settings)) as api:
        yield api


@contextlib.contextmanager
def serving_floor(dsn: str, folder: Path, processes: int, answers: Sequence[Sequence[str]]) -> Iterator[Api]:
    """So many processes of `benchmarks.floor`; `answers` are lists of product ids."""
    path = folder / "answers.json"
    path.write_bytes(orjson.dumps(answers))
    with started([["benchmarks.floor", dsn, str(path)]] * processes, folder, b"") as api:
        yield api


@contextlib.contextmanager
def started(programs: Sequence[Sequence[str]], folder: Path, given: bytes) -> Iterator[Api]:
    """Python programs on one port, each told `--socket` and `--ready`, and `given` on its standard input."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for number, words in enumerate(programs):
            running.append(_start(words, listening, folder / f"process-{number + 1}.log", given))
        yield Api(listening.getsockname()[1], tuple(process.pid for process in running))
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)
        listening.close()


def _start(words: Sequence[str], listening: socket.socket, log: Path, given: bytes) -> subprocess.Popen[bytes]:
    """Started and ready: what it was given to say so was written to, or closed."""
    reading, writing = os.pipe()
    told = ["--ready", str(writing), "--socket", str(listening.fileno())]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, *told],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(writing, listening.fileno()),
        )
    os.close(writing)
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    with os.fdopen(reading, "rb") as pipe:
        pipe.readline()
    if process.poll() is not None:
        sys.exit(f"{words[0]} does not start:\n{log.read_text()[-2000:]}")
    return process
