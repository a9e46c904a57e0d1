"""Which products are taken as inputs: relations, orders, rules, and that the order of two equal ones never changes."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from refsys.catalogue import rules
from refsys.catalogue.audit import Deed
from refsys.catalogue.rules import About, Kind
from refsys.catalogue.selection import Order, Relation, Verdict, Wanted, candidates, latest_cover, made_at
from refsys.core.times import FOREVER, format_instant
from tests.catalogue_rows import START, Row, insert_rows

DEED = Deed("ann", "it was wrong")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def aux(name, start=START, stop=START + DAY, *, made=START, **more):
    attributes = {"processingDate": format_instant(made)} | more.pop("attributes", {})
    return Row(name, product_type="AUX_X", sensing_start=start, sensing_stop=stop, attributes=attributes, **more)


def wanted(relation=Relation.COVER, start=START + HOUR, stop=START + 2 * HOUR, **more):
    given = {"product_types": ("AUX_X",), "platform": "A"} | more
    return Wanted(relation=relation, start=start, stop=stop, **given)


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as connection:
        yield connection


async def names(connection, what, order=Order.NEWEST, **more):
    found = await candidates(connection, what, order, **more)
    return [candidate.product.name for candidate in found.taken]


async def latest(connection, start=START + HOUR, stop=START + 2 * HOUR, platform="A"):
    product = await latest_cover(connection, "AUX_X", platform, start, stop)
    return product and product.name


async def test_the_newest_that_covers_is_taken_whatever_its_state(connection):
    await insert_rows(
        connection,
        [
            aux("OLD"),
            aux(
                "NEW", made=START + HOUR, state="described", published_at=None, modified_at=None, visibility="internal"
            ),
            aux("TOO_SHORT", stop=START + 2 * HOUR - timedelta(microseconds=1), made=START + DAY),
            aux("TOO_LATE", START + HOUR + timedelta(microseconds=1), made=START + DAY),
            aux("OTHER_SATELLITE", platform="B", made=START + DAY),
            aux("WITHDRAWN", made=START + DAY, state="withdrawn", deleted_at=START + DAY, deletion_cause="x"),
            replace(aux("OTHER_TYPE", made=START + DAY), product_type="AUX_Y"),
            aux("BACKWARDS", START + 3 * HOUR, START - HOUR, made=START + DAY),
            aux("UNDATED", None, None, made=START + DAY),
            aux("EVICTED", made=START + DAY),
        ],
    )
    await connection.execute("UPDATE catalogue.product SET evicted_at = now(), online = false WHERE name = 'EVICTED'")
    assert await latest(connection) == "NEW"
    assert await latest(connection, START, START + DAY) == "NEW"
    assert await latest(connection, platform="C") is None
    assert await latest(connection, START - HOUR) is None


async def test_what_is_for_the_whole_mission_counts_for_each_satellite(connection):
    await insert_rows(connection, [aux("A"), aux("ALL", platform="", made=START + HOUR), aux("B", platform="B")])
    assert [await latest(connection, platform=letter) for letter in ("A", "B", "C", "")] == ["ALL"] * 4
    assert await names(connection, wanted(platform="B")) == ["ALL", "B"]


async def test_only_the_current_revision_counts(connection):
    await insert_rows(connection, [aux("P", made=START + HOUR), aux("Q")])
    await connection.execute("UPDATE catalogue.product SET current = false WHERE name = 'P'")
    assert await latest(connection) == "Q"


async def test_generation_counts_before_processing_and_no_date_comes_last(connection):
    generated = {"productGeneration": format_instant(START + DAY)}
    await insert_rows(connection, [aux("UNKNOWN"), aux("PROCESSED", made=START + HOUR), aux("G", attributes=generated)])
    await connection.execute("UPDATE catalogue.product SET attributes = '{}' WHERE name = 'UNKNOWN'")
    found = (await candidates(connection, wanted())).taken
    assert [candidate.product.name for candidate in found] == ["G", "PROCESSED", "UNKNOWN"]
    assert [made_at(candidate.product) for candidate in found] == [START + DAY, START + HOUR, None]


async def test_of_equal_ones_the_last_described_is_first_then_the_last_by_name(connection):
    await insert_rows(connection, [aux(name) for name in ("b", "C", "a")])
    await connection.execute("UPDATE catalogue.product SET described_at = $1", START)
    assert await names(connection, wanted()) == ["b", "a", "C"]
    await connection.execute("UPDATE catalogue.product SET described_at = $1 WHERE name = 'a'", START + HOUR)
    for order in Order:
        assert await names(connection, wanted(), order) == ["a", "b", "C"]


async def test_banned_ones_are_never_taken_and_told(connection):
    await insert_rows(connection, [aux("OLD"), aux("NEW", made=START + HOUR)])
    rule = await rules.add(connection, Kind.BAN, About(name="NEW"), DEED)
    found = await candidates(connection, wanted())
    assert [candidate.product.name for candidate in found.taken] == ["OLD"]
    (left,) = found.left
    assert (left.product.name, left.verdict, left.rule_id) == ("NEW", Verdict.BANNED, rule.id)
    assert left.why == f"banned by rule {rule.id} (ann: it was wrong)"
    assert found.taken[0].why == "taken: made 2024-01-01T00:00:00.000000Z"
    # what is not wanted anyway is not told
    assert (await candidates(connection, wanted(start=START - HOUR))).left == ()
    await rules.lift(connection, rule.id, DEED)
    assert await latest(connection) == "NEW"


async def test_a_pinned_one_wins_wherever_it_is_a_candidate(connection):
    await insert_rows(
        connection, [aux("FIRST"), aux("SECOND"), aux("NEW", made=START + HOUR), aux("SHORT", stop=START + HOUR)]
    )
    for name in ("SECOND", "FIRST", "SHORT"):
        await rules.add(connection, Kind.PIN, About(name=name), DEED)
    found = await candidates(connection, wanted(), Order.EARLIEST_START)
    assert [candidate.product.name for candidate in found.taken] == ["FIRST", "SECOND", "NEW"]
    assert [candidate.verdict for candidate in found.taken] == [Verdict.PINNED, Verdict.PINNED, Verdict.TAKEN]
    assert await latest(connection) == "FIRST"
    await rules.add(connection, Kind.BAN, About(name="FIRST"), DEED)
    assert await latest(connection) == "SECOND"


async def test_pins_are_about_what_is_processed(connection):
    await insert_rows(connection, [aux("OLD", platform=""), aux("NEW", platform="", made=START + HOUR)])
    about = About(name="OLD", platform="B", sensing_from=START + 2 * HOUR, sensing_until=START + 4 * HOUR)
    await rules.add(connection, Kind.PIN, about, DEED)

    async def taken(platform, hours, margin=0):
        start = START + hours * HOUR
        what = wanted(platform=platform, start=start - margin * HOUR, stop=start, sensing=start)
        return (await names(connection, what))[0]

    assert [await taken("B", hours) for hours in (1, 2, 3, 4)] == ["NEW", "OLD", "OLD", "NEW"]
    assert await taken("B", 2, margin=1) == "OLD"
    assert await taken("A", 3) == "NEW"


async def test_an_activated_one_is_taken_from_its_instant_on_only(connection):
    await insert_rows(connection, [aux("OLD"), aux("NEW", made=START + HOUR)])
    about = About(name="NEW", sensing_from=START + 3 * HOUR)
    rule = await rules.add(connection, Kind.ACTIVATE, about, DEED)
    await rules.add(connection, Kind.PIN, About(name="NEW"), DEED)
    assert await latest(connection, START + 2 * HOUR, START + 5 * HOUR) == "OLD"
    assert await latest(connection, START + 3 * HOUR, START + 5 * HOUR) == "NEW"
    found = await candidates(connection, wanted())
    (left,) = found.left
    assert left.why == f"not active before 2024-01-01T03:00:00.000000Z by rule {rule.id} (ann: it was wrong)"


async def test_attributes_have_to_be_equal_in_value_and_kind(connection):
    bands = ("01", "8A", 8, True)
    await insert_rows(connection, [aux(f"P{n}", attributes={"band": band}) for n, band in enumerate(bands)])
    found = [await names(connection, wanted(attributes={"band": band})) for band in (*bands, "8")]
    assert found == [["P0"], ["P1"], ["P2"], ["P3"], []]


async def test_more_than_the_limit_is_told(connection):
    await insert_rows(connection, [aux(f"P{n}", made=START + n * HOUR) for n in range(5)])
    await rules.add(connection, Kind.PIN, About(name="P0"), DEED)
    some = await candidates(connection, wanted(), limit=3)
    assert ([c.product.name for c in some.taken], some.is_complete) == (["P0", "P4", "P3"], False)
    every = await candidates(connection, wanted(), limit=5)
    assert ([c.product.name for c in every.taken], every.is_complete) == (["P0", "P4", "P3", "P2", "P1"], True)
    assert (await candidates(connection, wanted(product_types=()))).taken == ()
    assert (await candidates(connection, wanted(product_types=()))).first is None


async def test_every_relation_and_order_finds_what_plain_looking_finds(connection):
    rng = random.Random(7)
    lengths = (0, 1, 9, 10, 59.999999, 60, 300, 3600, 10_800, 64_800, 90_000, 2_592_000, 18_000_000, 129_600_000)
    rows = []
    for number in range(600):
        start = START + timedelta(seconds=rng.choice((0, 1, 60, 3600, 86_400)) * rng.randint(-60, 60))
        endless = rng.random() < 0.2
        stop = FOREVER if endless else start + timedelta(seconds=rng.choice(lengths) * rng.choice((1, 1, 1.5)))
        made = START + timedelta(hours=rng.randint(0, 20))
        kind, platform = rng.choice(("AUX_X", "AUX_Y")), rng.choice("AB") if rng.random() < 0.8 else ""
        rows.append(replace(aux(f"P{number}", start, stop, made=made, platform=platform), product_type=kind))
    await insert_rows(connection, rows)
    described = {r["name"]: r["described_at"] for r in await connection.fetch("SELECT * FROM catalogue.product")}
    banned = rows[3].name
    await rules.add(connection, Kind.BAN, About(name=banned), DEED)
    for _ in range(60):
        start = START + timedelta(seconds=rng.choice((1, 60, 3600, 86_400)) * rng.randint(-60, 60))
        relation = rng.choice(list(Relation))
        ends = (start, start + HOUR, start + DAY, start + 400 * DAY) + (
            (FOREVER,) if relation is not Relation.COVER else ()
        )
        order, stop, limit = rng.choice(list(Order)), rng.choice(ends), rng.choice((1, 3, 50, 1000))
        if rng.random() < 0.1:
            start = datetime.min.replace(tzinfo=START.tzinfo)
        what = wanted(relation, start, stop, product_types=rng.choice((("AUX_X",), ("AUX_X", "AUX_Y"))))
        hits = [row for row in rows if _holds(row, what) and row.name != banned]
        for key in (
            lambda row: row.name,
            lambda row: described[row.name],
            lambda row: row.attributes["processingDate"],
        ):
            hits.sort(key=key, reverse=True)
        if order is not Order.NEWEST:
            by_start = order in (Order.EARLIEST_START, Order.LATEST_START)
            latest_first = order in (Order.LATEST_START, Order.LATEST_STOP)
            hits.sort(key=lambda row: row.sensing_start if by_start else row.sensing_stop, reverse=latest_first)
        found = await names(connection, what, order, limit=limit)
        assert found == [row.name for row in hits[:limit]], (what, order, limit)


def _holds(row, what):
    if row.product_type not in what.product_types or row.platform not in (what.platform, ""):
        return False
    match what.relation:
        case Relation.COVER:
            return row.sensing_start <= what.start and row.sensing_stop >= what.stop
        case Relation.INTERSECT:
            return row.sensing_start < what.stop and row.sensing_stop > what.start
        case Relation.STARTS:
            return what.start <= row.sensing_start < what.stop
        case Relation.STOPS:
            return what.start <= row.sensing_stop and (row.sensing_stop < what.stop or what.stop == FOREVER)
