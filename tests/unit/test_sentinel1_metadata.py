"""What Sentinel-1 products, session files and plans are described by, where no real one is at hand."""

from __future__ import annotations

import pytest

from refsys.core.products import Description
from tests.level0_manifests import TRACK, manifest
from tests.memory import Case

WHEN = "20200120T124746_20200120T125111_030884_038B5E_9470"
FOREVER = "9999-12-31T23:59:59.999999Z"


def level0(name: str, content: bytes) -> Description:
    return Case(f"{name}.SAFE", {"manifest.safe": content}).describe()


def test_housekeeping_and_gps_have_no_instrument_no_footprint_and_are_urgent() -> None:
    for mode in ("GP", "HK"):
        described = level0(f"S1A_{mode}_RAW__0____{WHEN}", manifest(sar=False, footprint=""))
        assert described.problems == ()
        assert described.footprint is None
        attributes = described.attributes
        assert attributes["productType"] == f"{mode}_RAW__0_"
        assert (attributes["timeliness"], attributes["orbitNumber"]) == ("NRT", 30884)
        assert not {"instrumentShortName", "datatakeID", "swathIdentifier"} & set(attributes)


def test_rf_characterisation_lies_on_the_ground_track() -> None:
    described = level0(f"S1A_RF_RAW__0SVH_{WHEN}", manifest(mode="RFC", footprint=TRACK, stores=(3,)))
    assert described.problems == ()
    assert described.footprint is not None
    assert described.footprint["type"] == "LineString"
    assert described.attributes["packetStoreID"] == ["3"]


def test_a_segment_keeps_each_packet_store_once_in_order() -> None:
    content = manifest(stores=(37, 22, 37), polarisations=("VV", "VH"))
    described = level0(f"S1A_IW_RAW__0SVH_{WHEN}", content)
    assert described.problems == ()
    assert described.attributes["packetStoreID"] == ["37", "22"]
    assert described.attributes["polarisationChannels"] == ["VV", "VH"]
    assert described.attributes["datatakeID"] == 232286
    assert "productSensingConsolidation" not in described.attributes, "a blank is no value"


def test_a_test_segment_without_polarisation_and_track_is_sound() -> None:
    described = level0(f"S1A_ZE_RAW__0S___{WHEN}", manifest(mode="ZE", footprint=""))
    assert described.problems == ()
    assert described.footprint is None


# -- radio interference --

GRD = f"S1A_IW_GRDH_1SDV_{WHEN}.SAFE"
STRIPMAP = f"S1A_S3_GRDH_1SDV_{WHEN}.SAFE"


def interference(*detected: str) -> bytes:
    reports = "".join(
        f"<rfiDetectionFromNoiseReport><rfiDetected>{d}</rfiDetected></rfiDetectionFromNoiseReport>" for d in detected
    )
    return (
        f"<rfi><adsHeader><polarisation>VV</polarisation></adsHeader>"
        f"<rfiDetectionFromNoiseReportList>{reports}</rfiDetectionFromNoiseReportList></rfi>"
    ).encode()


def annotation(performed: str) -> bytes:
    return (
        "<product><imageAnnotation><processingInformation><rfiMitigationPerformed>"
        f"{performed}</rfiMitigationPerformed></processingInformation></imageAnnotation></product>"
    ).encode()


def found(name: str, files: dict[str, bytes]) -> dict[str, object]:
    attributes = Case(name, {"manifest.safe": manifest(), **files}).describe().attributes
    return {
        key: value for key, value in attributes.items() if key.startswith("rfiNb") or key == "rfiMitigationPerformed"
    }


def rfi(swath: str, polarisation: str, number: int = 1) -> str:
    when = "20200120t124746-20200120t125111-030884-038b5e"
    return f"annotation/rfi/rfi-s1a-{swath}-grd-{polarisation}-{when}-{number:03d}.xml"


NOTE = "annotation/s1a-iw-grd-vv-20200120t124746-20200120t125111-030884-038b5e-001.xml"


@pytest.mark.parametrize(
    ("vv", "vh", "performed", "expected"),
    [
        (("false", "true"), ("true",), "Always", (2, "Always", 2)),
        (("false", "false"), ("TRUE",), "basedonnoisemeas", (1, "BasedOnNoiseMeas", 1)),
        (("true",), ("false",), "Never", (1, "Never", 0)),
        ((), (), "Always", (0, "Always", 0)),
        (("true",), ("false",), "perhaps", (1, "NotSupported", 0)),
    ],
)
def test_radio_interference_is_counted_by_receiving_polarisation(
    vv: tuple[str, ...], vh: tuple[str, ...], performed: str, expected: tuple[int, str, int]
) -> None:
    files = {rfi("iw", "vv"): interference(*vv), rfi("iw", "vh", 2): interference(*vh), NOTE: annotation(performed)}
    assert found(GRD, files) == dict(
        zip(
            ("rfiNbPolarisationsDetected", "rfiMitigationPerformed", "rfiNbPolarisationsMitigated"),
            expected,
            strict=True,
        )
    )


def test_every_swath_s_annotation_counts() -> None:
    files = {
        rfi("iw1", "vv", 1): interference("false"),
        rfi("iw2", "vv", 2): interference("false"),
        rfi("iw3", "vv", 3): interference("true"),
    }
    assert found(GRD, files)["rfiNbPolarisationsDetected"] == 1


def test_stripmap_detects_nothing() -> None:
    files = {rfi("s3", "vv"): interference("true"), NOTE: annotation("Always")}
    assert found(STRIPMAP, files) == {
        "rfiNbPolarisationsDetected": 0, "rfiMitigationPerformed": "Always", "rfiNbPolarisationsMitigated": 0,
    }  # fmt: skip


def test_a_product_without_interference_annotations_has_no_such_attributes_and_its_annotation_is_not_read() -> None:
    assert found(GRD, {NOTE: b"this is no XML"}) == {}


# -- sessions --


def test_a_block_of_raw_data_is_described_by_its_name_alone() -> None:
    for satellite in ("S1A", "S1a", "s1a"):
        name = f"DCS_04_{satellite}_20241114143038056552_ch2_DSDB_00007.raw"
        described = Case(name, {"": b"\x1a\xcf\xfc\x1d"}).describe()
        assert described.problems == ()
        assert (described.sensing_start, described.sensing_stop) == (None, None)
        assert described.attributes == {
            "productType": "RAW", "platformShortName": "SENTINEL-1", "platformSerialIdentifier": "A", "channel": 2,
            "sessionIdentifier": "S1A_20241114143038056552", "stationUnitId": "04", "blockNumber": 7,
        }  # fmt: skip


def information(blocks: int) -> bytes:
    names = "".join(f"<dsdb_name>DCS_04_S2B_2019_ch1_DSDB_{n:05d}.raw</dsdb_name>" for n in range(1, blocks + 1))
    return (
        "<DCSU_Session_Information_Block><session_id>other</session_id><time_start>2017-12-13T14:59:48Z</time_start>"
        "<time_stop>2017-12-13T15:17:25Z</time_stop><time_created>2017-12-13T14:59:48Z</time_created><time_finished/>"
        f"<data_size>36014692600</data_size><dsdb_list>{names}</dsdb_list></DCSU_Session_Information_Block>"
    ).encode()


def test_a_session_s_information_lists_all_its_blocks_however_many() -> None:
    described = Case("DCS_04_S2B_20191001_ch1_DSIB.xml", {"": information(3000)}).describe()
    assert described.problems == ()
    attributes = described.attributes
    assert len(attributes["blockNames"]) == 3000
    assert attributes["sessionIdentifier"] == "S2B_20191001", "the name counts, not what the file says"
    assert (attributes["dataSize"], attributes["platformShortName"]) == (36014692600, "SENTINEL-2")
    assert "sessionFinished" not in attributes


def test_a_session_s_information_without_times_and_blocks_says_so() -> None:
    content = b"<DCSU_Session_Information_Block><session_id>x</session_id></DCSU_Session_Information_Block>"
    problems = Case("DCS_04_S2B_20191001_ch1_DSIB.xml", {"": content}).describe().problems
    assert [problem.split()[0] for problem in problems] == ["beginningDateTime", "endingDateTime", "blockNames"]


# -- plans, performance --

HEADER = b"""<Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header><Mission>Sentinel-1B</Mission>
<File_Class>OPER</File_Class><File_Type>REP_MP_MP_</File_Type><Validity_Period>
<Validity_Start>UTC=2020-03-03T17:00:00</Validity_Start><Validity_Stop>UTC=2020-03-19T19:00:00</Validity_Stop>
</Validity_Period><File_Version>0001</File_Version><Source><System>PDMC</System><Creator>MPL</Creator>
<Creator_Version>1.0</Creator_Version><Creation_Date>UTC=2020-03-03T09:32:32</Creation_Date></Source></Fixed_Header>
</Earth_Explorer_Header></Earth_Explorer_File>"""


def test_a_plan_is_described_by_its_header() -> None:
    name = "S1B_OPER_REP_MP_MP__PDMC_20200303T093232_V20200303T170000_20200319T190000.xml"
    described = Case(name, {"": HEADER}).describe()
    assert described.problems == ()
    assert described.attributes == {
        "productType": "REP_MP_MP_", "platformShortName": "SENTINEL-1", "platformSerialIdentifier": "B",
        "fileClass": "OPER", "fileVersion": "0001", "beginningDateTime": "2020-03-03T17:00:00.000000Z",
        "endingDateTime": "2020-03-19T19:00:00.000000Z", "processingDate": "2020-03-03T09:32:32.000000Z",
        "processingCenter": "PDMC", "processorName": "MPL", "processorVersion": "1.0",
    }  # fmt: skip


def test_a_plan_of_another_format_is_described_by_its_name() -> None:
    name = "EDR_OPER_MPL_RQ1_OA_20200303T093232_V20200303T170000_99999999T999999"
    described = Case(name, {"plan.DBL": b"\x00"}).describe()
    assert described.problems == ()
    assert described.attributes["beginningDateTime"] == "2020-03-03T17:00:00.000000Z"
    assert described.attributes["endingDateTime"] == FOREVER
    assert "platformShortName" not in described.attributes


def test_a_plan_without_any_dates_is_sound() -> None:
    described = Case("S1A_OPER_TLM__REQ_A_20181208T070000.xml", {"": b"<request/>"}).describe()
    assert described.problems == ()
    assert described.sensing_start is None


def test_ocean_waves_in_bufr_are_described_by_their_name() -> None:
    name = "s1a-wv2-mbu-hh-20200828t135345-20200828t135348-034108-03f6a1-017_09E8.bufr"
    described = Case(name, {"": b"BUFR"}).describe()
    assert described.problems == ()
    assert described.attributes == {
        "productType": "REP_MBU_", "platformShortName": "SENTINEL-1", "platformSerialIdentifier": "A",
        "instrumentShortName": "SAR", "processingLevel": "LEVEL2", "operationalMode": "WV", "swathIdentifier": ["WV2"],
        "polarisationChannels": ["HH"], "beginningDateTime": "2020-08-28T13:53:45.000000Z",
        "endingDateTime": "2020-08-28T13:53:48.000000Z", "orbitNumber": 34108, "vignetteNumber": 17,
        "datatakeID": 0x03F6A1,
    }  # fmt: skip


def test_orbital_performance_is_described_with_and_without_a_manifest() -> None:
    name = "S1A____OBS__SS___20200828T135345_20200828T153229_034108_09E8"
    for files in (
        {"data.bin": b"x"},
        {"manifest.safe": manifest(start="2020-08-28T13:53:45Z", stop="2020-08-28T15:32:29Z")},
    ):
        attributes = Case(name, files).describe().attributes
        assert attributes["productType"] == "___OBS__SS"
        assert attributes["beginningDateTime"] == "2020-08-28T13:53:45.000000Z"
