"""How soon products must be there, how long they stay, and which go first: classes and ranks from the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from refsys.missions import load_types

TYPES = load_types()
WHEN = "20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"


def class_of(name: str, **attributes: str) -> str:
    return TYPES.recognise(name).type.timeliness.class_of(attributes)


@pytest.mark.parametrize(
    ("name", "timeliness", "expected"),
    [
        (f"S1A_IW_GRDH_1SDV_{WHEN}", "NRT-3h", "S1_NRT"),
        (f"S1A_IW_GRDH_1SDV_{WHEN}", "Fast-24h", "S1_FAST24"),
        (f"S1A_IW_GRDH_1SDV_{WHEN}", "Off-line", ""),
        (f"S1A_IW_GRDH_1SDV_{WHEN}", "", ""),
        (f"S1A_WV_OCN__2SSV_{WHEN}", "Fast-24h", "S1_FAST24"),
        (f"S1A_IW_RAW__0SDV_{WHEN}", "PT", "S1_PT"),
        (f"S1A_GP_RAW__0____{WHEN}", "NRT", "S1_SESSION"),
        ("S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE", "", "S2_L1"),
        ("S2A_MSIL2A_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE", "", "S2_L2"),
        (f"S3A_OL_1_EFR____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_NR_002.SEN3", "NT", "S3_NTC"),
        (f"S3A_OL_0_EFR____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_NR_002.SEN3", "AL", "S3_NRT"),
        (f"S3A_SL_2_FRP____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_SN_002.SEN3", "SN", "S3_STC"),
        (f"S3A_SL_2_FRP____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_NS_002.SEN3", "NS", "S3_NRT"),
        (f"S3A_SL_2_FRP____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_NN_002.SEN3", "NN", "S3_NRT"),
        (f"S3A_SL_2_FRP____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O____002.SEN3", "", ""),
        ("S2A_OPER_MSI_L0__DS_SGS__20200420T205828_S20200322T173347_N02.08", "", "S2_L0"),
        ("S2A_OPER_MSI_L1B_GR_SGS__20200420T205828_S20200322T173347_D01_N02.08", "", "S2_L1"),
        ("S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.jp2", "", "S2_L1"),
        ("S2B_OPER_MSI_L2A_TL_REFS_20230601T211358_A032516_T59GPL_N04.00", "", "S2_L2"),
        ("S2A_OPER_AUX_SADATA_EPAE_20190222T003515_V20190221T190438_20190221T204519", "", "S2_SESSION"),
        ("S1A_AUX_CAL_V20171017T080000_G20171013T101200.SAFE", "", ""),
    ],
)
def test_a_product_has_the_timeliness_class_of_its_type_and_attribute(
    name: str, timeliness: str, expected: str
) -> None:
    assert class_of(name, timeliness=timeliness) == expected


def test_both_clocks_have_their_limits() -> None:
    limits = {name: (found.from_sensing_s, found.from_t0_s) for name, found in TYPES.timeliness_classes.items()}
    assert limits["S1_NRT"] == limits["S1_PT"] == (10800, 10800)
    assert limits["S1_FAST24"] == (86400, 21600)
    assert limits["S1_SESSION"] == limits["S2_SESSION"] == (None, 1800)
    assert limits["S2_L0"] == limits["S2_L1"] == (None, 4500)
    assert limits["S2_L2"] == (None, 7200)
    assert (limits["S3_NRT"], limits["S3_STC"], limits["S3_NTC"]) == (
        (3 * 3600, 3600),
        (48 * 3600, 72000),
        (30 * 86400, 252000),
    )


def test_every_type_says_how_long_its_products_stay() -> None:
    kept = {kind.id: kind.retention.days for kind in TYPES.types.values() if kind.retention is not None}
    assert set(kept) == set(TYPES.types)
    assert (kept["s1-l0-standard"], kept["s1-l1"], kept["s3-olci-l1"], kept["s1-orbit"]) == (45, 45, 45, None)


@pytest.mark.parametrize(
    ("name", "timeliness_class", "backlog", "priority"),
    [
        (f"S1A_HK_RAW__0____{WHEN}", "S1_SESSION", True, 90),
        ("S2A_OPER_PRD_HKTM___20191203T051837_20191203T051842_0001.SAFE", "S2_SESSION", False, 90),
        (f"S3A_TM_0_NAT____{'20211021T073827_' * 3}0164_077_334_4320_LN1_O_NR_002.SEN3", "S3_NRT", False, 90),
        (f"S1A_IW_RAW__0SDV_{WHEN}", "S1_PT", False, 70),
        (f"S1A_IW_RAW__0SDV_{WHEN}", "S1_NRT", True, 10),
        (f"S1A_IW_RAW__0SDV_{WHEN}", "S1_FAST24", False, 50),
        (f"S1A_IW_RAW__0SDV_{WHEN}", "", False, 50),
    ],
)
def test_housekeeping_goes_first_then_what_is_urgent_then_the_rest_then_backlog(
    name: str, timeliness_class: str, backlog: bool, priority: int
) -> None:
    assert TYPES.priority(TYPES.recognise(name), timeliness_class, backlog=backlog) == priority


def test_a_name_that_tells_its_timeliness_is_urgent_before_it_is_described() -> None:
    tail = f"{'20211021T073827_' * 3}0164_077_334_4320_LN1_O"
    assert TYPES.recognise(f"S3A_OL_1_EFR____{tail}_NR_002.SEN3").named_timeliness == "S3_NRT"
    assert TYPES.recognise(f"S3A_OL_1_EFR____{tail}_ST_002.SEN3").named_timeliness == "S3_STC"
    assert TYPES.recognise(f"S1A_IW_GRDH_1SDV_{WHEN}").named_timeliness == ""


def test_attributes_know_their_names_in_other_dialects() -> None:
    datatake, orbit = TYPES.attributes["datatakeID"], TYPES.attributes["orbitNumber"]
    assert (datatake.prip, datatake.reference) == ("missionDatatakeID", ("missionDataTakeId",))
    assert orbit.prip == "orbitNumber"
    assert orbit.reference[:2] == ("absoluteStartOrbit", "orbitNumber")


def test_a_table_of_the_user_can_change_a_class_and_hide_an_attribute(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "retention_classes: {l1-l2: {about: short, days: 7}}\n"
        "timeliness_classes: {S1_FAST24: {about: mine, from_t0_s: 60, urgent: true}}\n"
        'attributes: {cycleNumber: {type: Integer, about: x, prip: ""}}\n'
    )
    types = load_types([tmp_path])
    retention = types.types["s1-l1"].retention
    assert retention is not None
    assert retention.days == 7
    assert types.priority(types.recognise(f"S1A_IW_GRDH_1SDV_{WHEN}"), "S1_FAST24") == 70
    assert types.attributes["cycleNumber"].prip == ""
