"""Queries at the CDSE root: the shapes that the hub's clients expect, the limits, the errors."""

import re
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import pytest

from refsys.core.times import format_instant
from refsys.distribution.odata import documents
from refsys.infra.settings import HttpSettings
from tests.catalogue_rows import START, Row, plausible_rows
from tests.hub import enter, get, hub_client, names

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12.5, 40], [12.5, 42], [10, 42], [10, 40]]]}


@pytest.fixture
async def client(pool, settings):
    async with hub_client(pool, settings) as client:
        yield client


GRD = Row(
    "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_051903_0645E1_ABCD.SAFE",
    footprint=SQUARE,
    package_size=1234567,
    t0_raw=START + timedelta(minutes=5),
    attributes={
        "productType": "IW_GRDH_1S", "orbitNumber": 51903, "polarisationChannels": ["VV", "VH"], "cloudCover": 10.5,
        "sliceProductFlag": True, "beginningDateTime": format_instant(START), "notInTheTables": "x",
    },
)  # fmt: skip


async def test_a_product_has_the_hubs_members_in_the_hubs_order(client, pool):
    await enter(pool, GRD)
    body = await get(client, expand="Attributes")
    assert list(body) == ["@odata.context", "value"]
    assert body["@odata.context"] == "$metadata#Products(Attributes())"
    [product] = body["value"]
    assert list(product) == [
        "@odata.mediaContentType", "Id", "Name", "ContentType", "ContentLength", "OriginDate", "PublicationDate",
        "ModificationDate", "Online", "EvictionDate", "S3Path", "Checksum", "ContentDate", "Footprint", "GeoFootprint",
        "Attributes",
    ]  # fmt: skip
    assert product["Id"] == str(GRD.id)
    assert product["Name"] == GRD.name
    assert product["ContentLength"] == 1234567
    assert product["OriginDate"] == "2024-01-01T00:05:00.000000Z"
    assert product["PublicationDate"] == product["ModificationDate"] == "2024-01-01T01:00:00.000000Z"
    assert product["Online"] is True
    assert product["EvictionDate"] == "9999-12-31T23:59:59.999999Z"
    assert product["S3Path"] == f"/S/{GRD.name}/{GRD.name}"
    assert product["ContentDate"] == {"Start": "2024-01-01T00:00:00.000000Z", "End": "2024-01-01T00:00:25.000000Z"}
    assert product["Footprint"] == "geography'SRID=4326;POLYGON ((10 40, 12.5 40, 12.5 42, 10 42, 10 40))'"
    assert product["GeoFootprint"] == SQUARE
    assert [checksum["Algorithm"] for checksum in product["Checksum"]] == ["MD5", "BLAKE3"]
    assert all(INSTANT.fullmatch(checksum["ChecksumDate"]) for checksum in product["Checksum"])
    assert product["Attributes"][0] == {
        "@odata.type": "#OData.CSC.DateTimeOffsetAttribute", "Name": "beginningDateTime",
        "Value": "2024-01-01T00:00:00.000000Z", "ValueType": "DateTimeOffset",
    }  # fmt: skip
    assert {a["Name"]: (a["Value"], a["ValueType"]) for a in product["Attributes"][1:]} == {
        "cloudCover": (10.5, "Double"), "notInTheTables": ("x", "String"), "orbitNumber": (51903, "Integer"),
        "polarisationChannels": ("VV&VH", "String"), "productType": ("IW_GRDH_1S", "String"),
        "sliceProductFlag": (True, "Boolean"),
    }  # fmt: skip


async def test_one_product_is_not_wrapped(client, pool):
    await enter(pool, GRD)
    product = await get(client, f"Products({GRD.id})")
    assert product["@odata.context"] == "$metadata#Products/$entity"
    assert list(product)[1:3] == ["@odata.mediaContentType", "Id"]
    assert (await get(client, f"Products('{GRD.id}')")) == product
    expanded = await get(client, f"Products({GRD.id})", expand="Attributes,Assets")
    assert expanded["@odata.context"] == "$metadata#Products(Attributes(),Assets())/$entity"
    assert (len(expanded["Attributes"]), expanded["Assets"]) == (7, [])


async def test_a_product_without_rendered_documents_looks_the_same(client, pool):
    await enter(pool, GRD)
    rendered = await get(client, expand="Attributes")
    await pool.execute("DELETE FROM distribution.document WHERE kind = $1", documents.ATTRIBUTES)
    assert await get(client, expand="Attributes") == rendered
    await pool.execute("UPDATE distribution.document SET render_version = render_version + 1, body = '\"Id\":1'")
    assert await get(client, expand="Attributes") == rendered


async def test_what_a_product_does_not_have_is_null(client, pool):
    await enter(pool, Row("REPORT", sensing_start=None, sensing_stop=None))
    [product] = (await get(client))["value"]
    assert product["ContentDate"] == {"Start": None, "End": None}
    assert product["Footprint"] is product["GeoFootprint"] is product["OriginDate"] is None


async def test_pages_follow_each_other_by_their_links_and_nothing_is_lost_or_doubled(client, pool):
    same = START + timedelta(hours=5)
    rows = await enter(pool, *(Row(f"P{number:02d}", published_at=same, modified_at=same) for number in range(45)))
    seen, link = [], "Products?$filter=startswith(Name,'P')&$count=True&maxRecords=7"
    sizes = []
    while link:
        body = (await client.get(link)).json()
        assert body["@odata.count"] == 45
        sizes.append(len(body["value"]))
        seen += [product["Id"] for product in body["value"]]
        link = body.get("@odata.nextLink")
        assert link is None or (
            link.startswith("http://hub.test/odata/v1/Products?%24filter=") and "maxRecords" not in link
        )
    assert sizes == [20, 20, 5]
    assert seen == sorted(str(row.id) for row in rows)


async def test_the_link_names_the_address_that_users_know(pool, settings):
    await enter(pool, Row("A"), Row("B"))
    settings = settings.model_copy(update={"http": HttpSettings(public_url="https://hub.example/")})
    async with hub_client(pool, settings) as client:
        link = (await get(client, top=1, expand="Attributes", orderby="Name desc"))["@odata.nextLink"]
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "hub.example", "/odata/v1/Products")
    assert "%24top=1&" in parts.query
    told = dict(parse_qsl(parts.query))
    assert told.pop("$skiptoken")
    assert told == {"$top": "1", "$expand": "Attributes", "$orderby": "Name desc", "$skip": "1"}


async def test_there_is_no_link_behind_the_last_page_nor_beyond_the_limit_nor_of_nothing(client, pool):
    await enter(pool, Row("A"), Row("B"), Row("C"))
    assert "@odata.nextLink" not in await get(client, top=3)
    assert "@odata.nextLink" in await get(client, top=2)
    assert await get(client, top=0, count="true") == {
        "@odata.context": "$metadata#Products", "@odata.count": 3, "value": [],
    }  # fmt: skip
    assert "@odata.nextLink" in await get(client, top=1, skip=1)
    last = await get(client, top=1000, skip=10_000)
    assert last["value"] == []
    assert "@odata.nextLink" not in last


async def test_products_are_ordered_as_asked_and_by_id_where_equal(client, pool):
    hours = [timedelta(hours=n) for n in range(3)]
    await enter(
        pool,
        Row("a", sensing_start=START + hours[2], sensing_stop=START + hours[2], package_size=5, published_at=START),
        Row("B", sensing_start=START + hours[0], package_size=7, published_at=START + hours[2]),
        Row("C", sensing_start=START + hours[1], package_size=6, published_at=START + hours[1]),
    )
    assert await names(client) == ["a", "C", "B"]
    assert await names(client, orderby="ContentDate/Start") == ["B", "C", "a"]
    assert await names(client, orderby="ContentDate/Start desc") == ["a", "C", "B"]
    assert await names(client, orderby="PublicationDate desc") == ["B", "C", "a"]
    assert await names(client, orderby="Name ASC") == ["B", "C", "a"]
    assert await names(client, orderby="ContentLength desc,Name") == ["B", "C", "a"]
    same = {row.name: str(row.id) for row in (Row("a"), Row("B"), Row("C"))}
    assert await names(client, orderby="ModificationDate asc") == sorted(same, key=same.get)
    assert await names(client, orderby="ModificationDate desc") == sorted(same, key=same.get, reverse=True)


EODAG = (
    "$filter=Collection/Name eq 'SENTINEL-1' and OData.CSC.Intersects(area=geography'SRID=4326;POLYGON ((11 41, 12 41,"
    " 12 41.5, 11 41.5, 11 41))') and Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'polarisationChannels'"
    " and att/OData.CSC.StringAttribute/Value eq 'VV&VH') and Attributes/OData.CSC.IntegerAttribute/any(att:att/Name"
    " eq 'orbitNumber' and att/OData.CSC.StringAttribute/Value eq 51903)&$orderby=ContentDate/Start asc&$top=20&$skip=0"
    "&$expand=Attributes&$expand=Assets&$count=True"
)


async def test_a_client_that_encodes_nothing_and_expands_twice_is_answered(client, pool):
    await enter(pool, GRD, Row("OTHER"))
    # the query exactly as it stands: blanks as +, an & inside quotes, brackets and $ as they are
    request = httpx.Request("GET", client.base_url.join("Products"))
    request.url = request.url.copy_with(query=EODAG.replace(" ", "+").encode())
    body = (await client.send(request)).json()
    assert body["@odata.context"] == "$metadata#Products(Attributes(),Assets())"
    assert body["@odata.count"] == 1
    assert body["value"][0]["Name"] == GRD.name
    assert body["value"][0]["Assets"] == []


async def test_counts_are_exact(client, pool):
    await enter(pool, *plausible_rows(200), documented=False)
    total = await client.get("Products/$count")
    assert (total.text, total.headers["content-type"]) == ("200", "text/plain; charset=utf-8")
    west = "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((-180 -90,0 -90,0 90,-180 90,-180 -90))')"
    east = west.replace("-180", "180")
    of = [int((await client.get("Products/$count", params={"$filter": f})).text) for f in (west, east)]
    assert min(of) > 50
    assert sum(of) >= 200
    assert (await get(client, filter=west, top=0, count=1))["@odata.count"] == of[0]
    seen = await get(client, filter=west, top=1000)
    assert len(seen["value"]) == of[0]


async def test_many_overlaps_are_found_as_well_as_few(client, pool, monkeypatch):
    """The two ways of a search with an area, and of a count, find the same."""
    await enter(pool, *plausible_rows(300), documented=False)
    query = {
        "filter": "OData.CSC.Intersects(area=geography'POLYGON((-90 -60,90 -60,90 60,-90 60,-90 -60))') and Online",
        "top": 1000, "count": "true", "orderby": "ContentDate/Start desc",
    }  # fmt: skip
    few = await get(client, **query)
    monkeypatch.setattr("refsys.catalogue.search.FEW", 3)
    assert await get(client, **query) == few
    assert few["@odata.count"] == len(few["value"]) > 20


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("$skip=10001", {
            "type": "less_than_equal", "loc": ["query", "$skip"], "msg": "Input should be less than or equal to 10000",
            "input": "10001", "ctx": {"le": 10000},
        }),
        ("$top=1001", {
            "type": "less_than_equal", "loc": ["query", "$top"], "msg": "Input should be less than or equal to 1000",
            "input": "1001", "ctx": {"le": 1000},
        }),
        ("$top=-1", {
            "type": "greater_than_equal", "loc": ["query", "$top"],
            "msg": "Input should be greater than or equal to 0", "input": "-1", "ctx": {"ge": 0},
        }),
        ("$top=many", {
            "type": "int_parsing", "loc": ["query", "$top"],
            "msg": "Input should be a valid integer, unable to parse string as an integer", "input": "many",
        }),
        ("$count=maybe", {
            "type": "bool_parsing", "loc": ["query", "$count"],
            "msg": "Input should be a valid boolean, unable to interpret input", "input": "maybe",
        }),
    ],
)  # fmt: skip
async def test_limits_are_told_as_the_hub_tells_them(client, query, expected):
    response = await client.get(f"Products?{query}")
    assert response.status_code == 422
    assert response.json() == {"detail": [expected]}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("Products?$filter=Nme eq 'x'", 400, "$filter, at position 1: expected a property (did you mean Name?)"),
        ("Products?$filter=", 400, "at position 1"),
        ("Products?$filter=Online&$filter=Online", 400, "$filter is given twice"),
        ("Products?$filter=Name eq '%ff'", 400, "not UTF-8"),
        ("Products?$filter=Name eq '%00'", 400, "U+0000"),
        ("Products?$fliter=Online", 400, "$fliter is not offered here (did you mean $filter?)"),
        ("Products?$search=x", 400, "$search is not offered here"),
        ("Products?$orderby=Footprint", 400, "is no order; there are ContentDate/Start"),
        ("Products?$orderby=Name sideways", 400, "expected asc or desc behind Name"),
        ("Products?$orderby=Name,Name", 400, "is given twice"),
        ("Products?$expand=Location", 400, "'Location' is not offered (did you mean Locations?)"),
        ("Products?$format=xml", 406, "$format is json"),
        ("Products?$filter=OData.CSC.Intersects(area=geography'POLYGON((0 0,1 1,0 1,1 0,0 0))')", 400, "Self-intersec"),
        ("Products(abc)", 400, "'abc' is not an id"),
        (f"Products({UUID(int=1)})", 404, f"Products has no {UUID(int=1)}"),
        (f"Products({UUID(int=1)})?$filter=Online", 400, "$filter is not offered here"),
        (f"Products({UUID(int=1)})/Nonsense", 404, "there is nothing at"),
        ("Nonsense", 404, "there is nothing at '/odata/v1/Nonsense'"),
        ("Attributes(SENTINEL-9)", 404, "there are SENTINEL-1, SENTINEL-2, SENTINEL-3"),
    ],
)
async def test_errors_are_odata_json_that_says_what_is_wrong(client, path, status, words):
    response = await client.get(path)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert list(error) == ["code", "message"]
    assert words in error["message"]


async def test_other_methods_are_refused(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await client.request(method, "Products")
        assert response.status_code == 405
        assert response.json()["error"]["code"] == "MethodNotAllowed"
        assert "GET" in response.headers["allow"]


async def test_what_nobody_expected_is_told_by_number_only(pool, settings, monkeypatch):
    async def fail(*args, **kwargs):
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr("refsys.catalogue.search.find_page", fail)
    async with hub_client(pool, settings) as client:
        response = await client.get("Products")
    assert response.status_code == 500
    message = response.json()["error"]["message"]
    assert response.headers["x-request-id"] in message
    assert "1234" not in response.text


async def test_every_answer_has_the_headers_of_security_and_its_number(client):
    for path in ("Products", "Nonsense", "Products?$top=x", "/health/live"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert len(headers["x-request-id"]) == 32
        assert "server" not in headers


async def test_a_search_that_takes_too_long_is_stopped_and_says_so(pool, settings):
    await enter(pool, *plausible_rows(50), documented=False)
    async with hub_client(pool, settings, budget_s=0.2) as client:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("LOCK TABLE catalogue.product IN ACCESS EXCLUSIVE MODE")
            response = await client.get("Products")
        assert response.status_code == 503
        assert "took longer than 0.2 s" in response.json()["error"]["message"]
        assert int(response.headers["retry-after"]) > 0
        assert (await client.get("Products")).status_code == 200
        held = [await pool.acquire() for _ in range(pool.get_max_size())]
        response = await client.get("Products")
        for connection in held:
            await pool.release(connection)
        assert (response.status_code, "busy" in response.text) == (503, True)


async def test_without_its_database_the_service_asks_for_patience(client, pool):
    pool.terminate()
    response = await client.get("Products")
    assert response.status_code == 503
    assert "the database does not answer" in response.json()["error"]["message"]
    assert int(response.headers["retry-after"]) > 0


async def test_only_what_is_published_and_public_is_shown(client, pool):
    hidden = [
        Row("ROLE", visibility="role"), Row("INTERNAL", visibility="internal"),
        Row("PACKAGED", state="packaged", published_at=None, modified_at=None),
        Row("GONE", state="withdrawn", deleted_at=START, deletion_cause="Corrupted product"),
    ]  # fmt: skip
    await enter(pool, Row("SEEN"), *hidden)
    assert await names(client) == ["SEEN"]
    assert await names(client, filter="Name ne 'x' or true") == ["SEEN"]
    for row in hidden:
        assert (await client.get(f"Products({row.id})")).status_code == 404
        assert await names(client, filter=f"Name eq '{row.name}'") == []
    assert (await client.get("Products/$count")).text == "1"


async def test_deleted_products_tell_when_and_why(client, pool):
    gone = Row("GONE", state="withdrawn", deleted_at=START + timedelta(days=1), deletion_cause="Corrupted product")
    old = Row(
        "OLD", state="superseded", deleted_at=START + timedelta(days=2), deletion_cause="Obsolete product or Other"
    )
    await enter(pool, Row("SEEN"), gone, old, Row("ROLE", state="withdrawn", deleted_at=START, visibility="role"))
    body = await get(client, "DeletedProducts", expand="Attributes", count="true")
    assert (body["@odata.context"], body["@odata.count"]) == ("$metadata#DeletedProducts(Attributes())", 2)
    assert [(p["Name"], p["DeletionDate"], p["DeletionCause"]) for p in body["value"]] == [
        ("GONE", "2024-01-02T00:00:00.000000Z", "Corrupted product"),
        ("OLD", "2024-01-03T00:00:00.000000Z", "Obsolete product or Other"),
    ]
    assert not {"PublicationDate", "S3Path", "Online"} & set(body["value"][0])
    found = await get(
        client, "DeletedProducts", filter="DeletionCause eq 'Corrupted product' and DeletionDate lt 2024-01-03"
    )
    assert [product["Name"] for product in found["value"]] == ["GONE"]
    assert (await get(client, f"DeletedProducts({gone.id})"))["Name"] == "GONE"
    assert (await client.get(f"DeletedProducts({Row('SEEN').id})")).status_code == 404


async def test_attributes_are_listed_by_collection(client):
    everywhere = await get(client, "Attributes")
    of_sentinel2 = await get(client, "Attributes(SENTINEL-2)")
    assert {"Name": "cloudCover", "ValueType": "Double"} in of_sentinel2
    assert {"Name": "orbitNumber", "ValueType": "Integer"} in everywhere
    assert {"Name": "sliceNumber", "ValueType": "Integer"} not in of_sentinel2
    assert all(attribute in everywhere for attribute in of_sentinel2)


async def test_the_service_tells_what_there_is(client):
    document = await get(client, "")
    assert document["@odata.context"] == "http://hub.test/odata/v1/$metadata"
    assert [entry["name"] for entry in document["value"]] == ["Products", "DeletedProducts"]
    metadata = await client.get("$metadata")
    assert metadata.headers["content-type"].startswith("application/xml")


async def test_whatever_is_sent_is_answered_without_a_failure(client, pool):
    await enter(pool, GRD)
    pieces = [
        "$filter=",
        "$top=",
        "$skip=5",
        "'",
        "%27",
        "&",
        "=",
        "%",
        "%zz",
        "%e9",
        "Name eq 'x'",
        "$orderby=,",
        "+",
        "\\",
        "$",
        ";",
    ]
    for first in pieces:
        for second in pieces:
            request = httpx.Request("GET", client.base_url.join("Products"))
            request.url = request.url.copy_with(query=f"{first}{second}".encode())
            assert (await client.send(request)).status_code in (200, 400, 422)
