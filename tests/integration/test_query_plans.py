"""No query for inputs reads the whole catalogue, whatever the planner knows, also where all products have one type."""

from datetime import timedelta

import pytest

from refsys.catalogue import neighbours
from refsys.catalogue.neighbours import Mark
from refsys.catalogue.selection import Order, Relation, Wanted, candidates, latest_cover
from refsys.core.times import FOREVER
from tests.catalogue_rows import START, Row, insert_rows

COUNT = 20_000
NOON = START + timedelta(days=300)
SECOND = timedelta(seconds=1)

# Two of three have the same type; of the others every type has its duration. Every 20th never ends.
_FILL = """
INSERT INTO catalogue.product (
    id, name, state, content_id, final_base, type_id, collection, mission, platform, product_type, sensing_start,
    sensing_stop, packaging, attributes, described_at)
SELECT gen_random_uuid(), 'S1A_IW_RAW__0SVV_' || n, 'described', c.id, 'S/P' || n, 'rows', 'SENTINEL-1', 'S1',
       substr('ABC', n % 3, 1), kind, start, CASE WHEN n % 20 = 0 THEN '9999-12-31T23:59:59.999999Z'
                         ELSE start + (n % 30) * (n % 30) * (n % 30) * interval '10 s' END,
       'zip', jsonb_build_object('productType', kind, 'orbitNumber', n / 30, 'lastOrbitNumber', n / 30 + 1,
                                 'datatakeID', n / 20, 'sessionIdentifier', 'S' || n / 60,
                                 'sliceProductFlag', n % 2 = 0,
                                 'processingDate', to_char(start, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
       start
  FROM (SELECT n, CASE WHEN n % 3 = 0 THEN 'TYPE_' || n % 30 ELSE 'IW_RAW__0S' END AS kind,
               $1::timestamptz + n * interval '30 min' AS start FROM generate_series(1, $2::int) n) rows
 CROSS JOIN (SELECT min(id) AS id FROM catalogue.content) c
"""


class Recorder:
    """A connection that remembers what was asked."""

    def __init__(self, connection):
        self.asked = []
        self._connection = connection

    async def fetch(self, sql, *args):
        self.asked.append((sql, args))
        return await self._connection.fetch(sql, *args)

    async def fetchval(self, sql, *args):
        self.asked.append((sql, args))
        return await self._connection.fetchval(sql, *args)


def wanted(relation, product_type="IW_RAW__0S"):
    stop = NOON + SECOND if relation in (Relation.COVER, Relation.INTERSECT) else FOREVER
    return Wanted(product_types=(product_type,), platform="A", relation=relation, start=NOON, stop=stop)


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as connection:
        # more than a few rules, none of them about these products
        await insert_rows(connection, [Row("Q")])
        await connection.execute(_FILL, START, COUNT)
        await connection.execute(
            "INSERT INTO catalogue.rule (kind, name, reason, author)"
            " SELECT 'ban', 'X' || n, 'r', 'a' FROM generate_series(1, 500) n"
        )
        # as autovacuum does: entries that an index on attributes has not sorted in yet cost more than a table so small
        await connection.execute("VACUUM ANALYZE catalogue.product")
        await connection.execute("ANALYZE catalogue.rule")
        yield connection


async def every_query(connection):
    """Ask everything once; each has to find something."""
    for relation in Relation:
        for order in Order:
            assert (await candidates(connection, wanted(relation), order, limit=3)).taken, (relation, order)
    assert await latest_cover(connection, "IW_RAW__0S", "A", NOON, NOON + SECOND)
    assert await latest_cover(connection, "TYPE_6", "", NOON, NOON + SECOND) is None
    assert await neighbours.in_range(connection, ["IW_RAW__0S", "TYPE_3"], "A", NOON, NOON + SECOND)
    assert await neighbours.session_files(connection, "S77")
    assert await neighbours.segments(connection, "A", 77)
    assert await neighbours.slices(connection, "A", 77)
    slice_ = (await neighbours.slices(connection, "A", 77))[0]
    assert await neighbours.slice_annotations(connection, slice_) == []
    assert await neighbours.of_orbit(connection, "IW_RAW__0S", "A", 77, stop_too=True)
    assert await neighbours.first_of_orbit(connection, "IW_RAW__0S", "A", 77)
    assert (await neighbours.arrivals(connection, Mark(NOON), ["TYPE_3"], examined=100)).products


async def test_every_query_has_an_index(connection):
    recorder = Recorder(connection)
    await every_query(recorder)
    asked = [(sql, args) for sql, args in recorder.asked if "catalogue.product" in sql]
    assert len(asked) > len(Relation) * len(Order) + 8
    for sql, args in asked:
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *args))
        assert "on product" in plan, plan
        assert "Seq Scan on product" not in plan, f"{sql}\n{plan}"
        assert ("= 11) IS TRUE" in sql) == ("product_endless" in plan), plan


async def test_no_query_reads_the_whole_table(connection):
    for mode in ("force_generic_plan", "force_custom_plan"):
        await connection.execute(f"SET plan_cache_mode = {mode}")
        before = await _scans(connection)
        await every_query(connection)
        assert await _scans(connection) == before
    await connection.execute("SELECT count(attributes) FROM catalogue.product")
    assert await _scans(connection) == before + 1


async def _scans(connection):
    """How often the whole table was read."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    return await connection.fetchval(
        "SELECT seq_scan FROM pg_stat_user_tables WHERE schemaname = 'catalogue' AND relname = 'product'"
    )
