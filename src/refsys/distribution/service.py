"""Distribution's steps: package what is described, publish what is packaged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from refsys.catalogue import commands, rules, store
from refsys.catalogue.model import Content, Product
from refsys.catalogue.rules import Kind
from refsys.core import steps
from refsys.core.errors import InvalidProduct, Permanent, RefsysError
from refsys.core.products import FileEntry, made_beside
from refsys.distribution import assets
from refsys.distribution.packages import (
    Deflating,
    Seal,
    Sealer,
    Sealing,
    is_written,
    lay_out,
    layout_for,
    written_path,
)
from refsys.distribution.packages.bare import BareFile
from refsys.distribution.quicklooks.providing import Quicklooks
from refsys.distribution.rendering import store_documents
from refsys.infra.storage import MissingObject, Storage, StorageFull, object_key
from refsys.infra.work import Attempt, Stage, emit
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: The share of storage that written packages leave free.
_KEPT_FREE: Final = 0.05


def stages(pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> list[Stage]:
    """The stages that distribution runs."""
    package = partial(_package, pool=pool, storage=storage, quicklooks=Quicklooks(storage, types))
    return [
        Stage(name="distribution.package", handle=package),
        # publications wait for each other anyway (the feed's lock): more of them would only keep hands from other work
        Stage(name="distribution.publish", handle=partial(_publish, types=types), concurrency=2),
    ]


async def _package(attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage, quicklooks: Quicklooks) -> None:
    """In: {product_id, content_id}. Effect: the files lie in their final place, verified; the package's layout, size
    and checksums are final, and so is the picture. Due next: `product.packaged`.
    """
    product_id, content_id = _payload(attempt)
    started = time.monotonic()
    async with pool.acquire() as connection:
        product = await store.fetch_product(connection, product_id)
        whole = await store.fetch_whole(connection, content_id)
    if product is None or whole is None:
        raise _unknown(attempt)
    content, files = whole
    if product.content_id != content_id or product.published_at is not None:
        log.info("package.obsolete", product=product.name, content=content_id)
        return
    try:
        await asyncio.to_thread(_settle, storage, content, product, files)
        layout, seal = await _sealed(attempt, storage, content, product, files)
        picture = await quicklooks.picture_of(product, files, may_make=not content.in_place)
    except MissingObject:
        if await _given_up(pool, storage, product):
            return
        raise
    async with attempt.commit() as connection:
        is_ours = await commands.set_packaged(
            connection,
            product_id,
            content_id,
            base=product.final_base,
            layout=layout,
            package_name=seal.package_name,
            size_bytes=seal.size_bytes,
            md5=seal.md5,
            blake3=seal.blake3,
        )
        if is_ours:
            await assets.set_picture(connection, product_id, picture)
            await _announce_packaged(connection, attempt, product)
    if not is_ours:
        await _given_up(pool, storage, product)
        return
    if content.base != product.final_base:
        await asyncio.to_thread(_clear, storage, content.base, product.name)
    log.info(
        "package.done",
        product=product.name,
        package=seal.package_name,
        size_bytes=seal.size_bytes,
        files=len(files),
        seconds=round(time.monotonic() - started, 3),
    )


async def _publish(attempt: Attempt, *, types: TypeRegistry) -> None:
    """In: {product_id, content_id}. Effect: users see the product, unless a hold keeps it. Due: `product.published`."""
    product_id, content_id = _payload(attempt)
    try:
        async with attempt.commit() as connection:
            product = await store.fetch_product(connection, product_id)
            if product is None:
                raise _unknown(attempt)
            if product.content_id != content_id or product.state != "packaged":
                raise _Obsolete
            await store_documents(connection, product, types)
            await emit(
                connection,
                steps.PRODUCT_PUBLISHED,
                key=product.name,
                payload={"product_id": str(product_id)},
                priority=steps.onwards(attempt.priority),
            )
            # last, as it takes the feed's lock
            published = await commands.publish(connection, product_id, content_id)
            if published is None:
                holds = [rule.id for rule in await rules.applying(connection, product.name) if rule.kind is Kind.HOLD]
                raise _Held(holds) if holds else _Obsolete
    except _Held as held:
        log.info("publish.held", product=attempt.key, content=content_id, rules=held.rules)
        return
    except _Obsolete:
        log.info("publish.obsolete", product=attempt.key, content=content_id)
        return
    log.info("publish.done", product=attempt.key, position=published.feed_position, replaced=published.replaced)


class _Held(Exception):
    """A hold keeps it from being published: whoever lifts the hold makes this step anew."""

    def __init__(self, rules: Sequence[int]) -> None:
        self.rules = rules


class _Obsolete(Exception):
    """Other content took its place, or it is published already: nothing of this transaction shall stay."""


def _settle(storage: Storage, content: Content, product: Product, files: Sequence[FileEntry]) -> None:
    """Bring the files to their final place; where they are there, whoever brought them, nothing is to do."""
    if content.base != product.final_base:
        storage.move(content.base, product.final_base, [entry.path for entry in files if not entry.is_folder])


async def _sealed(
    attempt: Attempt, storage: Storage, content: Content, product: Product, files: Sequence[FileEntry]
) -> tuple[int, Seal]:
    """The layout of the package, and what is final of it.

    A full disk keeps no product back: where there is no room to write its package, it gets one that is computed.
    """
    layout = layout_for(product.packaging, in_place=content.in_place)
    if is_written(layout):
        try:
            if await asyncio.to_thread(_has_room, storage, content.size):
                return layout, await _written(attempt, storage, product, files)
        except StorageFull as error:
            log.warning("package.full", product=product.name, error=str(error))
        layout = layout_for("zip")
        log.warning("package.no_room", product=product.name, layout=layout)
    package = lay_out(layout, product.name, product.sensing_start, files)
    if isinstance(package, BareFile) and product.visibility == "internal" and not content.in_place:
        [entry] = files
        if entry.md5 and entry.blake3:
            # blocks of sessions: we summed these bytes as we wrote them, and no user takes them from us
            await asyncio.to_thread(_expect, storage, product, entry)
            return layout, Seal(package.name, entry.size_bytes, entry.md5, entry.blake3)
    return layout, await _driven(attempt, Sealing(storage, product.final_base, product.name, package, files))


def _expect(storage: Storage, product: Product, entry: FileEntry) -> None:
    """Raises MissingObject where the file is not in its final place, InvalidProduct where it has another size."""
    key = object_key(product.final_base, entry.path)
    found = storage.stat(key)
    if found is None:
        raise MissingObject(key)
    if found.size_bytes != entry.size_bytes:
        raise InvalidProduct(
            f"has {found.size_bytes} bytes in storage, {entry.size_bytes} were written",
            subject=product.name,
            advice="was it changed by hand? fetch it again",
        )


def _has_room(storage: Storage, size_bytes: int) -> bool:
    """Whether a package of this size leaves storage as free as others need it."""
    free = storage.free_bytes()
    return free is None or free[0] - size_bytes >= _KEPT_FREE * free[1]


async def _written(attempt: Attempt, storage: Storage, product: Product, files: Sequence[FileEntry]) -> Seal:
    """Write the package, in a place of this attempt's own, and bring it beside the product when it is whole."""
    own = f"attempts/{attempt.token}"
    target = f"{own}/{product.name}.zip"
    sealer = Deflating(storage, product.final_base, product.name, product.sensing_start, files, target=target)
    try:
        seal = await _driven(attempt, sealer)
        folder = written_path(product.name, seal.md5).rpartition("/")[0]
        await asyncio.to_thread(storage.move, own, f"{product.final_base}/{folder}", [seal.package_name])
        return seal
    finally:
        await asyncio.to_thread(_clear_attempt, storage, own, product.name)


async def _driven(attempt: Attempt, sealer: Sealer) -> Seal:
    """Verify the files in their final place. Raises Permanent naming the file that differs."""
    try:
        while await asyncio.to_thread(sealer.advance):
            await attempt.check()
        return sealer.seal()
    finally:
        sealer.stop()


async def _given_up(pool: asyncpg.Pool, storage: Storage, product: Product) -> bool:
    """Whether other content took the place of the one that `product` had; its bytes are deleted then.

    Whoever discarded it may have looked into the final place before everything had come there.
    """
    async with pool.acquire() as connection:
        content = await store.fetch_content(connection, product.content_id)
    is_discarded = content is None or content.discarded_at is not None
    log.info("package.obsolete", product=product.name, content=product.content_id, discarded=is_discarded)
    if is_discarded and not (content and content.in_place):
        await asyncio.to_thread(_clear, storage, product.final_base, product.name)
    return is_discarded


async def _announce_packaged(connection: asyncpg.Connection, attempt: Attempt, product: Product) -> None:
    await emit(
        connection,
        steps.PRODUCT_PACKAGED,
        key=product.name,
        payload=dict(attempt.payload),
        priority=steps.onwards(attempt.priority),
    )


def _clear(storage: Storage, base: str, product_name: str) -> None:
    """Delete what is left of a product where nothing refers to it; what cannot be deleted now is swept later."""
    try:
        storage.delete([f"{base}/{product_name}"])
        storage.delete_prefix(f"{base}/{product_name}/")
        storage.delete_prefix(f"{base}/{made_beside(product_name)}/")
    except (RefsysError, OSError) as error:
        log.warning("package.left_over", product=product_name, base=base, error=str(error))


def _clear_attempt(storage: Storage, base: str, product_name: str) -> None:
    """Delete what an attempt has written and not moved; what cannot be deleted now is swept later."""
    try:
        storage.delete_prefix(f"{base}/")
    except (RefsysError, OSError) as error:
        log.warning("package.left_over", product=product_name, base=base, error=str(error))


def _payload(attempt: Attempt) -> tuple[UUID, int]:
    return UUID(attempt.payload["product_id"]), int(attempt.payload["content_id"])


def _unknown(attempt: Attempt) -> Permanent:
    return Permanent(
        f"the catalogue has no product {attempt.payload['product_id']} with content {attempt.payload['content_id']}",
        subject=attempt.key,
        advice="delete this step; if the product is missing, have it offered again by its station",
    )
