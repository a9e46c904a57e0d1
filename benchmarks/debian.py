"""Debian's PostgreSQL, as `benchmarks/get-postgis.sh` unpacked it: a cluster of its own on the loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import cpu_seconds
from refsys.runtime.pginstall import choose_account

#: What all servers of the benchmarks are set to, whosever they are: as `refsys up` sets its own, and durable.
SETTINGS: Final = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
}
_ROOT: Final = Path(sys.prefix) / "debian"
_BIN: Final = _ROOT / "usr/lib/postgresql/15/bin"
_START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. The user is `postgres`, who is trusted."""

    port: int
    pid: int

    def dsn(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, those that have ended too."""
        return cpu_seconds([self.pid])


@contextlib.contextmanager
def running(folder: Path, *, keep: bool = False) -> Iterator[Server]:
    """A cluster in `folder`, for the time of the block: a new one, or with `keep` the one that is there already."""
    if not (_BIN / "postgres").is_file():
        sys.exit("Debian's PostgreSQL, which this benchmark compares on, is not here: run `make bench-catalogue`")
    account = choose_account()
    data = folder / "data"
    is_new = not (keep and data.exists())
    if is_new:
        data.mkdir(parents=True, mode=0o700)
    who = {}
    if account.is_other:
        shutil.chown(data, account.uid, account.gid)
        who = {"user": account.uid, "group": account.gid, "extra_groups": []}
        for parent in (folder, *folder.parents):
            if not parent.stat().st_mode & 0o001:
                sys.exit(
                    f"{account.name}, as whom PostgreSQL runs, cannot enter {parent}: set TMPDIR to another folder"
                )
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": _libraries()}
    initdb = [_BIN / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
    if is_new:
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, env=environment, cwd="/", **who)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = SETTINGS | {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [_BIN / "postgres", "-D", data, *options], stdout=log, stderr=log, env=environment, cwd="/", **who
        )
    try:
        _await(data, process, folder / "log")
        yield Server(port, process.pid)
    finally:
        process.send_signal(2)
        process.wait(120)
        if not keep:
            shutil.rmtree(data)


def _await(data: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, IndexError):
            if (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                return
        time.sleep(0.05)
    sys.exit(f"Debian's PostgreSQL does not start:\n{log.read_text()[-2000:]}")


def _libraries() -> str:
    """The folders of shared libraries in the unpacked packages."""
    folders = {path.parent for path in (_ROOT / "usr/lib").rglob("*.so*") if "postgresql" not in path.parts}
    return ":".join(sorted(map(str, folders)))
