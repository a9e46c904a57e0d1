"""`refsys product repackage`: another layout is another revision; published bytes stay until it takes their place."""

from __future__ import annotations

import json

import pytest

from refsys.core.products import product_id
from refsys.distribution.packages import written_path
from tests.publishing import fetch, keys, published, worker
from tests.stored_products import FRAME, GRD, store_product
from tests.working import nothing_left

ONE = {"manifest.safe": b"<one/>" * 1000, "void": b""}
TWO = ONE | {"manifest.safe": b"<two/>" * 1000}
WHY = ("--reason", "smaller")


@pytest.fixture
async def old(dsn, pool, storage):
    """A product that was published when its type was packaged stored, and another one whose type still is."""
    for name in (GRD, FRAME):
        await store_product(pool, storage, ONE, name)
    await pool.execute("UPDATE catalogue.product SET packaging = 'zip' WHERE name = $1", GRD)
    async with worker(dsn, pool, storage):
        await published(pool, product_id(FRAME))
        product = await published(pool, product_id(GRD))
        await nothing_left(pool)
    assert product.package_layout == 1
    return product


async def test_a_published_product_gets_a_revision_in_the_new_layout(dsn, pool, storage, refsys, old) -> None:
    told = await refsys("product", "repackage", GRD, FRAME, *WHY, "--json")
    outcomes = {row["name"]: row["outcome"] for row in map(json.loads, told.splitlines())}
    assert outcomes == {GRD: "repackaged", FRAME: "left"}
    assert (await fetch(pool, old.id)).state == "published", "until the revision is"
    async with worker(dsn, pool, storage):
        new = await published(pool, product_id(GRD, 2))
        await nothing_left(pool)
    assert (new.package_layout, new.content_id, new.final_base) == (2, old.content_id, old.final_base)
    assert (new.sensing_start, new.attributes, new.footprint) == (old.sensing_start, old.attributes, old.footprint)
    assert f"{new.final_base}/{written_path(GRD, new.package_md5)}" in keys(storage)
    gone = await fetch(pool, old.id)
    assert (gone.state, gone.deletion_cause) == ("superseded", "Obsolete product or Other")
    assert (gone.package_layout, gone.package_md5) == (1, old.package_md5)
    again = await refsys("product", "repackage", GRD, *WHY, "--json", code=1)
    assert again.count('"left"') == 2
    assert '"repackaged"' not in again
    audited = await pool.fetch("SELECT action, reason FROM catalogue.audit")
    assert [tuple(row) for row in audited] == [("repackage", "smaller")]


async def test_a_dry_run_changes_nothing(pool, refsys, old) -> None:
    told = await refsys("product", "repackage", "--filter", "Collection/Name eq 'SENTINEL-1'", *WHY, "-n", "--json")
    assert [json.loads(line)["outcome"] for line in told.splitlines()] == ["would be repackaged"]
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 2
    assert await pool.fetchval("SELECT count(*) FROM work.step") == 0


async def test_other_bytes_that_come_meanwhile_leave_the_published_ones(dsn, pool, storage, refsys, old) -> None:
    before = keys(storage)
    await refsys("product", "repackage", GRD, *WHY)
    await store_product(pool, storage, TWO, GRD, on_change="revise")
    async with worker(dsn, pool, storage):
        new = await published(pool, product_id(GRD, 2))
        await nothing_left(pool)
    assert new.content_id != old.content_id
    assert new.final_base != old.final_base
    assert before <= keys(storage)
    assert await pool.fetchval("SELECT discarded_at FROM catalogue.content WHERE id = $1", old.content_id) is None
