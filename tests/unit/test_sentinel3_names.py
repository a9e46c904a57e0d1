"""Every name that Sentinel-3 is known by has one row, and the right one; names tell frames, stripes and tiles."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from refsys.missions import Recognised, load_types

TYPES = load_types()
WHEN = "20210930T220914_20210930T221214_20211002T102150"
FRAME, STRIPE, NONE = "0180_077_043_5400", "6059_051_247_____", "_" * 17
TILES = (
    *("AFRICA", "NORTH_AMERICA", "SOUTH_AMERICA", "CENTRAL_AMERICA", "NORTH_ASIA", "WEST_ASIA", "SOUTH_EAST_ASIA"),
    *("ASIAN_ISLANDS", "AUSTRALASIA", "EUROPE"),
)
#: Every type that the chains make or need (spec: chains 8.3), by row.
MADE = {
    "s3-granule": """
        DO_0_DOP__G DO_0_NAV__G GN_0_GNS__G MW_0_MWR__G OL_0_CR___G OL_0_EFR__G SL_0_SLT__G SR_0_SRA__G SR_0_CAL__G
        TM_0_HKM__G TM_0_HKM2_G TM_0_NAT__G
    """,
    "s3-doris-l0": "DO_0_DOP___ DO_0_NAV___",
    "s3-gnss-l0": "GN_0_GNS___",
    "s3-mwr-l0": "MW_0_MWR___",
    "s3-olci-l0": "OL_0_CR0___ OL_0_CR1___ OL_0_EFR___",
    "s3-slstr-l0": "SL_0_SLT___",
    "s3-sral-l0": "SR_0_SRA___ SR_0_CAL___",
    "s3-telemetry": "TM_0_HKM___ TM_0_HKM2__ TM_0_NAT___",
    "s3-olci-l1": "OL_1_EFR___ OL_1_ERR___",
    "s3-olci-calibration": "OL_1_RAC___ OL_1_SPC___",
    "s3-slstr-l1": "SL_1_RBT___",
    "s3-sral-l1": "SR_1_SRA___ SR_1_SRA_A_ SR_1_SRA_BS SR_1_LAN_RD SR_1_LAN_BS",
    "s3-sral-calibration": "SR_1_CAL___",
    "s3-mwr-l1": "MW_1_MWR___",
    "s3-mwr-calibration": "MW_1_CAL___",
    "s3-synergy-l1": "SY_1_MISR__",
    "s3-olci-l2": "OL_2_LFR___ OL_2_LRR___ OL_2_WFR___ OL_2_WRR___",
    "s3-slstr-l2": "SL_2_LST___ SL_2_WCT___ SL_2_WST___ SL_2_FRP___ SL_2_AOD___",
    "s3-sral-l2": "SR_2_LAN___ SR_2_LAN_HY SR_2_LAN_LI SR_2_LAN_SI SR_2_WAT___",
    "s3-synergy-l2": "SY_2_SYN___ SY_2_VGP___ SY_2_VGK___ SY_2_AOD___",
    "s3-vegetation": "SY_2_VG1___ SY_2_V10___",
    "s3-browse": "SY_2_VG1_BW SY_2_V10_BW OL_1_EFR_BW SL_2_LST_BW SR_2_LAN_BW OL_0_EFR_BW",
    "s3-aux": """
        SL_1_VSC_AX SR_1_CA1LAX SR_1_CA1SAX SR_1_CA2KAX SR_1_CA2CAX MW_1_NIR_AX MW_1_DNB_AX MW_1_MON_AX AX___OSF_AX
        AX___FPO_AX AX___FRO_AX AX___BB2_AX AX___BA__AX AX___DEM_AX AX___LWM_AX AX___OOM_AX AX___CLM_AX AX___TRM_AX
        AX___MF1_AX AX___MA1_AX AX___MA2_AX AX___MFA_AX AX___CST_AX SR___ROE_AX SR___MDO_AX SR___MGNPAX SR___POESAX
        SR___POEPAX SR___LSM_AX SR___CHDNAX SR___CHDRAX SY_1_GCPBAX OL_2_PCP_AX
    """,
}
#: The reference's patterns (spec: catalogue 3.6).
PRODUCT = re.compile(
    r"(S3)(\w{1})_((OL|SL|SR|DO|MW|GN|SY|TM|AX)_(0|1|2|_)_\w{4}(?!AX)\w{2})"
    r"_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{8}T\d{6})_(\w{17})_(\w{3})_(\w{8})\.(SEN3|ISIP)"
)
TYPE = re.compile(r"\b(?:OL|SL|SR|DO|MW|GN|SY|TM|AX)_[012_]_\w{6}\b")


def name_of(kind: str, *, satellite: str = "A", instance: str = FRAME, class_id: str = "O_NR_002") -> str:
    suffix = "ISIP" if kind.endswith("_G") else "SEN3"
    instance = NONE if kind.endswith("AX") else instance
    return f"S3{satellite}_{kind}_{WHEN}_{instance}_LN2_{class_id}.{suffix}"


def found(name: str) -> Recognised:
    (recognised,) = TYPES.matching(name)
    return recognised


@pytest.mark.parametrize("row", MADE)
def test_every_type_of_the_chains_has_the_right_row(row: str) -> None:
    for kind, satellite, class_id in itertools.product(MADE[row].split(), "ABCD_", ("O_NR_002", "D_NT_NNN", "_" * 8)):
        for instance in (FRAME, STRIPE, NONE, "EUROPE___________"):
            name = name_of(kind, satellite=satellite, instance=instance, class_id=class_id)
            recognised = found(name)
            assert (recognised.type.id, recognised.product_type, recognised.mission) == (row, kind, "S3"), name
            assert recognised.platform == satellite.strip("_")


def test_whatever_the_reference_knows_has_one_row() -> None:
    instruments = ("OL", "SL", "SR", "DO", "MW", "GN", "SY", "TM", "AX")
    for instrument, level, kind in itertools.product(
        instruments, "012_", ("XYZ___", "CAL___", "RAC___", "V10___", "XYZ_BW", "XYZ_BS", "XYZABC")
    ):
        name = name_of(f"{instrument}_{level}_{kind}")
        assert PRODUCT.fullmatch(name)
        assert len(list(TYPES.matching(name))) == 1, name
        (auxiliary,) = TYPES.matching(name_of(f"{instrument}_{level}_{kind[:4]}AX"))
        assert auxiliary.type.id == "s3-aux"


def test_every_type_that_a_task_table_names_is_known(shared_data: Path) -> None:
    tables = [path for path in (shared_data / "tasktables").glob("s3-*/*.xml") if path.name != "TaskTable.S3ACQ.xml"]
    kinds = {kind for path in tables for kind in TYPE.findall(path.read_text("utf-8", "replace"))}
    assert len(kinds) > 150
    for kind in kinds:
        assert found(name_of(kind)).product_type == kind


@pytest.mark.parametrize(
    ("instance", "parts"),
    [
        (FRAME, ("0180", "077", "043", "5400", "")),
        (STRIPE, ("6059", "051", "247", "____", "")),
        ("DDDD_001_002_FFFF", ("", "", "", "", "")),
        (NONE, ("", "", "", "", "")),
        *((tile.ljust(17, "_"), ("", "", "", "", tile)) for tile in TILES),
    ],
)
def test_an_instance_is_a_frame_a_stripe_or_a_tile(instance: str, parts: tuple[str, ...]) -> None:
    fields = found(name_of("SY_2_V10___", instance=instance)).fields
    assert tuple(fields[part] for part in ("duration", "cycle", "relative", "frame", "tile")) == parts
    assert fields["instance"] == instance


def test_stripmap_of_sentinel_1_is_no_product_of_sentinel_3() -> None:
    recognised = found("S1A_S3_RAW__0SSH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE")
    assert (recognised.product_type, recognised.mission) == ("S3_RAW__0S", "S1")
    assert list(TYPES.matching("S3_RAW__0SSH_20250118T171404_20250118T171421_000638_000538_4B8B.SAFE")) == []


def test_browse_images_are_for_nobody_outside() -> None:
    internal = {kind.id for kind in TYPES.types.values() if kind.visibility == "internal" and kind.mission == "S3"}
    assert internal == {"s3-browse"}


@pytest.mark.parametrize(
    "name",
    [
        f"S3A_OL_1_EFR____{WHEN}_{FRAME}_LN2_O_NR_002",
        f"S3A_OL_1_EFR____{WHEN}_{FRAME}_LN2_O_NR_002.SAFE",
        f"S3A_OL_1_EFR____{WHEN}_{FRAME}_LN2_O_NR_002.ISIP",
        f"S3A_OL_0_EFR__G_{WHEN}_{FRAME}_LN2_O_NR_002.SEN3.SEN3",
        f"S3A_OL_1_EFR____{WHEN}_EUROPE_LN2_O_NR_002.SEN3",
        f"S3A_OL_1_EFR____{WHEN}_EUROPE____________LN2_O_NR_0021.SEN3",
        f"S3A_XX_1_EFR____{WHEN}_{FRAME}_LN2_O_NR_002.SEN3",
        f"S3A_OL_3_EFR____{WHEN}_{FRAME}_LN2_O_NR_002.SEN3",
        f"S3A_OL_1_EFR_AX_{WHEN}_{FRAME}_LN2_O_NR_002.SEN3",
        f"S4A_OL_1_EFR____{WHEN}_{FRAME}_LN2_O_NR_002.SEN3",
    ],
)
def test_what_only_looks_like_a_name_is_unknown(name: str) -> None:
    assert list(TYPES.matching(name)) == []
