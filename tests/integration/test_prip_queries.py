"""Queries at the PRIP root: its shapes, names, limits and errors; the examples that have to keep working."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from lxml import etree
from starlette.applications import Starlette
from starlette.routing import Mount

from refsys.catalogue import rules
from refsys.catalogue.audit import Deed
from refsys.core.principals import SCOPE_KEY, Principal, Right
from refsys.distribution.prip import routes as prip
from refsys.distribution.served import Served
from refsys.infra.settings import PripSettings
from refsys.missions import load_types
from refsys.web import errors
from refsys.web.app import create_app
from tests.catalogue_rows import START, Row, insert_rows

TYPES = load_types()
EDMX = {"m": "http://docs.oasis-open.org/odata/ns/edm"}
SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12.5, 40], [12.5, 42], [10, 42], [10, 40]]]}
ASSET = """
INSERT INTO distribution.asset (id, product_id, kind, path, is_made, media_type, size, md5, blake3)
VALUES (gen_random_uuid(), $1, 'QUICKLOOK', $2, false, 'image/png', 4, $3, $4)
"""


def row(name, **changes):
    suffix = changes.pop("suffix", ".zip")
    return Row(name, package_name=name + suffix, **changes)


RAW = row(
    "S1B_IW_RAW__0SDV_20220101T000000_20220101T000032_030888_025A63_28CD.SAFE",
    sensing_start=START, package_size=1_559_908_047, footprint=SQUARE, t0_raw=START + timedelta(minutes=5),
    published_at=START + timedelta(hours=1, microseconds=301_999),
    attributes={
        "productType": "IW_RAW__0S", "orbitNumber": 30888, "sliceProductFlag": True, "cloudCover": 5.5, "passNumber": 7,
        "datatakeID": 153187, "beginningDateTime": "2022-01-01T00:00:00.104999Z", "polarisationChannels": ["VV", "VH"],
    },
)  # fmt: skip
GRD = row(
    "S1A_EW_GRDM_1SDH_20220102T000000_20220102T000100_041234_04E6A1_1B2C.SAFE", online=False,
    published_at=START + timedelta(hours=2), attributes={"productType": "EW_GRDM_1A", "orbitNumber": 29000},
)  # fmt: skip
WAVE = row(
    "S1A_WV_RAW__0CSV_20220103T000000_20220103T001000_041240_04E6FF_9D3E.SAFE",
    published_at=START + timedelta(hours=3), attributes={"productType": "IW_RAW__0C", "cloudCover": 50},
)  # fmt: skip
TILE = row(
    "S2A_OPER_MSI_L0__GR_SGS__20220103T010101_S20220103T000000_D03_N01.23", collection="SENTINEL-2", mission="S2",
    published_at=START + timedelta(hours=4), suffix="",
)  # fmt: skip


@pytest.fixture
async def client(pool, settings, storage):
    async with opened(pool, settings, storage) as client:
        yield client


def opened(pool, settings, storage):
    app = create_app(pool=pool, storage=storage, types=TYPES, settings=settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://hub.test/prip/odata/v1/")


async def enter(pool, *rows):
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)
    return list(rows)


async def get(client, path="Products", **options):
    """Options without their `$`."""
    query = "&".join(f"${name}={quote(str(text))}" for name, text in options.items())
    response = await client.get(f"{path}?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def found(client, **options):
    """The first letters of the products' names."""
    return [product["Name"][:6] for product in (await get(client, **options))["value"]]


async def test_a_product_has_the_members_of_the_prip_in_their_order(client, pool):
    await enter(pool, RAW)
    await pool.execute(ASSET, RAW.id, f"{RAW.name}/preview/quick-look.png", b"m" * 16, b"b" * 32)
    body = await get(client, expand="Attributes,Quicklooks", count="true")
    assert list(body) == ["@odata.context", "@odata.count", "value"]
    assert body["@odata.context"] == "$metadata#Products(Attributes(),Quicklooks())"
    assert body["@odata.count"] == 1
    [product] = body["value"]
    assert list(product) == [
        "@odata.mediaContentType", "Id", "Name", "Online", "ContentType", "ContentLength", "PublicationDate",
        "EvictionDate", "OriginDate", "Checksum", "ProductionType", "ContentDate", "Footprint", "GeoFootprint",
        "Attributes", "Quicklooks",
    ]  # fmt: skip
    assert (product["Id"], product["Name"]) == (str(RAW.id), f"{RAW.name}.zip")
    assert (product["Online"], product["ContentLength"]) == (True, 1_559_908_047)
    assert product["ContentType"] == product["@odata.mediaContentType"] == "application/octet-stream"
    assert product["PublicationDate"] == "2024-01-01T01:00:00.301Z"
    assert product["EvictionDate"] == "9999-12-31T23:59:59.999Z"
    assert product["OriginDate"] == "2024-01-01T00:05:00.000Z"
    assert [list(checksum) for checksum in product["Checksum"]] == [["Algorithm", "Value", "ChecksumDate"]] * 2
    assert [checksum["Algorithm"] for checksum in product["Checksum"]] == ["MD5", "BLAKE3"]
    assert product["ProductionType"] == "systematic_production"
    assert product["ContentDate"] == {"Start": "2024-01-01T00:00:00.000Z", "End": "2024-01-01T00:00:25.000Z"}
    crs = {"type": "name", "properties": {"name": "EPSG:4326"}}
    assert product["Footprint"] == product["GeoFootprint"] == {**SQUARE, "crs": crs}
    assert product["Attributes"][:2] == [
        {"@odata.type": "#OData.CSC.DateTimeOffsetAttribute", "Name": "beginningDateTime",
         "ValueType": "DateTimeOffset", "Value": "2022-01-01T00:00:00.104Z"},
        {"@odata.type": "#OData.CSC.DoubleAttribute", "Name": "cloudCover", "ValueType": "Double", "Value": 5.5},
    ]  # fmt: skip
    assert [attribute["Name"] for attribute in product["Attributes"][2:]] == [
        "missionDatatakeID", "orbitNumber", "polarisationChannels", "productType", "sliceProductFlag",
    ]  # fmt: skip
    assert product["Quicklooks"] == [{"@odata.mediaContentType": "image/png", "Image": f"{RAW.name}_quick-look.png"}]


async def test_attributes_come_in_collections_of_one_type_too(client, pool):
    await enter(pool, RAW, GRD)
    names = [
        "StringAttributes",
        "IntegerAttributes",
        "DoubleAttributes",
        "DateTimeOffsetAttributes",
        "BooleanAttributes",
    ]
    body = await get(client, expand="*", filter=f"Name eq '{RAW.name}'")
    [product] = body["value"]
    assert [*product][-7:] == ["Attributes", "Quicklooks", *names]
    assert sorted(a["Name"] for name in names for a in product[name]) == [a["Name"] for a in product["Attributes"]]
    assert [a["Name"] for a in product["IntegerAttributes"]] == ["missionDatatakeID", "orbitNumber"]
    one = await get(client, f"Products({RAW.id})/IntegerAttributes")
    assert one == {
        "@odata.context": f"$metadata#Products({RAW.id})/IntegerAttributes", "value": product["IntegerAttributes"],
    }  # fmt: skip
    assert (await get(client, f"Products({RAW.id})/Attributes"))["value"] == product["Attributes"]


EXAMPLES = [
    # distribution 6.12, in its order
    ("PublicationDate gt 2022-01-01T00:00:00.000Z", ["S1B_IW", "S1A_EW", "S1A_WV", "S2A_OP"]),
    ("startswith(Name,'S1B') and endswith(Name,'025A63_28CD.SAFE.zip')", ["S1B_IW"]),
    ("contains(Name,'EW_GRDM_1A') or contains(Name,'WV_RAW__0C')", ["S1A_WV"]),
    ("startswith(Name,'S1A') and not contains(Name,'WV_RAW__0C')", ["S1A_EW"]),
    ("Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and "
     "att/OData.CSC.StringAttribute/Value in ('IW_RAW__0A','IW_RAW__0C'))", ["S1A_WV"]),
    ("Attributes/OData.CSC.IntegerAttribute/any(att:att/Name eq 'orbitNumber' and "
     "att/OData.CSC.IntegerAttribute/Value ge 30000)", ["S1B_IW"]),
    ("Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and "
     "att/OData.CSC.DoubleAttribute/Value lt 10)", ["S1B_IW"]),
    ("Attributes/OData.CSC.DateTimeOffsetAttribute/any(att:att/Name eq 'beginningDateTime' and "
     "att/OData.CSC.DateTimeOffsetAttribute/Value gt 2020-01-01T00:00:00Z)", ["S1B_IW"]),
    ("OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((11 41,20 41,20 50,11 50,11 41))') and "
     "ContentDate/Start gt 2020-01-01T00:00:00Z", ["S1B_IW"]),
    ("ContentLength gt 1000000000", ["S1B_IW"]),
    ("Online eq true", ["S1B_IW", "S1A_WV", "S2A_OP"]),
    ("ProductionType eq OData.CSC.ProductionType'systematic_production'", ["S1B_IW", "S1A_EW", "S1A_WV", "S2A_OP"]),
    # what was wrong or missing in the reference
    ("ProductionType eq OData.CSC.ProductionType'systematic_production' and Online eq false", ["S1A_EW"]),
    ("ProductionType ne 'systematic_production' or startswith(Name,'S2')", ["S2A_OP"]),
    ("not (Name ne 'S1A_WV_RAW__0CSV_20220103T000000_20220103T001000_041240_04E6FF_9D3E.SAFE.zip')", ["S1A_WV"]),
    ("Online", ["S1B_IW", "S1A_WV", "S2A_OP"]),
    ("not Online", ["S1A_EW"]),
    ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(11 41)') and "
     "OData.CSC.Intersects(location=Footprint,area=geography'SRID=4326;LINESTRING(0 41,20 41)')", ["S1B_IW"]),
    ("OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((0 0,60 0,60 60,0 60,0 0),"
     "(9 39,13 39,13 43,9 43,9 39))')", []),
    ("OData.CSC.Within(area=geography'SRID=4326;POLYGON((9 39,13 39,13 43,9 43,9 39))')", ["S1B_IW"]),
    ("OData.CSC.Within(area=geography'SRID=4326;POLYGON((11 39,13 39,13 43,11 43,11 39))')", []),
    ("OData.CSC.Disjoints(area=geography'SRID=4326;POINT(20 41)')", ["S1B_IW"]),
    ("OData.CSC.Disjoints(geo_property=Footprint,geo_shape=geography'SRID=4326;POINT(11 41)')", []),
    ("contains(Name,'ew_grdm')", []),
    ("contains(Name,'S1%')", []),
    ("Attributes/OData.CSC.IntegerAttribute/any(x:x/Name eq 'missionDatatakeID' and x/Value eq 153187)", ["S1B_IW"]),
    # the name is the file that is delivered, and the product in it
    ("endswith(Name,'.zip')", ["S1B_IW", "S1A_EW", "S1A_WV"]),
    ("not endswith(Name,'.zip')", ["S2A_OP"]),
    ("endswith(Name,'_28CD.SAFE')", ["S1B_IW"]),
    ("Name in ('S1A_EW_GRDM_1SDH_20220102T000000_20220102T000100_041234_04E6A1_1B2C.SAFE',"
     "'S1B_IW_RAW__0SDV_20220101T000000_20220101T000032_030888_025A63_28CD.SAFE.zip','X.zip')", ["S1B_IW", "S1A_EW"]),
    ("Name eq 'S2A_OPER_MSI_L0__GR_SGS__20220103T010101_S20220103T000000_D03_N01.23.zip'", []),
]  # fmt: skip


async def test_the_examples_of_the_reference_work_and_its_defects_do_not_come_back(client, pool):
    await enter(pool, RAW, GRD, WAVE, TILE)
    for odata, expected in EXAMPLES:
        assert await found(client, filter=odata) == expected, odata
    newest = await found(
        client, filter="PublicationDate gt 2022-01-01T00:00:00.000Z", orderby="PublicationDate desc", top=2
    )
    assert newest == ["S2A_OP", "S1A_WV"]
    everything = await get(client, expand="Attributes,Quicklooks", count="true", skip=0, top=100)
    assert (everything["@odata.count"], len(everything["value"])) == (4, 4)
    count = await client.get("Products/$count?$filter=startswith(Name,'S1')")
    assert (count.text, count.headers["Content-Type"]) == ("3", "text/plain; charset=utf-8")


async def test_orders_are_by_publication_if_none_is_said(client, pool):
    await enter(pool, TILE, WAVE, GRD, RAW)
    oldest_first = ["S1B_IW", "S1A_EW", "S1A_WV", "S2A_OP"]
    assert await found(client) == oldest_first
    assert await found(client, orderby="ProductionType desc") == oldest_first
    assert await found(client, orderby="Name") == ["S1A_EW", "S1A_WV", "S1B_IW", "S2A_OP"]
    assert await found(client, orderby="ContentLength desc,Name desc") == ["S1B_IW", "S2A_OP", "S1A_WV", "S1A_EW"]
    by_id = [product["Id"] for product in (await get(client, orderby="Id"))["value"]]
    assert by_id == sorted(by_id)


async def test_pages_are_linked_until_the_last(client, pool):
    await enter(pool, *(row(f"S1A_{number:02}", t0_raw=START if number % 2 else None) for number in range(7)))
    for number, order in enumerate(("", "Name desc", "OriginDate,Name")):
        await walk_pages(client, pool, order, row(f"S1A_00_late{number}", published_at=START - timedelta(days=1)))
    assert (await client.get("Products?$skiptoken=abc")).status_code == 400


async def walk_pages(client, pool, order, late):
    """Whatever comes meanwhile, all that was there comes once."""
    options = {"orderby": order} if order else {}
    whole = await found_names(client, **options)
    body, seen, pages = await get(client, top=3, filter="startswith(Name,'S1A')", **options), [], 0
    while True:
        seen += [product["Name"] for product in body["value"]]
        pages += 1
        link = body.get("@odata.nextLink")
        if link is None:
            break
        assert link.startswith("http://hub.test/prip/odata/v1/Products?")
        if pages == 1:
            await enter(pool, late)
        body = (await client.get(link)).json()
    assert [name for name in seen if name != late.package_name] == whole
    assert len(seen) == len(set(seen))


async def found_names(client, **options):
    return [product["Name"] for product in (await get(client, **options))["value"]]


async def test_skipping_is_exact_and_ends_with_an_empty_page(client, pool):
    await enter(pool, *(row(f"S1A_{number:02}", published_at=START + timedelta(hours=number)) for number in range(7)))
    assert await found_names(client, skip=5, top=5) == ["S1A_05.zip", "S1A_06.zip"]
    assert await get(client, skip=7, top=5) == {"@odata.context": "$metadata#Products", "value": []}
    assert (await get(client, skip=10**17))["value"] == []
    assert (await get(client, top=0, count="true")) == {
        "@odata.context": "$metadata#Products", "@odata.count": 7, "value": [],
    }  # fmt: skip


async def test_a_result_above_the_quota_is_refused_unless_it_is_taken_in_pages(pool, settings, storage):
    settings = settings.model_copy(update={"prip": PripSettings(quota=1100)})
    await enter(pool, *(row(f"S1A_{number:04}", published_at=START) for number in range(1101)))
    async with opened(pool, settings, storage) as client:
        refused = await client.get("Products")
        assert refused.status_code == 429
        assert "more than 1100 products" in refused.json()["error"]["message"]
        assert (await client.get("Products?$filter=ContentLength eq 5")).status_code == 200
        # as much as the quota is not above it; it comes in pages of at most 1000
        allowed = await get(client, filter="Name ne 'S1A_0500'")
        assert len(allowed["value"]) == 1000
        rest = (await client.get(allowed["@odata.nextLink"])).json()
        assert len(rest["value"]) == 100
        assert "@odata.nextLink" not in rest
        # $top says that pages are wanted; more than 1000 are cut to it
        assert len((await get(client, top=5000))["value"]) == 1000
        assert len((await get(client, top=1000, skip=1000))["value"]) == 101


async def test_members_can_be_selected(client, pool):
    await enter(pool, RAW)
    body = await get(client, select="PublicationDate,Name", expand="Attributes")
    assert body["@odata.context"] == "$metadata#Products(Name,PublicationDate,Attributes())"
    assert list(body["value"][0]) == ["@odata.mediaContentType", "Name", "PublicationDate", "Attributes"]
    one = await get(client, f"Products({RAW.id})", select="ContentLength")
    assert one == {
        "@odata.context": "$metadata#Products(ContentLength)/$entity",
        "@odata.mediaContentType": "application/octet-stream", "ContentLength": 1_559_908_047,
    }  # fmt: skip
    assert len((await get(client, select="*"))["value"][0]) == 14


async def test_one_product_is_not_wrapped(client, pool):
    await enter(pool, RAW)
    product = await get(client, f"Products({RAW.id})")
    assert product["@odata.context"] == "$metadata#Products/$entity"
    assert product["Name"] == f"{RAW.name}.zip"
    assert await get(client, f"Products('{RAW.id}')") == product
    assert await get(client, f"Products({RAW.id})", format="application/json;odata.metadata=full") == product


async def test_a_list_of_names_finds_those_that_are_there_in_its_order(client, pool):
    await enter(pool, RAW, GRD, WAVE)
    names = [f"{WAVE.name}.zip", "S1A_NOT_THERE.zip", RAW.name, f"{RAW.name}.zip", f"{GRD.name}.tar"]
    body = {"FilterProducts": [{"Name": name} for name in names]}
    answer = await client.post("Products/OData.CSC.FilterList", json=body)
    assert [product["Name"] for product in answer.json()["value"]] == [f"{WAVE.name}.zip", f"{RAW.name}.zip"]
    wrong = [
        (b'{"FilterProducts":[{"Value":"x"}]}', "entry 1 of FilterProducts has no Name"),
        (b'{"FilterProducts":{}}', "no list FilterProducts"),
        (b"[]", "no list FilterProducts"),
        (b"{", "not JSON"),
        (b'{"FilterProducts":[{"Name":"a\\u0000b"}]}', "U+0000"),
    ]
    for content, told in wrong:
        headers = {"Content-Type": "application/json"}
        answer = await client.post("Products/OData.CSC.FilterList", content=content, headers=headers)
        assert answer.status_code == 400
        assert told in answer.json()["error"]["message"]
    assert (await client.post("Products/OData.CSC.FilterList", content=b"{}")).status_code == 400


async def test_pictures_have_paths_of_their_own(client, pool):
    await enter(pool, RAW, GRD)
    image = f"{RAW.name}_it's a map.png"
    await pool.execute(ASSET, RAW.id, f"{RAW.name}/preview/it's a map.png", b"m" * 16, b"b" * 32)
    listed = await get(client, f"Products({RAW.id})/Quicklooks")
    assert listed == {
        "@odata.context": "$metadata#Quicklooks",
        "value": [{"@odata.mediaContentType": "image/png", "Image": image}],
    }
    path = f"Products({RAW.id})/Quicklooks('{quote(image.replace(chr(39), chr(39) * 2), safe='')}')"
    assert (await get(client, path)) == {"@odata.context": "$metadata#Quicklooks/$entity", **listed["value"][0]}
    assert (await get(client, f"Products({GRD.id})/Quicklooks"))["value"] == []
    assert (await client.get(f"Products({GRD.id})/Quicklooks('{quote(image)}')/$value")).status_code == 404


async def test_the_entity_model_is_valid_and_names_what_is_served(client, pool):
    await enter(pool, RAW)
    answer = await client.get("$metadata")
    assert answer.headers["Content-Type"].startswith("application/xml")
    model = etree.fromstring(answer.content)
    [product] = (await get(client, expand="*"))["value"]
    [entity] = model.xpath("//m:EntityType[@Name='Product']", namespaces=EDMX)
    members = entity.xpath("m:Property/@Name | m:NavigationProperty/@Name", namespaces=EDMX)
    assert set(members) == {name for name in product if not name.startswith("@")}
    defined = set(model.xpath("//m:EntityType/@Name | //m:ComplexType/@Name | //m:EnumType/@Name", namespaces=EDMX))
    used = {name for text in model.xpath("//@Type | //@EntityType | //@BaseType") for name in
            re.findall(r"OData\.CSC\.(\w+)", text)}  # fmt: skip
    assert used <= defined
    enumeration = model.xpath("//m:EnumType[@Name='ProductionType']/m:Member", namespaces=EDMX)
    assert {member.get("Name"): member.get("Value") for member in enumeration} == {
        "systematic_production": "0", "on_demand_default": "1", "on_demand_non_default": "2",
    }  # fmt: skip
    dates = model.xpath("//m:Property[@Type='Edm.DateTimeOffset']/@Precision", namespaces=EDMX)
    assert set(dates) == {"3"}
    assert len(dates) == len(model.xpath("//m:Property[@Type='Edm.DateTimeOffset']", namespaces=EDMX))
    document = await get(client, "")
    assert document["value"] == [{"name": "Products", "kind": "EntitySet", "url": "Products"}]
    assert document["@odata.context"] == "http://hub.test/prip/odata/v1/$metadata"


ERRORS = [
    ("Products?$top=-1", 400, "$top: expected a whole number"),
    ("Products?$top=x", 400, "$top"),
    ("Products?$skip=-1", 400, "$skip"),
    ("Products?$skip=1&$skiptoken=a", 400, "together"),
    ("Products?$count=maybe", 400, "$count"),
    ("Products?$orderby=Online", 400, "PublicationDate"),
    ("Products?$orderby=Name down", 400, "asc or desc"),
    ("Products?$expand=Assets", 400, "Quicklooks"),
    ("Products?$expand=Attributes($top=1)", 501, "Attributes"),
    ("Products?$select=Footprint,S3Path", 400, "S3Path"),
    ("Products?$format=xml", 406, "json"),
    ("Products?$search=x", 400, "$search is not offered"),
    ("Products?$filter=", 400, "position 1"),
    ("Products?$filter=Nam eq 'x'", 400, "did you mean Name?"),
    ("Products?$filter=OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((0 0,1 1))')", 400, "position"),
    ("Products?$filter=year(PublicationDate) eq 2021", 501, "year"),
    ("Products(x)", 400, "not an id"),
    ("Products(00000000-0000-4000-8000-000000000000)", 404, "Products has no"),
    ("Products(00000000-0000-4000-8000-000000000000)/Attributes", 404, "Products has no"),
    ("Products(00000000-0000-4000-8000-000000000000)/$value", 404, "Products has no"),
    ("Products(00000000-0000-4000-8000-000000000000)/Name", 501, "Name has no path"),
    ("Attributes", 501, "Attributes has no path"),
    ("Quicklooks", 501, "Quicklooks has no path"),
    ("DeletedProducts", 404, "nothing at"),
]


async def test_every_error_has_a_status_and_says_what_is_wrong(client):
    for path, status, told in ERRORS:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json"), path
        error = answer.json()["error"]
        assert told in error["message"]
        assert error["code"]


async def test_nothing_can_be_changed(client, pool):
    await enter(pool, RAW)
    for method, path in (
        ("POST", "Products"), ("PUT", f"Products({RAW.id})"), ("PATCH", f"Products({RAW.id})"),
        ("DELETE", f"Products({RAW.id})"), ("GET", "Products/OData.CSC.FilterList"),
    ):  # fmt: skip
        answer = await client.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (405, "MethodNotAllowed"), (method, path)


async def test_who_said_who_they_are_sees_what_is_visible_with_a_role_too(pool, settings, storage):
    rows = [row(f"S1A_{seen.upper()}", visibility=seen) for seen in ("public", "role", "internal")]
    hidden = row("S1B_HIDDEN", visibility="role", platform="B")
    await enter(pool, *rows, hidden)
    async with pool.acquire() as connection, connection.transaction():
        await rules.add(connection, rules.Kind.VISIBILITY, rules.About(platform="B"), Deed("a test", "it is broken"),
                        visibility="internal")  # fmt: skip
    served = Served(pool, storage, TYPES, settings)
    app = Starlette(routes=[Mount(prip.ROOT, routes=prip.routes(served))], exception_handlers=errors.handlers())
    someone = Principal("someone", frozenset(Right))
    for principal, expected in ((None, ["S1A_PUBLIC.zip"]), (someone, ["S1A_PUBLIC.zip", "S1A_ROLE.zip"])):

        async def asked(scope, receive, send, principal=principal):
            await app({**scope, SCOPE_KEY: principal} if principal else scope, receive, send)

        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(asked), base_url="http://hub.test/prip/odata/v1/"
        ) as client:
            assert await found_names(client, orderby="Name") == expected
            assert (await client.get("Products/$count")).text == str(len(expected))
            for one in (*rows, hidden):
                is_seen = one.package_name in expected
                for path in ("", "/Attributes", "/Quicklooks"):
                    status = (await client.get(f"Products({one.id}){path}")).status_code
                    assert status == (200 if is_seen else 404), (one.name, path)
                if not is_seen:
                    assert (await client.get(f"Products({one.id})/$value")).status_code == 404
