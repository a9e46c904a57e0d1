"""Every name that Sentinel-2 is known by has one row, and the right one; letters in it tell what follows them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest

from refsys.core.products import canonical_name
from refsys.missions import load_types

TYPES = load_types()
#: The reference's pattern of products (spec: catalogue 3.5, any satellite as X13 wants it).
PRODUCTS = re.compile(
    r"(S2)([A-D])_([A-Z0-9]{4})_((MSI)_(L0_|L1A|L1B|L1C|L2A)_(GR|DS|TL|TC)|PRD_HKTM__)_\w{0,4}_?(\d{8}T\d{6})(.*)"
)
ROWS = {
    "MSI_L0__GR": "s2-granule",
    "MSI_L1A_GR": "s2-granule-l1",
    "MSI_L1B_GR": "s2-granule-l1",
    "MSI_L0__DS": "s2-datastrip",
    "MSI_L1A_DS": "s2-datastrip-l1",
    "MSI_L1B_DS": "s2-datastrip-l1",
    "MSI_L1C_DS": "s2-datastrip-l1",
    "MSI_L2A_DS": "s2-datastrip-l2",
    "MSI_L1C_TL": "s2-tile-l1c",
    "MSI_L2A_TL": "s2-tile-l2a",
    "MSI_L1C_TC": "s2-true-colour-folder-l1c",
    "MSI_L2A_TC": "s2-true-colour-folder-l2a",
}
MADE = "20230601T211358"


def built() -> Iterator[tuple[str, str, str]]:
    """Row, product type and name of every part of a product."""
    for kind, site, file_class in itertools.product(ROWS, ("SGS_", "EPAE", "2BPS", "REFS"), ("OPER", "TEST")):
        head = f"{file_class}_{kind}_{site}_{MADE}"
        tails = {
            "DS": ["S20230528T222546_N04.00"],
            "GR": [f"S20230528T222546_D{detector:02d}_N04.00" for detector in range(1, 13)],
            "TL": ["A032516_T59GPL_N04.00"],
            "TC": ["A032516_T59GPL_N04.00"],
        }[kind[-2:]]
        for tail in tails:
            yield ROWS[kind], kind, f"S2B_{head}_{tail}"
            yield ROWS[kind], kind, f"S2B_{head}_{tail}.SAFE"
        if kind.endswith("TC"):
            yield ROWS[kind].replace("-folder", ""), kind, f"S2B_{head}_{tails[0]}.jp2"


def test_every_part_of_a_product_has_the_right_row() -> None:
    count = 0
    for row, product_type, name in built():
        assert [(found.type.id, found.product_type) for found in TYPES.matching(name)] == [(row, product_type)], name
        assert PRODUCTS.fullmatch(name)
        count += 1
    assert count > 600


@pytest.mark.parametrize("satellite", "ABCD")
@pytest.mark.parametrize(
    ("row", "tail"),
    [
        ("s2-l1c", "MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"),
        ("s2-l1c", "MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248"),
        ("s2-l2a", "MSIL2A_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"),
        ("s2-l0u", f"OPER_MSI_L0U_DS_SGS__{MADE}_S20220413T114741_N00.00"),
        ("s2-l0u", f"OPER_MSI_L0U_GR_SGS__{MADE}_S20220413T114741_D07_N00.00"),
        ("s2-l0u", f"OPER_MSI_L0U__GR_SGS__{MADE}_S20220413T114741_D07_N00.00"),
        ("s2-tile-l1c", f"OPER_MSI_L1C_TL_EPA__{MADE}_A000062_T31RCL_N02.02"),
        ("s2-sad", f"OPER_AUX_SADATA_EPAE_{MADE}_V20190221T190438_20190221T204519_A019158_WP_LD"),
        ("s2-sad", f"OPER_AUX_SADATA_EPAE_{MADE}_V20190221T190438_20190221T204519_WF_LN"),
        ("s2-hktm", "OPER_PRD_HKTM___20191203T051837_20191203T051842_0001.SAFE"),
        ("s2-hktm", "OPER_PRD_HKTM___EPAE_20191203T051837_20191203T051842_0001"),
    ],
)
def test_every_satellite_is_known(satellite: str, row: str, tail: str) -> None:
    (found,) = TYPES.matching(f"S2{satellite}_{tail}")
    assert (found.type.id, found.platform, found.type.mission) == (row, satellite, "S2")


def test_what_is_on_its_way_to_level_0_is_for_nobody_outside() -> None:
    internal = {kind.id for kind in TYPES.types.values() if kind.visibility == "internal" and kind.mission == "S2"}
    assert internal == {"s2-l0u"}


#: Parameters that the chains ask for (spec: chains 5.3), those of each band last.
PARAMETERS = """
ATMIMA ATMSAD BLINDP CLOINV CLOPAR CONVER DATATI DECOMP EARMOD ECMWFP G2PARA G2PARE GEOPAR HRTPAR INTDET INVLOC JP2KPA
LREXTR MASPAR OLQCPA PRDLOC PROBAS PROBA2 R2ABCA R2BINN R2CRCO R2DEFI R2DEPI R2NOMO R2PARA R2SWIR RESPAR SPAMOD TILPAR
L2ACAC L2ACFG L2ACSC R2DECT R2DENT R2EOB2 R2EQOG R2L2NC R2MACO R2WAFI VIEDIR
"""
BANDS = [*(f"{band:02d}" for band in range(13)), "8A"]


def test_every_parameter_of_every_band_is_an_auxiliary() -> None:
    for kind, band in itertools.product(PARAMETERS.split(), BANDS):
        name = f"S2A_OPER_GIP_{kind}_MPC__20151117T131048_V20150703T000000_21000101T000000_B{band}"
        for offered in (name, f"{name}.TGZ", f"{name}.zip", f"{name}.SAFE.tar.gz"):
            (found,) = TYPES.matching(canonical_name(offered))
            assert (found.type.id, found.product_type, found.fields["band"]) == ("s2-aux", f"GIP_{kind}", band)
        (found,) = TYPES.matching(f"{name}.xml")
        assert (found.type.id, found.type.packaging) == ("s2-aux-file", "bare")


#: as they occur: product type, row, platform, start, stop; below it the name
AUXILIARIES = """
AUX_UT1UTC s2-aux - 20190726T000000 20200725T000000
    S2__OPER_AUX_UT1UTC_PDMC_20190725T000000_V20190726T000000_20200725T000000
AUX_UT1UTC s2-aux-file - 20190726T000000 20200725T000000
    S2__OPER_AUX_UT1UTC_PDMC_20190725T000000_V20190726T000000_20200725T000000.txt
AUX_ECMWFD s2-aux - 20250113T090000 20250115T030000
    S2__OPER_AUX_ECMWFD_ADG__20250113T000000_V20250113T090000_20250115T030000
AUX_ECMWFT s2-aux-file - 20250113T090000 20250115T030000
    S2__OPER_AUX_ECMWFT_ADG__20250113T000000_V20250113T090000_20250115T030000.DBL
AUX_CAMSFO s2-aux - 20250113T000000 20250115T010000
    S2__OPER_AUX_CAMSFO_ADG__20250113T000000_V20250113T000000_20250115T010000
AUX_CAMSAN s2-aux-file - 20250113T000000 20250115T010000
    S2__OPER_AUX_CAMSAN_ADG__20250113T000000_V20250113T000000_20250115T010000.EOF
AUX_GRI001 s2-aux - 20150623T000001 21000101T000001
    S2__OPER_AUX_GRI001_MPC__20181212T114817_V20150623T000001_21000101T000001
AUX_GRI065 s2-aux A 20130101T000000 -
    S2A_OPER_AUX_GRI065_PDMC_20130621T120000_S20130101T000000
GRI_MSIL1B s2-aux A 20160318T043457 -
    S2A_OPER_GRI_MSIL1B_MPC__20160827T181318_S20160318T043457
    S2A_OPER_GRI_MSIL1B_MPC__20160827T181318_S20160318T043457.SAFE
DEM_GLOBEF s2-aux - 19800101T000000 -
    S2__OPER_DEM_GLOBEF_PDMC_19800101T000000_S19800101T000000
DEM_GEOIDF s2-aux-file - 20190507T000000 -
    S2__OPER_DEM_GEOIDF_MPC__20200112T130120_S20190507T000000.gtx
AUX_ESACCI s2-aux - 20200101T000000 -
    S2__OPER_AUX_ESACCI_ADG__20200112T130120_S20200101T000000
AUX_S11105 s2-aux A 20200322T173341 20200322T173651
    S2A_OPER_AUX_S11105_SGS__20200420T205828_V20200322T173341_20200322T173651_A000069_WF_LN
"""


def test_auxiliaries_are_valid_from_and_to_what_their_names_say() -> None:
    heading: list[str] = []
    for line in AUXILIARIES.strip().splitlines():
        if not line.startswith(" "):
            heading = line.split()
            continue
        (found,) = TYPES.matching(line.strip())
        fields = [found.product_type, found.type.id, found.platform, found.fields["start"], found.fields["stop"]]
        assert [field or "-" for field in fields] == heading
        assert found.type.open_ended


def test_every_letter_of_a_name_is_kept_in_any_order() -> None:
    head = "S2C_OPER_AUX_ANYONE_EPAE_20190222T003515"
    letters = [
        "O019158_019160",
        "V20190221T190438_20190221T204519",
        "D07",
        "R051",
        "T33UUP",
        "N05.11",
        "B8A",
        "WP",
        "LD",
    ]
    expected = {
        "orbit": "019158",
        "last_orbit": "019160",
        "start": "20190221T190438",
        "stop": "20190221T204519",
        "detector": "07",
        "relative": "051",
        "tile": "33UUP",
        "baseline": "05.11",
        "band": "8A",
        "completeness": "P",
        "degradation": "D",
    }
    for order in (letters, letters[::-1]):
        (found,) = TYPES.matching("_".join([head, *order]))
        assert {key: found.fields[key] for key in expected} == expected


@pytest.mark.parametrize(
    "name",
    [
        "S2A_OPER_AUX_ANYONE_EPAE_20190222T003515_X12",
        "S2A_OPER_AUX_ANYONE_EPAE_20190222T003515_B8A_",
        "S2A_OPER_AUX_ANYONE_EPAE_20190222T003515_V20190221T190438_2019",
        "S2A_OPER_AUX_ANYONE_EPAE_20190222T003515.exe",
        "S2A_OPER_MSI_L1C_GR_EPAE_20190222T003515_S20190222T003515_D01_N02.08",
        "S2A_OPER_MSI_L0__TL_EPAE_20190222T003515_A000062_T31RCL_N02.02",
        "S2A_OPER_MSI_L2A_DS_EPAE_20190222T003515_S20190222T003515_N02.08.jp2",
        "S2A_OPER_MSI_L1C_TC_EPAE_20190222T003515_A000062_T31RCL_N02.02.png",
        "S2A_MSIL1B_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE",
        "S2A_MSIL1C_20210908T042701_N0301_R133_20210908T070248.SAFE",
        "ESACCI-LC-L4-WB-Map-150m-P13Y-2000-v4.0.tif.exe",
    ],
)
def test_what_only_looks_like_a_name_is_unknown(name: str) -> None:
    assert list(TYPES.matching(name)) == []


def test_names_that_repeat_their_letters_cost_no_time() -> None:
    name = "S2A_OPER_AUX_ANYONE_EPAE_20190222T003515" + "_B8A" * 50
    assert len(list(TYPES.matching(name))) == 1
    assert list(TYPES.matching(f"{name}_!")) == []
