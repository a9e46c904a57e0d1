"""The steps of sessions: make the DSIBs that stations do not deliver, read those that they do."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Mapping
from functools import partial
from typing import Final

import asyncpg
import structlog
from blake3 import blake3

from refsys.catalogue import commands
from refsys.core.errors import HostileInput, InvalidProduct, Transient
from refsys.core.products import Arrival, FileEntry
from refsys.infra import xml
from refsys.infra.storage import Storage, object_key
from refsys.infra.work import Attempt, Stage, enqueue
from refsys.ingestion.sessions import store, verdicts
from refsys.ingestion.sessions.dsib import Delivered, read_dsib
from refsys.ingestion.sessions.judged import MAKE, READ, Composed, Whole, compose, judge, load
from refsys.ingestion.sessions.judging import stored_blocks
from refsys.ingestion.sessions.names import mission_of
from refsys.ingestion.sessions.reading import fetch_places

log = structlog.get_logger(__name__)

#: What products that we made ourselves have for their source.
SOURCE: Final = "refsys"


def session_stages(pool: asyncpg.Pool, storage: Storage) -> list[Stage]:
    """The stages of sessions, for a worker."""
    return [
        Stage(name=MAKE, handle=partial(_make, pool=pool, storage=storage)),
        Stage(name=READ, handle=partial(_read, pool=pool, storage=storage)),
    ]


async def _make(attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage) -> None:
    """In: {session, channel}. Effect: the channel's DSIB in storage and catalogue. Due next: `product.arrived`.

    A station's DSIB that came meanwhile is left alone; where blocks came meanwhile, it is made again.
    """
    name, channel = str(attempt.payload["session"]), int(attempt.payload["channel"])
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        composed = _wanted(await load(connection, name), channel)
    base = f"attempts/{attempt.token}"
    if composed is not None:
        await asyncio.to_thread(_put, storage, object_key(base, composed.name), composed.data)
    async with attempt.commit() as connection:
        await store.hold(connection, [name])
        whole = await load(connection, name)
        now = _wanted(whole, channel)
        if now != composed:
            await enqueue(connection, MAKE, key=attempt.key, payload=attempt.payload, priority=attempt.priority)
            return
        if composed is None or (await verdicts.fetch_made(connection, name)).get(channel) == composed.digest:
            return
        content_id = await commands.arrive(
            connection, _arrival(composed, base, whole, channel), priority=attempt.priority
        )
        await verdicts.enter_made(connection, name, channel, composed.digest, content_id)
    log.info("session.dsib_made", session=name, channel=channel, product=composed.name)


async def _read(attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage) -> None:
    """In: {session, channel, content_id}. Effect: what a delivered DSIB says is known, the session judged by it."""
    payload: Mapping[str, int] = attempt.payload
    session_id, channel, content_id = payload["session"], payload["channel"], payload["content_id"]
    async with pool.acquire() as connection:
        place = (await fetch_places(connection, [content_id])).get(content_id)
    if place is None:
        raise Transient(f"content {content_id} lies nowhere", subject=attempt.key)
    try:
        if place["size"] > xml.SIZE_LIMIT:
            raise HostileInput(f"is larger than {xml.SIZE_LIMIT} bytes", subject=place["name"])
        data = await asyncio.to_thread(storage.read, object_key(place["base"], place["name"]))
        said = await asyncio.to_thread(read_dsib, data, name=place["name"])
    except (InvalidProduct, HostileInput) as error:
        said = Delivered((), None, None, None, f"cannot be read: {error.message}")
    async with attempt.commit() as connection:
        session = await store.hold_row(connection, session_id)
        if session is None or not await verdicts.is_newest_dsib(connection, session_id, channel, content_id):
            return
        names = list(said.names) or None
        await verdicts.enter_delivered(connection, [session_id, channel, names, said.size_bytes, said.problem])
        await verdicts.enter_times(connection, session_id, said.start, said.stop)
        await judge(connection, session.name, {session.retransfer})


def _put(storage: Storage, key: str, data: bytes) -> None:
    with storage.batch() as batch:
        batch.put(key, data)


def _wanted(whole: Whole, channel: int) -> Composed | None:
    """The DSIB to be made; None where the station's own is here, or the channel is neither complete nor given up."""
    facts = whole.merged.by_channel.get(channel)
    if facts is None or facts.has_stored_dsib:
        return None
    is_over = any(transfer.facts.is_passed for transfer in whole.transfers.values())
    return compose(whole, channel) if is_over or whole.together.channels[channel].is_complete else None


def _arrival(composed: Composed, base: str, whole: Whole, channel: int) -> Arrival:
    data = composed.data
    entry = FileEntry(
        composed.name,
        len(data),
        zlib.crc32(data),
        hashlib.md5(data, usedforsecurity=False).digest(),
        blake3(data).digest(),
    )
    blocks = [block for number, block in stored_blocks(whole.merged) if number == channel]
    newest = max((block.published_at for block in blocks if block.published_at is not None), default=None)
    satellite = next((transfer.row["satellite"] for transfer in whole.transfers.values()), "")
    return Arrival(
        name=composed.name,
        base=base,
        files=(entry,),
        source=SOURCE,
        on_change="revise",
        available_at=newest,
        t0_raw=newest,
        mission=mission_of(satellite) or None,
    )
