"""Every name that the reference knows of Sentinel-1, sessions, plans and reports has one row, and the right one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from refsys.missions import load_types

TYPES = load_types()
STRIPMAP = tuple(f"S{beam}" for beam in range(1, 7))
NOTCH = tuple(f"N{beam}" for beam in range(1, 7))
TESTS = (*(f"Z{beam}" for beam in range(1, 7)), "ZE", "ZI", "ZW")
PERIOD = "20200120T124746_20200120T125111"
WHEN = f"{PERIOD}_030884_038B5E_9470.SAFE"
#: The reference's patterns of level products and of segments (spec: catalogue 3.2, any satellite as X13 wants it).
LEVEL = re.compile(
    r"(S1|AS)([A-D])_(S[1-6]|RF|IW|EW|WV|GP|HK|N[1-6]|EN|IM|Z[1-6]|ZE|ZI|ZW)_(SLC|GRD|OCN|RAW)(F|H|M|_)_(0|1|2)(A|C|N|S|_)"
    r"(SH|SV|HH|HV|VV|VH|DH|DV|__)_([0-9a-z]{15})_([0-9a-z]{15})_([0-9]{6})_([0-9a-z_]{6})\w{1,}\.(SAFE)",
    re.IGNORECASE,
)


def built() -> Iterator[tuple[str, str, str]]:
    """Row, product type and name of every combination that is made."""

    def each(row: str, modes: tuple[str, ...], kinds: str, polarisations: str) -> Iterator[tuple[str, str, str]]:
        for mode, kind, polarisation in itertools.product(modes, kinds.split(), polarisations.split()):
            yield row, f"{mode}_{kind}", f"S1A_{mode}_{kind}{polarisation}_{WHEN}"

    imaging = (*STRIPMAP, "IW", "EW", "EN", "IM")
    all_polarisations = "SH SV DH DV HH HV VH VV"
    yield from each("s1-l0-standard", imaging, "RAW__0S", all_polarisations)
    yield from each("s1-l0-annotation", imaging, "RAW__0A RAW__0C RAW__0N", "SH SV DH DV")
    yield from each("s1-l0-wave", ("WV", "RF"), "RAW__0S", all_polarisations)
    yield from each("s1-l0-wave-annotation", ("WV", "RF"), "RAW__0A RAW__0C RAW__0N", "SV DV")
    yield from each("s1-l0-notch", NOTCH, "RAW__0S RAW__0A RAW__0C RAW__0N", "SH SV DH DV VH")
    yield from each("s1-l0-test", TESTS, "RAW__0S RAW__0A RAW__0C RAW__0N", f"{all_polarisations} __")
    yield from each("s1-l0-housekeeping", ("GP", "HK"), "RAW__0_", "__")
    images = "SLC__1S SLC__1A GRDF_1S GRDH_1S GRDM_1S GRDH_1A GRDH_1C GRDH_1N SL1__1_ RTC__1S RTC__1A"
    yield from each("s1-l1", (*imaging, *NOTCH), images, "SH SV DH DV")
    yield from each("s1-l1-wave", ("WV",), images, "SV SH DV")
    yield from each("s1-l2", (*imaging, *NOTCH), "OCN__2S OCN__2A", "SH SV DH DV")
    yield from each("s1-l2-wave", ("WV",), "OCN__2S OCN__2A", "SH SV")
    yield from each("s1-etad", (*STRIPMAP, "IW", "EW"), "ETA__AX", "SH SV DH DV")
    yield from each("s1-etad-wave", ("WV",), "ETA__AX", "SV")


def test_every_level_product_that_can_be_made_has_the_right_row() -> None:
    known_to_the_reference = 0
    for row, product_type, name in built():
        assert [(found.type.id, found.product_type) for found in TYPES.matching(name)] == [(row, product_type)], name
        known_to_the_reference += LEVEL.fullmatch(name) is not None
    assert known_to_the_reference > 800


@pytest.mark.parametrize("head", ["S1A", "S1B", "S1C", "S1D", "ASA"])
def test_every_satellite_is_known(head: str) -> None:
    (found,) = TYPES.matching(f"{head}_IW_RAW__0SDV_{WHEN}")
    assert (found.type.id, found.platform, found.mission) == ("s1-l0-standard", head[2], "S1")


SAFE_AUXILIARIES = """
AUX_CAL AUX_PP1 AUX_PP2 AUX_INS AUX_SCS AUX_SCF AUX_ICE AUX_WND AUX_WAV AUX_ITC AUX_ECE AUX_CHS AUX_RES AUX_ML2
"""
AUXILIARIES = {
    "s1-aux-safe": SAFE_AUXILIARIES.split(),
    "s1-aux-atmosphere": ["AUX_TEC"],
    "s1-aux-troposphere": ["AUX_TRO"],
    "s1-orbit": ["AUX_RESORB", "AUX_POEORB", "AUX_PREORB", "AUX_RESATT", "AUX_ATT___"],
    "s1-planned-orbit": ["MPL_ORBPRE", "MPL_ORBRES", "MPL_ORBSCT"],
    "s1-antenna-errors": ["AMH_ERRMAT", "AMV_ERRMAT", "AM__ERRMAT"],
    "s1-mask": ["MSK_EW_SLC", "MSK__LAND_", "MSK_OCEAN_", "MSK_OVRPAS"],
    "s1-memory-map": ["AUX_OBMEMC"],
}
LAYOUTS = {
    "s1-aux-safe": "{head}_{kind}_V20200120T124746_G20200120T125111.SAFE",
    "s1-aux-atmosphere": "{head}_{kind}_V20200120T124746_20200120T125111_G20200120T125111.SAFE",
    "s1-aux-troposphere": "{head}_{kind}_V20200120T124746_20200120T125111_G20200120T125111.SAFE",
    "s1-orbit": "{head}_OPER_{kind}_OPOD_20200120T124746_V20200120T124746_20200120T125111.EOF",
    "s1-planned-orbit": "{head}_OPER_{kind}_20200120T124746_99999999T999999_0001.EOF",
    "s1-antenna-errors": "{head}_TEST_{kind}_MPC__20200120T124746_V20200120T124746_20200120T125111.EOF",
    "s1-mask": "{head}_OPER_{kind}_V20200120T124746_G20200120T125111.EOF",
    "s1-memory-map": "{head}_OPER_{kind}_PDMC_20200120T124746.xml",
}


@pytest.mark.parametrize("head", ["S1A", "S1C", "S1D", "S1_"])
@pytest.mark.parametrize("row", AUXILIARIES)
def test_every_auxiliary_has_the_right_row(row: str, head: str) -> None:
    for kind in AUXILIARIES[row]:
        name = LAYOUTS[row].format(head=head, kind=kind)
        (found,) = TYPES.matching(name)
        expected = "AUX_ECE" if row == "s1-antenna-errors" else kind
        assert (found.type.id, found.product_type, found.platform) == (row, expected, head[2].strip("_"))


def test_troposphere_and_total_electron_content_are_kept_differently() -> None:
    kept = [TYPES.types[row].retention for row in ("s1-aux-atmosphere", "s1-aux-troposphere")]
    assert [found and found.days for found in kept] == [None, 180]


#: the prefixes of the reference's pattern of plans and reports (spec: catalogue 3.4), after the satellite
PLANS = """
REP_MP_MP__PDMC_ MPL_SPMTI__PDMC_ MPL_SPSGS__PDMC_ MPL_FSMTI__PDMC_ REP_PASS_1_MTI__ REP_PASS_9_SGS__ MPL_ORBOEM_
REP__SUP___ REP_STNACQ_MTI__ REP_STNUNV_SGS__ SRA_BANSEG_PDMC_ SRA_GSUNAV_PDMC_ TLM__REQ_A_ TLM__REQ_O_ REP__SMPR__
MPL__SSC___ TLM__PSCAT_ MPL_OCMSAR_ REP__MACP__ REP__MCSF__ MPL__NPPF__ MPL__NPIF__ REP_NPIFCC_ OBS_MIMG___
AUX_RDB____MPC__ MPL_SESDBA_ MPL_SESDBD_ REP__CHF___ REP__FCHF__ AMV_FAILUR_MPC__ AMH_FAILUR_MPC__ AM__FAILUR_MPC__
AUX_QCSTDB_ REP_QCL0SL_MPC__
"""
EDRS = """
MPL_RQ1_OA_ MPL_RQ9_OC_ MPL_LAS_OA_ MPL_MAS_OC_ MPL_CR2_OA_ MPL_SS3_OC_ MPL_ER4_OA_ SER_SR1_OA_ SER_SR9_OC_
MPL_GOB_PA_ MPL_GOB_RC_
"""
TAILS = ("20200303T093232_V20200303T170000_20200319T190000", "20181208T070000_20181208T111500_0001", "20181208T070000")
SUFFIXES = (".xml", ".XML", ".EOF", "", ".DBL", ".txt")


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_plan_and_report_has_one_row(tail: str, suffix: str) -> None:
    other = "" if suffix in (".xml", ".XML", ".EOF") else "-other"
    names = {
        **{f"S1{letter}_OPER_{prefix}{tail}{suffix}": "s1-plan" for prefix in PLANS.split() for letter in "ABCD_"},
        **{f"S{n}__OPER_SRA_EDRS_{c}_PDMC_{tail}{suffix}": f"s{n}-plan" for n in (1, 2) for c in "AC"},
        **{
            f"S{n}{letter}_OPER_SRA_{kind}_PDMC_{tail}{suffix}": f"s{n}-plan"
            for n in (1, 2, 3)
            for letter in "AB_"
            for kind in ("BANSEG", "GSUNAV")
        },
        **{f"EDR_OPER_{prefix}{tail}{suffix}": "edrs-plan" for prefix in EDRS.split()},
        # as the reference's pattern and its tests write them, without underscores that were lost
        **{
            f"S1A_OPER_{short}{tail}{suffix}": "s1-plan-short" for short in ("REP_SUP__", "REP_MACP_", "AM_FAILUR_MPC_")
        },
        **{f"S1B{short}{tail}{suffix}": "s1-plan-short" for short in ("OPER_REPSUP__", "OPER_REPMACP_")},
        f"S1AOPER_REP_MP_MPPDMC_{tail}{suffix}": "s1-plan-short",
    }
    for name, row in names.items():
        assert [found.type.id for found in TYPES.matching(name)] == [row + other], name


def test_the_reports_of_level_0_processors_have_one_row() -> None:
    for kind in ("REP_ACQNR", "REP_L0PSA_", "REP_EFEP_"):
        for tail in TAILS:
            (found,) = TYPES.matching(f"S1A_OPER_{kind}_{tail}.EOF")
            assert (found.type.id, found.product_type) == ("s1-l0-report", kind)


def test_a_plan_of_edrs_has_no_mission_of_its_own() -> None:
    (found,) = TYPES.matching("EDR_OPER_MPL_RQ1_OA_20200303T093232_V20200303T170000_20200310T170000.xml")
    assert (found.mission, found.platform, found.type.collection) == ("", "", "")
    assert found.fields["start"] == "20200303T170000"


#: name, row, mission, satellite, session
SESSIONS = [
    ("DCS_04_S1A_20241114143038056552_ch2_DSDB_00001.raw", "block", "S1", "A", "S1A_20241114143038056552"),
    ("DCS_04_S1C_20241114143038056552_ch1_DSDB_00001.RAW", "block", "S1", "C", "S1C_20241114143038056552"),
    ("DCS_05_S2B_20191001102654013417_ch1_DSDB_00035.aisp", "block", "S2", "B", "S2B_20191001102654013417"),
    ("DCS_95_S3A_20191001102654013417_ch2_DSDB_12345.AISP", "block", "S3", "A", "S3A_20191001102654013417"),
    ("DCS_95_S1B__MPS__________017080_ch1_DSDB_00001.raw", "block", "S1", "B", "S1B__MPS__________017080"),
    ("DCS_02_L20171109175634707000125_ch1_DSDB_00014.raw", "block", "", "", "L20171109175634707000125"),
    ("DCS_04_20200407131322032022_ch2_DSDB_00057.raw", "block", "", "", "20200407131322032022"),
    ("DCS_01_S1a_20200120185900030888_ch1_DSIB.xml", "information", "S1", "A", "S1a_20200120185900030888"),
    ("DCS_01_s1a_20200120185900030888_ch1_dsib.XML", "information", "S1", "A", "s1a_20200120185900030888"),
    ("DCS_00_S2A_20200120185900030888_ch2_DSIB.xml", "information", "S2", "A", "S2A_20200120185900030888"),
    ("DCS_02_SESSION1_ch1_DSIB.xml", "information", "", "", "SESSION1"),
]


@pytest.mark.parametrize(("name", "row", "mission", "satellite", "session"), SESSIONS)
def test_session_files_tell_station_session_channel_and_mission(
    name: str, row: str, mission: str, satellite: str, session: str
) -> None:
    (found,) = TYPES.matching(name)
    assert found.type.id == f"session-{row}"
    assert (found.mission, found.platform, found.fields["session"]) == (mission, satellite, session)
    assert found.type.visibility == "internal"


@pytest.mark.parametrize(
    "name",
    [
        "DCS_02_S1A_20241114143038056552_ch3_DSDB_00001.raw",
        "DCS_02_S1A_20241114143038056552_ch1_DSDB_001.raw",
        "DCS_2_S1A_20241114143038056552_ch1_DSIB.xml",
        "DCS_02_S1A_20241114143038056552_ch1_DSIB.raw",
        ".DCS_02_S1A_20241114143038056552_ch1_DSIB.xml",
        "DCS_02__ch1_DSIB.xml.part",
        f"S1A_XX_RAW__0SDV_{WHEN}",
        f"S1A_IW_RAW__0SXV_{WHEN}",
        f"S1A_IW_GRDH_1SDV_{PERIOD}_030884_038B5E.SAFE",
        "S1A_OPER_REP_PASS_0_MTI__20200303T093232.xml",
        "S4A_OPER_REP__SUP___20181208T070000_20181208T111500_0001.EOF",
        "EDR_OPER_REP__SUP___20181208T070000_20181208T111500_0001.EOF",
    ],
)
def test_what_only_looks_like_a_name_is_unknown(name: str) -> None:
    assert list(TYPES.matching(name)) == []
