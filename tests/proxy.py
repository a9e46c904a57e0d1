"""The way to a database, which a test can cut (nobody listens) or block (nothing comes through)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Stands between clients and a PostgreSQL on a local socket, on a local socket of its own in `folder`."""

    def __init__(self, dsn: str, folder: Path) -> None:
        there = parse_qs(urlsplit(dsn).query)["host"][0]
        self.dsn = dsn.replace(there, str(folder))
        self._there, self._here = Path(there) / _SOCKET, folder / _SOCKET
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()

    async def open(self) -> None:
        """Let clients through (again)."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self._here)

    def block(self) -> None:
        """Take connections as before, and let nothing through."""
        self._flows.clear()

    async def cut(self) -> None:
        """End every connection; nobody listens any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._here.unlink(missing_ok=True)
        self._flows.set()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._there)
        ends = {writer, there_writer}
        self._writers |= ends
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def proxied(dsn: str, folder: Path) -> AsyncIterator[Proxy]:
    """A way that is open, for the time of the block."""
    proxy = Proxy(dsn, folder)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.cut()
