"""From described to published: bytes verified in their final place, once, whatever happens in between."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

import asyncpg
import pytest
from blake3 import blake3

from refsys.catalogue import store
from refsys.catalogue.model import Product
from refsys.core import steps
from refsys.core.products import product_id
from refsys.distribution import service
from refsys.distribution.packages import sealing
from refsys.infra.storage import Storage
from refsys.infra.storage.local import LocalStorage
from refsys.infra.work import emit
from tests.publishing import Gated, fetch, keys, parked, published, worker
from tests.stored_products import EOF, FRAME, TYPES, package_of, store_product
from tests.waiting import wait_for
from tests.working import nothing_left, running, step

ONE = {"manifest.safe": b"<one/>", "measurement/iw-vv.tiff": bytes(range(256)) * 4096, "support": None, "void": b""}
TWO = ONE | {"manifest.safe": b"<two/>"}


@pytest.fixture(params=["local", "s3"])
def stored(request: pytest.FixtureRequest, storage: Storage) -> Storage:
    """Both kinds of storage."""
    return storage if request.param == "local" else request.getfixturevalue("s3_gateway").storage()


def final_keys(product: Product, contents: dict[str, bytes | None]) -> set[str]:
    return {f"{product.final_base}/{product.name}/{path}" for path, data in contents.items() if data is not None}


async def test_a_described_product_becomes_a_published_one_in_its_final_place(
    dsn: str, pool: asyncpg.Pool, stored: Storage
) -> None:
    identity, content_id = await store_product(pool, stored, ONE, FRAME)
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    whole = package_of(ONE, FRAME)
    assert (product.package_layout, product.package_name) == (1, f"{FRAME}.zip")
    assert product.package_size == len(whole)
    assert product.package_md5 == hashlib.md5(whole).digest()
    assert product.package_blake3 == blake3(whole).digest()
    assert keys(stored) == final_keys(product, ONE)
    async with pool.acquire() as connection:
        content = await store.fetch_content(connection, content_id)
    assert content is not None
    assert content.base == product.final_base
    kinds = await pool.fetch("SELECT kind FROM distribution.document WHERE product_id = $1 ORDER BY kind", identity)
    assert [row["kind"] for row in kinds] == ["odata.attributes", "odata.product", "stac.item"]
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 1


async def test_a_product_that_is_one_file_is_its_package(dsn: str, pool: asyncpg.Pool, stored: Storage) -> None:
    identity, _ = await store_product(pool, stored, {"": b"<Earth_Explorer_File/>"}, EOF)
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert (product.package_layout, product.package_name, product.package_size) == (0, EOF, 22)
    assert product.package_md5 == hashlib.md5(b"<Earth_Explorer_File/>").digest()
    assert keys(stored) == {f"{product.final_base}/{EOF}"}


async def test_priority_goes_with_the_product(dsn: str, pool: asyncpg.Pool, storage: Storage) -> None:
    # each stage that follows outranks the one before it by one
    await pool.execute("INSERT INTO work.subscription (event, stage) VALUES ($1, 'later')", steps.PRODUCT_PUBLISHED)
    identity, _ = await store_product(pool, storage, ONE, FRAME, priority=73)
    async with worker(dsn, pool, storage):
        await published(pool, identity)
    row = await step(pool, FRAME)
    assert (row["stage"], row["priority"], row["payload"]) == ("later", 76, {"product_id": str(identity)})


async def test_files_that_differ_from_the_table_are_named_and_nothing_is_published(
    dsn: str, pool: asyncpg.Pool, stored: Storage
) -> None:
    identity, content_id = await store_product(pool, stored, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    pixels = bytearray(ONE["measurement/iw-vv.tiff"])
    pixels[777] ^= 1
    stored.put(f"{base}/{FRAME}/measurement/iw-vv.tiff", bytes(pixels))
    async with worker(dsn, pool, stored):
        error = await parked(pool)
    assert error["type"] == "Permanent"
    assert error["subject"] == FRAME
    assert f"its file {FRAME}/measurement/iw-vv.tiff in storage has the BLAKE3" in error["message"]
    product = await fetch(pool, identity)
    assert f"put the right bytes (those of the station) at {product.final_base}/{FRAME}/measurement" in error["advice"]
    assert (product.state, product.package_md5) == ("described", None)


@pytest.mark.parametrize("data", [b"<on/>", b"<one/>x"])
async def test_a_file_of_another_size_is_not_even_read(
    dsn: str, pool: asyncpg.Pool, storage: Storage, data: bytes
) -> None:
    _, content_id = await store_product(pool, storage, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    storage.put(f"{base}/{FRAME}/manifest.safe", data)
    async with worker(dsn, pool, storage):
        error = await parked(pool)
    assert f"manifest.safe in storage has {len(data)} bytes, and the file table says 6" in error["message"]


async def test_an_empty_file_that_is_not_empty_any_more_is_found(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    _, content_id = await store_product(pool, storage, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    storage.put(f"{base}/{FRAME}/void", b"x")
    async with worker(dsn, pool, storage):
        assert "void in storage has 1 bytes, and the file table says 0" in (await parked(pool))["message"]


async def test_a_missing_file_is_waited_for_and_then_parked(dsn: str, pool: asyncpg.Pool, stored: Storage) -> None:
    _, content_id = await store_product(pool, stored, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    stored.delete([f"{base}/{FRAME}/manifest.safe"])
    async with worker(dsn, pool, stored):
        error = await parked(pool)
    assert (error["type"], error["attempt"]) == ("MissingObject", 2)
    assert error["subject"].endswith(f"/{FRAME}/manifest.safe")


async def test_a_worker_that_died_between_moving_and_committing_is_followed_by_one_that_finishes(
    dsn: str, pool: asyncpg.Pool, stored: Storage
) -> None:
    identity, content_id = await store_product(pool, stored, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    product = await fetch(pool, identity)
    stored.move(base, product.final_base, [f"{FRAME}/{path}" for path, data in ONE.items() if data is not None])
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert keys(stored) == final_keys(product, ONE)


async def test_a_package_step_that_comes_again_after_its_commit_changes_nothing(
    dsn: str, pool: asyncpg.Pool, stored: Storage
) -> None:
    identity, content_id = await store_product(pool, stored, ONE, FRAME)
    payload = {"product_id": str(identity), "content_id": content_id}
    only_packages = service.stages(pool, stored, TYPES)[:1]
    async with running(dsn, pool, *only_packages):
        await wait_for(lambda: pool.fetchval("SELECT count(*) = 1 FROM work.history"), 20)
        first = await fetch(pool, identity)
        async with pool.acquire() as connection:
            await emit(connection, steps.PRODUCT_DESCRIBED, key=FRAME, payload=payload)
        await wait_for(lambda: pool.fetchval("SELECT count(*) = 2 FROM work.history"), 20)
    async with worker(dsn, pool, stored):
        before = await published(pool, identity)
        async with pool.acquire() as connection:
            await emit(connection, steps.PRODUCT_DESCRIBED, key=FRAME, payload=payload)
            await emit(connection, steps.PRODUCT_PACKAGED, key=FRAME, payload=payload)
        await nothing_left(pool)
    after = await fetch(pool, identity)
    assert first.package_md5 == after.package_md5
    assert after == before
    assert keys(stored) == final_keys(after, ONE)
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 1


@pytest.mark.parametrize("at", ["manifest.safe", "void"], ids=["first", "last"])
async def test_content_that_is_replaced_while_it_is_verified_is_given_up_and_deleted(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage, at: str
) -> None:
    gated = Gated(storage, at)
    identity, old = await store_product(pool, storage, ONE, FRAME)
    final_base = (await fetch(pool, identity)).final_base
    async with worker(dsn, pool, gated):
        await wait_for(gated.reached.is_set)
        again, new = await store_product(pool, storage, TWO, FRAME)
        discarded = "SELECT count(*) = 1 FROM work.history WHERE stage = 'catalogue.discard'"
        await wait_for(lambda: pool.fetchval(discarded), 20)
        # S3 moves file by file: one may arrive after those that were there have been deleted
        storage.put(f"{final_base}/{FRAME}/late", b"")
        gated.gate.set()
        product = await published(pool, identity)
        await nothing_left(pool)
    assert again == identity
    assert product.content_id == new != old
    assert product.package_md5 == hashlib.md5(package_of(TWO, FRAME)).digest()
    assert keys(storage) == final_keys(product, TWO)


async def test_content_that_was_moved_by_a_worker_that_died_and_then_replaced_leaves_nothing(
    dsn: str, pool: asyncpg.Pool, stored: Storage
) -> None:
    identity, old = await store_product(pool, stored, ONE, FRAME)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", old)
    product = await fetch(pool, identity)
    stored.move(base, product.final_base, [f"{FRAME}/{path}" for path, data in ONE.items() if data is not None])
    await store_product(pool, stored, TWO, FRAME)
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert keys(stored) == final_keys(product, TWO)


async def test_an_attempt_that_lost_its_lease_has_no_effect(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage
) -> None:
    gated = Gated(storage, "manifest.safe")
    identity, _ = await store_product(pool, storage, ONE, FRAME)
    async with worker(dsn, pool, gated):
        await wait_for(gated.reached.is_set)
        # as if this process had been stopped for longer than its lease, and another had taken over
        taken = await pool.fetchval(
            "UPDATE work.step SET token = gen_random_uuid(), lease_until = clock_timestamp() + $1 RETURNING id",
            timedelta(seconds=0.2),
        )
        gated.gate.set()
        product = await published(pool, identity)
        await nothing_left(pool)
    ends = await pool.fetch("SELECT step_id, attempts FROM work.history WHERE stage = 'distribution.package'")
    assert [(row["step_id"], row["attempts"]) for row in ends] == [(taken, 2)]
    assert keys(storage) == final_keys(product, ONE)


async def test_a_large_product_is_read_no_further_when_the_lease_is_lost(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PAUSE_AFTER", 1)  # every file is large
    gated = Gated(storage, "manifest.safe")
    identity, _ = await store_product(pool, storage, ONE, FRAME)
    async with worker(dsn, pool, gated):
        await wait_for(gated.reached.is_set)
        await pool.execute("UPDATE work.step SET token = gen_random_uuid(), lease_until = clock_timestamp()")
        gated.gate.set()
        product = await published(pool, identity)
    assert gated.opened == ["manifest.safe", "manifest.safe", "measurement/iw-vv.tiff", "void"]
    assert product.package_md5 == hashlib.md5(package_of(ONE, FRAME)).digest()


async def test_packaged_content_that_is_replaced_before_publication_is_not_published(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    package_stage, _ = service.stages(pool, storage, TYPES)
    identity, _ = await store_product(pool, storage, ONE, FRAME)
    async with running(dsn, pool, package_stage):
        await wait_for(lambda: pool.fetchval("SELECT state = 'packaged' FROM catalogue.product"))
    _, new = await store_product(pool, storage, TWO, FRAME)
    async with worker(dsn, pool, storage):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert product.content_id == new
    assert product.package_md5 == hashlib.md5(package_of(TWO, FRAME)).digest()
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 1
    assert keys(storage) == final_keys(product, TWO)


async def test_a_revision_takes_the_place_of_the_published_one(dsn: str, pool: asyncpg.Pool, storage: Storage) -> None:
    async with worker(dsn, pool, storage):
        first, _ = await store_product(pool, storage, ONE, FRAME)
        old = await published(pool, first)
        second, _ = await store_product(pool, storage, TWO, FRAME, on_change="revise")
        new = await published(pool, second)
        await nothing_left(pool)
    assert second == product_id(FRAME, 2)
    assert (await fetch(pool, first)).state == "superseded"
    # the old bytes are retention's to delete
    assert keys(storage) == final_keys(old, ONE) | final_keys(new, TWO)


async def test_publishers_at_the_same_time_give_each_product_its_own_position(
    dsn: str, pool: asyncpg.Pool, storage: Storage
) -> None:
    names = [FRAME.replace("_2160_", f"_{number:04d}_") for number in range(20)]
    for name in names:
        await store_product(pool, storage, {"manifest.safe": name.encode()}, name)
    async with worker(dsn, pool, storage), worker(dsn, pool, storage, worker="w2"):
        await asyncio.gather(*(published(pool, product_id(name)) for name in names))
        await nothing_left(pool)
    positions = await pool.fetch("SELECT feed_position FROM catalogue.product ORDER BY published_at")
    assert [row["feed_position"] for row in positions] == list(range(1, len(names) + 1))
