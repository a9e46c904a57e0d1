"""What parts of Sentinel-2 products are described by: inventory, then metadata, then name; blanks never count."""

from __future__ import annotations

import pytest
import shapely

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.infra import xml
from tests.memory import Case, refused
from tests.sentinel2_parts import DATATAKE, RING, datastrip, granule, inventory, picture, tile

FOREVER = "9999-12-31T23:59:59.999999Z"
GRANULE = "S2B_OPER_MSI_L0__GR_SGS__20230601T211358_S20230528T222836_D07_N04.00"
DATASTRIP = "S2B_OPER_MSI_L1B_DS_2BPS_20230601T211358_S20230528T222546_N04.00"
TILE = "S2B_OPER_MSI_L1C_TL_VGS4_20230601T211358_A032516_T59GPL_N04.00"
IMAGE = "S2B_OPER_MSI_L2A_TC_REFS_20230601T211358_A032516_T59GPL_N04.00.jp2"
BOX = shapely.box(20, 10, 22, 12)
HEIGHTS = "10.0 20.0 91.9 10.0 22.0 134.3 12.0 22.0 113.5 12.0 20.0 80.5 10.0 20.0 91.9"


def lies_in_the_box(case: Case) -> bool:
    return bool(shapely.geometry.shape(case.describe().footprint).equals(BOX))


def test_the_inventory_counts_before_the_metadata() -> None:
    case = Case(
        GRANULE,
        {
            "Inventory_Metadata.xml": inventory({"File_Type": "MSI_L0__GR", "Detector": "07"}),
            "S2B_OPER_MTD_L0__GR_SGS__20230601T211358_S20230528T222836_D07.xml": granule(degraded="4.5"),
        },
    )
    described = case.describe()
    assert described.problems == ()
    expected = {
        "beginningDateTime": "2023-05-28T22:28:36.341948Z",
        "endingDateTime": "2023-05-28T22:28:39.941948Z",
        "processingCenter": "2BPS",
        "orbitNumber": 32516,
        "lastOrbitNumber": 32517,
        "datastripId": "S2B_OPER_MSI_L0__DS_REFS_20230601T211358_S20230528T222546_N04.00",
        "productGroupId": DATATAKE,
        "cloudCover": 12.5,
        "qualityInfo": "100.0",
        "qualityStatus": "NOMINAL",
        "orbitDirection": "DESCENDING",
        "platformSerialIdentifier": "B",
        # what only the metadata say
        "illuminationZenithAngle": 52.25,
        "granuleIdentifier": "the granule",
        "degradedDataPercentage": 4.5,
    }
    assert {key: described.attributes.get(key) for key in expected} == expected


def test_what_the_inventory_leaves_blank_the_metadata_say_and_then_the_name() -> None:
    blank = dict.fromkeys(
        ("Validity_Start", "Validity_Stop", "Parent_ID", "CloudPercentage", "Processing_Station"), " "
    )
    unsaid = dict.fromkeys(("File_Type", "Satellite_Code", "File_Version", "Generation_Time", "Sensor_Code"), "")
    case = Case(GRANULE, {"Inventory_Metadata.xml": inventory(blank | unsaid), "S2B_OPER_MTD_L0__GR_X.xml": granule()})
    attributes = case.describe().attributes
    assert (attributes["beginningDateTime"], attributes["endingDateTime"]) == ("2023-05-28T22:28:36.840000Z",) * 2
    assert (attributes["datastripId"], attributes["cloudCover"]) == ("the datastrip", 3.5)
    assert attributes["processingCenter"] == "SGS_"
    assert (attributes["productType"], attributes["platformSerialIdentifier"]) == ("MSI_L0__GR", "B")
    assert (attributes["processorVersion"], attributes["processingDate"]) == ("04.00", "2023-06-01T21:13:58.000000Z")
    assert attributes["instrumentShortName"] == "MSI"


@pytest.mark.parametrize("metadata", ["MTD_DS.xml", "S2B_OPER_MTD_L1B_DS_2BPS_20230601T211358_S20230528T222546.xml"])
def test_a_datastrip_without_inventory_is_described_by_its_metadata(metadata: str) -> None:
    described = Case(DATASTRIP, {metadata: datastrip()}).describe()
    assert described.problems == ()
    expected = {
        "productType": "MSI_L1B_DS",
        "beginningDateTime": "2023-05-28T22:25:46.000000Z",
        "endingDateTime": "2023-05-28T22:31:02.500000Z",
        "orbitNumber": 32516,
        "relativeOrbitNumber": 29,
        "orbitDirection": "DESCENDING",
        "operationalMode": "INS-NOBS",
        "productGroupId": DATATAKE,
        "processingCenter": "2BPS",
        "processingLevel": "1B",
        "platformSerialIdentifier": "B",
        "instrumentShortName": "MSI",
    }
    assert {key: described.attributes.get(key) for key in expected} == expected


@pytest.mark.parametrize("metadata", ["MTD_TL.xml", "S2B_OPER_MTD_L1C_TL_VGS4_20230601T211358_A032516_T59GPL.xml"])
def test_a_tile_without_inventory_has_no_footprint_and_says_so(metadata: str) -> None:
    described = Case(TILE, {metadata: tile()}).describe()
    assert described.problems == (
        "its footprint is not given at inventory//Geo_Pnt/* or manifest//footPrint/coordinates",
    )
    expected = {
        "productType": "MSI_L1C_TL",
        "beginningDateTime": "2023-05-28T22:28:36.341948Z",
        "endingDateTime": "2023-05-28T22:28:36.341948Z",
        "orbitNumber": 32516,
        "tileId": "59GPL",
        "cloudCover": 88.25,
        "datastripId": "the datastrip",
        "illuminationZenithAngle": 26.5,
        "processingCenter": "VGS4",
        "processingDate": "2023-06-01T21:13:58.000000Z",
        "qualityStatus": "DEGRADED",
    }
    assert {key: described.attributes.get(key) for key in expected} == expected


def test_a_tile_with_an_inventory_lies_where_that_says() -> None:
    case = Case(TILE, {"MTD_TL.xml": tile(), "Inventory_Metadata.xml": inventory({"File_Type": "MSI_L1C_TL"})})
    assert lies_in_the_box(case)
    assert case.describe().attributes["cloudCover"] == 12.5


@pytest.mark.parametrize(
    ("given", "status"), [("100.0", "NOMINAL"), ("100", "NOMINAL"), ("99.9", "DEGRADED"), ("0", "DEGRADED")]
)
def test_only_the_quality_100_is_nominal(given: str, status: str) -> None:
    case = Case(GRANULE, {"Inventory_Metadata.xml": inventory({"File_Type": "MSI_L0__GR", "Quality_Info": given})})
    attributes = case.describe().attributes
    assert (attributes["qualityInfo"], attributes["qualityStatus"]) == (given, status)


@pytest.mark.parametrize(
    ("name", "metadata", "status"),
    [
        (GRANULE, granule(), "NOMINAL"),
        (GRANULE, granule(degraded="0.01"), "DEGRADED"),
        (GRANULE, granule(degraded=""), None),
        (DATASTRIP.replace("L1B", "L0_"), datastrip(), "NOMINAL"),
        (DATASTRIP.replace("L1B", "L0_"), datastrip(lost="3"), "DEGRADED"),
    ],
)
def test_without_an_inventory_what_was_lost_decides_the_quality(name: str, metadata: bytes, status: str | None) -> None:
    assert Case(name, {"S2B_OPER_MTD_X.xml": metadata}).describe().attributes.get("qualityStatus") == status


def test_the_document_says_whether_positions_have_heights() -> None:
    inventories = Case(GRANULE, {"Inventory_Metadata.xml": inventory(), "S2B_MTD_X.xml": granule(ring=HEIGHTS)})
    heights, plain = (Case(GRANULE, {"S2B_OPER_MTD_X.xml": granule(ring=ring)}) for ring in (HEIGHTS, RING))
    strip = Case(DATASTRIP, {"MTD_DS.xml": datastrip(ring=RING)})
    for case in (inventories, heights, plain, strip):
        assert lies_in_the_box(case)


def test_a_part_without_any_metadata_is_useless() -> None:
    told = refused(Case(GRANULE, {"IMG_DATA/B01.bin": b"x"}), InvalidProduct)
    assert "has no Inventory_Metadata.xml or *MTD_*.xml or manifest.safe, which describes a s2-granule product" in told


# -- images with their inventory in them --


def test_an_image_is_described_by_the_inventory_in_it() -> None:
    case = Case(IMAGE, {"": picture(inventory({"File_Type": "MSI_L2A_TC"}))})
    described = case.describe()
    assert described.problems == ()
    assert lies_in_the_box(case)
    attributes = described.attributes
    assert (attributes["productType"], attributes["tileId"], attributes["orbitNumber"]) == (
        *("MSI_L2A_TC", "59GPL"),
        32516,
    )
    assert (attributes["cloudCover"], attributes["processorVersion"]) == (12.5, "04.00")
    folder = Case(IMAGE.removesuffix(".jp2"), {IMAGE: case.contents[""]}).describe()
    assert (folder.attributes, folder.footprint, folder.problems) == (attributes, described.footprint, ())


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (picture(b""), InvalidProduct, "has no whole element Inventory_Metadata in its first 1048576 bytes"),
        (b"", InvalidProduct, "has no whole element"),
        (picture(inventory(), before=xml.EMBEDDED_LIMIT), InvalidProduct, "has no whole element"),
        (picture(inventory(), before=xml.EMBEDDED_LIMIT - 500), InvalidProduct, "has no whole element"),
        (picture(b"<Inventory_Metadata>" * 50_000), InvalidProduct, "has no whole element"),
        (picture(b"<Inventory_Metadata_2>" + b"</Inventory_Metadata>"), InvalidProduct, "has no whole element"),
        (picture(b"</Inventory_Metadata><Inventory_Metadata>"), InvalidProduct, "has no whole element"),
        (picture(b"<Inventory_Metadata><a></Inventory_Metadata>"), InvalidProduct, "is not well-formed XML"),
        (picture(b"<Inventory_Metadata>\x00</Inventory_Metadata>"), InvalidProduct, "is not well-formed XML"),
        (
            picture(b"<Inventory_Metadata><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]></Inventory_Metadata>"),
            HostileInput,
            "declares an external entity that reads 'file:///etc/passwd'",
        ),
        (picture(b"<Inventory_Metadata>&x;</Inventory_Metadata>"), InvalidProduct, "is not well-formed XML"),
    ],
)
def test_an_image_without_a_sound_inventory_is_refused(
    content: bytes, kind: type[InvalidProduct | HostileInput], told: str
) -> None:
    assert told in refused(Case(IMAGE, {"": content}), kind)


def test_an_inventory_may_end_at_the_last_byte_that_is_looked_at() -> None:
    inside = inventory()
    start = xml.EMBEDDED_LIMIT - len(picture(inside, before=0, after=0)) + len(b"\x00\x00jp2c")
    assert Case(IMAGE, {"": picture(inside, before=start)}).describe().problems == ()
    assert "no whole element" in refused(Case(IMAGE, {"": picture(inside, before=start + 1)}), InvalidProduct)


def test_an_inventory_is_read_as_latin_1() -> None:
    inside = inventory().replace(b"2BPS", b"K\xf6ln")
    assert Case(IMAGE, {"": picture(inside)}).describe().attributes["processingCenter"] == "Köln"


# -- auxiliaries, known by their names --


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "S2A_OPER_GIP_VIEDIR_MPC__20151117T131048_V20150703T000000_21000101T000000_B8A",
            {
                "productType": "GIP_VIEDIR",
                "platformSerialIdentifier": "A",
                "platformShortName": "SENTINEL-2",
                "beginningDateTime": "2015-07-03T00:00:00.000000Z",
                "endingDateTime": "2100-01-01T00:00:00.000000Z",
                "processingDate": "2015-11-17T13:10:48.000000Z",
                "processingCenter": "MPC_",
                "fileClass": "OPER",
                "bandId": "8A",
            },
        ),
        (
            "S2__OPER_DEM_GLOBEF_PDMC_20091210T235100_S20091210T235134",
            {
                "productType": "DEM_GLOBEF",
                "platformSerialIdentifier": None,
                "beginningDateTime": "2009-12-10T23:51:34.000000Z",
                "endingDateTime": FOREVER,
            },
        ),
        (
            "S2B_TEST_AUX_ANYONE_EPAE_20190222T003515_S20190221T190438_O019158_019160_D07_R051_T33UUP_N05.11_WP_LD",
            {
                "orbitNumber": 19158,
                "lastOrbitNumber": 19160,
                "detectorId": "07",
                "relativeOrbitNumber": 51,
                "tileId": "33UUP",
                "processorVersion": "05.11",
                "completenessId": "P",
                "degradationId": "D",
                "fileClass": "TEST",
                "endingDateTime": FOREVER,
            },
        ),
    ],
)
def test_an_auxiliary_is_described_by_its_name(name: str, expected: dict[str, object]) -> None:
    described = Case(name, {"X.DBL": b"", "X.HDR": b""}).describe()
    assert described.problems == ()
    assert {key: described.attributes.get(key) for key in expected} == expected
    alone = Case(f"{name}.xml", {"": b"no matter what"}).describe()
    assert alone.attributes == described.attributes


def test_an_auxiliary_that_says_no_validity_tells_that() -> None:
    described = Case("S2A_OPER_AUX_ANYONE_EPAE_20190222T003515", {}).describe()
    assert described.problems == ("beginningDateTime is not given at its name",)


def test_maps_of_land_cover_are_of_the_mission_and_have_no_dates() -> None:
    described = Case("ESACCI-LC-L4-WB-Map-150m-P13Y-2000-v4.0.tif", {"": b"II*"}).describe()
    assert described.problems == ()
    assert described.attributes == {"productType": "AUX_ESACCI", "platformShortName": "SENTINEL-2"}
