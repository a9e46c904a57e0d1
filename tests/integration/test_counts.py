"""Counts that are kept equal what is there, whatever was published, taken away, hidden or entered; else they say so."""

import random
from datetime import timedelta

import pytest

from refsys.catalogue import bulk, rules, search, tallies
from refsys.catalogue.audit import Deed
from refsys.catalogue.bulk import Entry
from refsys.catalogue.compiler import Compiler, Scope
from refsys.catalogue.rules import About, Kind
from refsys.catalogue.search import Count, Search, TooCostly
from refsys.core.areas import area_of_box
from refsys.core.filters import (
    EVERYTHING,
    Attribute,
    Comparison,
    How,
    In,
    Intersects,
    IsNull,
    Literal,
    Not,
    Op,
    Property,
    TextMatch,
    all_of,
    any_of,
)
from refsys.core.products import Description
from refsys.core.times import FOREVER
from tests.catalogue_rows import START, Row, insert_rows, plausible_rows
from tests.hub import TYPES, get, hub_client
from tests.publishers import Publishers, numbered
from tests.waiting import wait_for

DAYS = 100
SCOPES = (Scope.PUBLIC, Scope.PRODUCTION, Scope.PUBLISHED, Scope.DELETED)
DEED = Deed("a tester", "a test")


def is_equal(name, value):
    return Comparison(Property(name), Op.EQ, Literal(value))


def instant(rng):
    # the first days of February and March too
    midnight = START + timedelta(days=rng.choice([31, 60, rng.randint(-1, DAYS)]))
    return midnight + rng.choice([timedelta(), timedelta(hours=rng.randint(1, 23)), timedelta(microseconds=1)])


def kinds():
    product_type = Attribute("productType")
    return [
        EVERYTHING,
        is_equal("collection", "SENTINEL-2"),
        Comparison(Property("platform"), Op.NE, Literal("A")),
        is_equal("online", True),
        Not(is_equal("mission", "S1")),
        In(Property("product_type"), (Literal("S2MSI1C"), Literal("OL_1_EFR___"))),
        Comparison(product_type, Op.EQ, Literal("S2MSI2A")),
        In(product_type, (Literal("S2MSI1C"), Literal("nothing"))),
        TextMatch(How.STARTSWITH, product_type, "S2"),
        any_of(IsNull(product_type), TextMatch(How.CONTAINS, Property("product_type"), "_1_")),
    ]


def ranges(rng, scope):
    date = Property(rng.choice(["sensing_start", "deleted_at" if scope is Scope.DELETED else "published_at"]))
    operators = [Op.GT, Op.GE, Op.LT, Op.LE, Op.EQ]
    terms = [Comparison(date, rng.choice(operators), Literal(instant(rng))) for _ in range(rng.randint(0, 3))]
    return all_of(*terms, *([Comparison(date, Op.LT, Literal(FOREVER))] if rng.random() < 0.1 else []))


async def truth(connection, wanted, scope):
    compiler = Compiler()
    sql = f"SELECT count(*) FROM catalogue.product p WHERE {compiler.where(wanted, scope)}"
    return await connection.fetchval(sql, *compiler.args)


async def check(connection, rng, times=12):
    for _ in range(times):
        scope = rng.choice(SCOPES)
        wanted = all_of(rng.choice(kinds()), ranges(rng, scope), rng.choice(kinds()))
        found = await search.count(connection, Search(filter=wanted, scope=scope), exact_s=10)
        assert found == Count(await truth(connection, wanted, scope), is_exact=True), (wanted, scope)


class World:
    """Changes of all the ways that there are, by chance."""

    def __init__(self, connection, rng):
        self.connection = connection
        self.rng = rng
        self.rows = plausible_rows(2000, days=DAYS)

    async def change(self):
        await self.rng.choice(
            [self.enter, self.enter, self.announce, self.announce, self.evict, self.rename, self.rule]
        )()

    async def enter(self):
        rows = [next(self.rows) for _ in range(self.rng.randint(1, 40))]
        for row in rows:
            row.visibility = self.rng.choice(["public", "public", "role", "internal"])
            if self.rng.random() < 0.1:
                row.sensing_start = None
            if self.rng.random() < 0.1:
                row.attributes = {}
            if self.rng.random() < 0.2:
                row.state, row.published_at, row.modified_at = "packaged", None, None
        await insert_rows(self.connection, rows)
        waiting = [row.id for row in rows if row.state == "packaged"]
        for key in waiting[: self.rng.randint(0, 5)]:
            content = await self.connection.fetchval("SELECT content_id FROM catalogue.product WHERE id = $1", key)
            await self.connection.fetch("SELECT * FROM catalogue.publish($1, $2)", key, content)

    async def some(self, count=10):
        sql = "SELECT id FROM catalogue.product ORDER BY md5(id::text || $1) LIMIT $2"
        rows = await self.connection.fetch(sql, str(self.rng.random()), count)
        return [row["id"] for row in rows]

    async def announce(self):
        what = self.rng.choice(["withdrawn", "superseded", "created", "modified"])
        await self.connection.fetch("SELECT * FROM catalogue.announce($1, $2, 'x')", await self.some(), what)

    async def evict(self):
        sql = "UPDATE catalogue.product SET online = NOT online WHERE id = ANY ($1) AND published_at IS NOT NULL"
        await self.connection.execute(sql, await self.some())

    async def rename(self):
        """What a description that is made anew may change."""
        sql = """UPDATE catalogue.product
                    SET product_type = 'OTHER', attributes = attributes || '{"productType": "OTHER"}',
                        sensing_start = sensing_start + interval '7 hours', visibility = 'public'
                  WHERE id = ANY ($1)"""
        await self.connection.execute(sql, await self.some(4))

    async def rule(self):
        in_force = await rules.in_force(self.connection, [Kind.VISIBILITY])
        if in_force and self.rng.random() < 0.5:
            await rules.lift(self.connection, self.rng.choice(in_force).id, DEED)
            return
        name = await self.connection.fetchval("SELECT max(name) FROM catalogue.product WHERE current")
        if name is None:
            return
        about = self.rng.choice([
            About(name=name), About(collection="SENTINEL-1"), About(product_type="S2MSI1C", platform="A"),
            About(sensing_from=START + timedelta(days=2)), About(sensing_until=START + timedelta(days=3, hours=5)),
            About(name=name, sensing_from=START + timedelta(days=1)),
        ])  # fmt: skip
        level = self.rng.choice(["public", "role", "internal"])
        await rules.add(self.connection, Kind.VISIBILITY, about, DEED, visibility=level)


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_what_is_there_after_changes_of_all_kinds(pool, seed):
    rng = random.Random(seed)
    async with pool.acquire() as connection:
        world = World(connection, rng)
        for _ in range(25):
            await world.change()
            if rng.random() < 0.3:
                await connection.execute("SELECT catalogue.fold_tallies()")
            await check(connection, rng, times=8)


async def test_counts_are_right_when_many_publish_at_once(pool, dsn):
    await pool.execute(
        """CREATE OR REPLACE TRIGGER tally_fold AFTER INSERT ON catalogue.tally_change
           FOR EACH ROW WHEN (NEW.id % 7 = 0) EXECUTE FUNCTION catalogue.fold_now()"""
    )
    publishers = Publishers(dsn)
    async with publishers.running(4):
        await wait_for(lambda: len(publishers.published) > 120)
    rng = random.Random(1)
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM catalogue.tally") > 0
        assert await connection.fetchval("SELECT count(*) FROM catalogue.tally_change") < 200
        await check(connection, rng, times=20)
        for scope in SCOPES:
            found = await search.count(connection, Search(scope=scope))
            assert found.number == await truth(connection, EVERYTHING, scope) > 0


async def test_what_is_kept_is_told_without_a_look_at_the_products(pool):
    """Nobody can look at them: another one has the table for itself."""
    collection = is_equal("collection", "SENTINEL-1")
    days = [
        Comparison(Property("sensing_start"), op, Literal(START + timedelta(days=n)))
        for op, n in ((Op.GE, 11), (Op.LT, 73))
    ]
    async with pool.acquire() as connection, pool.acquire() as other, other.transaction():
        await insert_rows(connection, plausible_rows(200, days=DAYS))
        expected = [await truth(connection, wanted, Scope.PUBLIC) for wanted in (EVERYTHING, all_of(collection, *days))]
        await other.execute("LOCK TABLE catalogue.product IN ACCESS EXCLUSIVE MODE")
        for wanted, number in zip((EVERYTHING, all_of(collection, *days)), expected, strict=True):
            assert await search.count(connection, Search(filter=wanted)) == Count(number, is_exact=True)
        wanted = Comparison(Property("name"), Op.GT, Literal("A"))
        with pytest.raises(TooCostly):
            await search.count(connection, Search(filter=wanted), budget=search.Budget(0.3))


async def test_products_that_are_entered_in_bulk_count(pool):
    entries = [Entry(TYPES.recognise(numbered(n)), Description(START, START, None, {}), "a hub") for n in range(20)]
    async with pool.acquire() as connection:
        await bulk.enter(connection, entries)
        assert await search.count(connection, Search()) == Count(20, is_exact=True)
        offline = Comparison(Property("online"), Op.EQ, Literal(False))
        assert (await search.count(connection, Search(filter=offline))).number == 20


SLOW = [
    Comparison(Attribute("cloudCover"), Op.LT, Literal(50)),
    all_of(is_equal("collection", "SENTINEL-2"), Comparison(Attribute("cloudCover"), Op.LT, Literal(20))),
    all_of(TextMatch(How.ENDSWITH, Property("name"), "SAFE"), ranges(random.Random(4), Scope.PUBLIC)),
    Intersects(area_of_box([-180, -90, 0, 90])),
]


async def test_what_takes_too_long_is_estimated_and_called_so(pool, monkeypatch):
    async def never(*args):
        return None

    async with pool.acquire() as connection:
        await insert_rows(connection, plausible_rows(3000, days=DAYS))
        exact = [await search.count(connection, Search(filter=wanted), exact_s=10) for wanted in SLOW]
        monkeypatch.setattr(search, "_counted", never)
        for wanted, known in zip(SLOW, exact, strict=True):
            assert known == Count(await truth(connection, wanted, Scope.PUBLIC), is_exact=True)
            guessed = await search.count(connection, Search(filter=wanted))
            assert not guessed.is_exact
            assert abs(guessed.number - known.number) <= max(0.25 * known.number, 40)


async def test_a_count_that_takes_too_long_is_stopped_by_the_database(pool):
    many = any_of(*(TextMatch(How.CONTAINS, Attribute("tileId"), f"{n}x") for n in range(450)))
    async with pool.acquire() as connection:
        await insert_rows(connection, plausible_rows(500, days=DAYS))
        found = await search.count(connection, Search(filter=many), exact_s=0.002)
        assert not found.is_exact
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SHOW statement_timeout") == "0"


async def test_users_are_told_what_kind_of_number_it_is(pool, settings, monkeypatch):
    async def about(*args, **more):
        return Count(1234, is_exact=False)

    async with pool.acquire() as connection:
        await insert_rows(connection, [Row("A"), Row("B")])
    async with hub_client(pool, settings) as client:
        response = await client.get("Products?$count=true")
        assert (response.json()["@odata.count"], response.headers["refsys-count"]) == (2, "exact")
        assert "@refsys.countIsEstimate" not in response.json()
        assert "refsys-count" not in (await client.get("Products")).headers
        response = await client.get("Products/$count")
        assert (response.text, response.headers["refsys-count"]) == ("2", "exact")
        monkeypatch.setattr(search, "count", about)
        assert list(await get(client, count="true"))[:3] == [
            "@odata.context",
            "@odata.count",
            "@refsys.countIsEstimate",
        ]
        response = await client.get("Products/$count")
        assert (response.text, response.headers["refsys-count"]) == ("1234", "estimate")


def test_a_range_of_time_has_whole_days_and_edges():
    date = Property("sensing_start")
    terms = [
        Comparison(date, Op.GT, Literal(START + timedelta(hours=5))),
        Comparison(date, Op.LE, Literal(START + timedelta(days=2))),
    ]
    counted = tallies.split(all_of(*terms), Scope.PUBLIC)
    assert counted.rest == ()
    assert counted.range.stop - START == timedelta(days=2, microseconds=1)
    two_dates = all_of(*terms, Comparison(Property("published_at"), Op.LT, Literal(START)))
    assert len(tallies.split(two_dates, Scope.PUBLIC).rest) == 1
    one_day = tallies.split(all_of(*terms, Comparison(date, Op.LT, Literal(START + timedelta(hours=9)))), Scope.PUBLIC)
    assert tallies.tallied(one_day, Scope.PUBLIC, tallies.Rules()) is None
