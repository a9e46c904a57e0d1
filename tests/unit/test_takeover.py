"""What other catalogues say of products: translated, typed, checked against the name, repaired, never trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from refsys.catalogue.bulk import Entry
from refsys.catalogue.takeover.known import entry_of
from refsys.catalogue.takeover.odata import entity_of, geometry_of_wkt
from refsys.catalogue.takeover.reference import document_of
from refsys.core.errors import HostileInput, InvalidProduct, RefsysError, UnknownProduct
from refsys.core.geojson import repair
from refsys.missions import load_types

TYPES = load_types()
RAW = "S1A_IW_RAW__0SDV_20200120T184333_20200120T184405_030888_038B80_9469.SAFE"
SESSION = "DCS_04_S1A_20200120185900030888_ch1_DSIB.xml"
RESORB = "S1A_OPER_AUX_RESORB_OPOD_20210809T220535_V20210809T181212_20210809T212942.EOF"
SQUARE = [[-6.2, 7.7], [-6.6, 9.7], [-8.8, 9.4], [-8.4, 7.4], [-6.2, 7.7]]

#: As the reference keeps it (spec/distribution, annex A).
PRIP: dict[str, Any] = {
    "id": "950d38ac-0000-4000-8000-c6f87bb05800", "obsKey": f"{RAW}.zip", "name": f"{RAW}.zip",
    "productFamily": "L0_SLICE_ZIP", "contentType": "application/octet-stream", "contentLength": 1559908047,
    "contentDateStart": "2020-01-20T18:43:33.104Z", "contentDateEnd": "2020-01-20T18:44:05.504Z",
    "creationDate": "2021-10-11T22:12:16.301Z", "evictionDate": "2021-10-18T22:12:16.301Z",
    "originDate": "2021-10-11T20:00:00.000Z", "online": True, "browseKeys": [],
    "checksum": [{"algorithm": "MD5", "value": "8d2d" * 8, "checksum_date": "2021-10-11T22:12:15.000Z"}],
    "footprint": {"type": "polygon", "coordinates": [SQUARE], "orientation": "counterclockwise"},
    "attr_productType_string": "IW_RAW__0S", "attr_orbitNumber_long": 30888, "attr_sliceProductFlag_boolean": True,
    "attr_startTimeFromAscendingNode_double": 115701.268, "attr_missionDatatakeID_long": 232320,
    "attr_beginningDateTime_date": "2020-01-20T18:43:33.104Z", "attr_polarisationChannels_string": "VH,VV",
    "attr_swathIdentifier_string": "IW1IW2IW3", "attr_totalSlices_long": None, "attr_unheardOf_string": "x",
    "attr_coordinates_string": "7.7554,-6.2287 9.7121,-6.6228 9.4193,-8.8374 7.4584,-8.4317 7.7554,-6.2287",
}  # fmt: skip
CATALOGUE: dict[str, Any] = {
    "productName": RAW, "url": RAW, "productFamily": "L0_SLICE", "missionId": "S1", "satelliteId": "A",
    "startTime": "2020-01-20T18:43:33.104000Z", "stopTime": "2020-01-20T18:44:05.504000Z",
    "insertionTime": "2021-10-11T22:11:16.301000Z", "t0PdgsDate": "2021-10-11T20:00:00.000Z",
    "absoluteStartOrbit": 30888, "relativeStartOrbit": 16, "pass": "ASCENDING", "sliceNumber": 7, "timeliness": "NRT",
    "polarisationChannels": ["VH", "VV"], "missionDataTakeId": 232320, "site": "", "sliceProductFlag": True,
    "sliceCoordinates": {"type": "polygon", "coordinates": [SQUARE], "orientation": "counterclockwise"},
    "coordinates": "7.7554,-6.2287 9.7121,-6.6228 9.4193,-8.8374 7.4584,-8.4317 7.7554,-6.2287",
}  # fmt: skip
ENTITY: dict[str, Any] = {
    "@odata.mediaContentType": "application/octet-stream", "Id": "0a0b", "Name": RAW, "ContentLength": 100,
    "OriginDate": None, "PublicationDate": "2021-10-11T22:12:16.301Z", "Online": True,
    "Checksum": [{"Algorithm": "MD5", "Value": "AB" * 16}, {"Algorithm": "BLAKE3", "Value": "no"}, {}],
    "ContentDate": {"Start": "2020-01-20T18:43:33.104Z", "End": "2020-01-20T18:44:05.504Z"},
    "Footprint": "geography'SRID=4326;POLYGON ((-6.2 7.7, -6.6 9.7, -8.8 9.4, -8.4 7.4, -6.2 7.7))'",
    "Attributes": [
        {"Name": "orbitNumber", "Value": 30888, "ValueType": "Integer"},
        {"Name": "polarisationChannels", "Value": "VV&VH", "ValueType": "String"},
        {"Name": "missionDatatakeID", "Value": "232320"},
        {"Name": "origin", "Value": "ESA"},
    ],
}  # fmt: skip


def same_area(one: Any, other: Any) -> bool:
    drawn = [shapely.geometry.shape(geometry) for geometry in (one, other)]
    return bool(shapely.symmetric_difference(*drawn).area < 1e-6)


def prip(**changes: Any) -> Entry:
    return entry_of(document_of(PRIP | changes, TYPES), TYPES, "test")


def entity(**changes: Any) -> Entry:
    return entry_of(entity_of(ENTITY | changes, TYPES), TYPES, "test")


def test_a_prip_document_becomes_an_entry() -> None:
    entry = prip()
    assert (entry.name, entry.recognised.product_type, entry.package) == (RAW, "IW_RAW__0S", None)
    assert entry.origin_size_bytes == 1559908047
    assert entry.origin_checksums == {"MD5": "8d2d" * 8}
    assert entry.available_at == datetime(2021, 10, 11, 22, 12, 16, 301000, UTC)
    assert entry.t0_raw == datetime(2021, 10, 11, 20, tzinfo=UTC)
    assert entry.origin == {"id": PRIP["id"], "key": f"{RAW}.zip", "family": "L0_SLICE_ZIP"}
    description = entry.description
    assert description.problems == ()
    assert description.sensing_start == datetime(2020, 1, 20, 18, 43, 33, 104000, UTC)
    assert description.sensing_stop == datetime(2020, 1, 20, 18, 44, 5, 504000, UTC)
    assert same_area(description.footprint, {"type": "Polygon", "coordinates": [SQUARE]})
    wanted = {
        "productType": "IW_RAW__0S", "orbitNumber": 30888, "sliceProductFlag": True, "datatakeID": 232320,
        "startTimeFromAscendingNode": 115701.268, "polarisationChannels": ["VH", "VV"],
        "swathIdentifier": ["IW1", "IW2", "IW3"], "beginningDateTime": "2020-01-20T18:43:33.104000Z",
        "endingDateTime": "2020-01-20T18:44:05.504000Z", "platformSerialIdentifier": "A",
    }  # fmt: skip
    assert wanted.items() <= description.attributes.items()
    assert not {"totalSlices", "unheardOf", "coordinates"} & description.attributes.keys()


def test_a_catalogue_document_becomes_an_entry_by_the_keys_of_the_attribute_rows() -> None:
    for document in (CATALOGUE, {"_index": "l0_slice", "_id": RAW, "_source": CATALOGUE}):
        entry = entry_of(document_of(document, TYPES), TYPES, "test")
        assert entry.description.problems == ()
        wanted = {
            "orbitNumber": 30888, "relativeOrbitNumber": 16, "orbitDirection": "ASCENDING", "sliceNumber": 7,
            "polarisationChannels": ["VH", "VV"], "datatakeID": 232320, "timeliness": "NRT",
        }  # fmt: skip
        assert wanted.items() <= entry.description.attributes.items()
        assert "processingCenter" not in entry.description.attributes, "a blank is no value"
        assert same_area(entry.description.footprint, {"type": "Polygon", "coordinates": [SQUARE]})
        assert (entry.origin_size_bytes, entry.origin["family"]) == (None, "L0_SLICE")


def test_coordinates_as_text_are_a_footprint_too() -> None:
    document = CATALOGUE | {"sliceCoordinates": None}
    entry = entry_of(document_of(document, TYPES), TYPES, "test")
    assert entry.description.footprint
    assert entry.description.footprint["type"] == "Polygon"
    track = entry_of(document_of(document | {"coordinates": "1.0,2.0 3.0,4.0"}, TYPES), TYPES, "test")
    assert track.description.footprint == {"type": "LineString", "coordinates": [[2.0, 1.0], [4.0, 3.0]]}


def test_validity_of_an_auxiliary_that_never_ends() -> None:
    document = {"productName": RESORB, "validityStartTime": "2021-08-09T18:12:12.000000Z", "absolutOrbit": "39156"}
    entry = entry_of(document_of(document, TYPES), TYPES, "test")
    assert entry.description.sensing_start == datetime(2021, 8, 9, 18, 12, 12, tzinfo=UTC)
    assert entry.description.attributes["selectedOrbitNumber"] == 39156
    assert entry.recognised.product_type == "AUX_RESORB"


def test_an_entity_of_a_hub_becomes_an_entry() -> None:
    entry = entity()
    assert entry.description.problems == ()
    assert same_area(entry.description.footprint, {"type": "Polygon", "coordinates": [SQUARE]})
    assert entry.origin_checksums == {"MD5": "ab" * 16}
    wanted = {"orbitNumber": 30888, "polarisationChannels": ["VV", "VH"], "datatakeID": 232320, "origin": "ESA"}
    assert wanted.items() <= entry.description.attributes.items()
    assert entry.origin == {"id": "0a0b"}


def test_attributes_of_the_older_lists_and_of_the_short_ones() -> None:
    lists = {"Attributes": [], "IntegerAttributes": [{"Name": "sliceNumber", "ValueType": "Edm.Int64", "Value": 3.0}]}
    assert entity(**lists).description.attributes["sliceNumber"] == 3
    short = entity(Attributes=None).description
    assert short.attributes["beginningDateTime"] == "2020-01-20T18:43:33.104000Z"


def test_the_name_counts_where_something_else_was_given() -> None:
    given = [{"Name": "platformSerialIdentifier", "Value": "B"}, {"Name": "productType", "Value": "EW_GRDM_1S"}]
    description = entity(Attributes=given).description
    assert description.attributes["platformSerialIdentifier"] == "A"
    assert any("platformSerialIdentifier was given as 'B', but the name says 'A'" in p for p in description.problems)


def test_what_is_not_sound_is_left_out_and_told() -> None:
    entry = prip(
        contentLength=-3,
        creationDate="yesterday",
        attr_orbitNumber_long="30888; DROP TABLE",
        attr_processorName_string="a\x00b",
        attr_processingCenter_string="x" * 5000,
        footprint={"type": "polygon", "coordinates": [[[0, 0], [0, 95], [1, 1], [0, 0]]]},
        checksum=[{"algorithm": "MD5", "value": "8d2d"}, {"algorithm": "MD5", "value": ["x"]}, 7],
    )
    assert (entry.origin_size_bytes, entry.available_at, entry.description.footprint) == (None, None, None)
    assert entry.origin_checksums == {}
    assert entry.description.attributes["orbitNumber"] == 30888, "of the name"
    assert not {"processorName", "processingCenter"} & entry.description.attributes.keys()
    assert sorted(problem.split(" ")[0] for problem in entry.description.problems) == [
        "orbitNumber", "processingCenter", "processorName", "the", "the", "the",
    ], entry.description.problems  # fmt: skip


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("../../etc/passwd", HostileInput),
        ("S1A_IW_RAW__0SDV\n", HostileInput),
        ("x" * 300, HostileInput),
        ("S1А_IW_RAW__0SDV_20200120T184333_20200120T184405_030888_038B80_9469.SAFE", HostileInput),
        ("somebody.jpg", UnknownProduct),
    ],
)
def test_names_that_are_none_are_refused(name: str, error: type[RefsysError]) -> None:
    with pytest.raises(error):
        entity(Name=name)


def test_a_product_that_was_sensed_nobody_knows_when_is_refused() -> None:
    with pytest.raises(InvalidProduct, match="nobody says when it was sensed"):
        entity(Name=SESSION, ContentDate=None, Attributes=[])


@pytest.mark.parametrize("document", [None, 7, [], "x", {}, {"name": 7}, {"productName": None}, {"_source": 3}])
def test_what_describes_no_product_says_so(document: Any) -> None:
    with pytest.raises(ValueError, match=r"has neither|is no document"):
        document_of(document, TYPES)
    with pytest.raises(ValueError, match="has no Name"):
        entity_of(document, TYPES)


@pytest.mark.parametrize(
    ("text", "geometry"),
    [
        ("POINT (1 2)", {"type": "POINT", "coordinates": [1, 2]}),
        ("LINESTRING(1 2, 3.5 -4e1)", {"type": "LINESTRING", "coordinates": [[1, 2], [3.5, -40.0]]}),
        ("MultiPolygon (((1 2,3 4,1 2)))", {"type": "MultiPolygon", "coordinates": [[[[1, 2], [3, 4], [1, 2]]]]}),
        ("POLYGON EMPTY", "POLYGON EMPTY"),
        ("POLYGON ((1 2, 3", "POLYGON ((1 2, 3"),
    ],
)
def test_well_known_text(text: str, geometry: Any) -> None:
    assert geometry_of_wkt(text) == geometry
    assert geometry_of_wkt("geography'SRID=4326;" + "POLYGON(" * 5000 + ")" * 5000 + "'") is not None


def test_geometries_across_the_antimeridian_and_round_a_pole_stay_what_they_are() -> None:
    across = repair({"type": "polygon", "coordinates": [[[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]]})
    assert across.geometry
    assert across.geometry["type"] == "MultiPolygon"
    polar = repair({"type": "Polygon", "coordinates": [[[0, 70], [90, 70], [180, 70], [-90, 70], [0, 70]]]})
    for found in (across, polar):
        assert same_area(repair(found.geometry).geometry, found.geometry)
    crossing = repair({"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [0, 5], [5, 0], [0, 0]]]})
    assert crossing.quality == "the ring crosses itself; repaired"
    holed = repair({"type": "Polygon", "coordinates": [SQUARE, [[-7, 8], [-7.1, 8], [-7.1, 8.1], [-7, 8]]]})
    assert holed.quality == "its holes are filled"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(key=st.sampled_from(sorted(PRIP)), value=_JSON)
def test_no_value_of_a_document_breaks_it(key: str, value: Any) -> None:
    try:
        entry = prip(**{key: value})
    except (ValueError, RefsysError):
        return
    assert entry.recognised.name


@given(key=st.sampled_from(sorted(ENTITY)), value=_JSON)
def test_no_value_of_an_entity_breaks_it(key: str, value: Any) -> None:
    try:
        entry = entity(**{key: value})
    except (ValueError, RefsysError):
        return
    assert entry.recognised.name
