"""Pages that go on behind the last row's keys: every product once, in order, whatever is published meanwhile."""

import itertools
import random
import uuid
from datetime import timedelta

import orjson
import pytest

from refsys.catalogue import search
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Order, Search
from refsys.core.filters import Attribute, Comparison, Literal, Op, Property
from refsys.core.times import FOREVER
from tests.catalogue_rows import START, Row, insert_rows, plausible_rows

KEYS = [
    Property("sensing_start"), Property("sensing_stop"), Property("published_at"), Property("t0_raw"), Property("name"),
    Property("package_size"), Property("collection"), Property("online"), Property("id"), Attribute("cloudCover"),
    Attribute("mixed"),
]  # fmt: skip


def equal_rows(count=40):
    """Rows of which many have equal keys, or none."""
    rng = random.Random(3)
    instants = [None, START, START + timedelta(hours=1), START + timedelta(microseconds=1), FOREVER]
    for number in range(count):
        attributes = {
            "cloudCover": rng.choice([0, 0.0, 10.5, 1e22, 99]),
            "mixed": rng.choice([None, "a", 1, True, ["VV"]]),
        }
        kept = {name: value for name, value in attributes.items() if rng.random() < 0.7}
        yield Row(
            f"{rng.choice('aBé')}{number}",
            id=uuid.UUID(int=rng.getrandbits(128), version=4),
            collection=rng.choice(["SENTINEL-1", "SENTINEL-2"]),
            sensing_start=rng.choice(instants),
            sensing_stop=rng.choice(instants),
            t0_raw=rng.choice(instants),
            published_at=rng.choice(instants[1:3]),
            online=rng.random() < 0.5,
            package_size=rng.choice([1, 2, 2**53 + 1]),
            attributes=kept,
        )


async def walked(connection, order, *, size, **more):
    """Names, page by page."""
    names, after = [], None
    while True:
        wanted = Search(order=order, limit=size, after=after, **more)
        page = await search.find_page(connection, wanted, columns=["p.name"])
        names += [row["name"] for row in page.rows]
        assert len(page.rows) <= size
        if page.after is None:
            return names
        assert len(page.rows) == size
        after = page.after


async def test_pages_together_are_the_whole_in_any_order(pool):
    rng = random.Random(5)
    orders = [(Order(key, descending),) for key in KEYS for descending in (False, True)]
    pairs, triples = (list(itertools.permutations(KEYS, count)) for count in (2, 3))
    for keys in rng.sample(pairs, 20) + rng.sample(triples, 20):
        orders.append(tuple(Order(key, rng.random() < 0.5) for key in keys))
    async with pool.acquire() as connection:
        await insert_rows(connection, equal_rows())
        for order in orders:
            whole = await search.find(connection, Search(order=order, limit=100), columns=["p.name"])
            assert len(whole) == 40
            assert await walked(connection, order, size=rng.choice([3, 7])) == [row["name"] for row in whole], order


async def test_what_a_product_does_not_have_comes_last_and_first_where_descending(pool):
    rows = [Row("none"), Row("ten", attributes={"cloudCover": 10}), Row("nine", attributes={"cloudCover": 9.5})]
    async with pool.acquire() as connection:
        await insert_rows(connection, [*rows, Row("null", attributes={"cloudCover": None})])
        cover = Attribute("cloudCover")
        ascending = await walked(connection, (Order(cover), Order(Property("name"))), size=1)
        assert ascending == ["nine", "ten", "none", "null"]
        descending = await walked(connection, (Order(cover, True), Order(Property("name"), True)), size=1)
        assert descending == ascending[::-1]


@pytest.mark.parametrize("order", [(), (Order(Property("sensing_start"), True),), (Order(Property("name")),)])
async def test_nothing_comes_twice_or_is_missed_when_products_are_published_between_pages(pool, order):
    rows = list(plausible_rows(60))
    late = iter(plausible_rows(40, first=60))
    seen, after = [], None
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        while True:
            wanted = Search(order=order, limit=7, after=after)
            page = await search.find_page(connection, wanted, columns=["p.name"])
            seen += [row["name"] for row in page.rows]
            after = page.after
            if after is None:
                break
            await insert_rows(connection, itertools.islice(late, 4))
    assert len(seen) == len(set(seen))
    assert {row.name for row in rows} <= set(seen)


async def test_a_page_without_room_is_the_last_one(pool):
    async with pool.acquire() as connection:
        await insert_rows(connection, [Row("A")])
        assert await search.find_page(connection, Search(limit=0), columns=["p.name"]) == search.Page([], None)


class Explained:
    """A connection that tells how its queries were carried out."""

    def __init__(self, connection):
        self._connection = connection
        self.plans = []

    async def fetch(self, sql, *args, timeout=None):
        [row] = await self._connection.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", *args)
        self.plans.append(row[0][0]["Plan"])
        return await self._connection.fetch(sql, *args)


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize(
    "order",
    [
        (),
        (Order(Property("sensing_start")),),
        (Order(Property("sensing_start"), True),),
        (Order(Property("sensing_stop"), True),),
        (Order(Property("name")),),
        (Order(Property("modified_at")),),
        (Order(Property("sensing_start")), Order(Property("name"))),
        (Order(Property("sensing_start"), True), Order(Property("name"))),
    ],
)
async def test_a_deep_page_reads_little_more_than_itself(pool, order):
    async with pool.acquire() as connection:
        await insert_rows(connection, plausible_rows(4000))
        wanted = Search(order=order, limit=1, offset=3000)
        after = (await search.find_page(connection, wanted, columns=["p.id"])).after
        explained = Explained(connection)
        page = await search.find_page(explained, Search(order=order, limit=20, after=after), columns=["p.id"])
    assert len(page.rows) == 20
    for plan in explained.plans:
        scans = [node for node in nodes(plan) if "Scan" in node["Node Type"]]
        assert all("Index Cond" in scan for scan in scans), orjson.dumps(plan)
        assert sum(scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0) for scan in scans) < 150


async def test_deleted_products_and_filters_page_alike(pool):
    rows = [
        Row(f"D{n}", state="withdrawn", deleted_at=START + timedelta(hours=n % 3), deletion_cause="x") for n in range(9)
    ]
    async with pool.acquire() as connection:
        await insert_rows(connection, [*rows, Row("LIVE")])
        found = await walked(connection, (), size=2, scope=Scope.DELETED)
        assert sorted(found) == sorted(row.name for row in rows)
        wanted = Comparison(Property("name"), Op.GE, Literal("D5"))
        assert sorted(await walked(connection, (), size=2, scope=Scope.DELETED, filter=wanted)) == [
            "D5",
            "D6",
            "D7",
            "D8",
        ]


async def test_a_plain_page_is_not_planned_each_time(pool):
    """Planning costs the database as much as the page."""
    async with pool.acquire() as connection:
        await insert_rows(connection, plausible_rows(200))
        after = None
        for _ in range(12):
            page = await search.find_page(connection, Search(limit=5, after=after), columns=["p.id"])
            await search.find_page(connection, Search(limit=20), columns=["p.id"])
            after = page.after
        sql = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE $1"
        plans = await connection.fetch(sql, "%page.page_id%")
    # the first page of five, those behind it, and the first page of twenty
    assert len(plans) == 3
    assert all(plan["generic_plans"] > 0 and plan["custom_plans"] <= 5 for plan in plans)
