"""nginx as the peer: it serves a folder on a free port of the loopback."""

from __future__ import annotations

import contextlib
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

#: Where it may be besides PATH: Debian's place, and the one into which `make` unpacks Debian's package.
_PLACES: Final = (Path("/usr/sbin/nginx"), Path(sys.prefix) / "nginx/usr/sbin/nginx")
_START_S: Final = 10.0

# what Debian's own configuration says of sending files; nothing is logged on either side
_CONFIGURATION: Final = """
daemon off;
worker_processes {workers};
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    keepalive_requests 1000000;
    server {{ listen 127.0.0.1:{port}; root "{folder}"; {more} }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx; `url` without final slash."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        return cpu_seconds([self.pid])


def program() -> str:
    """Path of nginx. Ends the benchmark, saying what to do, where there is none."""
    found = shutil.which("nginx") or next((str(place) for place in _PLACES if place.is_file()), None)
    if found is None:
        sys.exit("nginx, the peer of this benchmark, is not here: install your system's package nginx-light (or nginx)")
    return found


@contextlib.contextmanager
def serving(folder: Path, work: Path, *, workers: int = 2, more: str = "") -> Iterator[Nginx]:
    """nginx serving what lies in `folder`, with its own files in `work`, for the time of the block.

    `more` goes into its `server` block.
    """
    work.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = work / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(workers=workers, work=work, port=port, folder=folder, more=more))
    # its workers must be able to read the folder: as root they would be `nobody`
    user = ["-g", "user root;"] if _is_root() else []
    process = subprocess.Popen([program(), "-e", work / "error.log", "-p", work, "-c", configuration, *user])
    try:
        _await(port, process, work)
        yield Nginx(port, process.pid)
    finally:
        process.terminate()
        process.wait(10)


def _is_root() -> bool:
    import os

    return os.geteuid() == 0


def _await(port: int, process: subprocess.Popen[bytes], work: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"nginx does not start; see {work / 'error.log'}")
