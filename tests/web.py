"""The HTTP application behind a real server, and answers read as they came."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from refsys.runtime.serving import serve


@dataclass(frozen=True, slots=True)
class Answered:
    """`headers` by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    """The port on which it answers for the time of the block."""
    listening = socket.create_server(("127.0.0.1", 0))
    ready, stop = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, ready=ready.set, stop=stop, drain_s=1))
    await ready.wait()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        await serving


async def sent(port: int, request: bytes, *, is_head: bool = False) -> Answered:
    """What comes back for these bytes; with the header `Connection: close` the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        async with asyncio.timeout(20):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            pairs = [line.partition(": ") for line in lines]
            headers = {name.lower(): value for name, _, value in pairs}
            length = 0 if is_head else int(headers.get("content-length", 0))
            body = await reader.readexactly(length)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return Answered(int(first.split()[1]), headers, body)


async def asked(port: int, target: str | bytes, method: str = "GET", body: bytes = b"", **headers: str) -> Answered:
    """One request, its target as it is; `Content_Type` names the header Content-Type."""
    line = target if isinstance(target, bytes) else target.encode()
    named = {"Host": "refsys.test", "Connection": "close"} | {n.replace("_", "-"): v for n, v in headers.items()}
    if body:
        named["Content-Length"] = str(len(body))
    head = b"".join(f"{name}: {value}\r\n".encode() for name, value in named.items())
    return await sent(
        port, method.encode() + b" " + line + b" HTTP/1.1\r\n" + head + b"\r\n" + body, is_head=method == "HEAD"
    )
