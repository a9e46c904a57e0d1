"""What Sentinel-3 products are described by, where no real one is at hand."""

from __future__ import annotations

import pytest

from refsys.core.products import Description
from tests.memory import TYPES, Case
from tests.sentinel3_manifests import auxiliary, information, manifest

WHEN = "20210930T220914_20210930T221214_20211002T102150"
FRAME, STRIPE = "0180_077_043_5400", "0180_077_043_____"
FOREVER = "9999-12-31T23:59:59.999999Z"


def described(kind: str, content: bytes, *, instance: str = FRAME, class_id: str = "O_NR_004") -> Description:
    name = f"S3A_{kind}_{WHEN}_{instance}_LN2_{class_id}.SEN3"
    return Case(name, {"xfdumanifest.xml": content}).describe()


@pytest.mark.parametrize(
    ("kind", "instrument", "level"),
    [
        ("OL_0_EFR___", "OLCI", "0"),
        ("SL_0_SLT___", "SLSTR", "0"),
        ("SR_0_CAL___", "SRAL", "0"),
        ("MW_0_MWR___", "MWR", "0"),
        ("DO_0_NAV___", "DORIS", "0"),
        ("GN_0_GNS___", "GNSS", "0"),
        ("OL_1_RAC___", "OLCI", "1"),
        ("SR_1_CAL___", "SRAL", "1"),
        ("MW_1_CAL___", "MWR", "1"),
        ("MW_1_MWR___", "MWR", "1"),
        ("SY_1_MISR__", "SYNERGY", "1"),
    ],
)
def test_what_sees_no_ground_is_sound_without_a_footprint(kind: str, instrument: str, level: str) -> None:
    product = described(kind, manifest(ring=""))
    assert product.problems == ()
    assert product.footprint is None
    attributes = product.attributes
    assert (attributes["instrumentShortName"], attributes["processingLevel"]) == (instrument, level)
    assert (attributes["productType"], attributes["productUnitType"]) == (kind, "FRAME")


@pytest.mark.parametrize(
    "kind", ["OL_1_EFR___", "OL_2_LFR___", "SL_2_FRP___", "SR_1_SRA_BS", "SR_2_LAN_HY", "SY_2_SYN___"]
)
def test_what_sees_the_ground_tells_that_its_footprint_lacks(kind: str) -> None:
    assert described(kind, manifest()).problems == ()
    assert described(kind, manifest(ring="")).problems == ("its footprint is not given at manifest//footPrint/posList",)


def test_calibrations_say_what_level_1_is_made_of_them() -> None:
    trigger = '<olciProductInformation><L1Triggering triggers="RAC SPC"/></olciProductInformation>'
    assert described("OL_0_CR0___", manifest(extra=trigger)).attributes["l1Triggering"] == "RAC SPC"
    assert "l1Triggering" not in described("OL_0_EFR___", manifest()).attributes


def test_a_dump_has_defaults_and_keeps_all_it_says() -> None:
    attributes = described("SL_0_SLT___", manifest()).attributes
    assert (attributes["granuleNumber"], attributes["granulePosition"]) == (1, "NONE")
    assert "dumpStop" not in attributes
    dump = """<granuleNumber>17</granuleNumber><granulePosition>LAST</granulePosition>
        <dumpStart>2021-09-30T19:17:12Z</dumpStart><dumpStop>2021-09-30T20:59:12Z</dumpStop>
        <receivingGroundStation>CGS</receivingGroundStation>
        <receivingStartTime>2021-09-30T21:01:03.006836Z</receivingStartTime>
        <receivingStopTime>2021-09-30T21:01:10.681871Z</receivingStopTime>"""
    expected = {
        "granuleNumber": 17,
        "granulePosition": "LAST",
        "dumpStart": "2021-09-30T19:17:12.000000Z",
        "dumpStop": "2021-09-30T20:59:12.000000Z",
        "receivingGroundStation": "CGS",
        "receivingStartTime": "2021-09-30T21:01:03.006836Z",
        "receivingStopTime": "2021-09-30T21:01:10.681871Z",
    }
    attributes = described("SL_0_SLT___", manifest(dump=dump)).attributes
    assert {key: attributes.get(key) for key in expected} == expected


def test_the_name_says_what_the_manifest_leaves_out() -> None:
    product = described("OL_1_ERR___", manifest(orbits=("29276", "", ""), unit=""), instance=STRIPE)
    attributes = product.attributes
    assert product.problems == ()
    assert (attributes["cycleNumber"], attributes["relativeOrbitNumber"]) == (77, 43)
    assert (attributes["productUnitDuration"], attributes["instanceId"]) == (180, STRIPE)
    assert "alongTrackCoordinate" not in attributes
    assert "productUnitType" not in attributes
    assert described("OL_1_EFR___", manifest(unit="")).attributes["alongTrackCoordinate"] == 5400


def test_a_manifest_that_contradicts_the_instance_is_told() -> None:
    unit = "<type>FRAME</type><duration>179</duration><slices>3</slices>"
    product = described("OL_1_EFR___", manifest(unit=unit, orbits=("29276", "43", "78")))
    assert product.problems == (
        "cycleNumber is 78 in the metadata but 77 in the name",
        "productUnitDuration is 179 in the metadata but 180 in the name",
    )
    assert (product.attributes["productUnitDuration"], product.attributes["productUnitSlices"]) == (179, 3)


def test_vegetation_of_many_orbits_has_a_tile_and_no_orbit_to_check() -> None:
    product = described(
        "SY_2_V10___",
        manifest(orbits=("29276", "0", "77"), unit="<type>TILE</type>", timeliness="NT"),
        instance="SOUTH_EAST_ASIA__",
        class_id="O_NT_004",
    )
    assert product.problems == ()
    assert (product.attributes["tileId"], product.attributes["productUnitType"]) == ("SOUTH_EAST_ASIA", "TILE")
    assert described("SY_2_VGP___", manifest(orbits=("29276", "0", "77"))).problems == (
        "relativeOrbitNumber is 0 in the metadata but 43 in the name",
        "relativeOrbitNumber is 0, but orbit 29276 of satellite A has 43",
    )


GRIDS = """<slstrProductInformation>
<classificationSummary grid="0.5 km stripe A"><landPixels percentage="1.0"/><brightPixels percentage="5.0"/>
<snowOrIcePixels percentage="6.0"/></classificationSummary>
<classificationSummary grid="1 km"><landPixels percentage="2.5"/><cloudyPixels percentage="3.0"/>
<salineWaterPixels percentage="97.5"/><snowOrIcePixels percentage="7.0"/></classificationSummary>
</slstrProductInformation>"""


def test_of_several_grids_that_of_one_kilometre_counts() -> None:
    attributes = described("SL_1_RBT___", manifest(extra=GRIDS)).attributes
    covers = {key: value for key, value in attributes.items() if key.endswith("Cover")}
    assert covers == {
        "landCover": 2.5,
        "cloudCover": 3.0,
        "salineWaterCover": 97.5,
        "snowOrIceCover": 7.0,
        "brightCover": 5.0,
    }


def test_a_grid_without_a_name_counts_where_it_is_the_only_one() -> None:
    summary = """<classificationSummary><landPixels percentage="30.5"/><coastalPixels percentage="0.25"/>
        <freshInlandWaterPixels percentage="0.5"/><tidalRegionPixels percentage="0.75"/></classificationSummary>"""
    attributes = described("SL_2_LST___", manifest(extra=summary)).attributes
    covers = [attributes[f"{kind}Cover"] for kind in ("land", "coastal", "freshInlandWater", "tidalRegion")]
    assert covers == [30.5, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("timeliness", "expected"),
    [
        *(("NR", "S3_NRT"), ("NN", "S3_NRT"), ("NS", "S3_NRT"), ("AL", "S3_NRT")),
        *(("ST", "S3_STC"), ("SN", "S3_STC"), ("NT", "S3_NTC")),
    ],
)
def test_what_serves_several_modes_is_wanted_as_soon_as_the_first_of_them(timeliness: str, expected: str) -> None:
    product = described("SL_2_LST___", manifest(timeliness=timeliness), class_id=f"O_{timeliness}_004")
    assert product.attributes["timeliness"] == timeliness
    for row in ("s3-slstr-l2", "s3-olci-l0", "s3-vegetation"):
        assert TYPES.types[row].timeliness.class_of(product.attributes) == expected


# -- auxiliaries and granules --


@pytest.mark.parametrize(
    ("stop", "end"),
    [
        ("2021-02-01T00:00:00.000000Z", "2021-02-01T00:00:00.000000Z"),
        ("", FOREVER),
        ("9999-12-31T23:59:59.999999Z", FOREVER),
        ("9999-01-01T00:00:00Z", FOREVER),
    ],
)
def test_an_auxiliary_is_valid_as_its_manifest_says_or_for_ever(stop: str, end: str) -> None:
    last = "20210201T000000" if stop.startswith("2021") else "99991231T235959"
    name = f"S3__SL_2_PCP_AX_20210101T000000_{last}_20210102T000000_{'_' * 17}_MPC_O_AL_001.SEN3"
    product = Case(name, {"xfdumanifest.xml": auxiliary(stop=stop)}).describe()
    assert product.problems == ()
    expected = {
        "productType": "SL_2_PCP_AX",
        "productClass": "SL",
        "beginningDateTime": "2021-01-01T00:00:00.000000Z",
        "endingDateTime": end,
        "timeliness": "AL",
        "baselineCollection": "001",
        "qualityIndicator": "PASSED",
        "generatingCentre": "MPC",
        "classId": "O_AL_001",
        "platformSerialIdentifier": None,
    }
    assert {key: product.attributes.get(key) for key in expected} == expected


def test_a_granule_keeps_what_its_dump_says() -> None:
    name = f"S3B_TM_0_HKM__G_{WHEN}_{'_' * 17}_SVL_O_______.ISIP"
    features = {
        "dumpStart": "2021-09-30T19:17:12.009979",
        "dumpStop": "2021-09-30T20:59:12.000000",
        "receivingStartTime": "2021-09-30T21:01:03.006836Z",
        "receivingStopTime": "2021-09-30T21:01:10.681871Z",
        "receivingGroundStation": "SVL",
        "ISIPProvider": "L0PP",
    }
    product = Case(name, {f"{name.removesuffix('.ISIP')}_iif.xml": information(features)}).describe()
    assert product.problems == ()
    expected = {
        "dumpStart": "2021-09-30T19:17:12.009979Z",
        "dumpStop": "2021-09-30T20:59:12.000000Z",
        "receivingStartTime": "2021-09-30T21:01:03.006836Z",
        "receivingGroundStation": "SVL",
        "isipProvider": "L0PP",
        "granuleNumber": 1,
        "granulePosition": "NONE",
        "timeliness": "NR",
        "platformSerialIdentifier": "B",
        "instrumentShortName": None,
        "generatingCentre": "SVL",
    }
    assert {key: product.attributes.get(key) for key in expected} == expected
