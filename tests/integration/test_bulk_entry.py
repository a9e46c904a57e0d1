"""Many finished products at once: all or none, once, in the feed's order, and products without bytes."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from blake3 import blake3

from refsys.catalogue import bulk, commands, rules, store
from refsys.catalogue.audit import Deed
from refsys.catalogue.bulk import Entry, StoredPackage
from refsys.catalogue.rules import About, Kind
from refsys.core import footprints
from refsys.core.errors import HostileInput, RefsysError
from refsys.core.products import Arrival, Description, product_id
from refsys.distribution.packages import lay_out
from refsys.infra.postgres import connect
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.web.app import create_app
from tests.publishers import Publishers, check_feed, make_packaged, numbered
from tests.stored_products import START, TYPES, Contents, file_table, package_of
from tests.waiting import wait_for

CONTENTS: Contents = {"manifest.safe": b"<xfdu/>", "measurement/iw-vv.tiff": b"bytes" * 1000, "support": None}
FOOTPRINT = footprints.polygon([(175, 10), (-170, 10), (-170, 25), (175, 25)]).geometry
TABLES = ("content", "file", "product", "footprint_part", "change", "input")


def offline(number: int, **values: Any) -> Entry:
    """A product that is known by its metadata only."""
    description = Description(START, START, FOOTPRINT, {"orbitNumber": 39156 + number})
    return Entry(TYPES.recognise(numbered(number)), description, "another hub", **values)


def online(storage: Storage, number: int) -> Entry:
    """A product whose bytes lie in our storage, in a place of their own."""
    name, base = numbered(number), f"taken/over/{number}"
    files = file_table(name, CONTENTS)
    with storage.batch() as batch:
        for path, data in CONTENTS.items():
            if data is not None:
                batch.put(f"{base}/{name}/{path}", data)
    whole = package_of(CONTENTS, name)
    package = lay_out(1, name, START, files)
    md5, seal = hashlib.md5(whole).digest(), blake3(whole).digest()
    return offline(number, package=StoredPackage(base, files, 1, package.name, len(whole), md5, seal))


async def counts(connection: asyncpg.Connection) -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM catalogue.{table}") for table in TABLES}


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def client(pool: asyncpg.Pool, storage: Storage, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(pool=pool, storage=storage, types=TYPES, settings=settings)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://refsys/odata/v1") as client:
        yield client


async def test_entered_products_are_published_and_doing_it_again_changes_nothing(connection, storage, client) -> None:
    entries = [dataclasses.replace(online(storage, 1), inputs=(product_id("AN_INPUT"),)), offline(2), offline(2)]
    entered = await bulk.enter(connection, entries)
    assert entered.products == {numbered(n): product_id(numbered(n)) for n in (1, 2)}
    assert (entered.known, entered.held) == ((), ())
    # the footprint crosses the antimeridian and is 15 degrees high: four parts
    expected = {"content": 2, "file": 3, "product": 2, "footprint_part": 8, "change": 2, "input": 1}
    assert await counts(connection) == expected
    product = await store.fetch_current(connection, numbered(1))
    assert product is not None
    assert (product.state, product.online, product.feed_position) == ("published", True, 1)
    found = (await client.get(f"/Products({product.id})?$expand=Attributes")).json()
    assert found["Name"] == numbered(1)
    assert [a["Value"] for a in found["Attributes"] if a["Name"] == "orbitNumber"] == [39157]
    assert (await client.get(f"/Products({product.id})/$value")).content == package_of(CONTENTS, numbered(1))
    area = "geography'SRID=4326;POINT(-172 12)'"
    assert (await client.get(f"/Products/$count?$filter=OData.CSC.Intersects(area={area})")).text == "2"

    again = await bulk.enter(connection, entries)
    assert (again.products, again.known, again.held) == ({}, (numbered(1), numbered(2)), ())
    assert await counts(connection) == expected
    assert await store.fetch_current(connection, numbered(1)) == product


async def test_a_product_without_bytes_is_shown_and_its_download_says_so(connection, client) -> None:
    checksums = {"MD5": "00" * 16}
    entries = [offline(1), offline(2, origin_size_bytes=77, origin_checksums=checksums)]
    ids = (await bulk.enter(connection, entries)).products.values()
    shown = [(await client.get(f"/Products({identity})")).json() for identity in ids]
    assert [product["Online"] for product in shown] == [False, False]
    assert [product["ContentLength"] for product in shown] == [None, 77]
    assert [[c["Algorithm"] for c in product["Checksum"]] for product in shown] == [[], ["MD5"]]
    for identity, product in zip(ids, shown, strict=True):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, f"/Products({identity})/$value")
            assert answer.status_code == 404
        error = (await client.get(f"/Products({identity})/$value")).json()["error"]
        assert error["message"] == f"the bytes of {product['Name']} are not online"


async def test_the_first_bytes_of_a_product_known_by_metadata_are_a_revision(connection) -> None:
    """Whatever the inbox says of changed products: no other bytes were published."""
    await bulk.enter(connection, [offline(1)])
    identity, content_id = await make_packaged(connection, numbered(1), on_change="park")
    assert identity == product_id(numbered(1), 2)
    published = await commands.publish(connection, identity, content_id)
    assert published is not None
    assert published.replaced == product_id(numbered(1))


async def test_names_that_are_known_or_on_their_way_are_left_alone(connection) -> None:
    described, _ = await make_packaged(connection, numbered(1))
    arrival = Arrival(name=numbered(2), base="attempts/2", files=(), source="test")
    await commands.arrive(connection, arrival, priority=50)
    entered = await bulk.enter(connection, [offline(1), offline(2), offline(3)])
    assert entered.known == (numbered(1), numbered(2))
    assert list(entered.products) == [numbered(3)]
    product = await store.fetch_product(connection, described)
    assert product is not None
    assert product.state == "packaged"


async def test_what_a_hold_keeps_is_not_entered_until_the_hold_is_lifted(connection, storage) -> None:
    deed = Deed("me", "a test")
    async with connection.transaction():
        rule = await rules.add(connection, Kind.HOLD, About(collection="SENTINEL-1", platform="A"), deed)
    entries = [online(storage, 1), online(storage, 2)]
    held = await bulk.enter(connection, entries)
    assert (held.products, held.held) == ({}, (numbered(1), numbered(2)))
    assert set((await counts(connection)).values()) == {0}
    async with connection.transaction():
        await rules.lift(connection, rule.id, deed)
    assert len((await bulk.enter(connection, entries)).products) == 2


BAD = {
    "a text that is none": {"description": Description(START, START, None, {"productType": "a\0b"})},
    "a value that is no JSON": {"description": Description(START, START, None, {"orbitNumber": object()})},
    "a footprint that is none": {"description": Description(START, START, {"type": "Polygon"}, {})},
    "a checksum that is none": {"origin_checksums": {"MD5": "xyz"}},
    "a size beyond all bounds": {"origin_size_bytes": 2**64},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_one_bad_entry_is_named_and_nothing_is_entered(connection, bad: dict[str, Any]) -> None:
    entries = [offline(number) for number in range(20)]
    entries[13] = dataclasses.replace(entries[13], **bad)
    with pytest.raises(RefsysError, match="does not take its values") as raised:
        await bulk.enter(connection, entries)
    assert raised.value.subject == numbered(13)
    assert set((await counts(connection)).values()) == {0}
    del entries[13]
    assert len((await bulk.enter(connection, entries)).products) == 19


async def test_a_file_that_is_there_twice_is_blamed_on_its_product(connection, storage) -> None:
    good, bad = online(storage, 1), online(storage, 2)
    assert bad.package is not None
    package = dataclasses.replace(bad.package, files=(bad.package.files[0],) * 2)
    with pytest.raises(RefsysError, match="file_content_id_path_key") as raised:
        await bulk.enter(connection, [good, dataclasses.replace(bad, package=package)])
    assert raised.value.subject == numbered(2)


async def test_names_that_cannot_be_are_refused(connection) -> None:
    with pytest.raises(HostileInput):
        await bulk.enter(connection, [offline(1), dataclasses.replace(offline(2), recognised=_named("../up"))])
    assert set((await counts(connection)).values()) == {0}


def _named(name: str) -> Any:
    return dataclasses.replace(TYPES.recognise(numbered(2)), name=name)


async def test_positions_are_unbroken_while_others_publish_and_enter(dsn: str, pool: asyncpg.Pool) -> None:
    publishers = Publishers(dsn)
    # two enter the same names in opposite orders, and neither waits for ever
    batches = [range(1000 + 50 * n, 1050 + 50 * n) for n in range(6)]

    async def enter(backwards: bool) -> int:
        connection, count = await connect(dsn), 0
        try:
            for batch in batches:
                entries = [offline(number) for number in (reversed(batch) if backwards else batch)]
                count += len((await bulk.enter(connection, entries)).products)
        finally:
            await connection.close()
        return count

    async with publishers.running(1):
        await wait_for(lambda: len(publishers.published) >= 5, 30)
        entered = await asyncio.gather(enter(False), enter(True))
    assert sum(entered) == 300
    changes = await check_feed(pool)
    assert len({row["product_id"] for row in changes if row["kind"] == "created"}) >= 305
    dates = await pool.fetch("SELECT published_at FROM catalogue.product WHERE final_base LIKE 'Sentinel-1/%'")
    assert len({row["published_at"] for row in dates}) == len(dates)
    assert all(row["published_at"] <= datetime.now(UTC) for row in dates)
