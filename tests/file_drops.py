"""Sources that list files, looked at and read from as inbox and fetcher do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from refsys.infra.settings import FetchSettings, InboxSettings, Settings
from refsys.ingestion.model import Memory, Offer, Part, Source, Stream
from refsys.ingestion.protocols import open_source

FETCH = FetchSettings(connect_timeout_s=2.0, read_timeout_s=2.0)


@contextlib.asynccontextmanager
async def opened(fetch: FetchSettings = FETCH, **inbox: Any) -> AsyncIterator[Source]:
    """The source of an inbox; by default nothing is waited for."""
    made = InboxSettings(**{"id": "drop", "station": "Svalbard", "stable_s": 0, **inbox})
    source = await open_source(made, Settings(fetch=fetch))
    try:
        yield source
    finally:
        await source.close()


async def look(source: Source) -> tuple[dict[str, Offer], bool]:
    """What one look finds, by path, in its order; and whether it says that this is all."""
    found: dict[str, Offer] = {}
    is_whole = False
    async for findings in source.look(Memory()):
        assert not is_whole, "nothing comes after the end"
        found |= {offer.path: offer for offer in findings.offers}
        is_whole = findings.is_whole
    return found, is_whole


async def begin(source: Source, offer: Offer, part: Part | None = None, **options: Any) -> Stream:
    """A stream, opened in a thread."""
    part = part or Part("", offer.size_bytes, offer.version)
    return await asyncio.to_thread(source.open, offer, part, **options)


async def read(source: Source, offer: Offer, part: Part | None = None, **options: Any) -> bytes:
    """What a stream of an offer brings."""
    stream = await begin(source, offer, part, **options)
    return await asyncio.to_thread(drained, stream)


def drained(stream: Stream, step: int = 1000) -> bytes:
    """All that a stream still brings; it is closed."""
    buffer, data = memoryview(bytearray(step)), bytearray()
    try:
        while count := stream.readinto(buffer):
            data += buffer[:count]
        assert stream.readinto(buffer) == 0
    finally:
        stream.close()
    return bytes(data)


def until_cut(stream: Stream, step: int = 1000) -> bytes:
    """What a stream brings before it breaks off, which it has to."""
    buffer, data = memoryview(bytearray(step)), bytearray()
    try:
        while count := stream.readinto(buffer):
            data += buffer[:count]
    except OSError:
        return bytes(data)
    finally:
        stream.close()
    raise AssertionError(f"ended well after {len(data)} bytes")
