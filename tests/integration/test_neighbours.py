"""Products that belong together: sessions, datatakes, slices, orbits, intervals, and what came since."""

import random
from datetime import timedelta

import pytest

from refsys.catalogue import neighbours, rules
from refsys.catalogue.audit import Deed
from refsys.catalogue.neighbours import Mark, TooMany
from refsys.catalogue.rules import About, Kind
from refsys.catalogue.store import fetch_current
from refsys.core.cover import join_rf_segments, join_segments, sequence_gap, time_gap, without_duplicates
from refsys.core.times import format_instant
from tests.catalogue_rows import START, Row, insert_rows

DEED = Deed("ann", "it was wrong")
MINUTE = timedelta(minutes=1)
GONE = {"state": "withdrawn", "deleted_at": START, "deletion_cause": "x"}


@pytest.fixture
async def connection(pool):
    async with pool.acquire() as connection:
        yield connection


def names(products):
    return [getattr(found, "product", found).name for found in products]


async def ban(connection, name):
    await rules.add(connection, Kind.BAN, About(name=name), DEED)


async def described(connection, name, at):
    await connection.execute("UPDATE catalogue.product SET described_at = $2 WHERE name = $1", name, at)


def session_file(session, channel, block=None, **more):
    kind = "SESSION" if block is None else "RAW"
    attributes = {"sessionIdentifier": session, "channel": channel} | ({} if block is None else {"blockNumber": block})
    name = f"DCS_04_{session}_ch{channel}_{'DSIB.xml' if block is None else f'DSDB_{block:05}.raw'}"
    dates = {} if block is None else {"sensing_start": None, "sensing_stop": None}
    return Row(name, product_type=kind, attributes=attributes, **dates, **more)


async def test_files_of_a_session_by_channel_the_information_first(connection):
    wanted = [session_file("S1A_1", c, block) for c in (1, 2) for block in (None, 2, 10)]
    others = [session_file("S1A_2", 1), session_file("S1A_1", 1, 3, **GONE), session_file("S1A_1", 1, 4)]
    rows = wanted + others
    random.Random(1).shuffle(rows)
    await insert_rows(connection, rows)
    await ban(connection, others[2].name)
    found = await neighbours.session_files(connection, "s1a_1")
    assert names(found) == names(wanted)
    assert [(file.channel, file.block, file.is_information) for file in found[:2]] == [(1, None, True), (1, 2, False)]
    assert await neighbours.session_files(connection, "S1A_3") == []
    with pytest.raises(TooMany, match="more than 5 products"):
        await neighbours.session_files(connection, "S1A_1", limit=5)
    assert len(await neighbours.session_files(connection, "S1A_1", limit=6)) == 6


def level0(
    kind="IW_RAW__0S", polarisation="VV", start=0, minutes=5, *, datatake=137013, platform="A", made=0, **attributes
):
    begin = START + start * MINUTE
    stop = begin + minutes * MINUTE
    stamps = f"{begin:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
    return Row(
        f"S1{platform}_{kind}{polarisation}_{stamps}_019684_{datatake:06X}_{made:04X}.SAFE",
        product_type=kind,
        platform=platform,
        sensing_start=begin,
        sensing_stop=stop,
        attributes={
            "datatakeID": datatake,
            "sliceProductFlag": False,
            "processingDate": format_instant(START + made * MINUTE),
            **attributes,
        },
    )


async def test_segments_of_a_datatake_are_what_tells_whether_it_is_complete(connection):
    full = {"productConsolidation": "FULL"}
    begin = {"productConsolidation": "PARTIAL", "productSensingConsolidation": "BEGIN"}
    end = {"productConsolidation": "PARTIAL", "productSensingConsolidation": "END"}
    vv, vh_begin, vh_end = (
        level0(**full),
        level0("IW_RAW__0S", "VH", 0, 3, **begin),
        level0("IW_RAW__0S", "VH", 2, 3, **end),
    )
    rf = [level0("RF_RAW__0S", polarisation, 9) for polarisation in ("VV", "VH")]
    others = [
        level0(datatake=137014),
        level0(platform="B"),
        level0("IW_RAW__0S", "DV", sliceProductFlag=True, sliceNumber=3),
        level0("IW_RAW__0A", "DV"),
        level0("IW_GRDH_1S", "DV"),
    ]
    await insert_rows(connection, [vh_end, *others, *rf, vv, vh_begin])
    found = await neighbours.segments(connection, "A", 137013)
    assert names(found) == names([vh_begin, vv, vh_end])
    assert [(s.polarisation, s.consolidation, s.sensing_consolidation, s.is_rf) for s in found] == [
        ("VH", "PARTIAL", "BEGIN", False),
        ("VV", "FULL", "", False),
        ("VH", "PARTIAL", "END", False),
    ]
    assert join_segments(found).lacks == ""
    pair = await neighbours.segments(connection, "A", 137013, rf=True)
    assert {segment.product.name for segment in pair} == set(names(rf))
    assert join_rf_segments(pair, START + 9 * MINUTE).lacks == ""
    await ban(connection, vh_end.name)
    assert join_segments(await neighbours.segments(connection, "A", 137013)).lacks.startswith("VH: one segment")


async def test_slices_come_by_number_with_the_newest_annotations_of_each_class(connection):
    slices = [level0(polarisation="DV", start=n, sliceProductFlag=True, sliceNumber=n) for n in (10, 2, 1)]
    noise = level0("IW_RAW__0N", "DV")
    annotation = [level0("IW_RAW__0A", "DV", made=made) for made in (5, 9, 7)]
    others = [
        level0("EW_RAW__0C", "DV"),
        level0("IW_RAW__0C", "DV", platform="B"),
        level0("IW_RAW__0C", "DV", datatake=9),
    ]
    await insert_rows(connection, [*slices, noise, *annotation, *others])
    found = await neighbours.slices(connection, "A", 137013)
    assert [product.attributes["sliceNumber"] for product in found] == [1, 2, 10]
    assert names(await neighbours.slice_annotations(connection, found[0])) == [annotation[1].name, noise.name]
    assert names(await neighbours.slice_annotations(connection, found[0], one=True)) == [annotation[1].name]
    for row in annotation:
        await ban(connection, row.name)
    assert names(await neighbours.slice_annotations(connection, found[0], one=True)) == [noise.name]
    aux = await fetch_current(connection, noise.name)
    assert await neighbours.slice_annotations(connection, aux) == []


def granule(start, stop, *, made=0, kind="OL_0_EFR___", platform="A", **attributes):
    return Row(
        f"S3{platform}_{kind}_{start}_{stop}_{made}_{attributes.get('orbitNumber', 0)}",
        mission="S3",
        product_type=kind,
        platform=platform,
        sensing_start=START + start * MINUTE,
        sensing_stop=START + stop * MINUTE,
        attributes={"processingDate": format_instant(START + made * MINUTE)} | attributes,
    )


async def test_the_first_product_of_an_orbit_is_the_one_that_was_inserted_first(connection):
    rows = [granule(n, n + 1, orbitNumber=7, lastOrbitNumber=7 + n // 2) for n in range(3)]
    others = [
        granule(0, 1, orbitNumber=6, lastOrbitNumber=7),
        granule(0, 1, orbitNumber=7, kind="OL_1_EFR___"),
        granule(0, 1, orbitNumber=7, platform="B"),
        granule(5, 6, orbitNumber=70),
    ]
    await insert_rows(connection, rows + others)
    for hours, row in enumerate((rows[2], rows[0], others[0], rows[1])):
        await described(connection, row.name, START + timedelta(hours=hours))
    ask = ("OL_0_EFR___", "A", 7)
    assert names(await neighbours.of_orbit(connection, *ask)) == names([rows[2], rows[0], rows[1]])
    both = await neighbours.of_orbit(connection, *ask, stop_too=True)
    assert names(both) == names([rows[2], rows[0], others[0], rows[1]])
    assert (await neighbours.first_of_orbit(connection, *ask)).name == rows[2].name
    await ban(connection, rows[2].name)
    assert (await neighbours.first_of_orbit(connection, *ask)).name == rows[0].name
    assert await neighbours.first_of_orbit(connection, "OL_0_EFR___", "A", 8) is None
    with pytest.raises(TooMany):
        await neighbours.of_orbit(connection, *ask, limit=1)


async def test_neighbours_in_a_range_cover_it_once_duplicates_are_out(connection):
    row = [granule(n, n + 1, granuleNumber=n + 1, granulePosition="FIRST" if n == 0 else "NONE") for n in range(4)]
    again = granule(1, 2, made=5, granuleNumber=2)
    others = [granule(-1, 0), granule(4, 5), granule(0, 4, kind="SL_0_SLT___"), granule(0, 4, platform="B")]
    await insert_rows(connection, [*others, again, *reversed(row)])
    stop = START + 4 * MINUTE
    found = await neighbours.in_range(connection, ["OL_0_EFR___"], "A", START, stop)
    assert names(found) == names([row[0], *sorted((row[1], again), key=lambda r: r.name), row[2], row[3]])
    assert sequence_gap(found, START, stop).why == "granule 2 (NONE) does not follow granule 2 (NONE)"
    single = without_duplicates(found)
    assert names(single) == names([row[0], again, row[2], row[3]])
    assert sequence_gap(single, START, stop) is None
    assert time_gap(single, START - 2 * MINUTE, stop, threshold=timedelta(seconds=3)).start == START - 2 * MINUTE
    await ban(connection, row[2].name)
    found = await neighbours.in_range(connection, ["OL_0_EFR___"], "A", START, stop)
    assert time_gap(found, START, stop, threshold=timedelta(seconds=3)).start == START + 2 * MINUTE
    with pytest.raises(TooMany):
        await neighbours.in_range(connection, ["OL_0_EFR___"], "A", START, stop, limit=3)


async def test_arrivals_are_read_on_from_a_mark_without_missing_or_repeating_any(connection):
    rng = random.Random(3)
    rows = [
        granule(n, n + 1, kind=rng.choice(("OL_0_EFR___", "SL_0_SLT___")), platform=rng.choice("AB")) for n in range(60)
    ]
    await insert_rows(connection, rows)
    for number, row in enumerate(rows):
        await described(connection, row.name, START + timedelta(hours=number // 4))
    await ban(connection, next(r.name for r in rows if r.product_type == "OL_0_EFR___" and r.platform == "A"))

    async def read(**more):
        mark, found, calls = Mark(START - MINUTE), [], 0
        while True:
            batch = await neighbours.arrivals(connection, mark, ["OL_0_EFR___"], examined=7, **more)
            found += names(batch.products)
            mark, calls = batch.mark, calls + 1
            if batch.is_last:
                return found, calls, mark

    wanted = [row for row in rows if row.product_type == "OL_0_EFR___"]
    banned = next(row for row in wanted if row.platform == "A")
    wanted.remove(banned)
    found, calls, mark = await read()
    assert sorted(found) == sorted(names(wanted))
    assert calls == 60 // 7 + 1
    assert (await read(platforms=["A"]))[0] == [name for name in found if name.startswith("S3A")]
    early = {row.name for row in wanted if rows.index(row) // 4 <= 3}
    assert set((await read(until=START + timedelta(hours=3)))[0]) == early
    nothing = await neighbours.arrivals(connection, mark, ["OL_0_EFR___"])
    assert (nothing.products, nothing.mark, nothing.is_last) == ((), mark, True)


async def test_what_was_described_just_now_waits_until_it_is_settled(connection):
    await insert_rows(connection, [granule(0, 1)])
    for until in (None, START + timedelta(days=36_500)):
        batch = await neighbours.arrivals(connection, Mark(START), ["OL_0_EFR___"], until=until)
        assert (batch.products, batch.mark) == ((), Mark(START))
