"""Filters of STAC API over HTTP, in CQL2 as text and as JSON: each queryable finds the items whose member it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from refsys.core.times import format_instant
from tests.catalogue_rows import START, Row, plausible_rows
from tests.stac_hub import enter, found, get, post, refused, stac_client

#: Products that have between them every field that can be asked for.
RICH = [
    Row(
        f"S1{letter}_IW_RAW__0SDV_2024030{day}T000000_2024030{day}T000025_051903_0645E{day}_ABCD.SAFE",
        product_type="IW_RAW__0S", platform=letter, t0_raw=START + timedelta(minutes=day), online=day != 2,
        sensing_start=START + timedelta(days=60 + day), sensing_stop=START + timedelta(days=60 + day, seconds=25),
        attributes={
            "platformShortName": "SENTINEL-1", "platformSerialIdentifier": letter, "instrumentShortName": "SAR",
            "nssdcIdentifier": f"2014-016{letter}", "instrumentConfigurationID": f"0{day}", "operationalMode": "IW",
            "swathIdentifier": ["IW1", "IW2"][:day], "polarisationChannels": ["VV", "VH"][-day:],
            "processingLevel": "LEVEL0", "productConsolidation": "SLICE", "timeliness": timeliness,
            "beginningDateTime": format_instant(START), "startTimeFromAscendingNode": 1000.5,
            "segmentStartTime": format_instant(START + timedelta(seconds=day)), "orbitNumber": 50000 + day,
            "relativeOrbitNumber": day, "cycleNumber": 300 + day, "orbitDirection": direction,
            "datatakeID": 410000 + day,
            "sliceProductFlag": day == 1, "sliceNumber": day, "totalSlices": 9, "processingCenter": "Airbus",
            "origin": "ESA", "processorVersion": "003.71", "processingDate": format_instant(START),
        },
    )
    for day, (letter, timeliness, direction) in enumerate(
        [("A", "FAST24", "ASCENDING"), ("C", "NRT", "DESCENDING")], start=1
    )
] + [
    Row(
        "S2B_MSIL2A_20240302T103009_N0510_R108_T32TQM_20240302T130000.SAFE",
        collection="SENTINEL-2", mission="S2", platform="B", product_type="S2MSI2A",
        attributes={
            "platformShortName": "SENTINEL-2", "platformSerialIdentifier": "B", "instrumentShortName": "MSI",
            "operationalMode": "INS-NOBS", "tileId": "32TQM", "cloudCover": 12.5, "productGroupId": "GS2B_2024",
            "datastripId": "S2B_OPER_MSI_L2A_DS", "granuleIdentifier": "S2B_OPER_MSI_L2A_TL", "origin": "ESA",
            "processingLevel": "S2MSI2A", "processorVersion": "05.10",
        },
    ),
    Row(
        "S3A_SY_2_SYN____20240303T100000_20240303T100300_20240303T120000_0179_107_122_2160_PS1_O_ST_004.SEN3",
        collection="SENTINEL-3", mission="S3", product_type="SY_2_SYN___",
        attributes={
            "platformShortName": "SENTINEL-3", "platformSerialIdentifier": "A", "instrumentShortName": "SYNERGY",
            "timeliness": "ST", "landCover": 20.0, "salineWaterCover": 80.0, "coastalCover": 1.0,
            "freshInlandWaterCover": 0.5, "tidalRegionCover": 0.0, "processingLevel": "2",
        },
    ),
]  # fmt: skip
#: Queryables that are no member of an item's properties.
ELSEWHERE = {
    "id": lambda item: item["id"],
    "collection": lambda item: item["collection"],
    "mission": lambda item: item["properties"].get("constellation"),
    "file:size": lambda item: item["assets"]["Product"]["file:size"],
    "refsys:name": lambda item: NAMES[item["id"]],
}
ROWS = [*RICH, *plausible_rows(40)]
NAMES = {row.name.rpartition(".")[0]: row.name for row in ROWS}


@pytest.fixture
async def client(pool, settings):
    async with stac_client(pool, settings) as client:
        yield client


def value_of(item: dict[str, Any], name: str) -> Any:
    if name in ELSEWHERE:
        return ELSEWHERE[name](item)
    value = item["properties"]
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def literal(value: Any, schema: dict[str, Any]) -> Any:
    return {"timestamp": value} if schema.get("format") == "date-time" else value


def prop(name: str) -> dict[str, Any]:
    return {"property": name}


def op(name: str, *args: Any) -> dict[str, Any]:
    return {"op": name, "args": list(args)}


#: What is turned back value by value: equality alone is possible.
ONLY_EQUAL = ("id", "grid:code", "eopf:datatake_id", "eopf:instrument_configuration_id")


def questions(name: str, schema: dict[str, Any], value: Any) -> Iterator[tuple[dict[str, Any], Callable[[Any], bool]]]:
    """Filters on a queryable of which a product has this value, and what is true of the values that they find."""
    field, asked = prop(name), literal(value, schema)
    yield op("isNull", field), lambda v: v is None
    if schema["type"] == "array":
        yield op("a_contains", field, [value[0]]), lambda v: v is not None and value[0] in v
        yield op("a_equals", field, value), lambda v: v is not None and set(v) == set(value)
        return
    yield op("=", field, asked), lambda v: v == value
    yield op("<>", field, asked), lambda v: v not in (None, value)
    yield op("in", field, [asked]), lambda v: v == value
    if name in ONLY_EQUAL or schema["type"] == "boolean":
        return
    yield op(">=", field, asked), lambda v: v is not None and v >= value
    if schema["type"] == "string" and "format" not in schema:
        yield op("like", field, f"%{value[1:-1]}_"), lambda v: v is not None and value[1:-1] in v[:-1]


async def test_every_queryable_finds_the_items_whose_member_it_is(client, pool):
    await enter(pool, *ROWS)
    items = (await get(client, "/search", limit=1000))["features"]
    assert len(items) == len(ROWS)
    schemas = (await get(client, "/queryables"))["properties"]
    page = await post(client, {"filter": op("isNull", prop("geometry"))})
    assert [item["geometry"] for item in page["features"]] == [None] * len(RICH)
    for name, schema in schemas.items():
        if name == "geometry":
            continue
        values = {item["id"]: value_of(item, name) for item in items}
        value = next((value for value in values.values() if value is not None), None)
        assert value is not None, f"no product has {name}"
        for asked, test in questions(name, schema, value):
            body = {"filter": asked, "limit": 1000, "fields": {"include": ["id"]}}
            seen = sorted(item["id"] for item in (await post(client, body))["features"])
            assert seen == sorted(key for key, value in values.items() if test(value)), asked
    for name in ONLY_EQUAL:
        error = await post(client, {"filter": op("<", prop(name), 1 if "configuration" in name else "x")}, 400)
        assert "=" in error["description"]


POLYGON = [[[-180, -90], [0, -90], [0, 90], [-180, 90], [-180, -90]]]
DAY = "2024-02-01T00:00:00Z"
TEXTS = [
    # as text, as JSON: the same items
    ("eo:cloud_cover < 50", op("<", prop("eo:cloud_cover"), 50)),
    ("properties.eo:cloud_cover BETWEEN 10 AND 60", op("between", prop("eo:cloud_cover"), 10, 60)),
    ("NOT platform = 'sentinel-2b'", op("not", op("=", prop("platform"), "sentinel-2b"))),
    ("mission LIKE '%-2'", op("like", prop("mission"), "%-2")),
    (
        "CASEI(platform) = CASEI('SENTINEL-1A')",
        op("=", op("casei", prop("platform")), op("casei", "SENTINEL-1A")),
    ),
    ("sat:orbit_state IN ('ascending', 'x')", op("in", prop("sat:orbit_state"), ["ascending", "x"])),
    (f"datetime > TIMESTAMP('{DAY}')", op(">", prop("datetime"), {"timestamp": DAY})),
    (
        f"T_INTERSECTS(datetime, INTERVAL('{DAY}', '..'))",
        op("t_intersects", prop("datetime"), {"interval": [DAY, ".."]}),
    ),
    (
        "S_INTERSECTS(geometry, POLYGON((-180 -90, 0 -90, 0 90, -180 90, -180 -90)))",
        op("s_intersects", prop("geometry"), {"type": "Polygon", "coordinates": POLYGON}),
    ),
    (
        "collection >= 'sentinel-2' AND product:timeliness IS NULL",
        op("and", op(">=", prop("collection"), "sentinel-2"), op("isNull", prop("product:timeliness"))),
    ),
    ("start_datetime < end_datetime", op("<", prop("start_datetime"), prop("end_datetime"))),
]


async def test_a_filter_as_text_and_as_json_finds_the_same(client, pool):
    await enter(pool, *ROWS)
    for text, document in TEXTS:
        by_text = await found(client, filter=text, limit=1000)
        assert by_text, text
        assert len(by_text) < len(ROWS), text
        page = await post(client, {"filter": document, "filter-lang": "cql2-json", "limit": 1000})
        assert [item["id"] for item in page["features"]] == by_text, text
        page = await post(client, {"filter": text, "filter-lang": "cql2-text", "limit": 1000})
        assert [item["id"] for item in page["features"]] == by_text, text


async def test_filters_go_with_everything_else(client, pool):
    await enter(pool, *ROWS)
    low = "eo:cloud_cover < 50"
    clouds = [
        item["properties"]["eo:cloud_cover"]
        for item in (await get(client, "/search", filter=low, sortby="eo:cloud_cover", fields="properties"))["features"]
    ]
    assert clouds == sorted(clouds)
    assert max(clouds) < 50
    assert await found(client, filter=low, collections="sentinel-1-grd") == []
    assert await found(client, "/collections/sentinel-1-raw/items", filter=low) == []
    assert len(await found(client, "/collections/sentinel-2-l2a/items", filter="NOT eo:cloud_cover < 0")) > 0
    asked = {"query": {"eo:cloud_cover": {"lt": 50, "gte": 0}, "platform": {"in": ["sentinel-2b", "sentinel-2a"]}}}
    by_query = [item["id"] for item in (await post(client, {**asked, "limit": 1000}))["features"]]
    assert by_query == await found(client, filter=f"{low} AND constellation = 'sentinel-2'", limit=1000)
    asked["query"]["eo:cloud_cover"] = {"lt": "50", "gte": "0"}
    assert [item["id"] for item in (await post(client, {**asked, "limit": 1000}))["features"]] == by_query
    assert len((await post(client, {"query": {"instruments": {"in": ["sar"]}}, "limit": 1000}))["features"]) == len(
        [row for row in ROWS if row.attributes.get("instrumentShortName") == "SAR"]
    )
    named = {"query": {"refsys:name": {"startsWith": "S1", "contains": "_0S", "endsWith": ".SAFE"}}}
    assert len((await post(client, {**named, "limit": 1000}))["features"]) == len(
        [row for row in ROWS if row.name.startswith("S1") and "_0S" in row.name]
    )
    # what a pattern means elsewhere means itself here
    assert (await post(client, {"query": {"platform": {"contains": "%"}}}))["features"] == []
    for query in ({"id": 1}, {"id": {"like": "x"}}, {"id": {"in": "x"}}, {"nothing": {"eq": 1}}):
        assert set(await post(client, {"query": query}, 400)) == {"code", "description"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("eo:cloud_cover <", "position 17"),
        ("nothing = 1", "nothing"),
        ("eo:cloud_cover = 'x'", "a number"),
        ("platform LIKE 1", "position"),
        ("", "empty"),
        ("platform = 'x' OR " * 600 + "id = 'x'", "position"),
        ("(" * 5000, "position"),
        ("id < 'S1A'", "="),
    ],
)
async def test_filters_that_cannot_be_meant_are_refused(client, text, told):
    assert told in await refused(client, filter=text)


async def test_documents_that_are_no_filters_are_refused(client):
    for value in (
        {},
        {"op": "x", "args": []},
        {"op": "=", "args": [1]},
        {"op": "=", "args": [{"property": "x"}, 1]},
        "x",
        1,
        [],
    ):
        assert set(await post(client, {"filter": value}, 400)) == {"code", "description"}
    assert "filter-lang" in (await post(client, {"filter": "id = 'x'", "filter-lang": "cql"}, 400))["description"]
    assert "filter-crs" in await refused(client, filter="id = 'x'", filter_crs="EPSG:4326")
    assert "JSON" in await refused(client, filter="id = 'x'", filter_lang="cql2-json")


async def test_ids_are_like_patterns_as_they_are_shown(client, pool):
    patterns = ("S1%", "%SY_2%", "%_ABCD", "%0000", "%SAFE%", "%.SEN3", "%_O_ST_00_", "%", "%%S3A%", "plain%", "S_A%")
    await enter(pool, *RICH, Row("plain.SAFE.txt"), Row("plain", product_type="AUX"), Row("plain.SAFETY"))
    ids = set(await found(client))
    for pattern in patterns:
        like = {shown for shown in ids if re.fullmatch(pattern.replace("_", ".").replace("%", ".*"), shown)}
        assert set(await found(client, filter=f"id LIKE '{pattern}'")) == like
        assert set(await found(client, filter=f"id NOT LIKE '{pattern}'")) == ids - like
