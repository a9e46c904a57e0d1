"""The step that reads station acquisition plans, which come as files like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import asyncpg
import structlog

from refsys.catalogue.store import fetch_current, fetch_whole
from refsys.core.errors import InvalidProduct
from refsys.core.products import FileEntry
from refsys.infra import xml
from refsys.infra.storage import MissingObject, Storage, object_key
from refsys.infra.work import Attempt, Stage, enqueue
from refsys.ingestion.passes import plans, store

log = structlog.get_logger(__name__)

#: The stage that reads plans.
PLAN: Final = "ingestion.plan"
_DOCUMENTS: Final = (".xml", ".eof")


async def note_stored(connection: asyncpg.Connection, name: str, product_type: str, content_id: int) -> None:
    """Called in the transaction that stores a file: a plan is read by a step of its own."""
    if plans.is_plan(product_type):
        await enqueue(connection, PLAN, key=name, payload={"content_id": content_id})


def stages(pool: asyncpg.Pool, storage: Storage) -> list[Stage]:
    return [Stage(name=PLAN, handle=partial(_read, pool=pool, storage=storage))]


async def _read(attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage) -> None:
    """In: {content_id}. Effect: the planned passes of one station and satellite. Due next: nothing."""
    content_id = int(attempt.payload["content_id"])
    async with pool.acquire() as connection:
        whole = await fetch_whole(connection, content_id)
        product = await fetch_current(connection, attempt.key)
    if whole is None or whole[0].discarded_at is not None:
        log.info("plan.obsolete", product=attempt.key, content=content_id)
        return
    content, files = whole
    bases = [content.base] if product is None else [content.base, product.final_base]
    data = await asyncio.to_thread(_document, storage, bases, files, content.name)
    plan = await asyncio.to_thread(plans.read_plan, data, content.name)
    async with attempt.commit() as connection:
        await store.enter_plan(connection, plan)
    log.info("plan.read", product=plan.name, satellite=plan.satellite, station=plan.station, passes=len(plan.passes))


def _document(storage: Storage, bases: Sequence[str], files: Sequence[FileEntry], name: str) -> bytes:
    """The plan's XML, from where it came or where packaging moved it. Raises MissingObject where it is in neither."""
    found = [entry for entry in files if entry.path.lower().endswith(_DOCUMENTS) and not entry.is_folder]
    if not found:
        raise InvalidProduct("holds no .xml or .EOF file", subject=name, advice="look at what the station sent")
    path = found[0].path
    if found[0].size_bytes > xml.SIZE_LIMIT:
        raise InvalidProduct(f"has {found[0].size_bytes} bytes, more than {xml.SIZE_LIMIT}", subject=name)
    for base in bases:
        try:
            return storage.read(object_key(base, path))
        except MissingObject:
            continue
    raise MissingObject(object_key(bases[-1], path))
