"""What was seen of an area in a time: the few are looked up by both, in the order of their sensing."""

import itertools
import random
import re
from datetime import timedelta

import pytest

from refsys.catalogue import search
from refsys.catalogue.search import Order, Search, find, find_page
from refsys.core.areas import Area
from refsys.core.filters import Comparison, Intersects, Literal, Op, Property, all_of
from refsys.core.times import FOREVER
from tests.catalogue_rows import START, Row, insert_rows, plausible_rows

BOX = Area("Polygon", (((-20.0, -20.0), (20.0, -20.0), (20.0, 20.0), (-20.0, 20.0), (-20.0, -20.0)),))
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
# of several parts, which are seen as one
BAND = {"type": "Polygon", "coordinates": [[[-30, 0], [30, 0], [30, 5], [-30, 5], [-30, 0]]]}


def at(days):
    return START + timedelta(days=days)


def times():
    """Starts and stops of every kind: equal ones, none, for ever, the wrong way round."""
    yield from ((at(day), at(day + length)) for day in range(6) for length in (0, 0, 1.5, 40))
    yield from ((None, at(3)), (at(3), None), (None, None), (at(4), at(1)), (at(2), FOREVER))


ROWS = [
    Row(f"P{number:02d}", sensing_start=start, sensing_stop=stop, footprint=footprint)
    for number, ((start, stop), footprint) in enumerate(itertools.product(times(), (SQUARE, BAND)))
]
TESTS = [
    Comparison(Property(name), op, Literal(at(day)))
    for name in ("sensing_start", "sensing_stop")
    for op in (Op.LT, Op.LE, Op.EQ, Op.GE, Op.GT)
    for day in (0, 1.5, 3, 50)
]


async def test_the_area_finds_what_fulfils_all_conditions_on_time(pool):
    rng = random.Random(1)
    async with pool.acquire() as connection:
        await insert_rows(connection, ROWS)
        for _ in range(150):
            wanted = rng.sample(TESTS, rng.randint(0, 3))
            expected = [
                row["name"]
                for row in await find(connection, Search(filter=all_of(*wanted), limit=99), columns=["p.name"])
            ]
            filtered = all_of(*wanted, Intersects(BOX))
            found = await find(connection, Search(filter=filtered, limit=99), columns=["p.name"])
            assert [row["name"] for row in found] == expected


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_in_the_order_of_sensing_are_the_whole_list(pool, descending):
    order = (Order(Property("sensing_start"), descending=descending),)
    async with pool.acquire() as connection:
        await insert_rows(connection, ROWS)
        whole = await find(connection, Search(order=order, limit=99), columns=["p.name"])
        after, paged = None, []
        while True:
            wanted = Search(filter=Intersects(BOX), order=order, limit=7, after=after)
            page = await find_page(connection, wanted, columns=["p.name"])
            paged += [row["name"] for row in page.rows]
            after = page.after
            if after is None:
                break
    assert paged == [row["name"] for row in whole]
    assert len(paged) == len(ROWS)


async def test_only_what_is_needed_is_looked_at(pool):
    """The newest few of an area do not cost a look at all that were ever seen there; a day not one at other days."""
    asked = []
    async with pool.acquire() as connection:
        rows = list(plausible_rows(4000))
        for row in rows:
            row.footprint = SQUARE
        await insert_rows(connection, rows[: search.FEW - 1])
        await connection.execute("VACUUM ANALYZE catalogue.footprint_part")

        class Recorder:
            async def fetchval(self, sql, *args, timeout=None):
                return await connection.fetchval(sql, *args)

            async def fetch(self, sql, *args, timeout=None):
                asked.append(str(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args)))
                return await connection.fetch(sql, *args)

        order = (Order(Property("sensing_start"), descending=True),)
        newest = await find(Recorder(), Search(filter=Intersects(BOX), order=order, limit=5), columns=["p.name"])
        day = rows[1000].sensing_start
        in_a_day = all_of(
            Intersects(BOX),
            Comparison(Property("sensing_start"), Op.GE, Literal(day - timedelta(hours=12))),
            Comparison(Property("sensing_stop"), Op.LE, Literal(day + timedelta(hours=12))),
        )
        found = await find(Recorder(), Search(filter=in_a_day, limit=99), columns=["p.name"])
    assert [row["name"] for row in newest] == [row.name for row in rows[: search.FEW - 1]][:-6:-1]
    assert 0 < len(found) < 5
    for plan in asked:
        looked_at = [
            int(rows) * int(loops)
            for rows, loops in re.findall(r"'Actual Rows': (\d+)[^{]*?'Actual Loops': (\d+)", plan)
        ]
        assert max(looked_at) < 50
