"""`refsys product find` and `show` against a real catalogue."""

import json
import time
from datetime import UTC, datetime

import pytest

from refsys.catalogue import commands, store
from refsys.core.products import Arrival, Description, FileEntry
from refsys.core.times import FOREVER
from refsys.missions import load_types
from tests.catalogue_rows import START, Row, insert_rows, plausible_rows

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [25, 0], [25, 5], [0, 5], [0, 0]]]}


async def published(pool, name=NAME):
    """A product that went all the way, two files, one problem."""
    files = (
        FileEntry(f"{name}/manifest.safe", 1500, md5=b"m" * 16, blake3=b"b" * 32),
        FileEntry(f"{name}/measurement/iw.tiff", 2_500_000, md5=b"n" * 16, blake3=b"c" * 32),
    )
    arrival = Arrival(name=name, base="attempts/a", files=files, source="station-1", available_at=START, found_at=START)
    description = Description(START, START, SQUARE, {"orbitNumber": 39156}, problems=("a file is odd",))
    async with pool.acquire() as connection:
        content_id = await commands.arrive(connection, arrival, priority=50)
        content = await store.fetch_content(connection, content_id)
        described = await commands.describe(connection, content, load_types().recognise(name), description, priority=50)
        product = await store.fetch_product(connection, described.product_id)
        assert await commands.set_packaged(
            connection, product.id, content_id, base=product.final_base, layout=1, package_name=f"{name}.zip",
            size_bytes=2_501_000, md5=b"p" * 16, blake3=b"q" * 32,
        )  # fmt: skip
        assert await commands.publish(connection, product.id, content_id)
    return product.id


async def test_find_lists_products_of_every_state(refsys, pool):
    rows = [Row("PUBLISHED"), Row("HIDDEN", visibility="internal"), Row("WAITING", state="packaged", published_at=None)]
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    listed = await refsys("product", "find")
    assert all(row.name in listed for row in rows)
    assert "published internal" in listed
    assert "1 kB" in listed


async def test_what_is_valid_for_ever_is_shown_so_wherever_the_clock_stands(refsys, pool, monkeypatch):
    async with pool.acquire() as connection:
        await insert_rows(connection, [Row("ENDLESS")])
        await connection.execute("UPDATE catalogue.product SET sensing_stop = $1", FOREVER)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        found = json.loads(await refsys("product", "find", "--json"))
    time.tzset()
    assert found["sensing_stop"] == "9999-12-31T23:59:59.999999Z"


async def test_find_takes_pieces_patterns_types_dates_and_filters(refsys, pool):
    rows = list(plausible_rows(60))
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)

    async def names(*words):
        lines = (await refsys("product", "find", "--json", "--limit", "1000", *words)).splitlines()
        return {json.loads(line)["name"] for line in lines}

    assert await names() == {row.name for row in rows}
    assert await names("--name", "_RAW__") == {row.name for row in rows if "_RAW__" in row.name}
    assert await names("--name", "S1A*.SAFE") == {row.name for row in rows if row.name.startswith("S1A")}
    assert await names("--name", "S?B_MSI*") == {row.name for row in rows if row.name.startswith("S2B_MSI")}
    assert await names("--type", "S2MSI1C") == {row.name for row in rows if row.product_type == "S2MSI1C"} != set()
    assert await names("--since", "1h") == {row.name for row in rows}
    assert await names("--since", "2999-01-01") == set()
    clouds = (
        "Attributes/OData.CSC.DoubleAttribute/any(a:a/Name eq 'cloudCover' and a/Value lt 50) and State eq 'published'"
    )
    assert await names("--filter", clouds) == {row.name for row in rows if row.attributes.get("cloudCover", 99) < 50}


async def test_find_shows_as_many_as_asked_and_says_that_there_are_more(refsys, pool):
    async with pool.acquire() as connection:
        await insert_rows(connection, [Row(f"P{number}") for number in range(5)])
    listed = await refsys("product", "find", "--limit", "2")
    assert listed.count("IW_GRDH_1S") == 2
    assert "there are more" in listed
    assert "no product is like that" in await refsys("product", "find", "--name", "nothing", code=1)


@pytest.mark.parametrize(("columns", "headings"), [(60, []), (120, ["name", "state", "published", "size"])])
async def test_find_keeps_names_whole_on_narrow_terminals(refsys, pool, columns, headings):
    await published(pool)
    name, *rest = (await refsys("product", "find", columns=columns)).splitlines()
    assert name.split() == (headings or [NAME])
    details = rest[0].removeprefix(f"{NAME}  ").split()
    assert (details[:2], details[3:]) == (["published", "!"], ["2.5", "MB"])
    assert all(len(line.rstrip()) <= columns for line in rest)
    assert rest[-1] == "! it has problems: `refsys product show` tells them"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--filter", "Nme eq 'x'"), "--filter, at position 1: expected a property (did you mean Name?)"),
        (("--since", "yesterday"), "--since yesterday: is no date"),
    ],
)
async def test_find_says_what_is_wrong_with_an_option(refsys, words, told):
    assert told in await refsys("product", "find", *words, code=1)


async def test_show_tells_everything_about_a_product(refsys, pool):
    identity = await published(pool)
    shown = await refsys("product", "show", NAME)
    for expected in (
        NAME, str(identity), "published", "IW_GRDH_1S (SENTINEL-1, S1A)", "2501000 bytes", b"p".hex() * 16,
        "a file is odd", "station-1", "orbitNumber", "39156", "manifest.safe", "measurement/iw.tiff", "2.5 MB",
        "available (station's clock)", "stored", "described", "packaged", "2 files", "catalogue.describe", "due",
    ):  # fmt: skip
        assert expected in shown, expected
    assert await refsys("product", "show", f"{NAME}.zip") == shown
    assert await refsys("product", "show", str(identity)) == shown


async def test_show_as_json_has_times_files_with_checksums_and_steps(refsys, pool):
    identity = await published(pool)
    shown = json.loads(await refsys("product", "show", str(identity), "--json"))
    assert shown["product"]["id"] == str(identity)
    assert shown["product"]["attributes"] == {"orbitNumber": 39156}
    assert [entry["md5"] for entry in shown["files"]] == [b"m".hex() * 16, b"n".hex() * 16]
    times = shown["times"]
    assert list(times) == ["available", "found", "stored", "described", "packaged", "published"]
    in_order = [datetime.fromisoformat(times[stage]) for stage in ("stored", "described", "packaged", "published")]
    assert in_order == sorted(in_order)
    assert in_order[-1] <= datetime.now(UTC)
    assert {step["stage"] for step in shown["steps"]} >= {"catalogue.describe"}


@pytest.mark.parametrize("columns", [60, 80, 140])
async def test_show_fits_the_terminal_and_leaves_checksums_out_where_they_have_no_room(refsys, pool, columns):
    await published(pool)
    await pool.execute("UPDATE catalogue.product SET attributes = $1", {"sliceProductFlag": True, "odd": "\x1b[31m"})
    await pool.execute("UPDATE catalogue.product SET problems = $1", ["\x1b[31m[bold]odd[/bold]"])
    shown = await refsys("product", "show", NAME, columns=columns)
    kept_whole = (NAME, "problem  ")
    assert all(len(line) <= columns for line in shown.splitlines() if not line.startswith(kept_whole))
    assert (b"m" * 16).hex() in shown if columns == 140 else (b"m" * 16).hex() not in shown
    assert "problem  \\x1b[31m[bold]odd[/bold]" in shown
    assert "\x1b" not in shown
    assert " true " in shown


async def test_show_of_what_only_arrived_says_so_and_why_it_stopped(refsys, pool):
    arrival = Arrival(name=NAME, base="attempts/a", files=(FileEntry(f"{NAME}/x", 1),), source="station-1")
    async with pool.acquire() as connection:
        await commands.arrive(connection, arrival, priority=50)
        await connection.execute(
            "UPDATE work.step SET state = 'parked', parked_at = now(), started_at = now(), attempts = 1, error = $1",
            {"message": "has no manifest"},
        )
    shown = await refsys("product", "show", NAME)
    assert "arrived, but not described yet" in shown
    assert "has no manifest" in shown


async def test_show_of_an_unknown_name_offers_the_near_ones(refsys, pool):
    await published(pool)
    assert NAME in await refsys("product", "show", "039156_049f13", code=1)
    assert "nothing of this name or id is known" in await refsys("product", "show", "nonsense", code=1)
