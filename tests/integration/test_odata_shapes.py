"""What may be asked of products at the CDSE root besides filters: members, forms, pictures, lists of names."""

import itertools
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import asyncpg
import pytest
from lxml import etree

from refsys.distribution.assets import asset_id
from refsys.infra.settings import HttpSettings
from tests.catalogue_rows import START, Row, plausible_rows
from tests.hub import enter, get, hub_client, names

NAME = "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_051903_0645E1_ABCD.SAFE"
GRD = Row(NAME, package_size=1234, attributes={"productType": "IW_GRDH_1S", "orbitNumber": 51903})
PNG = f"{NAME}/preview/quick-look.png"
MEMBERS = [
    "Id", "Name", "ContentType", "ContentLength", "OriginDate", "PublicationDate", "ModificationDate", "Online",
    "EvictionDate", "S3Path", "Checksum", "ContentDate", "Footprint", "GeoFootprint",
]  # fmt: skip
EXPANDS = ("Attributes", "Assets", "Locations")

_ASSET = """
INSERT INTO distribution.asset (id, product_id, kind, path, is_made, media_type, size, md5, blake3)
VALUES ($1, $2, 'QUICKLOOK', $3, false, 'image/png', 10, decode(md5(''), 'hex'), sha256(''))
"""


@pytest.fixture
async def client(pool, settings):
    async with hub_client(pool, settings) as client:
        yield client


async def add_quicklook(pool, row, path=PNG):
    await pool.execute(_ASSET, asset_id(row.id, path), row.id, path)


@pytest.mark.parametrize("wanted", [c for n in range(4) for c in itertools.permutations(EXPANDS, n)])
async def test_expansions_come_in_any_combination_in_the_hubs_order(client, pool, wanted):
    await enter(pool, GRD)
    options = "&".join(f"$expand={name}" for name in (*wanted, *wanted)) + f"&$expand={','.join(wanted)}"
    told = [name for name in EXPANDS if name in wanted]
    inside = f"({','.join(f'{name}()' for name in told)})" if told else ""
    page = (await client.get(f"Products?{options}")).json()
    assert page["@odata.context"] == f"$metadata#Products{inside}"
    assert list(page["value"][0]) == ["@odata.mediaContentType", *MEMBERS, *told]
    one = (await client.get(f"Products({GRD.id})?{options}")).json()
    assert one.pop("@odata.context") == f"$metadata#Products{inside}/$entity"
    assert one == page["value"][0]


async def test_a_quicklook_says_where_it_can_be_had(client, pool):
    await enter(pool, GRD, Row("OTHER"))
    await add_quicklook(pool, GRD)
    found = {product["Name"]: product["Assets"] for product in (await get(client, expand="Assets"))["value"]}
    key = asset_id(GRD.id, PNG)
    assert found == {
        "OTHER": [],
        NAME: [
            {
                "Type": "QUICKLOOK",
                "Id": str(key),
                "DownloadLink": f"http://hub.test/odata/v1/Assets({key})/$value",
                "S3Path": f"/S/{NAME}/{PNG}",
            }
        ],
    }


async def test_a_product_in_a_zip_has_two_forms(client, pool, settings):
    await enter(pool, GRD)
    await pool.execute("UPDATE catalogue.content SET size = 777")
    settings = settings.model_copy(update={"http": HttpSettings(public_url="https://hub.example/")})
    async with hub_client(pool, settings) as client:
        product = await get(client, f"Products({GRD.id})", expand="Locations")
    url = f"https://hub.example/odata/v1/Products({GRD.id})"
    assert product["Locations"] == [
        {
            "FormatType": "Compressed",
            "DownloadLink": f"{url}/$value",
            "ContentLength": product["ContentLength"],
            "Checksum": product["Checksum"],
            "S3Path": None,
        },
        {
            "FormatType": "Extracted",
            "DownloadLink": f"{url}/Nodes",
            "ContentLength": 777,
            "Checksum": [],
            "S3Path": f"/S/{NAME}/{NAME}",
        },
    ]


async def test_a_product_that_is_one_file_has_one_form_and_one_that_is_not_online_none(client, pool):
    await enter(pool, GRD, Row("FAR", online=False))
    await pool.execute("UPDATE catalogue.product SET packaging = 'bare', package_layout = 0 WHERE id = $1", GRD.id)
    found = {p["Name"]: p["Locations"] for p in (await get(client, expand="Locations"))["value"]}
    assert found["FAR"] == []
    [form] = found[NAME]
    assert (form["FormatType"], form["S3Path"], form["ContentLength"]) == ("Extracted", f"/S/{NAME}/{NAME}", 1234)


async def test_a_package_that_was_written_says_where_it_lies(client, pool):
    await enter(pool, GRD)
    await pool.execute("UPDATE catalogue.product SET packaging = 'deflated', package_layout = 2")
    [package, _] = (await get(client, f"Products({GRD.id})", expand="Locations"))["Locations"]
    assert package["S3Path"].startswith("/S/")
    assert package["S3Path"].endswith(f"/{NAME}.zip")


async def test_a_full_page_asks_the_database_once(client, pool, monkeypatch):
    rows = await enter(pool, *plausible_rows(30))
    await pool.execute("DELETE FROM distribution.document WHERE product_id = ANY ($1)", [row.id for row in rows[:20]])
    asked = []

    def counting(method):
        async def count(connection, sql, *args, **more):
            asked.append(sql)
            return await method(connection, sql, *args, **more)

        return count

    await get(client)  # the key of pages is asked for once in a process
    for name in ("fetch", "fetchrow", "fetchval"):
        monkeypatch.setattr(asyncpg.Connection, name, counting(getattr(asyncpg.Connection, name)))
    page = await get(client, expand="Attributes,Assets,Locations", top=100)
    assert len(page["value"]) == 30
    # the second is for all that are not rendered together
    assert len(asked) == 2


async def test_select_gives_the_id_and_what_is_named_in_the_hubs_order(client, pool):
    await enter(pool, GRD)
    whole = (await get(client))["value"][0]
    page = await get(client, select="S3Path, Name ,ContentDate")
    assert page["@odata.context"] == "$metadata#Products(Id,Name,S3Path,ContentDate)"
    [product] = page["value"]
    assert list(product) == ["@odata.mediaContentType", "Id", "Name", "S3Path", "ContentDate"]
    assert product.items() <= whole.items()
    for everything in ("*", "*,Name", ",".join(MEMBERS)):
        assert (await get(client, select=everything))["value"] == [whole]
    for member in MEMBERS:
        one = await get(client, f"Products({GRD.id})", select=member, expand="Attributes")
        told = "Id" if member == "Id" else f"Id,{member}"
        assert one["@odata.context"] == f"$metadata#Products({told},Attributes())/$entity"
        assert [name for name in one if name[0] != "@"] == [*told.split(","), "Attributes"]
        assert one[member] == whole[member]


async def test_select_of_deleted_products_has_their_members(client, pool):
    await enter(pool, Row("GONE", state="withdrawn", deleted_at=START, deletion_cause="Corrupted product"))
    [product] = (await get(client, "DeletedProducts", select="DeletionCause,Name"))["value"]
    assert [name for name in product if name[0] != "@"] == ["Id", "Name", "DeletionCause"]
    [whole] = (await get(client, "DeletedProducts"))["value"]
    assert [name for name in whole if name[0] != "@"] == [
        "Id", "Name", "ContentType", "ContentLength", "OriginDate", "DeletionDate", "DeletionCause", "Checksum",
        "ContentDate", "Footprint", "GeoFootprint",
    ]  # fmt: skip


async def test_deleted_products_are_found_by_area_and_attributes_in_their_orders(client, pool):
    square = {"type": "Polygon", "coordinates": [[[10, 40], [12, 40], [12, 42], [10, 42], [10, 40]]]}
    gone = {"state": "withdrawn", "deletion_cause": "Duplicated product"}
    await enter(
        pool,
        Row("A", deleted_at=START + timedelta(days=2), footprint=square, attributes={"orbitNumber": 1}, **gone),
        Row("B", deleted_at=START + timedelta(days=1), attributes={"orbitNumber": 2}, sensing_start=START, **gone),
        Row("C", deleted_at=START, sensing_start=START - timedelta(days=1), footprint=square, **gone),
        Row("LIVE", footprint=square, attributes={"orbitNumber": 1}),
    )
    here = "OData.CSC.Intersects(area=geography'SRID=4326;POINT(11 41)')"
    orbit = "Attributes/OData.CSC.IntegerAttribute/any(a:a/Name eq 'orbitNumber' and a/Value {})"
    path = "DeletedProducts"
    assert await names(client, path, filter=here) == ["C", "A"]
    assert await names(client, path, filter=f"{here} and {orbit.format('eq 1')}") == ["A"]
    assert await names(client, path, filter=orbit.format("le 2"), orderby="DeletionDate desc") == ["A", "B"]
    ordered = await names(client, path, orderby="ContentDate/Start asc,DeletionDate desc")
    assert ordered == ["C", "A", "B"]
    assert (await client.get(f"{path}/$count?$filter={quote(here)}")).text == "2"
    link = (await get(client, path, top=2))["@odata.nextLink"]
    assert [product["Name"] for product in (await client.get(link)).json()["value"]] == ["A"]


@pytest.mark.parametrize(
    "path",
    [
        "DeletedProducts?$expand=Assets", "DeletedProducts?$expand=Attributes,Locations", "Products?$expand=*",
        "DeletedProducts?$select=Online", "DeletedProducts?$orderby=PublicationDate", "Products?$select=DeletionDate",
        "DeletedProducts?$filter=Online eq true",
        "Products?$select=ContentDate/Start", "Products?$select=Attributes", "Products?$select=Nme",
        "Products?$expand=Nodes", "Products/$count?$select=Name", "Products?$select=Name&$select=Id",
    ],
)  # fmt: skip
async def test_what_is_not_offered_is_refused_with_what_is(client, path):
    response = await client.get(path)
    assert response.status_code == 400
    message = response.json()["error"]["message"]
    assert "there are " in message or "given twice" in message


async def test_links_lead_through_everything_though_products_are_published_meanwhile(client, pool):
    rows = await enter(pool, *plausible_rows(50), documented=False)
    late = plausible_rows(30, first=50)
    seen, link = [], "Products?$top=7&$orderby=ContentDate/Start desc&$select=Name"
    while link:
        body = (await client.get(link)).json()
        seen += [product["Name"] for product in body["value"]]
        link = body.get("@odata.nextLink")
        await enter(pool, *itertools.islice(late, 3), documented=False)
    assert len(seen) == len(set(seen))
    assert {row.name for row in rows} <= set(seen)


async def test_a_link_names_how_many_went_before_for_clients_that_only_read_that(client, pool):
    rows = await enter(pool, *(Row(f"P{n}", published_at=START + timedelta(hours=n)) for n in range(9)))
    first = await get(client, top=2, skip=1)
    told = dict(parse_qsl(urlsplit(first["@odata.nextLink"]).query))
    assert told["$skip"] == "3"
    second = (await client.get(first["@odata.nextLink"])).json()
    assert dict(parse_qsl(urlsplit(second["@odata.nextLink"]).query))["$skip"] == "5"
    by_skip = await names(client, top=2, skip=told["$skip"])
    assert [product["Name"] for product in second["value"]] == by_skip == [rows[3].name, rows[4].name]


async def test_links_go_on_where_skip_ends(client, pool, monkeypatch):
    monkeypatch.setattr("refsys.distribution.odata.options.MAX_SKIP", 3)
    await enter(pool, *(Row(f"P{n}", published_at=START + timedelta(hours=n)) for n in range(9)))
    assert (await client.get("Products?$skip=4")).status_code == 422
    seen, links, link = [], [], "Products?$top=2"
    while link:
        body = (await client.get(link)).json()
        seen += [product["Name"] for product in body["value"]]
        link = body.get("@odata.nextLink")
        links += [link] if link else []
    assert seen == [f"P{n}" for n in range(9)]
    assert ["skip=" in link for link in links] == [True, False, False, False]


async def test_a_token_is_for_its_own_query_only(client, pool):
    await enter(pool, *(Row(f"P{n}") for n in range(4)))
    link = (await get(client, top=1, filter="startswith(Name,'P')", orderby="Name"))["@odata.nextLink"]
    token = dict(parse_qsl(urlsplit(link).query))["$skiptoken"]
    good = f"Products?$filter=startswith(Name,'P')&$orderby=Name&$skiptoken={token}"
    assert [product["Name"] for product in (await client.get(good)).json()["value"]] == ["P1", "P2", "P3"]
    for bad in (
        f"Products?$filter=startswith(Name,'Q')&$orderby=Name&$skiptoken={token}",
        f"Products?$filter=startswith(Name,'P')&$orderby=Name desc&$skiptoken={token}",
        f"Products?$skiptoken={token}",
        f"Products?$filter=startswith(Name,'P')&$orderby=Name&$skiptoken={token[:-2]}AA",
        "Products?$skiptoken=%00",
        "Products?$skiptoken=" + "A" * 20_000,
        f"DeletedProducts?$filter=startswith(Name,'P')&$skiptoken={token}",
    ):
        response = await client.get(bad)
        assert response.status_code == 400
        assert "begin with the first page" in response.json()["error"]["message"]


async def test_a_list_of_names_finds_those_that_there_are(client, pool):
    await enter(pool, GRD, Row("B.SEN3", published_at=START), Row("C"), Row("HIDDEN.SAFE", visibility="internal"))
    stem = NAME.removesuffix(".SAFE")
    for given in (NAME, f"{NAME}.zip", stem, f"{stem}.ZIP", f"{stem}.SAFE.tar.gz"):
        wanted = [{"Name": given}, {"Name": "B"}, {"Name": "nothing"}, {"Name": "HIDDEN"}, {"Name": "C.SAFE.zip"}]
        response = await client.post("Products/OData.CSC.FilterList", json={"FilterProducts": wanted})
        assert response.status_code == 200, response.text
        body = response.json()
        assert body["@odata.context"] == "$metadata#Products"
        assert [product["Name"] for product in body["value"]] == ["B.SEN3", *sorted([NAME, "C"], key=id_of)]
        assert list(body["value"][1])[1:] == MEMBERS
    twice = [{"Name": NAME}, {"Name": stem}, {"Name": NAME, "Value": "ignored"}]
    response = await client.post("Products/OData.CSC.FilterList?$select=Name", json={"FilterProducts": twice})
    assert [product["Name"] for product in response.json()["value"]] == [NAME]
    assert (await client.post("Products/OData.CSC.FilterList", json={"FilterProducts": []})).json()["value"] == []


def id_of(name):
    return str(Row(name).id)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[]", 400), (b"null", 400), (b"{}", 400), (b'{"FilterProducts":{}}', 400), (b"\xff", 400),
        (b'{"FilterProducts":[1]}', 400), (b'{"FilterProducts":[{"name":"x"}]}', 400),
        (b'{"FilterProducts":[{"Name":null}]}', 400), (b'{"FilterProducts":[{"Name":["x"]}]}', 400),
        (b'{"FilterProducts":[{"Name":"\\u0000"}]}', 400), (b'{"FilterProducts":[{"Name":"\\ud800"}]}', 400),
        (b'{"FilterProducts":' + b"[" * 100_000, 400), (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
        (b'{"FilterProducts":[' + b",".join([b'{"Name":"x"}'] * 1001) + b"]}", 400),
        (b'{"FilterProducts":[{"Name":"' + b"x" * 2**20 + b'"}]}', 413),
    ],
)  # fmt: skip
async def test_a_hostile_list_is_refused(client, body, status):
    headers = {"Content-Type": "application/json"}
    response = await client.post("Products/OData.CSC.FilterList", content=body, headers=headers)
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]


async def test_a_list_of_names_is_posted_to_products_only(client):
    assert (await client.get("Products/OData.CSC.FilterList")).status_code == 405
    assert (await client.post("DeletedProducts/OData.CSC.FilterList", json={"FilterProducts": []})).status_code in (
        404,
        405,
    )
    response = await client.post("Products/OData.CSC.FilterList?$top=3", json={"FilterProducts": []})
    assert response.status_code == 400


EDM = {"e": "http://docs.oasis-open.org/odata/ns/edm", "x": "http://docs.oasis-open.org/odata/ns/edmx"}


@pytest.fixture
async def model(client):
    response = await client.get("$metadata")
    assert response.headers["content-type"].startswith("application/xml")
    return etree.fromstring(response.content)


async def test_the_entity_model_is_sound(model):
    """What CSDL 4.0 asks of a schema, as far as it has what ours has."""
    assert model.tag == f"{{{EDM['x']}}}Edmx"
    assert model.get("Version") == "4.0"
    [schema] = model.xpath("x:DataServices/e:Schema", namespaces=EDM)
    own = schema.get("Namespace") + "."
    types = {own + child.get("Name"): child for child in schema if child.tag.endswith(("EntityType", "ComplexType"))}
    names_of = [child.get("Name") for child in schema]
    assert len(names_of) == len(set(names_of))
    known = types.keys() | {
        "Edm.Boolean", "Edm.DateTimeOffset", "Edm.Double", "Edm.Geography", "Edm.Guid", "Edm.Int64", "Edm.String",
    }  # fmt: skip
    for name in schema.xpath("//@Type | //@EntityType | //@BaseType"):
        inner = name.removeprefix("Collection(").removesuffix(")")
        assert inner in known
        assert name in (inner, f"Collection({inner})")
    for element in types.values():
        members = element.xpath("e:Property/@Name | e:NavigationProperty/@Name", namespaces=EDM)
        assert len(members) == len(set(members))
        if element.tag.endswith("EntityType") and element.get("BaseType") is None:
            keys = element.xpath("e:Key/e:PropertyRef/@Name", namespaces=EDM)
            assert keys
            assert element[0].tag.endswith("Key")
            for key in keys:
                [found] = element.xpath("e:Property[@Name=$key]", key=key, namespaces=EDM)
                assert found.get("Nullable") == "false"
        else:
            assert not element.xpath("e:Key", namespaces=EDM)
    for navigation in schema.xpath("//e:NavigationProperty", namespaces=EDM):
        target = navigation.get("Type").removeprefix("Collection(").removesuffix(")")
        assert types[target].tag.endswith("EntityType")
        assert navigation.get("ContainsTarget") == "true"
    [container] = schema.xpath("e:EntityContainer", namespaces=EDM)
    assert {child.tag.rpartition("}")[2] for child in container} == {"EntitySet"}
    assert all(types[entity_set.get("EntityType")].tag.endswith("EntityType") for entity_set in container)


async def test_everything_that_is_served_is_in_the_model(client, pool, model):
    gone = Row("GONE", state="withdrawn", deleted_at=START, deletion_cause="Corrupted product")
    await enter(pool, GRD, gone)
    await add_quicklook(pool, GRD)

    def members(kind):
        found = model.xpath(f"//e:*[@Name='{kind}']/e:*[not(self::e:Key)]/@Name", namespaces=EDM)
        assert found, kind
        return set(found)

    def named(entity):
        return {name for name in entity if name[0] != "@"}

    [product] = (await get(client, expand="Attributes,Assets,Locations"))["value"]
    assert members("Product") == named(product) | {"Collection", "Nodes"}
    assert members("Asset") == named(product["Assets"][0])
    assert members("Location") == named(product["Locations"][0])
    assert members("Checksum") == named(product["Checksum"][0])
    assert members("TimeRange") == named(product["ContentDate"])
    kinds = {attribute["@odata.type"].removeprefix("#OData.CSC.") for attribute in product["Attributes"]}
    assert all(model.xpath(f"//e:EntityType[@Name='{kind}']", namespaces=EDM) for kind in kinds)
    [deleted] = (await get(client, "DeletedProducts", expand="Attributes"))["value"]
    assert members("DeletedProduct") == named(deleted) | {"Collection"}
    sets = model.xpath("//e:EntitySet[not(@IncludeInServiceDocument)]/@Name", namespaces=EDM)
    assert sets == [entry["name"] for entry in (await get(client, ""))["value"]]
    assert model.xpath("//e:Action/@Name | //e:Function/@Name", namespaces=EDM) == ["Intersects", "FilterList"]
    assert {"Subscription", "Node"} <= set(model.xpath("//e:EntityType/@Name", namespaces=EDM))
