"""The SQL that filters become selects what the filters say, whatever is in the rows."""

import math
import random
import uuid
from datetime import timedelta

import pytest
import shapely
from hypothesis import HealthCheck, given, settings

from refsys.catalogue.compiler import Compiler, Scope, polygons
from refsys.catalogue.search import Search, find
from refsys.core import footprints
from refsys.core.areas import Area
from refsys.core.filters import (
    And,
    Attribute,
    Comparison,
    How,
    In,
    Intersects,
    Literal,
    Not,
    Op,
    Property,
    TextMatch,
    Within,
    all_of,
)
from tests import filter_strategies as strategies
from tests.catalogue_rows import Row, insert_rows, plausible_rows
from tests.plain_evaluator import matches

COUNT = 120


def odd_rows():
    """Rows whose attributes have every kind of value under every name, and footprints of every kind."""
    rng = random.Random(7)
    values = [
        "", "S1A", "s1a", "IW_GRDH", "_", "%", "\\", "'", "VV&VH", "1", "é", "NRT-3h", 1, 0, -1, 2, 10, 0.5, 10.25, 1.0,
        1e-7, 1e22, 2**53 + 1, 123, True, False, None, ["VV", "VH"], ["VV"], ["VH", "VV"], ["IW1", "IW2"], [], {"a": 1},
        "2024-01-01T03:00:00.000000Z", "2024-01-01T03:00:00Z", "2024-01-01",
    ]  # fmt: skip
    prefixes = ["S1A_IW_GRDH", "S1A_IW_SLC_", "S1B_EW_GRDM", "S2A_MSIL1C_", "S3A_OL_1_EFR", "s1a_iw", "X"]
    names = [*strategies.PLAIN, *strategies.LISTS]
    for number in range(COUNT):
        hours = [rng.randint(0, 12) for _ in range(5)]
        start, stop, t0, published, modified = (strategies.EPOCH + timedelta(hours=hour) for hour in hours)
        yield Row(
            name=rng.choice(prefixes) + ("" if number < 7 else f"_{number}"),
            id=uuid.uuid5(uuid.NAMESPACE_URL, str(number)),
            collection=rng.choice(["SENTINEL-1", "S1A", "IW_GRDH", ""]),
            sensing_start=rng.choice([start, None]),
            sensing_stop=rng.choice([stop, None, start]),
            t0_raw=rng.choice([t0, None]),
            published_at=published,
            modified_at=modified,
            online=rng.random() < 0.5,
            package_size=rng.choice([0, 1, 2, 10, 123, 2**53 + 1]),
            footprint=_footprint(rng),
            attributes={name: rng.choice(values) for name in names if rng.random() < 0.7},
        )


def _footprint(rng):
    west, south = rng.randint(-360, 320) / 2, rng.randint(-170, 120) / 2
    width, height = rng.choice([0.5, 5, 30]), rng.choice([0.5, 5, 25])
    kind = rng.randrange(6)
    if kind == 0:
        return None
    if kind == 1:
        return footprints.line([(west, south), (west + width, south + height)]).geometry
    if kind == 2:
        return {"type": "Point", "coordinates": [west, south]}
    ring = [(west, south), (west + width, south), (west + width, south + height), (west, south + height)]
    if kind == 3:
        ring = ring[:3]
    return footprints.polygon(ring).geometry


class Rows(list):
    def __repr__(self):
        return "rows"


@pytest.fixture
async def rows(pool):
    found = {row.name: row for row in odd_rows()}
    async with pool.acquire() as connection:
        await insert_rows(connection, found.values())
    return Rows(found.values())


async def selected(pool, expression):
    compiler = Compiler()
    where = compiler.where(expression, Scope.PUBLIC)
    async with pool.acquire() as connection:
        found = await connection.fetch(f"SELECT p.id FROM catalogue.product p WHERE {where}", *compiler.args)
    return {row["id"] for row in found}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=strategies.expressions)
async def test_random_expressions_select_the_same_rows_as_plain_python(pool, rows, expression):
    assert await selected(pool, expression) == {row.id for row in rows if matches(expression, row)}


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=strategies.tests)
async def test_every_single_test_selects_the_same_rows_as_plain_python(pool, rows, expression):
    assert await selected(pool, expression) == {row.id for row in rows if matches(expression, row)}


async def test_long_lists_of_an_attribute_select_the_same_as_short_ones(pool, rows):
    values = tuple(Literal(value) for value in [*range(100), "S1A", True, 10.25])
    expression = In(Attribute("orbitNumber"), values)
    assert await selected(pool, expression) == {row.id for row in rows if matches(expression, row)} != set()


async def test_a_text_of_digits_is_not_the_number(pool):
    rows = [Row("TEXT", attributes={"orbitNumber": "123"}), Row("NUMBER", attributes={"orbitNumber": 123})]
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    number = Comparison(Attribute("orbitNumber"), Op.EQ, Literal(123))
    text = Comparison(Attribute("orbitNumber"), Op.EQ, Literal("123"))
    assert await selected(pool, number) == {rows[1].id}
    assert await selected(pool, text) == {rows[0].id}
    assert await selected(pool, Comparison(Attribute("orbitNumber"), Op.GE, Literal(123.0))) == {rows[1].id}


async def test_nobody_finds_what_is_not_public_or_not_published(pool):
    hidden = [
        Row("ROLE", visibility="role"), Row("INTERNAL", visibility="internal"),
        Row("PACKAGED", state="packaged", published_at=None, modified_at=None),
        Row("GONE", state="withdrawn", deleted_at=strategies.EPOCH, deletion_cause="Corrupted product"),
    ]  # fmt: skip
    async with pool.acquire() as connection:
        await insert_rows(connection, [Row("SEEN"), *hidden])
    everything = And(())
    for expression in (everything, Not(Comparison(Property("name"), Op.EQ, Literal("x"))), Not(Not(everything))):
        assert len(await selected(pool, expression)) == 1


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE catalogue.product; --", "$1", "%", "_", "\\", "a' OR '1'='1", "{name}"]
)
async def test_no_text_leaves_its_parameter(pool, text):
    async with pool.acquire() as connection:
        await insert_rows(connection, [Row("SEEN", attributes={text: text, "list": [text]})])
    found = await selected(pool, Comparison(Attribute(text), Op.EQ, Literal(text)))
    assert len(found) == 1
    assert await selected(pool, TextMatch(How.CONTAINS, Attribute(text), text)) == found
    assert await selected(pool, TextMatch(How.CONTAINS, Attribute("list", "&"), text)) == found
    for how in (How.CONTAINS, How.STARTSWITH, How.ENDSWITH):
        assert await selected(pool, TextMatch(how, Property("name"), text)) == set()


def drawn(rng, *, big):
    """A triangle, quadrangle, line or point anywhere, as an Area."""
    lon, lat = rng.uniform(-179, 179), rng.uniform(-85, 85)
    size = rng.uniform(5, 60) if big else rng.uniform(0.1, 8)
    count = rng.choice([1, 2, 3, 4, 7])
    if count < 3:
        stops = tuple((lon + rng.uniform(0, size), lat + rng.uniform(-1, 1)) for _ in range(count))
        return Area("Point", stops[0]) if count == 1 else Area("LineString", stops)
    hull = shapely.MultiPoint(
        [(lon + rng.uniform(0, size), max(-90, min(90, lat + rng.uniform(-size, size)))) for _ in range(count)]
    ).convex_hull
    return Area("Polygon", (tuple(hull.exterior.coords),))


async def test_overlaps_in_the_database_agree_with_shapely(pool):
    """8 000 random pairs; positions nearer than 0.2 m may be seen as touching."""
    rng = random.Random(11)
    rows, shapes = [], {}
    for number in range(100):
        area = drawn(rng, big=number % 2 == 0)
        geometry = shapely.geometry.mapping(area.shape())
        rows.append(Row(f"ROW{number}", footprint=geometry))
        shapes[rows[-1].id] = shapely.geometry.shape(geometry)
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for number in range(80):
            area = drawn(rng, big=number % 2 == 0)
            found = await selected(pool, Intersects(area))
            through_index = await connection.fetchval(
                "SELECT catalogue.overlapping($1::text[]::polygon[], '(,)', 5000)", polygons(area)
            )
            assert found == set(through_index)
            for identity, shape in shapes.items():
                if shape.intersects(area.shape()) is not (identity in found):
                    assert shape.distance(area.shape()) < 2e-6


def star(rng, *, width):
    """A polygon with bays, round a random place; longitudes may lie beyond 180."""
    lon, lat = rng.uniform(-180, 180), rng.uniform(-60, 60)
    ring = []
    for step in range(count := rng.choice([5, 8, 12])):
        angle, far = 2 * math.pi * step / count, width * rng.uniform(0.4, 1)
        ring.append((lon + far * math.cos(angle), lat + min(25, far) * math.sin(angle)))
    return Area("Polygon", ((*ring, ring[0]),))


async def test_what_lies_within_an_area_agrees_with_shapely(pool):
    """12 000 random pairs of shapes with bays; positions nearer than 0.2 m to the edge may be seen as inside."""
    rng = random.Random(5)
    rows, shapes = [], {}
    for number in range(150):
        ring = star(rng, width=rng.choice([1, 3, 25])).coordinates[0]
        rows.append(Row(f"ROW{number}", footprint=footprints.polygon(ring[:-1]).geometry))
        shapes[rows[-1].id] = shapely.geometry.shape(rows[-1].footprint)
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    inside = 0
    for number in range(80):
        area = star(rng, width=rng.choice([20, 60, 120]))
        if number % 4 == 0:
            other = star(rng, width=20)
            both = Area("MultiPolygon", (area.coordinates, other.coordinates))
            area = area if both.problem() else both
        found = await selected(pool, Within(area))
        inside += len(found)
        for identity, shape in shapes.items():
            if area.shape().covers(shape) is not (identity in found):
                outside = shape.difference(area.shape())
                assert outside.is_empty or outside.hausdorff_distance(area.shape().intersection(outside)) < 2e-6
    assert inside > 100


async def test_an_area_has_within_itself_what_was_cut_out_of_it(pool):
    wide = [(-30, -20), (25, -20), (25, 20), (0, 5), (-30, 20)]
    rows = [Row("SAME", footprint=footprints.polygon(wide).geometry),
            Row("IN", footprint=footprints.polygon([(-30, -20), (-30, -10), (-20, -10), (-20, -20)]).geometry),
            Row("BAY", footprint=footprints.polygon([(-10, 5), (10, 5), (0, 15)]).geometry),
            Row("LINE", footprint=footprints.line([(-29, -19), (24, -19)]).geometry), Row("NONE")]  # fmt: skip
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    area = Area("Polygon", (tuple((float(x), float(y)) for x, y in [*wide, wide[0]]),))
    assert await selected(pool, Within(area)) == {rows[0].id, rows[1].id, rows[3].id}


async def test_holes_of_an_area_are_not_the_area(pool):
    frame = Area("Polygon", (
        ((0.0, 0.0), (30.0, 0.0), (30.0, 30.0), (0.0, 30.0), (0.0, 0.0)),
        ((5.0, 5.0), (5.0, 25.0), (25.0, 25.0), (25.0, 5.0), (5.0, 5.0)),
    ))  # fmt: skip
    inside = footprints.polygon([(10, 10), (20, 10), (20, 20), (10, 20)]).geometry
    across = footprints.polygon([(20, 10), (28, 10), (28, 12), (20, 12)]).geometry
    rows = [Row("INSIDE", footprint=inside), Row("ACROSS", footprint=across)]
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    assert await selected(pool, Intersects(frame)) == {rows[1].id}


async def test_an_area_beyond_the_antimeridian_finds_both_sides(pool):
    east = footprints.polygon([(175, 0), (178, 0), (178, 3), (175, 3)]).geometry
    west = footprints.polygon([(-178, 0), (-175, 0), (-175, 3), (-178, 3)]).geometry
    over = footprints.polygon([(179, 10), (-179, 10), (-179, 12), (179, 12)]).geometry
    far = footprints.polygon([(0, 0), (3, 0), (3, 3), (0, 3)]).geometry
    rows = [Row(name, footprint=geometry) for name, geometry in zip("EWOF", (east, west, over, far), strict=True)]
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    area = Area("Polygon", (((174.0, -1.0), (186.0, -1.0), (186.0, 13.0), (174.0, 13.0), (174.0, -1.0)),))
    assert await selected(pool, Intersects(area)) == {row.id for row in rows[:3]}


async def test_plausible_rows_are_valid_and_found_by_their_indexes(pool):
    rows = list(plausible_rows(3000))
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for expression, index in (
            (TextMatch(How.CONTAINS, Property("name"), rows[5].name[30:60]), "product_grams"),
            (TextMatch(How.STARTSWITH, Property("name"), rows[5].name[:50]), "product_name_order"),
            (Comparison(Property("name"), Op.EQ, Literal(rows[5].name)), "product_name_revision_key"),
            (
                Comparison(Attribute("orbitNumber"), Op.EQ, Literal(rows[5].attributes["orbitNumber"])),
                "product_attributes",
            ),
        ):
            compiler = Compiler()
            where = compiler.where(expression, Scope.PUBLIC)
            sql = f"EXPLAIN SELECT p.id FROM catalogue.product p WHERE {where}"
            plan = "\n".join(row[0] for row in await connection.fetch(sql, *compiler.args))
            assert index in plan or "product_current_name" in plan, plan
            assert await selected(pool, expression) == {row.id for row in rows if matches(expression, row)} != set()


async def test_a_search_for_what_lies_within_an_area_looks_into_the_index_and_at_all_of_each_footprint(pool):
    """Of an area where little lies, and of one where so much does that the products are walked."""
    inside = footprints.polygon([(10, 10), (12, 10), (12, 12), (10, 12)]).geometry
    across = footprints.polygon([(11, 11), (99, 11), (99, 12), (11, 12)]).geometry
    rows = [Row("INSIDE", footprint=inside), Row("ACROSS", footprint=across), Row("NOWHERE")]
    rows += [
        Row(f"MANY{number}", footprint=footprints.polygon([(-9, 0), (-8, 0), (-8, 1)]).geometry)
        for number in range(2100)
    ]
    frame = Area("Polygon", (((9.0, 9.0), (13.0, 9.0), (13.0, 13.0), (9.0, 13.0), (9.0, 9.0)),))
    wide = Area("Polygon", (((-10.0, -1.0), (13.0, -1.0), (13.0, 13.0), (-10.0, 13.0), (-10.0, -1.0)),))
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for area, expected in ((frame, {"INSIDE"}), (wide, {row.name for row in rows} - {"ACROSS", "NOWHERE"})):
            search = Search(
                filter=all_of(Within(area), Comparison(Property("mission"), Op.EQ, Literal("S1"))), limit=5000
            )
            assert {row["name"] for row in await find(connection, search, columns=["p.name"])} == expected
