"""Packages that are written once: whole or not there, whatever happens; and the pictures made beside products."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tracemalloc
import zipfile
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import numpy as np
import pytest
from blake3 import blake3
from PIL import Image

from refsys.catalogue.model import Product
from refsys.distribution import assets, service
from refsys.distribution.packages import Deflating, sealing, written_path
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage, StorageFull
from refsys.infra.storage.local import LocalStorage
from refsys.simulation.samples import make_samples
from refsys.web.app import create_app
from tests.publishing import Gated, fetch, keys, parked, published, worker
from tests.small_disk import small_disk
from tests.stored_products import FRAME, GRD, TYPES, Contents, file_table, package_of, store_product
from tests.waiting import wait_for
from tests.working import nothing_left

ONE: Contents = {
    "manifest.safe": b"<one/>" * 1000,
    "measurement/s1a-iw-grd-vv-001.tiff": random.Random(1).randbytes(600_001),
    "support": None,
    "void": b"",
}
TWO = ONE | {"manifest.safe": b"<two/>" * 1000}


@pytest.fixture(params=["local", "s3"])
def stored(request: pytest.FixtureRequest, storage: Storage) -> Storage:
    """Both kinds of storage."""
    return storage if request.param == "local" else request.getfixturevalue("s3_gateway").storage()


def package_key(product: Product) -> str:
    assert product.package_md5 is not None
    return f"{product.final_base}/{written_path(product.name, product.package_md5)}"


def final_keys(product: Product, contents: Contents) -> set[str]:
    files = {f"{product.final_base}/{product.name}/{path}" for path, data in contents.items() if data is not None}
    return files | {package_key(product)}


def contents_of(data: bytes, name: str = GRD) -> Contents:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {
            info.filename.removeprefix(f"{name}/").removesuffix("/"): None if info.is_dir() else found.read(info)
            for info in found.infolist()
        }


async def test_a_package_is_written_beside_its_product_and_served_from_there(
    dsn: str, pool: asyncpg.Pool, stored: Storage, settings: Settings
) -> None:
    identity, _ = await store_product(pool, stored, ONE)
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert (product.package_layout, product.package_name) == (2, f"{GRD}.zip")
    assert keys(stored) == final_keys(product, ONE)
    whole = stored.read(package_key(product))
    assert product.package_size == len(whole) < 612_000
    assert (product.package_md5, product.package_blake3) == (hashlib.md5(whole).digest(), blake3(whole).digest())
    assert contents_of(whole) == ONE
    app = create_app(pool=pool, storage=stored, types=TYPES, settings=settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub") as client:
        url = f"/odata/v1/Products({identity})/$value"
        assert (await client.get(url)).content == whole
        part = await client.get(url, headers={"Range": "bytes=100-599999"})
    assert (part.status_code, part.content) == (206, whole[100:600_000])


async def test_a_file_that_differs_parks_and_leaves_no_package(dsn: str, pool: asyncpg.Pool, stored: Storage) -> None:
    identity, content_id = await store_product(pool, stored, ONE)
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
    stored.put(f"{base}/{GRD}/void", b"")
    stored.put(f"{base}/{GRD}/measurement/s1a-iw-grd-vv-001.tiff", bytes(600_001))
    async with worker(dsn, pool, stored):
        error = await parked(pool)
    product = await fetch(pool, identity)
    assert f"its file {GRD}/measurement/s1a-iw-grd-vv-001.tiff in storage has the BLAKE3" in error["message"]
    assert (product.state, product.package_md5) == ("described", None)
    assert {key for key in keys(stored) if key.endswith(".zip")} == set()


async def test_what_a_worker_that_died_has_written_is_of_no_account(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage
) -> None:
    identity, _ = await store_product(pool, storage, ONE)
    product = await fetch(pool, identity)
    other = f"{product.final_base}/_made/{GRD}/{'00' * 16}/{GRD}.zip"
    storage.put(other, b"whole, but of another version of the library, and nobody came to say so")
    async with worker(dsn, pool, storage):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert contents_of(storage.read(package_key(product))) == ONE
    assert keys(storage) == final_keys(product, ONE) | {other}


async def test_an_attempt_that_lost_its_lease_has_no_effect(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PAUSE_AFTER", 1)
    large = {"a": bytes(9 * 2**20), "b": b"b" * 100}
    gated = Gated(storage, "a", GRD)
    identity, _ = await store_product(pool, storage, large)
    async with worker(dsn, pool, gated):
        await wait_for(gated.reached.is_set)
        await pool.execute(
            "UPDATE work.step SET token = gen_random_uuid(), lease_until = clock_timestamp() + $1",
            timedelta(seconds=0.2),
        )
        gated.gate.set()
        product = await published(pool, identity)
        await nothing_left(pool)
    assert gated.opened == ["a", "a", "b"], "the first attempt reads no further"
    await wait_for(lambda: list((storage.root / ".new").iterdir()) == [])
    assert keys(storage) == final_keys(product, large)


async def test_content_that_is_replaced_leaves_no_package(dsn: str, pool: asyncpg.Pool, stored: Storage) -> None:
    identity, _ = await store_product(pool, stored, ONE)
    await pool.execute("UPDATE work.subscription SET stage = 'later' WHERE stage = 'distribution.publish'")
    async with worker(dsn, pool, stored):
        await wait_for(lambda: pool.fetchval("SELECT state = 'packaged' FROM catalogue.product"))
        await pool.execute("UPDATE work.subscription SET stage = 'distribution.publish' WHERE stage = 'later'")
        await store_product(pool, stored, TWO)
        product = await published(pool, identity)
        await wait_for(lambda: keys(stored) == final_keys(product, TWO))
    assert contents_of(stored.read(package_key(product))) == TWO


@pytest.mark.parametrize("is_seen_late", [False, True])
async def test_a_full_disk_keeps_no_product_back(
    dsn: str, pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seen_late: bool
) -> None:
    noise = {"noise": random.Random(5).randbytes(3 * 2**20)}
    with small_disk(tmp_path / "disk", 5 * 2**20) as disk:
        identity, content_id = await store_product(pool, disk.storage, noise)
        base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", content_id)
        sealer = Deflating(disk.storage, base, GRD, None, file_table(GRD, noise), target="attempts/t/x.zip")
        with pytest.raises(StorageFull):
            sealer.advance()
        sealer.stop()
        assert keys(disk.storage) == {f"{base}/{GRD}/noise"}
        monkeypatch.setattr(service, "_has_room", lambda storage, size_bytes: is_seen_late)
        async with worker(dsn, pool, disk.storage):
            product = await published(pool, identity)
            await nothing_left(pool)
        assert keys(disk.storage) == {f"{product.final_base}/{GRD}/noise"}
    assert product.package_layout == 1
    assert product.package_md5 == hashlib.md5(package_of(noise)).digest()


async def test_a_disk_is_not_filled_with_packages(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalStorage, "free_bytes", lambda self: (1000, 10_000))
    assert [service._has_room(storage, size) for size in (500, 501)] == [True, False]


def test_what_it_has_in_memory_does_not_grow_with_the_product(storage: LocalStorage) -> None:
    large = random.Random(6).randbytes(2**20) * 96
    contents = {"large": large}
    files = file_table(GRD, contents)
    storage.put(f"base/{GRD}/large", large)
    del large, contents
    sealer = Deflating(storage, "base", GRD, None, files, target="package.zip")
    tracemalloc.start()
    while sealer.advance():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    sealer.stop()
    assert peak < 40 * 2**20


async def test_a_real_product_comes_back_as_it_was(
    dsn: str, pool: asyncpg.Pool, storage: Storage, shared_data: Path
) -> None:
    name = "S1C_S4_GRDH_1SDH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE"
    folder = shared_data / "sentinel-1" / name
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    identity, _ = await store_product(pool, storage, contents, name)
    async with worker(dsn, pool, storage):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert contents_of(storage.read(package_key(product)), name) == contents
    assert product.package_size is not None
    assert product.package_size < sum(len(data) for data in contents.values()) / 2
    picture = await picture_of(pool, identity)
    assert (picture.path, picture.is_made, picture.media_type) == (f"{name}/preview/quick-look.png", False, "image/png")
    assert (picture.size, picture.md5) == (795_163, hashlib.md5(contents["preview/quick-look.png"]).digest())


async def picture_of(pool: asyncpg.Pool, identity: UUID) -> assets.Asset:
    async with pool.acquire() as connection:
        [picture] = (await assets.of_products(connection, [identity]))[identity]
    return picture


async def test_a_product_without_picture_gets_one_before_it_is_published(
    dsn: str, pool: asyncpg.Pool, stored: Storage, settings: Settings
) -> None:
    amplitude = np.zeros((600, 800), "<u2")
    amplitude[:300, :400], amplitude[300:, 400:] = 500, 100
    tiff = io.BytesIO()
    Image.fromarray(amplitude).save(tiff, "TIFF")
    contents = ONE | {"measurement/s1a-iw-grd-vv-001.tiff": tiff.getvalue()}
    identity, _ = await store_product(pool, stored, contents)
    async with worker(dsn, pool, stored):
        product = await published(pool, identity)
        await nothing_left(pool)
    picture = await picture_of(pool, identity)
    data = stored.read(f"{product.final_base}/{picture.path}")
    assert keys(stored) == final_keys(product, contents) | {f"{product.final_base}/{picture.path}"}
    assert picture.path == f"_made/{GRD}/{hashlib.md5(data).hexdigest()}/quick-look.jpg"
    assert (picture.size, picture.md5, picture.is_made) == (len(data), hashlib.md5(data).digest(), True)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (400, 300))
        assert [image.getpixel(at) > 200 for at in ((100, 75), (300, 75), (100, 225), (300, 225))] == [
            True, False, False, False,
        ]  # fmt: skip
    item = await pool.fetchval(
        "SELECT body::text FROM distribution.document WHERE product_id = $1 AND kind = 'stac.item'", identity
    )
    assert f"/odata/v1/Assets({picture.id})/$value" in item


@pytest.mark.parametrize(
    "tiff",
    [
        pytest.param(b"no image", id="no image"),
        pytest.param(
            struct.pack("<4sIHHHIIHHIII", b"II*\0", 8, 2, 256, 4, 1, 2**31, 257, 4, 1, 2**31, 0), id="lying size"
        ),
    ],
)
async def test_a_raster_that_cannot_be_drawn_keeps_nothing_from_being_published(
    dsn: str, pool: asyncpg.Pool, storage: Storage, tiff: bytes
) -> None:
    contents = ONE | {"measurement/s1a-iw-grd-vv-001.tiff": tiff}
    identity, _ = await store_product(pool, storage, contents)
    async with worker(dsn, pool, storage):
        product = await published(pool, identity)
        await nothing_left(pool)
    assert keys(storage) == final_keys(product, contents)
    assert await pool.fetchval("SELECT count(*) FROM distribution.asset") == 0


async def test_pictures_of_sample_products(dsn: str, pool: asyncpg.Pool, storage: Storage, tmp_path: Path) -> None:
    """Sentinel-1 brings its own, Sentinel-2 has it made, Sentinel-3 and auxiliaries have none."""
    samples = make_samples(tmp_path / "samples", count=7)
    made = {}
    for sample in samples:
        files = [sample] if sample.is_file() else [path for path in sample.rglob("*") if path.is_file()]
        contents = {path.relative_to(sample).as_posix().removeprefix("."): path.read_bytes() for path in files}
        identity, _ = await store_product(pool, storage, contents, sample.name)
        async with worker(dsn, pool, storage):
            product = await published(pool, identity)
        rows = await pool.fetch("SELECT path, is_made FROM distribution.asset WHERE product_id = $1", identity)
        made[sample.name[:10]] = [row["is_made"] for row in rows]
        for row in rows:
            with Image.open(io.BytesIO(storage.read(f"{product.final_base}/{row['path']}"))) as image:
                pixels = np.asarray(image.convert("L"))
                assert max(image.size) <= 512
                assert pixels.std() > 10, "there is something to see"
    assert made == {
        "S1A_IW_GRD": [False], "S1A_OPER_A": [], "S2B_MSIL1C": [True], "S2B_MSIL2A": [True], "S2A_MSIL2A": [True],
        FRAME[:10]: [],
    }  # fmt: skip
