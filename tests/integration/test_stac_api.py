"""STAC API: its documents, how items are found, the shapes that clients and validators expect, the errors."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta
from urllib.parse import quote

import jsonschema
import orjson
import pytest

from refsys.infra.settings import StacSettings
from refsys.missions import COLLECTIONS
from tests import stac
from tests.catalogue_rows import START, Row, plausible_rows
from tests.example_names import EXAMPLES
from tests.hub import TYPES
from tests.stac_hub import ROOT, enter, found, get, post, refused, stac_client

SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12.5, 40], [12.5, 42], [10, 42], [10, 40]]]}
TWO_SIDES = {
    "type": "MultiPolygon",
    "coordinates": [
        [[[178, 0], [180, 0], [180, 2], [178, 2], [178, 0]]],
        [[[-180, 0], [-179, 0], [-179, 2], [-180, 2], [-180, 0]]],
    ],
}
GRD = Row(
    "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_051903_0645E1_ABCD.SAFE",
    footprint=SQUARE,
    attributes={"platformShortName": "SENTINEL-1", "platformSerialIdentifier": "A", "instrumentShortName": "SAR"},
)
L2A = Row(
    "S2B_MSIL2A_20240102T103009_N0510_R108_T32TQM_20240102T130000.SAFE",
    collection="SENTINEL-2", mission="S2", platform="B", product_type="S2MSI2A",
    sensing_start=START + timedelta(days=1), sensing_stop=START + timedelta(days=1, seconds=10),
    published_at=START + timedelta(days=1, hours=1), footprint=TWO_SIDES,
    attributes={"platformShortName": "SENTINEL-2", "platformSerialIdentifier": "B", "cloudCover": 12.5},
)  # fmt: skip
OLCI = Row(
    "S3A_OL_1_EFR____20240103T100000_20240103T100300_20240103T120000_0179_107_122_2160_PS1_O_NR_004.SEN3",
    collection="SENTINEL-3", mission="S3", product_type="OL_1_EFR___",
    sensing_start=START + timedelta(days=2), sensing_stop=START + timedelta(days=2, minutes=3),
    published_at=START + timedelta(days=2, hours=1),
    attributes={"platformShortName": "SENTINEL-3", "timeliness": "NR"},
)  # fmt: skip
GRD_ID, L2A_ID, OLCI_ID = (row.name.rpartition(".")[0] for row in (GRD, L2A, OLCI))


@pytest.fixture
async def client(pool, settings):
    async with stac_client(pool, settings) as client:
        yield client


@pytest.fixture
async def three(pool):
    return await enter(pool, GRD, L2A, OLCI)


def link(document, rel, **members):
    [found] = [one for one in document["links"] if one["rel"] == rel and members.items() <= one.items()]
    return found


async def test_the_landing_page_leads_to_everything(client, three):
    landing = await get(client, "")
    assert (landing["type"], landing["stac_version"]) == ("Catalog", "1.1.0")
    assert (await get(client, "/conformance"))["conformsTo"] == landing["conformsTo"]
    for one in landing["links"]:
        body = {"limit": 1} if one.get("method") == "POST" else None
        response = await client.request(one.get("method", "GET"), one["href"], json=body)
        assert response.status_code == 200, one
        assert response.headers["content-type"].split(";")[0] == one["type"].split(";")[0], one
    assert link(landing, "search", method="POST")["href"] == link(landing, "search", method="GET")["href"]
    children = {one["href"] for one in landing["links"] if one["rel"] == "child"}
    assert {f"{ROOT}/collections/{name}" for name in ("sentinel-1-grd", "sentinel-3-olci-1-efr-nrt")} <= children
    listed = (await get(client, "/collections"))["collections"]
    assert children == {link(collection, "self")["href"] for collection in listed}


async def test_collections_are_sound_and_tell_what_is_in_them(client, three):
    listed = {one["id"]: one for one in (await get(client, "/collections"))["collections"]}
    for name, collection in listed.items():
        assert stac.collection_problems(collection) == [], name
        assert await get(client, f"/collections/{name}") == collection
    olci = listed["sentinel-3-olci-1-efr-nrt"]
    assert olci["extent"]["temporal"]["interval"] == [["2024-01-03T00:00:00.000000Z", None]]
    assert olci["summaries"]["product:type"] == ["OL_1_EFR___"]
    assert "Product" in olci["item_assets"]
    assert link(olci, "items")["href"] == f"{ROOT}/collections/sentinel-3-olci-1-efr-nrt/items"
    # known from the tables before it has a product, and what the tables know but nobody made stays out of the list
    assert listed["sentinel-1-slc"]["extent"]["temporal"]["interval"] == [[None, None]]
    assert "sentinel-1-aux-cal" not in listed
    assert (await get(client, "/collections/sentinel-1-aux-cal"))["id"] == "sentinel-1-aux-cal"
    assert "no collection" in await refused(client, "/collections/sentinel-9", 404)
    assert "no collection" in await refused(client, "/collections/sentinel-9/items", 404)


async def test_a_hidden_products_collection_is_not_in_the_list(client, pool):
    await enter(pool, Row(**{**{s: getattr(OLCI, s) for s in OLCI.__slots__}, "visibility": "internal", "id": None}))
    assert not [one for one in (await get(client, "/collections"))["collections"] if "olci" in one["id"]]
    assert await found(client, "/collections/sentinel-3-olci-1-efr-nrt/items") == []


async def test_collections_are_searched_and_paged(client, three):
    async def ids(**params):
        return [one["id"] for one in (await get(client, "/collections", **params))["collections"]]

    every = await ids()
    assert await ids(q="olci,etad") == ["sentinel-1-etad", "sentinel-3-olci-1-efr-nrt"]
    assert "sentinel-3-olci-1-efr-nrt" not in await ids(datetime="../2024-01-02T00:00:00Z")
    assert await ids(bbox="0,0,1,1") == every
    assert "bbox" in await refused(client, "/collections", bbox="0,0,1")
    seen, href = [], f"{ROOT}/collections?limit=4"
    while href:
        page = (await client.get(href)).json()
        assert 1 <= len(page["collections"]) <= 4
        seen += [one["id"] for one in page["collections"]]
        href = next((one["href"] for one in page["links"] if one["rel"] == "next"), None)
    assert seen == every


async def test_items_are_sound_complete_and_found_by_id(client, three):
    page = await get(client, "/search")
    assert [item["id"] for item in page["features"]] == [OLCI_ID, L2A_ID, GRD_ID]
    assert page["numberReturned"] == 3
    assert "numberMatched" not in page
    for item in page["features"]:
        assert stac.problems(item) == []
        assert item["assets"]["Product"]["href"].startswith("http://stac.test/odata/v1/Products(")
        response = await client.get(link(item, "self")["href"])
        assert response.headers["content-type"] == "application/geo+json"
        assert response.json() == item
        assert (await client.get(link(item, "collection")["href"])).json()["id"] == item["collection"]
    west, _, east, _ = page["features"][1]["bbox"]
    assert (west, east) == (178, -179)
    assert "no item" in await refused(client, "/collections/sentinel-1-grd/items/nothing", 404)
    # an item is in its own collection only
    assert "no item" in await refused(client, f"/collections/sentinel-1-slc/items/{GRD_ID}", 404)


async def test_ids_collections_and_places_all_count(client, three):
    assert await found(client, ids=f"{GRD_ID},{OLCI_ID}") == [OLCI_ID, GRD_ID]
    assert await found(client, ids=GRD_ID, collections="sentinel-2-l2a") == []
    assert await found(client, ids=GRD_ID, bbox="20,20,21,21") == []
    assert await found(client, collections="sentinel-1-grd,sentinel-3-olci-1-efr-nrt,nothing") == [OLCI_ID, GRD_ID]
    assert await found(client, "/collections/sentinel-2-l2a/items") == [L2A_ID]
    assert await found(client, collections="nothing") == []
    assert [i["id"] for i in (await post(client, {"collections": "sentinel-1-grd"}))["features"]] == [GRD_ID]
    assert await found(client, bbox="9,39,11,41") == [GRD_ID]
    assert await found(client, bbox="9,39,-100,11,41,9000") == [GRD_ID]
    assert await found(client, bbox="11,41,11,41") == [GRD_ID]
    # across the antimeridian, and what lies between when it goes the other way round
    assert await found(client, bbox="179.5,1,-179.5,1.5") == [L2A_ID]
    assert await found(client, bbox="-178,1,177,1.5") == []


GEOMETRIES = [
    {"type": "Point", "coordinates": [11, 41]},
    {"type": "Point", "coordinates": [11, 41, 300.5]},
    {"type": "MultiPoint", "coordinates": [[0, 0], [11, 41]]},
    {"type": "LineString", "coordinates": [[0, 0], [22, 82]]},
    {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[11, 30], [11, 50]]]},
    SQUARE,
    {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}, SQUARE]},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda geometry: geometry["type"])
async def test_every_geometry_finds_what_it_touches(client, pool, geometry):
    await enter(pool, GRD, L2A)
    assert await found(client, intersects=orjson.dumps(geometry).decode()) == [GRD_ID]
    assert [item["id"] for item in (await post(client, {"intersects": geometry}))["features"]] == [GRD_ID]


BAD_GEOMETRIES = [
    "x", 1, [], {}, {"type": "Point"}, {"type": "Point", "coordinates": [1]},
    {"type": "Point", "coordinates": ["1", "2"]},
    {"type": "Point", "coordinates": [1, 91]}, {"type": ["Point"]},
    {"type": "Point", "coordinates": [True, False]}, {"type": "LineString", "coordinates": [[0, 0]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, {"type": "Polygon", "coordinates": []},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
    {"type": "Feature", "geometry": SQUARE, "properties": {}}, {"type": "GeometryCollection", "geometries": []},
    {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [SQUARE]}]},
    {"type": "GeometryCollection", "geometries": [GEOMETRIES[0]] * 101},
]  # fmt: skip


async def test_geometries_that_cannot_be_drawn_are_refused(client):
    for geometry in BAD_GEOMETRIES:
        error = await post(client, {"intersects": geometry}, 400)
        assert set(error) == {"code", "description"}, geometry
    assert "JSON" in await refused(client, intersects="{")
    both = await post(client, {"intersects": SQUARE, "bbox": [0, 0, 1, 1]}, 400)
    assert "exclude each other" in both["description"]


BAD_BOXES = ["0", "0,0", "0,0,0", "0,0,0,1,1", "0,0,0,1,1,1,1", "[0,0,1,1]", "0,1,1,0", "a,b,c,d", "", "0,0,1,nan",
             "0,0,181,1", "0,-91,1,1", "0,0,9,1,1,8", "1e400,0,1,1"]  # fmt: skip


@pytest.mark.parametrize("box", BAD_BOXES)
async def test_boxes_that_are_none_are_refused(client, box):
    assert "bbox" in await refused(client, bbox=box)
    numbers = [float(part) for part in box.split(",")] if re.fullmatch(r"[-\d,.]+", box) else box
    assert "bbox" in (await post(client, {"bbox": numbers}, 400))["description"]


GOOD_DATETIMES = [
    "1985-04-12T23:20:50.52Z", "1996-12-19T16:39:57-00:00", "1996-12-19T16:39:57-08:00", "../1985-04-12T23:20:50.52Z",
    "1985-04-12T23:20:50.52Z/..", "/1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.52Z/",
    "1985-04-12T23:20:50.52+01:00/1986-04-12T23:20:50.52+01:00", "1985-04-12t23:20:50.000z", "2020-07-23T00:00:00Z",
    *(f"2020-07-23T00:00:00.{'0123456789'[:digits]}Z" for digits in range(1, 10)), "1990-12-31T23:59:60Z",
]  # fmt: skip
BAD_DATETIMES = [
    "/", "../..", "/..", "../", "", "..", "/1984-04-12T23:20:50.52Z/1985-04-12T23:20:50.52Z",
    "1984-04-12T23:20:50.52Z/1985-04-12T23:20:50.52Z/", "1985-04-12", "1937-01-01T12:00:27.87+0100",
    "37-01-01T12:00:27.87Z", "1985-12-12T23:20:50.52", "21985-12-12T23:20:50.52Z", "1985-13-12T23:20:50.52Z",
    "1985-12-32T23:20:50.52Z", "1985-12-01T25:20:50.52Z", "1985-12-01T24:00:00Z", "1985-12-01T00:60:50.52Z",
    "1985-12-01T00:06:61.52Z", "1985-04-12T23:20:50.Z", "1985-04-12T23:20:50,Z", "1990-12-31T23:59:61Z",
    "1986-04-12T23:20:50.52Z/1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50,52Z", "9999-99-99T00:00:00Z",
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "2020-02-30T00:00:00Z", "٢٠٢٠-07-23T00:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD_DATETIMES)
async def test_every_form_of_datetime_is_understood(client, text):
    assert (await get(client, "/search", datetime=text))["features"] == []
    await post(client, {"datetime": text})


@pytest.mark.parametrize("text", BAD_DATETIMES)
async def test_what_is_no_datetime_is_refused(client, text):
    assert "datetime" in await refused(client, datetime=text)
    assert "datetime" in (await post(client, {"datetime": text}, 400))["description"]


async def test_datetime_finds_what_was_sensed_then(client, three, pool, settings):
    grd = "2024-01-01T00:00:10Z"
    assert await found(client, datetime=grd) == [GRD_ID]
    assert await found(client, datetime="2024-01-01T00:00:25Z/2024-01-02T00:00:00Z") == [L2A_ID, GRD_ID]
    assert await found(client, datetime="2024-01-01T00:00:25.000001Z/2024-01-01T23:59:59.999999Z") == []
    assert await found(client, datetime="2024-01-02T00:00:00Z/..") == [OLCI_ID, L2A_ID]
    assert await found(client, datetime="../2024-01-01T00:00:00Z") == [GRD_ID]
    # a `+` that was not encoded is a blank
    response = await client.get("/stac/search?datetime=2024-01-01T01:00:10+01:00")
    assert [item["id"] for item in response.json()["features"]] == [GRD_ID]
    assert "time zone" in await refused(client, datetime=grd[:-1])
    tolerant = settings.model_copy(update={"stac": StacSettings(needs_zone=False)})
    async with stac_client(pool, tolerant) as other:
        assert await found(other, datetime=grd[:-1]) == [GRD_ID]


async def test_limits_are_kept(client, pool):
    await enter(pool, *plausible_rows(25))
    assert len(await found(client)) == 20
    assert len(await found(client, limit=25)) == len(await found(client, limit=1_000_000)) == 25
    for limit in ("0", "-1", "x", "1.5", "", "9" * 5000):
        assert "limit" in await refused(client, limit=limit)
    for limit in (0, -1, "1", 1.5, True):
        assert "limit" in (await post(client, {"limit": limit}, 400))["description"]


async def test_who_asks_for_one_item_is_told_how_many_there_are(client, three):
    assert (await get(client, "/search", limit=1))["numberMatched"] == 3
    assert (await post(client, {"limit": 1, "collections": ["sentinel-2-l2a"]}))["numberMatched"] == 1
    assert "numberMatched" not in await get(client, "/search", limit=2)


async def pages(client, page):
    """All pages from the first one on, by the links to the next."""
    body = {}
    while True:
        yield page
        following = next((one for one in page["links"] if one["rel"] == "next"), None)
        if following is None:
            return
        assert following["type"] == "application/geo+json"
        if following["method"] == "POST":
            assert following["merge"] is True
            body |= following["body"]
            page = await post(client, {**page["asked"], **body}) | {"asked": page["asked"]}
        else:
            page = (await client.get(following["href"])).json()


@pytest.mark.parametrize(
    "sortby", ["", "-datetime", "+end_datetime,-id", "eo:cloud_cover", "-eo:cloud_cover,datetime", "-created"]
)
async def test_pages_hold_every_item_once_in_order(client, pool, sortby):
    rows = await enter(pool, *plausible_rows(60))
    given = {"sortby": sortby} if sortby else {}
    first = await get(client, "/search", limit=7, **given)
    seen = [item["id"] async for page in pages(client, first) for item in page["features"]]
    assert seen == await found(client, limit=100, **given)
    assert sorted(seen) == sorted(row.name.rpartition(".")[0] for row in rows)
    asked = {"limit": 7, "fields": {"include": ["id"]}}
    if sortby:
        asked["sortby"] = [
            {"field": name.lstrip("+-"), "direction": "desc" if name[0] == "-" else "asc"} for name in sortby.split(",")
        ]
    by_post = pages(client, await post(client, asked) | {"asked": asked})
    assert [item["id"] async for page in by_post for item in page["features"]] == seen


async def test_pages_of_a_collection_keep_what_was_asked(client, pool):
    await enter(pool, *plausible_rows(60))
    first = await get(client, "/collections/sentinel-2-l2a/items", limit=2, sortby="id", fields="id")
    seen = [item async for page in pages(client, first) for item in page["features"]]
    assert {item["collection"] for item in seen} == {"sentinel-2-l2a"}
    assert all(set(item) == {"type", "stac_version", "id", "collection"} for item in seen)
    assert [item["id"] for item in seen] == await found(client, collections="sentinel-2-l2a", sortby="id", limit=100)
    assert link(first, "self")["href"] == f"{ROOT}/collections/sentinel-2-l2a/items?limit=2&sortby=id&fields=id"


async def test_a_page_of_another_search_is_refused(client, pool):
    await enter(pool, *plausible_rows(5))
    href = link(await get(client, "/search", limit=2), "next")["href"]
    for changed in (
        f"{href}&q=S1",
        f"{href}&sortby=id",
        href.replace("/search", "/collections/sentinel-2-l2a/items"),
        href[:-2],
    ):
        response = await client.get(changed)
        assert response.status_code == 400
        assert "page" in response.json()["description"]
    assert (await client.get(href.replace("limit=2", "limit=3"))).status_code == 200


async def test_items_are_sorted_as_asked(client, pool):
    await enter(pool, *plausible_rows(30))
    page = await get(client, "/search", sortby="-properties.datetime", limit=30)
    instants = [item["properties"]["datetime"] for item in page["features"]]
    assert instants == sorted(instants, reverse=True)
    clouds = [
        item["properties"].get("eo:cloud_cover")
        for item in (await get(client, "/search", sortby="+eo:cloud_cover", limit=30))["features"]
    ]
    known = [value for value in clouds if value is not None]
    # what has none comes last
    assert clouds == sorted(known) + [None] * (30 - len(known))
    assert "sortable" in await refused(client, sortby="geometry")
    assert "sortby" in (await post(client, {"sortby": [{"field": "id", "direction": "up"}]}, 400))["description"]
    assert "sortby" in (await post(client, {"sortby": "id"}, 400))["description"]


EVERYTHING = {
    "type",
    "stac_version",
    "stac_extensions",
    "id",
    "collection",
    "geometry",
    "bbox",
    "properties",
    "links",
    "assets",
}
IDENTITY = {"type", "stac_version", "id", "collection"}
DEFAULT = EVERYTHING - {"stac_extensions"}
PROPERTIES = IDENTITY | {"properties"}
FIELDS = [
    # as text, as JSON, top-level members, properties (None: all)
    ("", {}, DEFAULT, {"datetime"}),
    ("", {"include": [], "exclude": None}, DEFAULT, {"datetime"}),
    ("geometry", {"include": ["geometry"]}, IDENTITY | {"geometry"}, set()),
    ("+bbox,id", {"include": ["bbox", "id"]}, IDENTITY | {"bbox"}, set()),
    ("-geometry", {"exclude": ["geometry"]}, EVERYTHING - {"geometry"}, None),
    ("-id", {"exclude": ["id"]}, EVERYTHING, None),
    ("+bbox,-bbox", {"include": ["bbox"], "exclude": ["bbox"]}, IDENTITY | {"bbox"}, set()),
    ("-properties,+datetime", {"include": ["datetime"], "exclude": ["properties"]}, PROPERTIES, {"datetime"}),
    ("platform,nothing", {"include": ["platform", "nothing"]}, PROPERTIES, {"platform"}),
    ("properties,-datetime", {"include": ["properties"], "exclude": ["properties.datetime"]}, PROPERTIES, None),
    ("assets.Product.href", {"include": ["assets.Product.href"]}, IDENTITY | {"assets"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "members", "properties"), FIELDS)
async def test_fields_say_which_members_are_wanted(client, pool, text, value, members, properties):
    await enter(pool, GRD)
    [whole] = (await get(client, "/search"))["features"]
    for page in (await get(client, "/search", fields=text), await post(client, {"fields": value})):
        [item] = page["features"]
        assert set(item) == members
        if properties is not None:
            assert set(item.get("properties", ())) == properties
        assert all(whole[name] == item[name] for name in members - {"properties", "assets"})
    if "assets." in text:
        assert item["assets"] == {"Product": {"href": whole["assets"]["Product"]["href"]}}
    if "-datetime" in text:
        assert set(item["properties"]) == set(whole["properties"]) - {"datetime"}


async def test_fields_that_cannot_be_meant_are_refused(client):
    for value in (None, [], "id", {"includes": ["id"]}, {"include": "id"}, {"include": [1]}, {"include": [""]}):
        assert "fields" in (await post(client, {"fields": value}, 400))["description"]


async def test_excluding_from_an_empty_list_takes_from_the_default(client, pool):
    await enter(pool, GRD)
    for include in ([], None):
        [item] = (await post(client, {"fields": {"include": include, "exclude": ["geometry"]}}))["features"]
        assert set(item) == DEFAULT - {"geometry"}


async def test_free_text_finds_pieces_of_names_and_collections(client, three):
    assert await found(client, q="grdh") == [GRD_ID]
    assert await found(client, q="T32TQM,OL_1_EFR") == [OLCI_ID, L2A_ID]
    assert await found(client, q="olci") == [OLCI_ID]
    assert await found(client, q="%") == []
    assert [item["id"] for item in (await post(client, {"q": ["MSIL2A"]}))["features"]] == [L2A_ID]


async def test_requests_that_cannot_be_meant_are_refused(client, three):
    assert "colections" in await refused(client, colections="sentinel-1-grd")
    response = await client.get("/stac/search?limit=1&limit=2")
    assert (response.status_code, response.json()["description"]) == (400, "limit: is given twice")
    for body in (b"{", b"[]", b"1", b'"x"', b'{"limit": NaN}', b"\xff", b"[" * 5000, b'{"q": "\\ud800"}'):
        response = await client.post("/stac/search", content=body)
        assert response.status_code == 400, body
        assert set(response.json()) == {"code", "description"}
    assert (await client.post("/stac/search", content=b" " * 3_000_000)).status_code == 413
    assert (await client.post("/stac/search", content=b"")).status_code == 200
    for path in (
        "search?q=%ff",
        "search?ids=%00",
        "search?q=%00",
        "search?collections=%00",
        "collections/%00",
        "collections/a%00/items/b",
    ):
        response = await client.get(f"/stac/{path}")
        assert response.status_code in (200, 400, 404), path
    assert len((await client.get(f"/stac/collections/{quote('x' * 5000)}")).content) < 1000


async def test_errors_have_the_headers_of_all_answers(client):
    for response in (
        await client.get("/stac/nothing"),
        await client.put("/stac/search"),
        await client.get("/stac/search?limit=0"),
    ):
        assert set(response.json()) == {"code", "description"}
        assert response.headers["x-content-type-options"] == "nosniff"
        assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert sorted((await client.put("/stac/search")).headers["allow"].split(", ")) == ["GET", "HEAD", "POST"]
    head = await client.head("/stac/search")
    assert (head.status_code, head.headers["content-type"]) == (200, "application/geo+json")


async def test_a_search_that_costs_too_much_is_refused_with_patience(pool, settings):
    async with stac_client(pool, settings, budget_s=0.0) as client:
        response = await client.get("/stac/search")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert set(response.json()) == {"code", "description"}


async def test_the_description_is_true_of_the_paths_and_parameters(client, three):
    response = await client.get("/stac/api")
    assert response.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.1"
    described = response.json()
    assert described["openapi"].startswith("3.1")
    assert described["servers"] == [{"url": ROOT}]
    for path, operations in described["paths"].items():
        filled = path.format(collection_id="sentinel-1-grd", item_id=GRD_ID)
        assert (await client.get(f"/stac{filled.rstrip('/')}")).status_code == 200, path
        for method, operation in operations.items():
            assert {"200", "400", "404", "503"} <= set(operation["responses"])
            known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
            if method == "get" and path not in ("/", "/conformance"):
                unknown = (await client.get(f"/stac{filled}?nothing=1")).json()["description"]
                told = unknown.partition("there are ")[2]
                assert known == set(filter(None, told.split(", "))), path
    page = await client.get("/stac/api.html")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in described["paths"]:
        assert f"<code>GET {path}</code>" in page.text


async def test_queryables_are_schemas_at_their_own_address(client, three):
    for path in ("/queryables", "/collections/sentinel-2-l2a/queryables"):
        schema = await get(client, path)
        jsonschema.Draft201909Validator.check_schema(schema)
        assert schema["$id"] == f"{ROOT}{path}"
    everywhere = set((await get(client, "/queryables"))["properties"])
    assert {"id", "collection", "geometry", "datetime", "eo:cloud_cover", "sar:polarizations", "mission"} <= everywhere
    of_l2a = set(schema["properties"])
    assert {"id", "eo:cloud_cover", "grid:code"} <= of_l2a < everywhere
    assert "sar:polarizations" not in of_l2a
    assert "no collection" in await refused(client, "/collections/nothing/queryables", 404)


async def test_pages_hold_nothing_twice_while_products_are_published(client, pool):
    rows = iter(list(plausible_rows(90)))
    await enter(pool, *itertools.islice(rows, 50))
    before = set(await found(client, limit=100))
    seen = []
    async for page in pages(client, await get(client, "/search", limit=10)):
        seen += [item["id"] for item in page["features"]]
        await enter(pool, *itertools.islice(rows, 5))
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


async def test_products_of_every_type_are_found_in_their_collection(client, pool):
    rows = []
    for name in dict.fromkeys(name for _, name, *_ in EXAMPLES):
        recognised = TYPES.recognise(name)
        mission = COLLECTIONS.get(recognised.mission, "")
        attributes = {"timeliness": recognised.fields["timeliness"]} if "timeliness" in recognised.fields else {}
        rows.append(
            Row(
                name, collection=mission, mission=recognised.mission, platform=recognised.platform,
                product_type=recognised.product_type, attributes=attributes,
            )
        )  # fmt: skip
    await enter(pool, *rows)
    by_collection: dict[str, set[str]] = {}
    for item in (await get(client, "/search", limit=1000))["features"]:
        by_collection.setdefault(item["collection"], set()).add(item["id"])
    assert len(by_collection) > 60
    listed = {one["id"] for one in (await get(client, "/collections"))["collections"]}
    assert by_collection.keys() <= listed
    for name, ids in by_collection.items():
        assert set(await found(client, f"/collections/{name}/items", limit=1000)) == ids
    three = sorted(by_collection)[::30]
    asked = {"filter": {"op": "in", "args": [{"property": "collection"}, three]}, "limit": 1000}
    seen = {item["id"] for item in (await post(client, asked))["features"]}
    assert seen == {key for name in three for key in by_collection[name]}
    asked["filter"] = {"op": "<>", "args": [{"property": "collection"}, three[0]]}
    seen = {item["id"] for item in (await post(client, asked))["features"]}
    assert seen == {key for name in by_collection.keys() - {three[0]} for key in by_collection[name]}
