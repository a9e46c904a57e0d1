"""However many downloads go on as fast as they can, everybody else has the event loop between two pieces."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from refsys.core.products import FileEntry
from refsys.distribution.odata.streaming import FIRST_PIECE, Portion, StreamedPackage, Turns
from refsys.distribution.packages import lay_out

CLIENTS, PIECES = 8, 20


class Memory:
    """Storage all of which is in memory."""

    size_bytes = PIECES * FIRST_PIECE

    def open(self, _: str) -> Memory:
        return self

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(length)

    def read_now(self, offset: int, length: int) -> bytearray:
        return bytearray(length)

    def close(self) -> None: ...


class Free:
    """Lets everybody through."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    async def enter(self) -> None: ...

    def count(self, sent_bytes: int) -> None: ...

    def leave(self) -> None: ...


async def test_between_two_turns_of_the_loop_at_most_one_piece_is_sent() -> None:
    turns, pieces, ticks = Turns(), Counter[int](), 0

    async def somebody_else() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def stays() -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def send(message: Any) -> None:
        pieces[ticks] += bool(message.get("body"))

    memory: Any = Memory()
    package = lay_out(0, "a.nc", None, [FileEntry("a.nc", Memory.size_bytes)])
    with ThreadPoolExecutor(2) as threads:
        portion = Portion("a.nc", package, "base", 0, Memory.size_bytes)
        downloads = [
            StreamedPackage(portion, memory, threads, Free(turns), status=200, headers={}) for _ in range(CLIENTS)
        ]
        other = asyncio.create_task(somebody_else())
        await asyncio.gather(*(download({}, stays, send) for download in downloads))
        other.cancel()
    assert pieces.total() == CLIENTS * PIECES
    assert max(pieces.values()) == 1
