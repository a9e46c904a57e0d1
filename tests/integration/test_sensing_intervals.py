"""What was sensed in an interval: all of it, however long it lasts, and without reading the whole catalogue."""

import re
from datetime import timedelta

from refsys.catalogue.search import Order, Search, find
from refsys.core.filters import Comparison, Literal, Op, Property, all_of
from refsys.core.times import FOREVER
from tests.catalogue_rows import START, Row, insert_rows, plausible_rows

LASTING = [timedelta(hours=hours) for hours in (0, 1, 17.9, 18, 18.1, 30, 99, 101, 800, 6000, 40000)]


def overlaps(start, end, ops=(Op.LE, Op.GE)):
    return all_of(
        Comparison(Property("sensing_start"), ops[0], Literal(end)),
        Comparison(Property("sensing_stop"), ops[1], Literal(start)),
    )


async def names(connection, wanted):
    rows = await find(connection, Search(filter=wanted, limit=1000), columns=["p.name"])
    return {row["name"] for row in rows}


async def test_an_interval_finds_everything_that_overlaps_it(pool):
    rows = [
        Row(
            f"P{day}_{number}",
            sensing_start=START + timedelta(days=day),
            sensing_stop=START + timedelta(days=day) + lasts,
        )
        for day in range(6)
        for number, lasts in enumerate(LASTING)
    ]
    rows += [
        Row("FOREVER", sensing_start=START - timedelta(days=9), sensing_stop=FOREVER),
        Row("OPEN", sensing_stop=None),
        Row("UNKNOWN", sensing_start=None, sensing_stop=None),
        Row("BACKWARDS", sensing_start=START + timedelta(days=3), sensing_stop=START),
    ]
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for day in (-400, 0, 1.5, 3, 5.75, 30, 4000):
            for length in (0, 0.25, 2, 500):
                start = START + timedelta(days=day)
                end = start + timedelta(days=length)
                seen = [row for row in rows if row.sensing_start and row.sensing_stop]
                closed = {row.name for row in seen if row.sensing_start <= end and row.sensing_stop >= start}
                open_ = {row.name for row in seen if row.sensing_start < end and row.sensing_stop > start}
                assert await names(connection, overlaps(start, end)) == closed
                assert await names(connection, overlaps(start, end, (Op.LT, Op.GT))) == open_


async def test_an_interval_long_ago_is_looked_up(pool):
    async with pool.acquire() as connection:
        await insert_rows(connection, plausible_rows(5000, days=1000))
        await connection.execute("VACUUM ANALYZE catalogue.product")
        asked = []

        class Recorder:
            async def fetch(self, sql, *args, timeout=None):
                asked.append(await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *args))
                return await connection.fetch(sql, *args)

        day = START + timedelta(days=500)
        by = (Order(Property("published_at"), descending=True),)
        wanted = Search(filter=overlaps(day, day + timedelta(days=1)), order=by, limit=100)
        rows = await find(Recorder(), wanted, columns=["p.id"])
    assert 2 < len(rows) < 20
    [plan] = map(str, asked)
    assert "'product_lasting'" in plan
    assert max(map(int, re.findall(r"'Rows Removed by Filter': (\d+)", plan)), default=0) < 500
