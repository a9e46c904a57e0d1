"""The bytes of a package on their way from storage to a client.

A download begins when there is a slot for it (distribution/slots.py), which is free again when the client is gone.

What the system has in memory is read between two sends, without leaving the event loop; all else in threads, the next
piece while the last is being sent. A client's disconnection ends the reading. Bytes that are missing break the
connection: the client must not take what it got for the whole.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from refsys.core.errors import RefsysError, Transient
from refsys.distribution.packages import FilePart, Package, Part
from refsys.infra.storage import Reader, Storage, object_key

log = structlog.get_logger(__name__)

#: Bytes that are read at once: at first, and at most, where reading takes long (a network, a disk that seeks).
FIRST_PIECE: Final = 512 * 2**10
LARGEST_PIECE: Final = 4 * 2**20
_NOTHING: Final = {"type": "http.response.body", "body": b"", "more_body": True}
#: Seconds after which reading a piece counts as long.
_LONG_S: Final = 0.004

Chunk = list[Part]
Data = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Portion:
    """The bytes [start, stop) of a product's package, whose files lie under `base`."""

    product_name: str
    package: Package
    base: str
    start: int
    stop: int


class Turns:
    """One piece in each turn of the event loop, for all downloads of a process, in the order in which they ask.

    Everybody else waits for one piece at a time then, however many downloads are as fast as we are.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False

    async def take(self) -> None:
        """Wait until a piece may be sent."""
        loop = asyncio.get_running_loop()
        if self._is_taken:
            mine = loop.create_future()
            self._waiting.append(mine)
            await mine
        else:
            self._is_taken = True
            loop.call_soon(self._give, loop)

    def _give(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._waiting:
            mine = self._waiting.popleft()
            if not mine.done():
                mine.set_result(None)
                loop.call_soon(self._give, loop)
                return
        self._is_taken = False


class Passage(Protocol):
    """What a download needs to begin, whom it is counted for, and when its next piece may go."""

    turns: Turns

    async def enter(self) -> None:
        """Called before the first byte is read. Raises where this download may not begin now."""
        ...

    def count(self, sent_bytes: int) -> None:
        """So many bytes more went to the client."""
        ...

    def leave(self) -> None:
        """Called, perhaps several times, once the client gets no more."""
        ...


class StreamedPackage(Response):
    """A response that reads its body while it sends it."""

    def __init__(
        self,
        portion: Portion,
        storage: Storage,
        threads: ThreadPoolExecutor,
        passage: Passage,
        *,
        status: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(None, status, headers)
        self._portion = portion
        self._storage = storage
        self._threads = threads
        self._passage = passage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await self._passage.enter()
            # a piece may still be read for somebody who is gone: that must not hold the slot
            gone.add_done_callback(lambda _: self._passage.leave())
            await self._send(send, gone)
        finally:
            gone.cancel()
            self._passage.leave()

    async def _send(self, send: Send, gone: asyncio.Task[None]) -> None:
        name = self._portion.product_name
        started, sent = time.monotonic(), 0
        reading = _Reading(_Source(self._storage, self._portion), self._threads)
        try:
            data = await self._first(reading)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while data and not gone.done():
                # returns when the client has taken what was sent: nobody's turn is spent on waiting for that
                await send(_NOTHING)
                await self._passage.turns.take()
                await send({"type": "http.response.body", "body": data, "more_body": True})
                sent += len(data)
                self._passage.count(len(data))
                # a client that is as fast as we are would otherwise never let anybody else have the loop
                await asyncio.sleep(0)
                data = await reading.next()
            if not data:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (RefsysError, OSError) as error:
            log.error("download.broken", product=name, sent_bytes=sent, error=str(error.__cause__ or error))
            raise
        finally:
            reading.close()
        event = "download.done" if not data else "download.left"
        log.info(event, product=name, sent_bytes=sent, seconds=round(time.monotonic() - started, 3))

    async def _first(self, reading: _Reading) -> Data:
        """The first piece: until it is sent, an error can still be told."""
        try:
            return await reading.next()
        except (RefsysError, OSError) as error:
            raise Transient(
                "its bytes cannot be read at the moment", subject=self._portion.product_name, advice="try again later"
            ) from error


class _Reading:
    """Decides where the next piece is read: here, or in a thread, and then the one after it too."""

    def __init__(self, source: _Source, threads: ThreadPoolExecutor) -> None:
        self._source = source
        self._threads = threads
        self._ready: Data | None = None
        self._pending: Future[Data] | None = None

    async def next(self) -> Data:
        """The next bytes; none at the end. Raises MissingObject and the like."""
        if self._pending is None:
            data = self._now()
            if data is not None:
                return data
            self._pending = self._threads.submit(self._source.read)
        data = await asyncio.wrap_future(self._pending)
        self._pending = None
        if data:
            self._ready = self._source.read_now()
            if self._ready is None:
                self._pending = self._threads.submit(self._source.read)
        return data

    def close(self) -> None:
        """Free everything, as soon as nobody reads any more."""
        if self._pending is None:
            self._source.close()
        else:
            self._pending.cancel()
            self._pending.add_done_callback(lambda _: self._source.close())

    def _now(self) -> Data | None:
        if self._ready is None:
            return self._source.read_now()
        data, self._ready = self._ready, None
        return data


class _Source:
    """The pieces of a portion, one after the other; used by one thread at a time."""

    def __init__(self, storage: Storage, portion: Portion) -> None:
        self._storage = storage
        self._portion = portion
        self._piece = FIRST_PIECE
        self._chunks = self._cut(portion.package.parts(portion.start, portion.stop))
        self._chunk: Chunk | None = None
        self._open: tuple[str, Reader] | None = None

    def read_now(self) -> Data | None:
        """The next piece if nobody has to wait for it; None says nothing about whether there is one."""
        chunk = self._chunk = self._chunk or next(self._chunks, None)
        if chunk is None:
            return b""
        part = chunk[0]
        if len(chunk) > 1 or isinstance(part, bytes) or self._open is None or self._open[0] != part.path:
            return None
        data = self._open[1].read_now(part.offset, part.length)
        if data is None:
            return None
        self._piece = FIRST_PIECE
        rest = part.length - len(data)
        self._chunk = [FilePart(part.path, part.offset + len(data), rest)] if rest else None
        return data

    def read(self) -> Data:
        """The next piece; b"" at the end."""
        chunk, self._chunk = self._chunk or next(self._chunks, []), None
        started = time.monotonic()
        found = [part if isinstance(part, bytes) else self._read(part) for part in chunk]
        if time.monotonic() - started > _LONG_S:
            self._piece = min(2 * self._piece, LARGEST_PIECE)
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _read(self, part: FilePart) -> bytes:
        if self._open is None or self._open[0] != part.path:
            self.close()
            self._open = part.path, self._storage.open(object_key(self._portion.base, part.path))
        data = self._open[1].read_at(part.offset, part.length)
        if len(data) != part.length:
            raise RefsysError(
                f"its file {part.path} ends at {part.offset + len(data)} bytes, before its end",
                subject=self._portion.product_name,
                advice=f"its bytes in storage under {self._portion.base} were altered after publication",
            )
        return data

    def _cut(self, parts: Iterator[Part]) -> Iterator[Chunk]:
        """Group small parts and cut large ones, these where a piece of their file ends."""
        chunk: Chunk = []
        size = 0
        for part in parts:
            for piece in [part] if isinstance(part, bytes) else self._pieces(part):
                chunk.append(piece)
                size += len(piece) if isinstance(piece, bytes) else piece.length
                if size >= self._piece:
                    yield chunk
                    chunk, size = [], 0
        if chunk:
            yield chunk

    def _pieces(self, part: FilePart) -> Iterator[FilePart]:
        offset, stop = part.offset, part.offset + part.length
        while offset < stop:
            end = min(stop, offset - offset % self._piece + self._piece)
            yield FilePart(part.path, offset, end - offset)
            offset = end


async def _disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())
