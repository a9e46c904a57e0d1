"""Products as STAC items."""

import hashlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from refsys.catalogue.model import Product
from refsys.core.products import FileEntry
from refsys.distribution.stac.assets import MAIN_FILES, checksum
from refsys.distribution.stac.items import Volatile, duration, fill, item_id, render_item, version_of
from refsys.missions import TableError, load_types
from refsys.missions.stac import FIELD, TRANSFORMS
from tests.stac import problems

TYPES = load_types()
NOON = datetime(2024, 9, 1, 12, 0, 0, 123456, tzinfo=UTC)
NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
IDENTITY = uuid.UUID(int=1)
DATA = b"bytes"
RADAR = {
    "productType": "IW_GRDH_1S", "platformShortName": "SENTINEL-1", "platformSerialIdentifier": "A",
    "instrumentShortName": "SAR", "operationalMode": "IW", "polarisationChannels": ["VV", "VH"],
    "beginningDateTime": "2021-08-09T17:39:53.000000Z", "startTimeFromAscendingNode": 1500.5,
    "orbitNumber": 39156, "relativeOrbitNumber": 59, "cycleNumber": 241, "orbitDirection": "DESCENDING",
    "datatakeID": 302867, "instrumentConfigurationID": "7", "timeliness": "Fast-24h", "processingLevel": "LEVEL1",
    "processingCenter": "Production Service", "origin": "ESA", "processorVersion": "003.40", "sliceNumber": 8,
    "swathIdentifier": ["IW1", "IW2"], "nssdcIdentifier": "2014-016A",
}  # fmt: skip


def product(name=NAME, **columns):
    recognised = TYPES.recognise(name)
    known = {
        "id": IDENTITY,
        "name": name,
        "revision": 1,
        "current": True,
        "state": "packaged",
        "content_id": 1,
        "final_base": "S/1",
        "type_id": recognised.type.id,
        "collection": recognised.type.collection,
        "mission": recognised.mission,
        "platform": recognised.platform,
        "instrument": recognised.type.instrument,
        "product_type": recognised.product_type,
        "level": recognised.type.level,
        "timeliness": "S1_FAST24",
        "sensing_start": NOON,
        "sensing_stop": NOON + timedelta(seconds=25),
        "available_at": None,
        "t0_raw": NOON + timedelta(hours=1),
        "t0_inputs": None,
        "described_at": NOON + timedelta(hours=2),
        "packaged_at": NOON,
        "published_at": None,
        "modified_at": None,
        "evicted_at": None,
        "deleted_at": None,
        "deletion_cause": None,
        "feed_position": None,
        "online": True,
        "visibility": "public",
        "packaging": recognised.type.packaging,
        "package_layout": 1,
        "package_name": f"{name}.zip",
        "package_size": 1234,
        "package_md5": hashlib.md5(DATA).digest(),
        "package_blake3": blake3(DATA).digest(),
        "footprint": {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]},
        "footprint_quality": "",
        "attributes": RADAR,
        "problems": (),
        "lineage": {},
        "type_fingerprint": "",
        "edition": 1,
    }
    return Product(**(known | columns))


def item_of(wanted, files=(), types=TYPES, store_url="s3://hub/S/1", **volatile):
    known = {
        "published_at": NOON,
        "modified_at": NOON,
        "online": True,
        "evicted_at": None,
        "base_url": "https://hub.test",
    }
    filled = fill(render_item(wanted, files, types), Volatile(**(known | volatile), store_url=store_url))
    return orjson.loads(filled)


def test_a_radar_product_has_the_fields_of_the_mapping():
    item = item_of(product())
    assert problems(item) == []
    assert (item["id"], item["collection"]) == (NAME.removesuffix(".SAFE"), "sentinel-1-grd")
    assert item["bbox"] == [0, 0, 1, 1]
    assert item["properties"] == {
        "datetime": "2024-09-01T12:00:00.123456Z", "start_datetime": "2024-09-01T12:00:00.123456Z",
        "end_datetime": "2024-09-01T12:00:25.123456Z", "created": "2024-09-01T13:00:00.123456Z",
        "published": "2024-09-01T12:00:00.123456Z", "updated": "2024-09-01T12:00:00.123456Z",
        "expires": "9999-12-31T23:59:59.999999Z", "refsys:online": True,
        "constellation": "sentinel-1", "platform": "sentinel-1a", "instruments": ["sar"],
        "product:type": "IW_GRDH_1S", "product:timeliness": "PT24H", "product:timeliness_category": "Fast-24h",
        "processing:level": "L1", "processing:facility": "Production Service", "processing:version": "003.40",
        "sar:instrument_mode": "IW", "sar:frequency_band": "C", "sar:center_frequency": 5.405,
        "sar:polarizations": ["VV", "VH"], "sar:beam_ids": ["iw1", "iw2"],
        "sat:absolute_orbit": 39156, "sat:relative_orbit": 59, "sat:orbit_cycle": 241, "sat:orbit_state": "descending",
        "sat:platform_international_designator": "2014-016A", "sat:anx_datetime": "2021-08-09T17:39:51.499500Z",
        "eopf:datatake_id": "302867", "eopf:instrument_configuration_id": 7, "refsys:slice_number": 8,
    }  # fmt: skip


def test_package_and_main_files_are_assets_and_nothing_else():
    files = [
        FileEntry(f"{NAME}/{path}", size, md5=b"m" * 16, blake3=b"b" * 32 if size else b"")
        for path, size in (
            ("manifest.safe", 10), ("annotation/a.xml", 5), ("preview/quick-look.png", 0), ("sub/manifest.safe", 1),
        )
    ]  # fmt: skip
    assets = item_of(product(), files)["assets"]
    assert list(assets) == ["Product", "safe_manifest", "quicklook"]
    root = f"https://hub.test/odata/v1/Products({IDENTITY})"
    assert assets["Product"] == {
        "href": f"{root}/$value", "title": f"{NAME}.zip", "type": "application/zip", "file:size": 1234,
        "roles": ["data", "metadata", "archive"], "file:checksum": f"1e20{blake3(DATA).hexdigest()}",
        "file:local_path": f"{NAME}.zip",
    }  # fmt: skip
    assert assets["safe_manifest"]["href"] == f"{root}/Nodes({NAME})/Nodes(manifest.safe)/$value"
    assert assets["safe_manifest"]["alternate"]["s3"]["href"] == f"s3://hub/S/1/{NAME}/manifest.safe"
    assert assets["quicklook"]["file:checksum"] == f"d50110{b'm'.hex() * 16}"
    outside = item_of(product(), files, store_url="")
    assert "s3" not in str(outside["assets"])
    assert problems(outside) == []


def test_what_changes_later_is_told_by_the_reader():
    gone = item_of(product(), online=False, evicted_at=NOON, modified_at=NOON + timedelta(days=1))["properties"]
    assert (gone["refsys:online"], gone["expires"]) == (False, "2024-09-01T12:00:00.123456Z")
    assert gone["updated"] == "2024-09-02T12:00:00.123456Z"


def test_what_has_no_place_and_no_time_is_an_item_too():
    plain = replace(product(), footprint=None, sensing_start=None, sensing_stop=None, t0_raw=None, attributes={})
    item = item_of(plain)
    assert problems(item) == []
    assert item["geometry"] is None
    assert item["properties"]["datetime"] == "2024-09-01T14:00:00.123456Z"
    assert "start_datetime" not in item["properties"]


def test_the_box_of_a_product_across_the_antimeridian_has_west_greater_than_east():
    halves = [[[[179, 0], [180, 0], [180, 1], [179, 0]]], [[[-180, 0], [-179, 0], [-180, 1], [-180, 0]]]]
    item = item_of(product(footprint={"type": "MultiPolygon", "coordinates": halves}))
    assert item["bbox"] == [179, 0, -179, 1]


@pytest.mark.parametrize(
    ("name", "collection"),
    [
        (NAME.replace("GRDH", "SLC_"), "sentinel-1-slc"),
        ("S1A_WV_SLC__1SSV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE", "sentinel-1-slc-wv"),
        ("S1A_IW_OCN__2SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE", "sentinel-1-ocn"),
        ("S1A_IW_ETA__AXDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE", "sentinel-1-etad"),
        ("S1A_IW_RAW__0SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE", "sentinel-1-raw"),
        ("S1A_OPER_AUX_RESORB_OPOD_20210809T220535_V20210809T181212_20210809T212942.EOF", "sentinel-1-aux-resorb"),
        ("S2A_MSIL1C_20240116T000741_N0510_R130_T51CVP_20240116T010505.SAFE", "sentinel-2-l1c"),
        ("S2A_MSIL2A_20240116T000741_N0510_R130_T51CVP_20240116T010505.SAFE", "sentinel-2-l2a"),
        (
            "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3",
            "sentinel-3-olci-1-efr-nrt",
        ),
        (
            "S3A_SL_2_LST____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NT_002.SEN3",
            "sentinel-3-sl-2-lst-ntc",
        ),
        (
            "S3A_SY_2_SYN____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_ST_002.SEN3",
            "sentinel-3-syn-2-syn-stc",
        ),
        (
            "S3A_OL_0_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3",
            "sentinel-3-ol-0-efr-nrt",
        ),
    ],
)  # fmt: skip
def test_collections_have_the_names_that_users_know(name, collection):
    timeliness = TYPES.recognise(name).fields.get("timeliness", "")
    assert item_of(product(name, attributes={"timeliness": timeliness}))["collection"] == collection


@given(
    st.dictionaries(
        st.sampled_from(sorted(name for name, row in TYPES.attributes.items() if row.stac)),
        st.one_of(
            st.text(), st.booleans(), st.integers(-(2**53), 2**53), st.lists(st.text()),
            st.floats(allow_nan=False, allow_infinity=False),
            st.sampled_from(("SENTINEL-1", "SAR", "T32TMM", "60CWW", "2024-09-01T12:00:00.000000Z", "7", "LEVEL9")),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_the_attributes_are_the_item_keeps_to_the_extensions(attributes):
    item = item_of(product(attributes=attributes))
    wrong = [told for told in problems(item) if not told.startswith("a place")]
    # texts that are not empty by the rules of extraction
    assert [told for told in wrong if not told.endswith(": ''") and "''" not in told] == []


@given(st.text(max_size=40))
def test_no_text_of_a_product_can_be_taken_for_a_place_to_be_filled(text):
    odd = f"\x01\x02\x03\\u0001{text}"
    item = item_of(product(attributes={"processingCenter": odd}))
    assert item["properties"]["processing:facility"] == odd


@pytest.mark.parametrize(
    ("seconds", "text"), [(10800, "PT3H"), (86400, "PT24H"), (172800, "PT48H"), (2592000, "P30D"), (90, "PT90S")]
)
def test_limits_are_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("digests", "text"),
    [
        ((b"\x01" * 16, None), "d50110" + "01" * 16),
        ((b"\x01" * 16, b"\x02" * 32), "1e20" + "02" * 32),
        ((b"", b""), None),
        ((None, None), None),
    ],
)
def test_checksums_are_multihashes(digests, text):
    assert checksum(*digests) == text


def test_names_lose_the_suffix_of_their_format_only():
    assert [item_id(name) for name in ("a.SAFE", "a.SEN3", "a.EOF", "a.SAFE.b")] == ["a", "a", "a.EOF", "a.SAFE.b"]


TABLE = """
attributes:
  orbitNumber: {type: Integer, about: x, stac: %s}
"""


@pytest.mark.parametrize(
    ("stac", "told"),
    [
        ("geometry", "every item has 'geometry' anyway"),
        ("{field: sat:x, transform: positiv}", "unknown transform 'positiv'; nearest: 'positive'"),
        ("eo:cloud_cover", "the field 'eo:cloud_cover' cannot be Integer and Double"),
        ("statistics", "'statistics' cannot be a field and hold fields"),
        ("Sat:X", "string should match pattern"),
    ],
)
def test_a_wrong_mapping_is_told(tmp_path, stac, told):
    (tmp_path / "mine.yaml").write_text(TABLE % stac)
    with pytest.raises(TableError, match=told):
        load_types([tmp_path])


def test_another_mapping_makes_another_field_and_older_bodies_stale(tmp_path):
    (tmp_path / "mine.yaml").write_text(TABLE % "mine:orbit")
    mine = load_types([tmp_path])
    assert item_of(product(), types=mine)["properties"]["mine:orbit"] == 39156
    kind = TYPES.recognise(NAME).type.id
    assert version_of(kind, mine) != version_of(kind, TYPES) == version_of(kind, load_types())


def test_transforms_and_main_files_are_all_used_or_documented():
    used = {field.transform for row in TYPES.attributes.values() for field in row.stac}
    assert used - {""} == set(TRANSFORMS)
    assert len({main.key for main in MAIN_FILES}) == len(MAIN_FILES)
    assert FIELD.startswith("^")
