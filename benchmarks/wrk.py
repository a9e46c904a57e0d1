"""Debian's wrk, as `benchmarks/get-wrk.sh` unpacked it: so many clients ask for the same paths in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(sys.prefix) / "wrk"
#: Answers that each client has to get.
ENOUGH: Final = 10
_PATIENCE_S: Final = 60.0
_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw in `seconds`, and what the side that answered used of the processors."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p95_ms: float
    cpu_s: float

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of one request, which is CPU seconds of a thousand."""
        return 1000 * self.cpu_s / self.requests


def drive(
    port: int, paths: Sequence[str], cpu_seconds: Callable[[], float], *, clients: int, seconds: float, folder: Path
) -> Load:
    """Ask for the paths in turn for so long, or longer until ENOUGH are answered. Exits where one is none of success.

    What is being answered at the end is not counted, though it cost time: it has to be few of all.
    """
    program = _ROOT / "usr/bin/wrk"
    if not program.is_file():
        sys.exit("wrk, which drives this benchmark, is not here: run `make bench-search`")
    listed = folder / "paths"
    listed.write_text("\n".join(paths) + "\n")
    words = [program, "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "60s", "-s", _SCRIPT]
    environment = os.environ | {"LD_LIBRARY_PATH": str(_ROOT / "usr/lib/x86_64-linux-gnu")}
    before = cpu_seconds()
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{port}", "--", listed, "0"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    used = cpu_seconds() - before
    told = json.loads(done.stdout.splitlines()[-1])
    refused, broken = told.pop("refused"), told.pop("broken")
    is_late = seconds > _PATIENCE_S
    if refused or broken or (not told["requests"] and is_late):
        sys.exit(f"some of these requests were not answered: {paths[0]} …\n{done.stdout}")
    if told["requests"] < ENOUGH * clients and not is_late:
        return drive(port, paths, cpu_seconds, clients=clients, seconds=2 * seconds, folder=folder)
    return Load(cpu_s=used, **told)
