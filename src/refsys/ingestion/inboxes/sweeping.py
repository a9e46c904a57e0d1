"""Bytes in storage that nobody will ever ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import structlog

from refsys.catalogue import commands
from refsys.catalogue.store import used_bases
from refsys.infra.storage import Storage
from refsys.ingestion.service import ATTEMPTS

log = structlog.get_logger(__name__)


async def sweep_attempts(pool: asyncpg.Pool, storage: Storage, before: datetime) -> Sequence[str]:
    """Delete the folders of attempts in which nothing was written since `before` and which no content uses.

    Contents there that nobody will describe any more are discarded: their bytes go by steps of their own.
    """
    stale = await asyncio.to_thread(storage.stale, f"{ATTEMPTS}/", before)
    if not stale:
        return []
    async with pool.acquire() as connection:
        used = await used_bases(connection, list(stale))
        async with connection.transaction():
            given_up = await commands.discard_orphans(connection, list(used))
    gone = [base for base in stale if base not in used]
    for base in gone:
        await asyncio.to_thread(storage.delete_prefix, f"{base}/")
    if gone or given_up:
        log.info("sweep.done", attempts=len(gone), products=given_up)
    return gone


async def sweep_unfinished(storage: Storage, before: datetime) -> int:
    """Remove what attempts began to write and nobody went on with since `before`; returns how many objects."""
    count = await asyncio.to_thread(storage.sweep_unfinished, f"{ATTEMPTS}/", before)
    if count:
        log.info("sweep.unfinished", objects=count)
    return count
