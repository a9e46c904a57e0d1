"""The catalogue's commands: identity, revisions, publication order."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
from blake3 import blake3

from refsys.catalogue import commands, store
from refsys.core.errors import InvalidProduct
from refsys.core.products import Arrival, Description, FileEntry, product_id
from refsys.infra.postgres import prepare_connection
from refsys.missions import load_types

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
START = datetime(2021, 8, 9, 17, 39, 53, tzinfo=UTC)
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [25, 0], [25, 5], [0, 5], [0, 0]]]}


def arrival(content: bytes = b"one", *, name: str = NAME, on_change: str = "park", base: str = "attempts/a") -> Arrival:
    entry = FileEntry(f"{name}/manifest.safe", len(content), blake3=blake3(content).digest(), md5=b"\0" * 16)
    return Arrival(name=name, base=base, files=(entry,), source="test", on_change=on_change, available_at=START)


async def describe(connection, content_id, footprint=SQUARE):
    content = await store.fetch_content(connection, content_id)
    description = Description(START, START, footprint, {"orbitNumber": 39156})
    recognised = load_types().recognise(content.name)
    return await commands.describe(connection, content, recognised, description, priority=50)


async def package(connection, identity, content_id):
    product = await store.fetch_product(connection, identity)
    return await commands.set_packaged(
        connection, identity, content_id, base=product.final_base, layout=1, package_name=f"{product.name}.zip",
        size_bytes=100, md5=b"m" * 16, blake3=b"b" * 32,
    )  # fmt: skip


async def to_publication(connection, wanted: Arrival):
    content_id = await commands.arrive(connection, wanted, priority=50)
    described = await describe(connection, content_id)
    assert await package(connection, described.product_id, content_id)
    return described, await commands.publish(connection, described.product_id, content_id)


async def test_a_product_gets_its_id_from_its_name_and_its_place_from_its_type_and_day(pool):
    async with pool.acquire() as connection:
        described, published = await to_publication(connection, arrival())
        product = await store.fetch_product(connection, described.product_id)
    assert product.id == product_id(NAME)
    assert product.final_base.endswith("/2021/08/09")
    assert product.state == "published"
    assert product.published_at == published.published_at
    assert published.replaced is None


async def test_the_same_bytes_again_are_a_duplicate_and_are_discarded(pool):
    async with pool.acquire() as connection:
        await to_publication(connection, arrival())
        again = await commands.arrive(connection, arrival(base="attempts/b"), priority=50)
        assert (await describe(connection, again)).outcome == "duplicate"
        assert (await store.fetch_content(connection, again)).discarded_at is not None
        assert await connection.fetchval("SELECT count(*) FROM catalogue.product") == 1
        assert await connection.fetchval("SELECT count(*) FROM work.step WHERE stage = 'catalogue.discard'") == 1


async def test_of_two_that_arrive_at_the_same_time_the_one_that_is_not_described_is_discarded(pool):
    async with pool.acquire() as connection:
        # ids are given before steps are made, so that the one with the lesser id may make its step last
        sequence = "pg_get_serial_sequence('catalogue.content', 'id')"
        await connection.execute(f"SELECT setval({sequence}, 2, false)")
        greater = await commands.arrive(connection, arrival(b"one", base="attempts/a"), priority=50)
        await connection.execute(f"SELECT setval({sequence}, 1, false)")
        lesser = await commands.arrive(connection, arrival(b"two", base="attempts/b"), priority=50)
        assert (lesser, greater) == (1, 2)
        assert (await describe(connection, lesser)).outcome == "new"
        assert (await store.fetch_content(connection, greater)).discarded_at is not None


async def test_other_bytes_before_publication_replace_and_the_older_work_becomes_void(pool):
    async with pool.acquire() as connection:
        first = await commands.arrive(connection, arrival(b"one"), priority=50)
        described = await describe(connection, first)
        assert await package(connection, described.product_id, first)
        second = await commands.arrive(connection, arrival(b"two"), priority=50)
        assert (await describe(connection, second)).outcome == "replaced"
        assert await commands.publish(connection, described.product_id, first) is None
        assert not await package(connection, described.product_id, first)
        product = await store.fetch_product(connection, described.product_id)
        assert (product.state, product.content_id, product.revision) == ("described", second, 1)
        assert product.final_base.endswith(f"/r1c{second}")


async def test_other_bytes_after_publication_are_parked_by_default(pool):
    async with pool.acquire() as connection:
        await to_publication(connection, arrival(b"one"))
        other = await commands.arrive(connection, arrival(b"two"), priority=50)
        with pytest.raises(InvalidProduct, match=f"{NAME}: is published, and test now offers other bytes"):
            await describe(connection, other)
        assert (await store.fetch_content(connection, other)).discarded_at is None


async def test_a_revision_takes_the_place_of_the_published_one_when_it_is_published_itself(pool):
    async with pool.acquire() as connection:
        old, _ = await to_publication(connection, arrival(b"one"))
        content_id = await commands.arrive(connection, arrival(b"two", on_change="revise"), priority=50)
        new = await describe(connection, content_id)
        assert (new.outcome, new.product_id) == ("revision", product_id(NAME, 2))
        assert (await store.fetch_product(connection, old.product_id)).state == "published"
        await package(connection, new.product_id, content_id)
        published = await commands.publish(connection, new.product_id, content_id)
        assert published.replaced == old.product_id
        superseded = await store.fetch_product(connection, old.product_id)
        assert superseded.state == "superseded"
        assert superseded.deletion_cause == "Obsolete product or Other"
        kinds = await connection.fetch("SELECT kind, product_id FROM catalogue.change ORDER BY position")
        assert [(row["kind"], row["product_id"]) for row in kinds] == [
            ("created", old.product_id), ("created", new.product_id), ("superseded", old.product_id),
        ]  # fmt: skip


async def test_publishing_twice_gives_one_position(pool):
    async with pool.acquire() as connection:
        described, _ = await to_publication(connection, arrival())
        product = await store.fetch_product(connection, described.product_id)
        assert await commands.publish(connection, described.product_id, product.content_id) is None
        assert await connection.fetchval("SELECT count(*) FROM catalogue.change") == 1


async def test_a_footprint_is_cut_into_parts_that_an_index_finds(pool):
    async with pool.acquire() as connection:
        await to_publication(connection, arrival())
        found = "SELECT count(*) FROM catalogue.footprint_part WHERE part && $1::text::polygon"
        assert await connection.fetchval("SELECT count(*) FROM catalogue.footprint_part") >= 3
        assert await connection.fetchval(found, "((24,1),(26,1),(26,2),(24,2))") >= 1
        assert await connection.fetchval(found, "((24,6),(26,6),(26,7),(24,7))") == 0


async def test_a_harvester_that_follows_publication_dates_misses_nothing_while_publishers_run_at_once(dsn, pool):
    """Four publishers; the harvester asks for what is newer than the newest it has seen."""
    count, publishers = 40, 4
    seen: list[str] = []
    done = asyncio.Event()

    async def publisher(number: int) -> None:
        connection = await asyncpg.connect(dsn)
        await prepare_connection(connection)
        for index in range(count):
            name = NAME.replace("6FF8", f"{number * count + index:04X}")
            async with connection.transaction():
                await to_publication(connection, arrival(name.encode(), name=name))
        await connection.close()

    async def harvester() -> None:
        cursor = datetime(1, 1, 1, tzinfo=UTC)
        connection = await asyncpg.connect(dsn)
        while True:
            finished = done.is_set()
            rows = await connection.fetch(
                "SELECT name, published_at FROM catalogue.product WHERE state = 'published' AND published_at > $1"
                " ORDER BY published_at",
                cursor,
            )
            seen.extend(row["name"] for row in rows)
            cursor = rows[-1]["published_at"] if rows else cursor
            if finished:
                break
        await connection.close()

    async def publish_all() -> None:
        await asyncio.gather(*(publisher(number) for number in range(publishers)))
        done.set()

    await asyncio.gather(harvester(), publish_all())
    assert len(seen) == len(set(seen)) == count * publishers
    positions = await pool.fetch("SELECT feed_position FROM catalogue.product ORDER BY published_at")
    assert [row["feed_position"] for row in positions] == list(range(1, count * publishers + 1))


@pytest.mark.parametrize(("inbox", "mission", "collection"), [("S2", "S2", "SENTINEL-2"), (None, "", "")])
async def test_a_product_whose_name_tells_no_mission_has_that_of_its_inbox(pool, inbox, mission, collection):
    plan = "EDR_OPER_MPL_RQ1_OA_20200303T093232_V20200303T170000_20200310T170000.xml"
    async with pool.acquire() as connection:
        content_id = await commands.arrive(connection, replace(arrival(name=plan), mission=inbox), priority=50)
        described = await describe(connection, content_id)
        product = await store.fetch_product(connection, described.product_id)
    assert (product.mission, product.collection, product.platform) == (mission, collection, "")
    assert product.final_base.startswith("EDRS/PLAN/MPL_RQ1_OA")
