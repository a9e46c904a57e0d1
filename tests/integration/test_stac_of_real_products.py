"""The items of all real products are valid, and hold what the products say of themselves."""

import hashlib

import orjson
import pytest
from blake3 import blake3

from refsys.catalogue import bulk, search
from refsys.catalogue.extract import examine_files
from refsys.core import footprints
from refsys.core.errors import RefsysError
from refsys.core.filters import EVERYTHING
from refsys.core.products import FileEntry
from refsys.core.times import format_instant
from refsys.distribution.packages import lay_out
from refsys.distribution.stac import reading
from refsys.missions import load_types
from tests.real_products import PRODUCTS, offers
from tests.stac import problems

TYPES = load_types()


def entry_of(name, path):
    """A real product as if it had been published; None where it is not known or cannot be described."""
    members = [path] if path.is_file() else sorted(member for member in path.rglob("*") if member.is_file())
    data = {member.relative_to(path.parent).as_posix(): member.read_bytes() for member in members}
    files = tuple(
        FileEntry(member, len(content), md5=hashlib.md5(content).digest(), blake3=blake3(content).digest())
        for member, content in data.items()
    )
    try:
        recognised = TYPES.recognise(name)
        description, _ = examine_files(recognised, lambda member, most=None: data[member][:most], files)
    except RefsysError:
        return None
    layout = 0 if recognised.type.packaging == "bare" else 1
    package = lay_out(layout, name, description.sensing_start, files)
    stored = bulk.StoredPackage("P", files, layout, package.name, package.size_bytes, b"m" * 16, b"b" * 32)
    return bulk.Entry(recognised, description, "real", package=stored)


@pytest.fixture
async def found(pool, shared_data):
    """Entries of real products and the items that readers get of them, by name."""
    entries = {path.name: entry for path in offers(shared_data) if (entry := entry_of(path.name, path))}
    async with pool.acquire() as connection:
        await bulk.enter(connection, list(entries.values()))
        items = {}
        async for rows in search.walk(connection, EVERYTHING, columns=("p.name", *reading.COLUMNS), joins=reading.JOIN):
            texts = await reading.complete(
                connection, rows, TYPES, base_url="https://hub.test", storage_url="s3://hub/prefix"
            )
            items |= {row["name"]: orjson.loads(text) for row, text in zip(rows, texts, strict=True)}
    return entries, items


async def test_every_item_is_valid_and_tells_what_the_product_tells(found):
    entries, items = found
    assert set(items) == set(entries) == set(PRODUCTS)
    assert {name: problems(item) for name, item in items.items()} == {name: [] for name in items}
    for name, entry in entries.items():
        item, description = items[name], entry.description
        assert item["geometry"] == description.footprint
        if description.footprint:
            assert item["bbox"] == list(footprints.bbox(description.footprint))
        if description.sensing_start:
            assert item["properties"]["datetime"] == format_instant(description.sensing_start)
        assert item["assets"]["Product"]["file:size"] == entry.package.size_bytes


async def test_missions_have_the_collections_fields_and_files_that_users_look_for(found):
    _, items = found
    by_collection = {item["collection"]: item for item in items.values()}
    assert {
        "sentinel-1-raw", "sentinel-1-grd", "sentinel-1-slc-wv", "sentinel-1-ocn", "sentinel-1-aux-resorb",
        "sentinel-2-l1c", "sentinel-2-l2a", "sentinel-3-olci-1-efr-nrt", "sessions",
    } <= set(by_collection), sorted(by_collection)  # fmt: skip
    radar, optical = by_collection["sentinel-1-grd"], by_collection["sentinel-2-l2a"]
    ocean = by_collection["sentinel-3-olci-1-efr-nrt"]
    assert set(radar["properties"]["sar:polarizations"]) <= {"HH", "HV", "VV", "VH"}
    assert optical["properties"]["grid:code"] == "MGRS-" + optical["id"].split("_T")[1][:5]
    assert ocean["properties"]["product:timeliness"] == "PT3H"
    assert by_collection["sentinel-3-syn-2-syn-stc"]["properties"]["statistics"]["land"] == 2.368632
    for item, key in ((radar, "safe_manifest"), (optical, "product_metadata"), (ocean, "xfdumanifest")):
        assert item["assets"][key]["alternate"]["s3"]["href"].startswith(f"s3://hub/prefix/P/{item['id']}")
        assert item["assets"][key]["file:checksum"].startswith("1e20")
