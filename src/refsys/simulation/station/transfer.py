"""Bytes on their way: whole or a range, in large pieces read ahead of the network, broken off on purpose."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from refsys.simulation.station.faults import Cut, Fault, Slow, Stall, TokensDie

PIECE: Final = 2**19
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop` (exclusive)."""

    start: int
    stop: int


def parse_range(text: str, size_bytes: int) -> Span | None:
    """The span of a Range header (RFC 9110, 14.2). None where the header is to be ignored: several ranges, other units.

    Raises ValueError where the range lies outside.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, stop = max(0, size_bytes - int(match[2])), size_bytes
    else:
        start, stop = int(match[1]), min(size_bytes, int(match[2]) + 1 if match[2] else size_bytes)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size_bytes or start >= stop:
        raise ValueError(f"{text}: lies outside of {size_bytes} bytes")
    return Span(start, stop)


class Transfer:
    """An ASGI response: `span` of `file`, which is closed at the end.

    `stopping` ends what is stalled when the station stops.
    """

    def __init__(
        self,
        file: io.BufferedIOBase,
        span: Span,
        *,
        status: int,
        headers: Mapping[str, str],
        stopping: asyncio.Event,
        fault: Fault | None = None,
    ) -> None:
        self._file = file
        self._span = span
        self._status = status
        self._headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (*headers.items(), ("Content-Length", str(span.stop - span.start)))
        ]
        self._stopping = stopping
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body"})
                return
            gone = asyncio.ensure_future(_disconnect(receive))
            try:
                await self._send_body(send, gone)
            finally:
                gone.cancel()
        finally:
            self._file.close()

    async def _send_body(self, send: Send, gone: asyncio.Future[None]) -> None:
        """A response that ends before its Content-Length ends its connection."""
        fault, span = self._fault, self._span
        if isinstance(fault, Slow):
            if await self._drip(send, gone, fault.bytes_per_s):
                await send({"type": "http.response.body"})
            return
        middle = min(span.stop, span.start + fault.at_byte) if isinstance(fault, Cut | Stall | TokensDie) else span.stop
        if not await self._push(send, gone, Span(span.start, middle)) or isinstance(fault, Cut | TokensDie):
            return
        if isinstance(fault, Stall) and await self._ends_while_stalled(gone, fault.seconds):
            return
        if await self._push(send, gone, Span(middle, span.stop)):
            await send({"type": "http.response.body"})

    async def _ends_while_stalled(self, gone: asyncio.Future[None], seconds: float | None) -> bool:
        stopping = asyncio.ensure_future(self._stopping.wait())
        ends: set[asyncio.Future[Any]] = {gone, stopping}
        ended, _waiting = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        return bool(ended)

    async def _drip(self, send: Send, gone: asyncio.Future[None], bytes_per_s: int) -> bool:
        """Send ten times a second a tenth of what a second may have."""
        step, span = max(1, bytes_per_s // 10), self._span
        for start in range(span.start, span.stop, step):
            if not await self._push(send, gone, Span(start, min(span.stop, start + step))):
                return False
            if await self._ends_while_stalled(gone, step / bytes_per_s):
                return False
        return True

    async def _push(self, send: Send, gone: asyncio.Future[None], span: Span) -> bool:
        """Send the bytes of `span`, reading one piece ahead.

        False if the client went, the station stops, or the file is shorter.
        """
        self._file.seek(span.start)
        at, ahead = span.start, None
        try:
            while at < span.stop:
                piece = await (ahead or self._read(span.stop - at))
                if not piece or gone.done() or self._stopping.is_set():
                    return False
                at += len(piece)
                ahead = self._read(span.stop - at) if at < span.stop else None
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            return True
        finally:
            if ahead is not None:
                ahead.cancel()

    def _read(self, left: int) -> asyncio.Future[bytes]:
        return asyncio.get_running_loop().run_in_executor(None, self._file.read, min(PIECE, left))


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
