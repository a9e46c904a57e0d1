"""The catalogue's steps: describe what arrived, and delete the bytes of what was replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import asyncpg
import structlog

from refsys.catalogue import commands, store
from refsys.catalogue.auxiliaries import Auxiliaries
from refsys.catalogue.completeness import check
from refsys.catalogue.extract import examine_files
from refsys.catalogue.model import Content
from refsys.core.errors import HostileInput, Permanent, Transient
from refsys.core.products import Description, FileEntry, made_beside
from refsys.infra import xml
from refsys.infra.settings import InboxSettings
from refsys.infra.storage import Storage, object_key
from refsys.infra.work import Attempt, Stage
from refsys.missions import Recognised, TypeRegistry

log = structlog.get_logger(__name__)


def stages(
    pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, inboxes: Sequence[InboxSettings] = ()
) -> list[Stage]:
    """The stages that the catalogue runs; what an inbox says now of its products counts, not what it said once."""
    by_id = {inbox.id: inbox for inbox in inboxes}
    auxiliaries = Auxiliaries(pool, storage, types)
    describe = partial(_describe, pool=pool, storage=storage, types=types, inboxes=by_id, auxiliaries=auxiliaries)
    return [
        Stage(name=commands.DESCRIBE, handle=describe),
        Stage(name=commands.DISCARD, handle=partial(_discard, pool=pool, storage=storage)),
    ]


async def _describe(
    attempt: Attempt,
    *,
    pool: asyncpg.Pool,
    storage: Storage,
    types: TypeRegistry,
    inboxes: Mapping[str, InboxSettings],
    auxiliaries: Auxiliaries,
) -> None:
    """In: {content_id}. Effect: a product in the catalogue. Due next: `product.described`."""
    content_id = int(attempt.payload["content_id"])
    async with pool.acquire() as connection:
        whole = await store.fetch_whole(connection, content_id)
    if whole is None:
        raise Permanent(f"content {content_id} is not in the catalogue", subject=attempt.key)
    content, files = whole
    if content.discarded_at is not None:
        log.info("describe.obsolete", product=content.name, content=content_id)
        return
    if inbox := inboxes.get(content.source):
        # an operator may have changed it since, to have this step succeed when it is restarted; what was meant to
        # replace (a retransfer) still does
        on_change = content.on_change if content.on_change == "revise" else inbox.on_change
        content = replace(content, on_change=on_change, completeness=inbox.completeness)
    recognised = types.recognise(content.name)
    description = await asyncio.to_thread(examine, recognised, storage, content, files)
    description = await auxiliaries.complete(recognised, description)
    timeliness = recognised.type.timeliness.class_of(description.attributes)
    priority = max(types.priority(recognised, timeliness), attempt.priority)
    async with attempt.commit() as connection:
        described = await commands.describe(connection, content, recognised, description, priority=priority)
    log.info(
        "describe.done",
        product=content.name,
        product_type=recognised.product_type,
        outcome=described.outcome,
        problems=len(description.problems),
    )


def examine(recognised: Recognised, storage: Storage, content: Content, files: Sequence[FileEntry]) -> Description:
    """Read a product's metadata and compare its files with its manifest (blocking).

    Raises InvalidProduct or HostileInput where the product is useless or dangerous; with the content's
    completeness `record`, files that lack are among the description's problems.
    """
    sizes = {entry.path: entry.size_bytes for entry in files if not entry.is_folder}

    def read(path: str, most_bytes: int | None = None, /) -> bytes:
        if most_bytes is None and sizes.get(path, 0) > xml.SIZE_LIMIT:
            raise HostileInput(
                f"its metadata file {path} has {sizes[path]} bytes, more than {xml.SIZE_LIMIT}",
                subject=content.name,
                advice="look at the file; if it is sound, report its type to the developers",
            )
        return storage.read(object_key(content.base, path), most_bytes)

    description, members = examine_files(recognised, read, files)
    lacking = check(members, files, content.completeness)
    if not lacking:
        return description
    return Description(
        sensing_start=description.sensing_start,
        sensing_stop=description.sensing_stop,
        footprint=description.footprint,
        footprint_quality=description.footprint_quality,
        attributes=description.attributes,
        problems=(*description.problems, *lacking),
    )


async def _discard(attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage) -> None:
    """In: {content_id, final_base}. Effect: the bytes of a discarded content are gone from both its places.

    What lies in place is not ours to delete.
    """
    async with pool.acquire() as connection:
        content = await store.fetch_content(connection, int(attempt.payload["content_id"]))
        if content is None or content.discarded_at is None:
            return
        if content.in_place:
            log.info("discard.left_in_place", product=content.name, content=content.id)
            return
        files = await store.files_of(connection, content.id)
        busy = await connection.fetchval("SELECT count(*) FROM catalogue.product WHERE content_id = $1", content.id)
    if busy:
        raise Transient("is still used by a product", subject=f"content {content.id} of {content.name}")
    paths = [entry.path for entry in files]
    # in the order in which packaging moves them: what leaves the first place in between is found in the second
    for base in dict.fromkeys((content.base, attempt.payload.get("final_base") or content.base)):
        await asyncio.to_thread(_delete, storage, base, content.name, paths)
    log.info("discard.done", product=content.name, content=content.id, files=len(paths))


def _delete(storage: Storage, base: str, name: str, paths: list[str]) -> None:
    if base.startswith("attempts/"):
        storage.delete_prefix(f"{base}/")
    else:
        storage.delete([f"{base}/{path}" for path in paths])
        storage.delete_prefix(f"{base}/{name}/")
        storage.delete_prefix(f"{base}/{made_beside(name)}/")
