"""A server that writes to its connections what a test says, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Say = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class WireStation:
    """`heads` are the requests that came, each as text; `connections` counts those that were opened."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0


def range_asked(head: str) -> str:
    """The Range of a request; empty where it has none."""
    found = [line for line in head.split("\r\n") if line.lower().startswith("range:")]
    return found[0].partition(": ")[2] if found else ""


@contextlib.asynccontextmanager
async def wire_station(say: Say | bytes) -> AsyncIterator[WireStation]:
    """Each request of a connection is answered by `say(head, writer)`, or with these bytes."""
    station = WireStation()

    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        station.connections += 1
        station.open_connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                station.heads.append(head)
                if isinstance(say, bytes):
                    writer.write(say)
                else:
                    await say(head, writer)
                await writer.drain()
        station.open_connections -= 1
        writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        await task

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    async with server:
        station.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield station
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
