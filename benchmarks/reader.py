"""The client of downloads, the same for both sides: it takes bytes off a socket as fast as it can and drops them.

`python -m benchmarks.reader HOST PORT PATH` connects, says `ready`, begins at a line on its standard input, and tells
how many bytes of body it got.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_BUFFER: Final = 2**20


@dataclass(frozen=True, slots=True)
class Reading:
    """What several clients got together: bytes of bodies, seconds from the first request to the last byte."""

    size_bytes: int
    seconds: float


async def read(url: str, clients: int) -> Reading:
    """Have `clients` processes download the same URL at the same time."""
    parts = urlsplit(url)
    words = [sys.executable, "-m", "benchmarks.reader", parts.hostname or "", str(parts.port), parts.path]
    processes = [
        await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        for _ in range(clients)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    started = time.perf_counter()
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    seconds = time.perf_counter() - started
    if any(process.returncode for process in processes):
        sys.exit(f"a client could not download {url}")
    return Reading(sum(int(output) for output, _ in answers), seconds)


def download(host: str, port: int, path: str) -> None:
    """One client."""
    buffer = bytearray(_BUFFER)
    with socket.create_connection((host, port)) as connection:
        print("ready", flush=True)
        sys.stdin.readline()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        count = connection.recv_into(buffer)
        head, _, _ = bytes(buffer[:count]).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"http://{host}:{port}{path} answered {head[:80]!r}")
        expected = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        received = count - len(head) - 4
        while count := connection.recv_into(buffer):
            received += count
    if received != expected:
        sys.exit(f"http://{host}:{port}{path} gave {received} of {expected} bytes")
    print(received)


if __name__ == "__main__":
    download(sys.argv[1], int(sys.argv[2]), sys.argv[3])
