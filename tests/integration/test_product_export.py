"""`refsys product export`: published products as stac-geoparquet and as JSON lines."""

import asyncio
import json
import resource
import sys

import pytest
import rustac
import shapely
from pyarrow import parquet

from refsys.catalogue import store
from refsys.core.times import format_instant
from refsys.distribution.rendering import store_documents
from tests.catalogue_rows import Row, insert_rows, plausible_rows
from tests.stac import problems
from tests.stored_products import TYPES

SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12, 40], [12, 42], [10, 42], [10, 40]]]}
HALVES = {
    "type": "MultiPolygon",
    "coordinates": [[[[179, 0], [180, 0], [180, 1], [179, 0]]], [[[-180, 0], [-179, 0], [-180, 1], [-180, 0]]]],
}


async def enter(pool, *rows, documented=0):
    """The first `documented` ones with their items, as publication keeps them."""
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
        for row in rows[:documented]:
            await store_documents(connection, await store.fetch_product(connection, row.id), TYPES)


async def test_items_are_the_same_in_both_forms_and_strangers_read_them(refsys, pool, tmp_path):
    rows = [
        *plausible_rows(60),
        Row("S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3"),
        Row("PLACED", footprint=SQUARE, attributes={"platformShortName": "SENTINEL-1", "orbitNumber": 7}),
        Row("ACROSS", footprint=HALVES, attributes={"instrumentShortName": "SAR", "polarisationChannels": ["VV"]}),
        Row("HIDDEN", visibility="internal"),
        Row("WAITING", state="packaged", published_at=None),
    ]
    await enter(pool, *rows, documented=30)
    told = await refsys("product", "export", "--output", tmp_path / "all.parquet")
    assert told.startswith(f"64 products in {tmp_path / 'all.parquet'}")
    await refsys("product", "export", "--format", "ndjson", "--output", tmp_path / "all.ndjson")
    lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert {item["id"]: problems(item) for item in lines} == {item["id"]: [] for item in lines}
    published = [item["properties"]["published"] for item in lines]
    assert published == sorted(published), "in the order of publication"

    read = (await rustac.read(str(tmp_path / "all.parquet")))["features"]
    assert [item["id"] for item in read] == [item["id"] for item in lines]
    by_id = {item["id"]: item for item in lines}
    for item in read:
        same = by_id[item["id"]]
        if same["geometry"] is not None:
            assert shapely.geometry.shape(item["geometry"]).equals(shapely.geometry.shape(same["geometry"]))
        assert item["properties"]["product:type"] == same["properties"]["product:type"]
        assert item["properties"]["datetime"][:19] == same["properties"]["datetime"][:19]
    table = parquet.read_table(tmp_path / "all.parquet")
    for column in ("datetime", "start_datetime", "end_datetime", "created", "published", "expires"):
        told = [instant and format_instant(instant) for instant in table.column(column).to_pylist()]
        assert told == [item["properties"].get(column) for item in lines]
    assert table.column("geometry").null_count == sum(item["geometry"] is None for item in lines) > 0
    assert table.column("bbox").to_pylist()[[item["id"] for item in lines].index("ACROSS")] == {
        "xmin": 179, "ymin": 0, "xmax": -179, "ymax": 1,
    }  # fmt: skip
    assert json.loads(table.schema.metadata[b"geo"])["primary_column"] == "geometry"


async def test_a_selection_a_limit_and_a_file_that_is_there_already(refsys, pool, tmp_path):
    await enter(pool, *(Row(f"P{number}", product_type=f"T{number % 2}") for number in range(6)))
    target = tmp_path / "some.ndjson"
    words = ("product", "export", "--format", "ndjson", "--output", target)
    assert "3 products in" in await refsys(*words, "--type", "T1")
    assert sorted(json.loads(line)["id"] for line in target.read_text().splitlines()) == ["P1", "P3", "P5"]
    before = target.read_bytes()
    assert "exists" in await refsys(*words, "--limit", "1", code=1)
    assert target.read_bytes() == before
    assert "1 product in" in await refsys(*words, "--limit", "1", "--force")
    assert "1 product in" in await refsys(*words, "--name", "*P4", "--force")
    assert "no product is like that" in await refsys(*words, "--name", "NOTHING", "--force", code=1)
    assert json.loads(target.read_text())["id"] == "P4", "what finds nothing replaces nothing"
    assert "cannot be written" in await refsys("product", "export", "-o", tmp_path / "no" / "x.parquet", code=1)
    assert "is a folder" in await refsys("product", "export", "-o", tmp_path, code=1)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


async def test_changed_descriptions_are_rendered_anew(refsys, pool, tmp_path):
    [row] = [Row("P", attributes={"orbitNumber": 1, "cloudCover": 5.0})]
    await enter(pool, row, documented=1)
    changed = "UPDATE catalogue.product SET attributes = $1, edition = edition + 1"
    async with pool.acquire() as connection:
        await connection.execute(changed, {"orbitNumber": 2, "cloudCover": 6.0})
    await refsys("product", "export", "--format", "ndjson", "--output", tmp_path / "x")
    found = json.loads((tmp_path / "x").read_text())["properties"]
    assert (found["sat:absolute_orbit"], found["eo:cloud_cover"]) == (2, 6.0)


@pytest.mark.soak
async def test_memory_does_not_grow_with_the_catalogue(pool, dsn, tmp_path):
    await enter(pool, *plausible_rows(100_000))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    words = ("-m", "refsys", "--set", f"database_url={dsn}", "--state", str(tmp_path))
    run = await asyncio.create_subprocess_exec(
        sys.executable, *words, "product", "export", "--output", str(tmp_path / "x.parquet")
    )
    assert await run.wait() == 0
    assert parquet.read_metadata(tmp_path / "x.parquet").num_rows == 100_000
    assert max(usage, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) < 700_000, "kilobytes"
