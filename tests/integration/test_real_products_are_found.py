"""Real products, described from their own metadata, are found by what they say of themselves."""

import httpx
import pytest

from refsys.catalogue import store
from refsys.catalogue.extract import examine_files
from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry, canonical_name
from refsys.distribution.rendering import store_documents
from refsys.infra.storage import open_storage
from refsys.missions import load_types
from refsys.web.app import create_app
from tests.catalogue_rows import Row, insert_rows

TYPES = load_types()


def described(path):
    """A row made of a real product; None where its type is not known or it cannot be described."""
    name = canonical_name(path.name)
    members = [path] if path.is_file() else sorted(member for member in path.rglob("*") if member.is_file())
    files = [FileEntry(member.relative_to(path.parent).as_posix(), member.stat().st_size) for member in members]
    try:
        recognised = TYPES.recognise(name)
        description, _ = examine_files(
            recognised, lambda member, most=None: (path.parent / member).read_bytes()[:most], files
        )
    except RefsysError:
        return None
    return Row(
        name,
        collection=recognised.type.collection,
        mission=recognised.type.mission,
        platform=recognised.platform,
        product_type=recognised.product_type,
        sensing_start=description.sensing_start,
        sensing_stop=description.sensing_stop,
        footprint=description.footprint,
        attributes=description.attributes,
    )


@pytest.fixture
async def products(pool, shared_data):
    folders = [shared_data / folder for folder in ("sentinel-1", "sentinel-2", "sentinel-3", "auxiliary")]
    found = [row for folder in folders for path in sorted(folder.iterdir()) if (row := described(path))]
    async with pool.acquire() as connection:
        await insert_rows(connection, found)
        for row in found:
            await store_documents(connection, await store.fetch_product(connection, row.id), TYPES)
    return found


@pytest.fixture
async def ask(pool, settings):
    """Names that a filter finds."""
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hub.test/odata/v1/") as client:

        async def names(text):
            response = await client.get("Products", params={"$filter": text, "$top": "1000", "$expand": "Attributes"})
            assert response.status_code == 200, response.text
            return {product["Name"]: product for product in response.json()["value"]}

        yield names


async def test_most_real_products_are_described(products):
    assert len(products) > 30
    assert sum(row.footprint is not None for row in products) > 20


async def test_each_is_found_by_its_own_footprint_name_dates_and_collection(products, ask):
    for row in products:
        seen = (await ask(f"Name eq '{row.name}'"))[row.name]
        terms = [f"Collection/Name eq '{row.collection}'", f"contains(Name,'{row.name[4:40]}')"]
        if seen["Footprint"]:
            terms.append(f"OData.CSC.Intersects(area={seen['Footprint']})")
        if row.sensing_start:
            terms.append(f"ContentDate/Start eq {seen['ContentDate']['Start']}")
        if row.sensing_stop:
            terms.append(f"ContentDate/End le '{seen['ContentDate']['End']}'")
        assert row.name in await ask(" and ".join(terms)), terms


async def test_each_is_found_by_each_of_its_attributes(products, ask):
    for row in products:
        [seen] = (await ask(f"Name eq '{row.name}'")).values()
        assert {attribute["Name"] for attribute in seen["Attributes"]} == set(row.attributes)
        for attribute in seen["Attributes"]:
            value, kind = attribute["Value"], f"OData.CSC.{attribute['ValueType']}Attribute"
            literal = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value).lower()
            for told in {literal, literal.strip("'")} if kind == "OData.CSC.DateTimeOffsetAttribute" else {literal}:
                test = f"att/Name eq '{attribute['Name']}' and att/{kind}/Value eq {told}"
                assert row.name in await ask(f"Attributes/{kind}/any(att:{test}) and Name eq '{row.name}'"), test


async def test_a_tile_on_the_antimeridian_is_found_from_both_sides_and_not_from_afar(products, ask):
    tile = next(row.name for row in products if "T01WCP" in row.name)
    for west, east, is_there in ((-180, -179.9, True), (179.9, 180, True), (179, 181, True), (-170, 170, False)):
        area = f"POLYGON(({west} 66,{east} 66,{east} 66.5,{west} 66.5,{west} 66))"
        found = await ask(f"OData.CSC.Intersects(area=geography'SRID=4326;{area}')")
        assert (tile in found) is is_there, area
