"""The tables of product types: what each name is, where it is stored, and what is told of a table that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from refsys.core.errors import ConfigurationError, HostileInput, UnknownProduct
from refsys.core.products import canonical_name
from refsys.missions import load_types, storage_base
from refsys.missions.functions import count_slices, slice_count
from tests.example_names import EXAMPLES

TYPES = load_types()
START = datetime(2021, 8, 9, 17, 39, 53, tzinfo=UTC)

UNKNOWN = [
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8",
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE.zip",
    "s1a_iw_grdh_1sdv_20210809t173953_20210809t174018_039156_049f13_6ff8.safe",
    "xS1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE",
    "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFEx",
    "S1A_XX_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE",
    "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER.SAFE",
    "S2B_OPER_MSI_L1C_TC_EPAE_20191001T102654_A013417_T39UWP_N02.08.png",
    "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.ISIP",
    "DCS_02_L20171109175634707000125_ch1_DSDB_00001.raw.part",
    "EDR_OPER_MPL_RQ0_OA_20200303T093232.xml",
    "LC08_L1TP_042034_20170616_20170629_01_T1",
    "README.md",
]

ROW = """types:
  - id: my-type
    about: a type of the user
    name: 'S1A_MINE_(?P<number>\\d)'
    product_type: "MINE_{number}"
    mission: S1
    instrument: SAR
    level: L1
    storage: [Sentinel-1, MINE, "{product_type}"]
    documents: {manifest: manifest.safe}
    manifest: manifest
    attributes:
      beginningDateTime: manifest//startTime
      endingDateTime: manifest//stopTime
"""


def told(tmp_path: Path, text: str) -> str:
    """What is told of a user's table, the folder left out."""
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_types([tmp_path])
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(("kind", "name", "product_type", "platform", "key"), EXAMPLES, ids=[e[1] for e in EXAMPLES])
def test_a_name_is_recognised_by_one_type_and_stored_by_day(
    kind: str, name: str, product_type: str, platform: str, key: str
) -> None:
    assert [found.type.id for found in TYPES.matching(name)] == [kind]
    recognised = TYPES.recognise(name)
    assert (recognised.product_type, recognised.platform) == (product_type, platform)
    assert storage_base(recognised, START) == f"{key}/2021/08/09"
    assert storage_base(recognised, None) == key


def test_every_type_has_an_example() -> None:
    assert {example[0] for example in EXAMPLES} == set(TYPES.types)


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_names_are_unknown_and_the_error_says_what_to_do(name: str) -> None:
    with pytest.raises(UnknownProduct) as caught:
        TYPES.recognise(name)
    assert str(caught.value).startswith(f"{name}: no product type has such a name (add a row")


@pytest.mark.parametrize(
    "name", ["../S1A.SAFE", "", f"{EXAMPLES[0][1]}\n", f"{EXAMPLES[0][1]}/", EXAMPLES[0][1][:-1] + "\u0395"]
)
def test_what_cannot_be_a_name_is_hostile(name: str) -> None:
    with pytest.raises(HostileInput):
        TYPES.recognise(name)


def test_no_real_name_is_taken_for_two_types(shared_data: Path) -> None:
    folders = [
        shared_data / name
        for name in ("sentinel-1", "sentinel-2", "sentinel-3", "auxiliary", "masks/s1-l1", "masks/s1-l2")
    ]
    names = [canonical_name(path.name) for folder in folders for path in folder.iterdir()]
    assert len(names) > 40
    for name in names:
        assert len(list(TYPES.matching(name))) == 1, name


def test_orbit_and_other_single_files_are_delivered_bare_and_folders_zipped() -> None:
    bare = {kind.id for kind in TYPES.types.values() if kind.packaging == "bare"}
    assert {
        "s1-orbit",
        "s1-mask",
        "s1-memory-map",
        "s1-plan",
        "session-block",
        "s1-spp-wave",
        "s2-true-colour-l1c",
    } <= bare
    assert not {"s1-l1", "s1-aux-safe", "s1-plan-other", "s3-olci-l1", "s2-granule", "s2-aux"} & bare
    for kind in TYPES.types.values():
        assert kind.package_suffix == ("" if kind.id in bare else ".zip")
        assert all((document.pattern == "") == (kind.id in bare) for document in kind.documents)


#: what users of CDSE ask for (spec: standards 2.5, distribution 5)
EXPECTED = {
    "s1-l1": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        timeliness processingLevel processingDate processingCenter processorName processorVersion operationalMode
        polarisationChannels swathIdentifier orbitNumber relativeOrbitNumber cycleNumber orbitDirection
        startTimeFromAscendingNode completionTimeFromAscendingNode datatakeID instrumentConfigurationID sliceNumber
        totalSlices sliceProductFlag segmentStartTime productClass productComposition nssdcIdentifier
    """,
    "s1-l0-standard": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        operationalMode swathIdentifier productClass productConsolidation instrumentConfigurationID datatakeID
        sliceProductFlag sliceNumber totalSlices polarisationChannels orbitNumber relativeOrbitNumber cycleNumber
        orbitDirection processingDate processingCenter processorName processorVersion qualityNumOfElements
        qualityNumOfMissingElements
    """,
    "s1-orbit": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier productType processingDate
        processingCenter processorVersion selectedOrbitNumber
    """,
    "s1-aux-safe": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier productType processingDate
        processingCenter processorName processorVersion instrumentShortName instrumentConfigurationID
        productGeneration
    """,
    "s2-l2a": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        processingLevel processingDate processingCenter processorVersion operationalMode orbitNumber
        relativeOrbitNumber productGroupId datastripId granuleIdentifier tileId cloudCover illuminationZenithAngle
        qualityStatus
    """,
    "s3-olci-l1": """
        beginningDateTime endingDateTime platformShortName platformSerialIdentifier instrumentShortName productType
        timeliness baselineCollection processingLevel processingDate processingCenter processorName processorVersion
        operationalMode orbitNumber lastOrbitNumber orbitDirection relativeOrbitNumber lastRelativeOrbitNumber
        cycleNumber landCover salineWaterCover coastalCover tidalRegionCover freshInlandWaterCover cloudCover
        brightCover
    """,
    "s3-sral-l2": """
        landCover closedSeaCover continentalIceCover openOceanCover
    """,
    "s3-synergy-l2": """
        snowOrIceCover
    """,
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_types_have_the_attributes_that_users_of_the_hub_know(kind: str) -> None:
    assert set(EXPECTED[kind].split()) <= {rule.attribute.name for rule in TYPES.types[kind].attributes}


def test_attributes_have_the_hub_s_types() -> None:
    types = {name: TYPES.attributes[name].type for name in TYPES.attributes}
    assert [types[name] for name in ("orbitNumber", "cycleNumber", "sliceNumber", "datatakeID")] == ["Integer"] * 4
    assert [types[name] for name in ("cloudCover", "startTimeFromAscendingNode", "landCover")] == ["Double"] * 3
    assert [types[name] for name in ("beginningDateTime", "processingDate")] == ["DateTimeOffset"] * 2
    assert types["sliceProductFlag"] == "Boolean"
    polarisations = TYPES.attributes["polarisationChannels"]
    assert polarisations.text(["VV", "VH"]) == "VV&VH"


@pytest.mark.parametrize(
    ("mode", "duration_s", "slices"),
    [
        ("EW", 436.812, 8),
        ("EW", 434.812, 7),
        ("EW", 60, 1),
        ("EW", 68.2, 1),
        ("EW", 1, 1),
        ("IW", 70.812, 3),
        ("S3", 70.812, 3),
        ("WV", 500, 1),
    ],
)
def test_slices_of_a_datatake_are_counted(mode: str, duration_s: float, slices: int) -> None:
    whole, rest = divmod(duration_s, 60)
    attributes = {
        "beginningDateTime": "2020-01-01T00:00:00Z",
        "endingDateTime": f"2020-01-01T00:{int(whole):02d}:{rest:06.3f}Z",
    }
    assert slice_count(attributes, {"mode": mode}) == {"totalSlices": slices}


def test_slices_are_not_counted_where_the_manifest_does_or_the_mode_has_none() -> None:
    times = {"beginningDateTime": "2020-01-01T00:00:00Z", "endingDateTime": "2020-01-01T00:01:00Z"}
    assert slice_count({**times, "totalSlices": 5}, {"mode": "IW"}) == {}
    assert [slice_count(times, {"mode": mode}) for mode in ("RF", "EN", "N1", "")] == [{}] * 4
    assert slice_count({}, {"mode": "IW"}) == {}
    assert count_slices(0.0, length_s=25.0, overlap_s=7.4) == 1


def test_a_user_s_row_is_a_type(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yaml").write_text(ROW)
    types = load_types([tmp_path])
    assert types.recognise("S1A_MINE_7").product_type == "MINE_7"
    assert set(types.types) == {*TYPES.types, "my-type"}


def test_a_user_s_row_replaces_the_packaged_one_of_its_id(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(ROW.replace("my-type", "s1-l1"))
    types = load_types([tmp_path / "mine.yaml"])
    assert types.recognise("S1A_MINE_7").type.id == "s1-l1"
    with pytest.raises(UnknownProduct):
        types.recognise("S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE")


def test_a_user_s_row_is_asked_before_the_packaged_ones(tmp_path: Path) -> None:
    name = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
    (tmp_path / "mine.yaml").write_text(
        ROW.replace("S1A_MINE_(", "S1A_IW_GRDH_1SDV_2021080(").replace("\\d)'", "9).*'")
    )
    assert load_types([tmp_path]).recognise(name).type.id == "my-type"


def test_a_user_s_rules_patterns_and_attributes_reach_the_packaged_rows(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "attributes: {mood: {type: String, about: how it feels}}\n"
        "patterns: {s1-satellite: 'S1(?P<satellite>[A-Z0-9])'}\n"
        "rules: {s1-level12: {mood: manifest//mood}}\n"
    )
    types = load_types([tmp_path])
    recognised = types.recognise("S19_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE")
    assert recognised.platform == "9"
    assert "mood" in {rule.attribute.name for rule in recognised.type.attributes}
    assert "mood" not in TYPES.attributes


START_RULE = "manifest//startTime"


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "problem"),
    [
        ("about:", "abuot:", 3, "abuot", "unknown key 'abuot'; nearest: 'about'"),
        ("    level: L1\n", "", 2, "level", "field required"),
        ("mission: S1", "mission: S4", 6, "mission", "input should be 'S1', 'S2', 'S3' or '', not 'S4'"),
        ("level: L1", "level: 1", 8, "level", "input should be a valid string, not 1"),
        ("MINE_(", "MINE_((", 4, "name", "not a regular expression: missing ), unterminated"),
        ("S1A_M", "%{s1-satelite}_M", 4, "name", "unknown pattern 's1-satelite'; nearest: 's1-satellite'"),
        ("MINE_{number}", "MINE_{numbr}", 5, "product_type", "unknown group 'numbr'; nearest: 'number'"),
        ("MINE_{number}", "MINE_{number", 5, "product_type", "'MINE_{number' is not a template"),
        ("MINE_{number}", "{number.__class__}", 5, "product_type", "unknown group 'number.__class__'"),
        ("{product_type}", "{product}", 9, "storage.2", "unknown group 'product'; nearest: 'product_type'"),
        ("MINE,", "../x,", 9, "storage.1", "string should match pattern"),
        ("MINE,", "'',", 9, "storage.1", "string should match pattern"),
        (
            "manifest: manifest\n",
            "manifest: manifst\n",
            11,
            "manifest",
            "'manifst' is not a document; nearest: 'manifest'",
        ),
        (
            "manifest.safe}",
            "{pattern: m.xml, requird: false}}",
            10,
            "documents.manifest.requird",
            "unknown key 'requird'; nearest: 'required'",
        ),
        (
            START_RULE,
            "manifst//startTime",
            13,
            "attributes.beginningDateTime.read",
            "'manifst' is not a document of row 'my-type'; nearest: 'manifest'",
        ),
        (
            START_RULE,
            "manifest/startTime",
            13,
            "attributes.beginningDateTime.read",
            "'manifest/startTime' is not a document",
        ),
        (
            START_RULE,
            "'manifest//start[last()]'",
            13,
            "attributes.beginningDateTime.read",
            "path '//start[last()]': '[last()]' is neither",
        ),
        (
            START_RULE,
            "{group: nummer}",
            13,
            "attributes.beginningDateTime.group",
            "unknown group of the name 'nummer'; nearest: 'number'",
        ),
        (
            START_RULE,
            "{function: leter, group: number}",
            13,
            "attributes.beginningDateTime.function",
            "unknown function 'leter'; nearest: 'letter'",
        ),
        (START_RULE, "{vlaue: 1}", 13, "attributes.beginningDateTime.vlaue", "unknown key 'vlaue'; nearest: 'value'"),
        (START_RULE, "{value: 1}", 13, "attributes.beginningDateTime.value", "1 is not a value of DateTimeOffset"),
        (START_RULE, "{upper: true}", 13, "attributes.beginningDateTime", "says nothing"),
        (
            "beginningDateTime:",
            "begginingDateTime:",
            13,
            "attributes.begginingDateTime",
            "unknown attribute 'begginingDateTime'; nearest: 'beginningDateTime'",
        ),
        (
            "    attributes:",
            "    use: [s1-bas]\n    attributes:",
            12,
            "use.0",
            "unknown set of rules 's1-bas'; nearest: 's1-base'",
        ),
        (
            "    attributes:",
            "    derive: [slices]\n    attributes:",
            12,
            "derive.0",
            "unknown function 'slices'; nearest: 'slice_count'",
        ),
        (
            "    attributes:",
            "    footprint: {rule: corner, read: manifest//a}\n    attributes:",
            12,
            "footprint.rule",
            "unknown footprint rule 'corner'; nearest: 'corners'",
        ),
        (
            "    attributes:",
            "    sensing: [beginningDateTime]\n    attributes:",
            12,
            "sensing",
            "list should have at least 2 items",
        ),
        (
            "    attributes:",
            "    sensing: [orbitNumber, endingDateTime]\n    attributes:\n      orbitNumber: {value: 1}",
            12,
            "sensing.0",
            "'orbitNumber' is a Integer, not a DateTimeOffset",
        ),
        (
            "    attributes:",
            "    packaging: bare\n    attributes:",
            10,
            "documents",
            "a product that is one file (packaging: bare)",
        ),
        (
            "    attributes:",
            "    timeliness_class: S1_NTR\n    attributes:",
            12,
            "timeliness_class.default",
            "unknown timeliness class 'S1_NTR'; nearest: 'S1_NRT'",
        ),
        (
            "    attributes:",
            "    timeliness_class: {attribute: timelines, translate: {NR: S3_NRT}}\n    attributes:",
            12,
            "timeliness_class.attribute",
            "unknown attribute 'timelines'; nearest: 'timeliness'",
        ),
        (
            "    attributes:",
            "    timeliness_class:\n      attribute: timeliness\n      translate: {NR: S3}\n    attributes:",
            14,
            "timeliness_class.translate.NR",
            "unknown timeliness class 'S3'",
        ),
        (
            "    attributes:",
            "    retention: l1\n    attributes:",
            12,
            "retention",
            "unknown retention class 'l1'; nearest: 'l1-l2'",
        ),
        (
            "    attributes:",
            "    priority: high\n    attributes:",
            12,
            "priority",
            "input should be 'housekeeping' or 'normal'",
        ),
        ('"MINE_{number}"', 'X\n    prip_type: "{number:d}"', 6, "prip_type", "'{number:d}' is not a template"),
        ('"MINE_{number}"', "../MINE", 5, "product_type", "string should match pattern"),
        ('"MINE_{number}"', 'X\n    prip_type: "{numbr}"', 6, "prip_type", "unknown group 'numbr'; nearest: 'number'"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_with_file_row_line_and_column(
    tmp_path: Path, old: str, new: str, line: int, column: str, problem: str
) -> None:
    assert old in ROW
    text = told(tmp_path, ROW.replace(old, new, 1))
    assert f"mine.yaml, row 'my-type' (line {line}), column {column!r}: {problem}" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("types: [", "mine.yaml: is not YAML: line 1, column 9"),
        ("? [a, b]\n: c\n", "mine.yaml: is not YAML: line 1, column 3: a key must be one word"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML: line 1, column 4: could not determine a constructor"),
        ("- a\n", "mine.yaml: input should be a valid dictionary"),
        ("typs: []\n", "mine.yaml (line 1), column 'typs': unknown key 'typs'; nearest: 'types'"),
        ("types:\n  a: b\n", "mine.yaml (line 1), column 'types': input should be a valid list"),
        (
            "attributes:\n  foo: {type: Strng, about: x}\n",
            "mine.yaml, row 'foo' (line 2), column 'type': input should be 'String'",
        ),
        (
            "rules:\n  s1-base:\n    productTyp: {value: x}\n",
            "mine.yaml, row 's1-base' (line 3), column 'productTyp': unknown attribute 'productTyp'; nearest: 'product",
        ),
        (
            "timeliness_classes: {MINE: {about: x, from_t0_s: 0}}",
            "row 'MINE' (line 1), column 'from_t0_s': input should be greater than 0",
        ),
        ("retention_classes: {mine: {days: 1}}", "row 'mine' (line 1), column 'about': field required"),
        (ROW.replace("my-type", "My Type"), "row 'My Type' (line 2), column 'id': string should match pattern"),
        (ROW.replace("    level: L1\n", "    level: L1\n" * 2), "line 9, column 5: the key 'level' is written twice"),
        (ROW + ROW.partition("\n")[2], "row 'my-type' (line 15), column 'id': another row has the id 'my-type'"),
    ],
)
def test_what_is_no_table_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problem in told(tmp_path, text)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = told(tmp_path, ROW.replace("S1A_M", "%{nope}M").replace("manifest//", "other//"))
    assert text.count("row 'my-type'") >= 3
    assert "correct the table; nothing was started" in text


def test_a_pattern_that_breaks_packaged_rows_is_told_of_them(tmp_path: Path) -> None:
    text = told(tmp_path, "patterns: {s1-polarisation: '(('}\n")
    assert "missions/sentinel1/types.yaml, row 's1-l1' " in text
    assert "not a regular expression" in text


def test_tables_that_are_not_there_are_told(tmp_path: Path) -> None:
    for path, problem in ((tmp_path, "holds no *.yaml file"), (tmp_path / "none.yaml", "cannot be read")):
        with pytest.raises(ConfigurationError, match="see `type_tables`") as caught:
            load_types([path])
        assert str(caught.value).startswith(f"{path}: {problem}")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_types([tmp_path])
