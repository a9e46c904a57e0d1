"""`refsys up` or `refsys demo` as a process, for tests that ask it to stop, kill it, or kill parts of it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from refsys.infra.runfile import ProcessRecord, RunRecord, read_run
from tests.waiting import wait_until

#: A cold start on a busy machine of two cores.
START_S = 90.0
REFSYS = [sys.executable, "-c", "from refsys.cli.main import main; main()"]
INBOX = """
[[inbox]]
id = "folder"
type = "folder"
url = "{folder}"
poll_s = 0.2
stable_s = 0.05
"""


@dataclass(frozen=True, slots=True)
class System:
    """One run. `output` is what it printed so far, `errors` what it wrote to its standard error."""

    process: subprocess.Popen[bytes]
    state: Path

    @property
    def output(self) -> str:
        return self.state.with_name(f"{self.state.name}.out").read_text("utf-8")

    @property
    def errors(self) -> str:
        return self.state.with_name(f"{self.state.name}.err").read_text("utf-8")

    @property
    def run(self) -> RunRecord:
        record = read_run(self.state)
        assert record is not None
        return record

    @property
    def processes(self) -> dict[str, ProcessRecord]:
        return {process.name: process for process in self.run.processes}

    def tree(self) -> list[psutil.Process]:
        """The supervisor and everything below it, PostgreSQL's own processes too."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.run.url}/health/ready", timeout=10).status_code == 200
        return False

    def steps(self, state: str) -> float:
        """How many steps are in this state, over all stages, by the metrics."""
        with contextlib.suppress(httpx.TransportError):
            lines = httpx.get(f"{self.run.url}/metrics", timeout=10).text.splitlines()
            return sum(
                float(line.split()[-1])
                for line in lines
                if line.startswith("refsys_steps{") and f'state="{state}"' in line
            )
        return -1


def environment() -> dict[str, str]:
    """Ours, without what would set anything."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("REFSYS_", "PG"))}


@contextlib.contextmanager
def started(
    state: Path,
    *,
    config: str = "",
    words: Sequence[str] = (),
    prefix: Sequence[str] = (),
    command: Sequence[str] = ("up",),
) -> Iterator[System]:
    """Start it in a process group of its own, as a shell does, and do not wait; what is left at the end is killed."""
    state.parent.mkdir(parents=True, exist_ok=True)
    toml, out, err = (state.with_name(f"{state.name}.{suffix}") for suffix in ("toml", "out", "err"))
    toml.write_text(config, "utf-8")
    with out.open("wb") as output, err.open("wb") as errors:
        process = subprocess.Popen(
            [*prefix, *REFSYS, "--config", str(toml), "--state", str(state), *words, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
            env=environment(),
        )
    try:
        yield System(process, state)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for left in psutil.Process(process.pid).children(recursive=True):
                left.kill()
        process.kill()
        process.wait()


def await_up(system: System) -> None:
    """Wait until it says that it is up; a start that ended shows what it said."""

    def is_up() -> bool:
        assert system.process.poll() is None, system.errors
        return "refsys is up at" in system.output

    wait_until(is_up, START_S, "refsys up says that it is up")


def are_gone(tree: Sequence[psutil.Process], timeout_s: float = 30.0) -> bool:
    return not psutil.wait_procs(tree, timeout_s)[1]
