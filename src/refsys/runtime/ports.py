"""The listening socket: chosen once, kept in the state folder, opened by the supervisor, inherited by its children.

A free port is chosen below the range from which the kernel takes the ports of outgoing connections, so that it is
still free at the next start. If it is not, that is an error and no new choice: users have its URL.
"""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path
from typing import Final

import orjson
import psutil

from refsys.core.errors import ConfigurationError
from refsys.core.hosts import host_in_url

_RANGE: Final = range(20_000, 30_000)
_TRIES: Final = 200
_BACKLOG: Final = 2048


def listen(host: str, port: int, state_dir: Path) -> socket.socket:
    """A listening socket on `port`; 0 = the one kept in the state folder, chosen and recorded the first time.

    Raises ConfigurationError naming the port, who has it, and what to do.
    """
    record = state_dir / "ports.json"
    kept = port or _kept(record)
    if kept:
        try:
            return open_socket(host, kept)
        except OSError as error:
            advice = "stop that program, or set http.port" + ("" if port else f" (or remove {record} to choose anew)")
            raise ConfigurationError(
                f"cannot listen on {host} port {kept}: {error.strerror or error}{_holder(kept)}", advice=advice
            ) from error
    problem: OSError | None = None
    for candidate in random.SystemRandom().sample(_RANGE, _TRIES):
        try:
            listening = open_socket(host, candidate)
        except OSError as error:
            problem = error
            continue
        record.write_bytes(orjson.dumps({"http": candidate}) + b"\n")
        return listening
    raise ConfigurationError(f"cannot listen on {host}: {problem}", advice="set http.host and http.port")


def open_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket (IPv4 or IPv6, as `host` says). Raises OSError."""
    family, kind, protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def url_of(host: str, port: int) -> str:
    """The URL at which this machine reaches the socket."""
    return f"http://{host_in_url(host)}:{port}"


def _kept(record: Path) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return int(orjson.loads(record.read_bytes())["http"])
    return 0


def _holder(port: int) -> str:
    """` (process 123, nginx)`, where this user may see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and tuple(connection.laddr)[1:2] == (port,):
                return f" (process {connection.pid}, {psutil.Process(connection.pid).name()})"
    return ""
