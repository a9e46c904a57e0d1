"""What a product's metadata is taken for: values, problems, or a reason to park it. Nothing about it is guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refsys.catalogue.completeness import check
from refsys.core.errors import HostileInput, InvalidProduct
from tests.geometry import contains
from tests.memory import Case, refused, sentinel1


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return sentinel1(tmp_path_factory.mktemp("products"))


def test_a_sound_product_has_no_problems(sound: Case) -> None:
    description, members = sound.examine()
    assert description.problems == ()
    assert description.footprint_quality == ""
    assert check(members, sound.files(), "strict") == []


# -- what is missing or no metadata --


def test_a_product_without_its_manifest_is_invalid_and_told_what_came(sound: Case) -> None:
    told = refused(sound.without("manifest.safe"), InvalidProduct)
    assert "has no manifest.safe, which describes a s1-l1 product (8 files came)" in told
    assert "fetch it again" in told


def test_a_folder_is_no_manifest(sound: Case) -> None:
    told = refused(replace(sound.without("manifest.safe"), folders=("manifest.safe",)), InvalidProduct)
    assert "has no manifest.safe" in told


def test_a_manifest_in_another_folder_is_none(sound: Case) -> None:
    moved = sound.without("manifest.safe").holding("deep/manifest.safe", sound.contents["manifest.safe"])
    assert "has no manifest.safe" in refused(moved, InvalidProduct)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"<html><body>404 Not Found<br></body></html>", b"<a>\xff</a>"]
)
def test_a_manifest_that_is_no_xml_is_invalid_and_told_with_its_place(sound: Case, content: bytes) -> None:
    told = refused(sound.holding("manifest.safe", content), InvalidProduct)
    assert f"{sound.name}/manifest.safe: is not well-formed XML: line 1, column" in told


def test_a_cut_manifest_is_invalid(sound: Case) -> None:
    cut = sound.contents["manifest.safe"][:3000]
    assert "is not well-formed" in refused(replace(sound, contents={"manifest.safe": cut}), InvalidProduct)


@pytest.mark.parametrize(
    ("declaration", "told"),
    [
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "reads 'file:///etc/passwd'"),
        ('<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>', "3 entities"),
        ("<!DOCTYPE x>", "DOCTYPE"),
    ],
)
def test_a_manifest_that_declares_entities_is_hostile(sound: Case, declaration: str, told: str) -> None:
    assert told in refused(sound.edited(("<xfdu:XFDU", f"{declaration}<xfdu:XFDU")), HostileInput)


def test_xml_that_says_nothing_has_a_problem_for_each_thing_expected(sound: Case) -> None:
    description = replace(sound, contents={"manifest.safe": b"<a/>"}).describe()
    assert description.footprint is None
    assert description.sensing_start is not None, "the name says it"
    told = " ".join(description.problems)
    for missing in ("relativeOrbitNumber", "polarisationChannels", "operationalMode", "datatakeID", "its footprint"):
        assert f"{missing} is not given at manifest//" in told
    assert "beginningDateTime" not in told


def test_what_is_not_expected_may_be_absent(sound: Case) -> None:
    case = sound.edited(
        ("<safe:cycleNumber>331</safe:cycleNumber>", ""), ("<s1sarl1:sliceNumber>1</s1sarl1:sliceNumber>", "")
    )
    description = case.describe()
    assert description.problems == ()
    assert not {"cycleNumber", "sliceNumber"} & set(description.attributes)


def test_a_blank_value_counts_as_not_given(sound: Case) -> None:
    description = sound.edited(("<s1sarl1:mode>IW<", "<s1sarl1:mode> \n <")).describe()
    assert "operationalMode" not in description.attributes
    assert len(description.problems) == 1


# -- values --


CYCLE = ">331<"
SINCE_NODE = ">4.505112e+06<"
PROCESSED = 'start="2024-09-02T07:29:25.152800"'
SWATH = "<s1sarl1:swath>IW</s1sarl1:swath>"


@pytest.mark.parametrize(
    ("old", "new", "attribute", "problem"),
    [
        (
            CYCLE,
            ">many<",
            "cycleNumber",
            "at manifest//orbitReference/cycleNumber is 'many', which is no Integer; left",
        ),
        (CYCLE, ">3.5<", "cycleNumber", "is '3.5', which is no Integer; left out"),
        (CYCLE, f">{'9' * 19}<", "cycleNumber", "is '9999999999999999999', which is no Integer"),
        (CYCLE, f">{'9' * 5000}<", "cycleNumber", "has 5000 characters, more than 2000; left out"),
        (SINCE_NODE, ">NaN<", "startTimeFromAscendingNode", "is 'NaN', which is no Double"),
        (SINCE_NODE, ">1e999<", "startTimeFromAscendingNode", "is '1e999', which is no Double"),
        (SINCE_NODE, ">1_0.5<", "startTimeFromAscendingNode", "is '1_0.5', which is no Double"),
        (">true<", ">yes<", "sliceProductFlag", "is 'yes', which is no Boolean"),
        (PROCESSED, 'start="last week"', "processingDate", "is 'last week', which is no DateTimeOffset"),
        (PROCESSED, 'start="2024-02-30"', "processingDate", "is '2024-02-30', which is no DateTimeOffset"),
        (PROCESSED, 'start="0001-01-01T00:00:00+14:00"', "processingDate", "which is no DateTimeOffset"),
        ("refsys samples", "x" * 2001, "processorName", "has 2001 characters, more than 2000; left out"),
        (SWATH, "".join(SWATH.replace("IW", f"{i}") for i in range(1000)), "swathIdentifier", "has 2890 characters"),
    ],
    ids=lambda value: value[:24],
)
def test_a_value_of_the_wrong_type_is_left_out_and_told_and_the_product_kept(
    sound: Case, old: str, new: str, attribute: str, problem: str
) -> None:
    description = sound.edited((old, new)).describe()
    assert attribute in sound.describe().attributes
    assert attribute not in description.attributes
    assert len(description.problems) == 1
    assert problem in description.problems[0]
    assert description.footprint == sound.describe().footprint


@pytest.mark.parametrize(
    ("old", "new", "attribute", "value"),
    [
        (CYCLE, "> +00331\n<", "cycleNumber", 331),
        (SINCE_NODE, ">.5<", "startTimeFromAscendingNode", 0.5),
        (">true<", ">FALSE<", "sliceProductFlag", False),
        (">ASCENDING<", "><!-- up -->ascending<", "orbitDirection", "ASCENDING"),
        (PROCESSED, 'start="2024-09-02T09:29:25.5+02:00"', "processingDate", "2024-09-02T07:29:25.500000Z"),
        (PROCESSED, 'start="20240902T072925"', "processingDate", "2024-09-02T07:29:25.000000Z"),
        (PROCESSED, 'start="UTC=2024-09-02T07:29:25"', "processingDate", "2024-09-02T07:29:25.000000Z"),
        ('site="Simulation"', 'site="Tromsø &amp; &lt;Kiruna&gt;"', "processingCenter", "Tromsø & <Kiruna>"),
        (SWATH, f"{SWATH}{SWATH.replace('IW', 'IW2')}{SWATH}", "swathIdentifier", ["IW", "IW2"]),
    ],
    ids=lambda value: str(value)[:24],
)
def test_values_are_read_as_the_formats_write_them(
    sound: Case, old: str, new: str, attribute: str, value: object
) -> None:
    description = sound.edited((old, new)).describe()
    assert description.attributes[attribute] == value
    assert description.problems == ()


# -- the name --

START = "<safe:startTime>2024-09-02T05:00:00.153776"


@pytest.mark.parametrize(
    ("old", "new", "metadata", "name"),
    [
        (START, "<safe:startTime>2024-09-02T04:59:58", "2024-09-02T04:59:58.000000Z", "2024-09-02T05:00:00.000000Z"),
        ('orbitNumber type="start">55481', 'orbitNumber type="start">55656', "55656", "55481"),
        ("<safe:number>A", "<safe:number>B", "'B'", "'A'"),
        ("<s1sarl1:productClass>S", "<s1sarl1:productClass>A", "'A'", "'S'"),
        ("<s1sarl1:productClass>S", f"<s1sarl1:productClass>{'A' * 200}", f"'{'A' * 37}...'", "'S'"),
    ],
    ids=lambda value: value[:24],
)
def test_metadata_that_contradicts_the_name_is_a_problem_and_the_metadata_counts(
    sound: Case, old: str, new: str, metadata: str, name: str
) -> None:
    [problem] = sound.edited((old, new)).describe().problems
    assert problem.partition(" is ")[2] == f"{metadata} in the metadata but {name} in the name"


@pytest.mark.parametrize("second", ["04:59:59.600000", "05:00:00.999999", "05:00:01.400000"])
def test_the_second_of_the_name_may_be_rounded_or_cut(sound: Case, second: str) -> None:
    assert sound.edited((START, f"<safe:startTime>2024-09-02T{second}")).describe().problems == ()


def test_a_product_that_stops_before_it_starts_has_a_problem(sound: Case) -> None:
    stop = "<safe:stopTime>2024-09-02T05:00:25.152800"
    problems = sound.edited((stop, "<safe:stopTime>2024-09-02T04:00:25")).describe().problems
    assert "it stops (2024-09-02T04:00:25.000000Z) before it starts (2024-09-02T05:00:00.153776Z)" in problems


def test_a_relative_orbit_that_does_not_belong_to_the_absolute_one_is_flagged(sound: Case) -> None:
    description = sound.edited(
        ('relativeOrbitNumber type="start">109', 'relativeOrbitNumber type="start">110')
    ).describe()
    assert description.problems == ("relativeOrbitNumber is 110, but orbit 55481 of satellite A has 109",)
    assert description.attributes["relativeOrbitNumber"] == 110


# -- footprints --

FOOTPRINT = "-77.341444,-99.606362 -75.246102,-95.951008 -75.721462,-90.076603 -77.895920,-92.884617"


@pytest.mark.parametrize(
    ("points", "count"),
    [("-77,-99 -75,-95 -75,-90", 3), ("-77,-99", 1), ("1,1 2,2 3,3 4,4 5,5", 5), ("1,1 1,2 2,2 2,1 1,1 1,1", 6)],
)
def test_a_footprint_of_three_points_is_invalid(sound: Case, points: str, count: int) -> None:
    told = refused(sound.edited((FOOTPRINT, points)), InvalidProduct)
    assert f"its footprint (manifest//footPrint/coordinates) has {count} points where 4, or 5 with the first" in told
    assert "ask for a correct one" in told


def test_a_footprint_that_crosses_itself_is_repaired_and_said(sound: Case) -> None:
    description = sound.edited((FOOTPRINT, "0,0 2,2 2,0 0,2")).describe()
    assert description.footprint_quality == "the ring crosses itself; repaired"
    assert contains(description.footprint, (1.0, 0.5))
    assert contains(description.footprint, (1.0, 1.5))
    assert description.problems == ()


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ("one,two 2,2 2,0 0,2", "has 'one' where a number is required; left out"),
        ("91,0 2,2 2,0 0,2", "has the position longitude 0.0, latitude 91.0, which is not on Earth; left out"),
        ("0,0 2,2 2,0 0", "has 7 numbers where pairs of latitude and longitude are required; left out"),
        ("nan,0 2,2 2,0 0,2", "has 'nan' where a number is required; left out"),
    ],
)
def test_a_footprint_that_is_no_list_of_positions_is_left_out_and_told(sound: Case, points: str, problem: str) -> None:
    description = sound.edited((FOOTPRINT, points)).describe()
    assert description.footprint is None
    assert description.problems == (f"its footprint (manifest//footPrint/coordinates) {problem}",)


def test_a_footprint_without_area_is_a_line_or_point_and_said(sound: Case) -> None:
    description = sound.edited((FOOTPRINT, "1,2 1,2 1,2 1,2")).describe()
    assert description.footprint == {"type": "Point", "coordinates": [2.0, 1.0]}
    assert "no area" in description.footprint_quality


# -- other formats --

ORBIT = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"
ORBIT_FILE = """<?xml version="1.0"?><Earth_Explorer_File><Earth_Explorer_Header><Fixed_Header>
<Mission>Sentinel-1A</Mission><File_Class>OPER</File_Class><File_Type>AUX_RESORB</File_Type>
<Validity_Period><Validity_Start>UTC=2017-12-13T10:27:37</Validity_Start>
<Validity_Stop>UTC=2017-12-13T13:45:07</Validity_Stop></Validity_Period></Fixed_Header></Earth_Explorer_Header>
<Data_Block><List_of_OSVs><OSV><UTC>UTC=2017-12-13T10:27:37.593331</UTC><Absolute_Orbit>+19682</Absolute_Orbit></OSV>
<OSV><UTC>UTC=2017-12-13T10:27:47.593331</UTC><Absolute_Orbit>+19683</Absolute_Orbit></OSV></List_of_OSVs>
</Data_Block></Earth_Explorer_File>"""


def test_a_product_that_is_one_file_is_its_own_metadata() -> None:
    description, members = Case(ORBIT, {"": ORBIT_FILE.encode()}).examine()
    assert description.attributes["selectedOrbitNumber"] == 19683
    assert description.attributes["platformSerialIdentifier"] == "A"
    assert description.problems == ()
    assert members == []


def test_a_single_file_that_is_no_xml_is_invalid() -> None:
    assert "is not well-formed" in refused(Case(ORBIT, {"": b"<Earth_Explorer_File>"}), InvalidProduct)


def test_a_validity_without_end_is_for_ever() -> None:
    name = "S1A_OPER_MPL_ORBSCT_20140507T150704_99999999T999999_0020.EOF"
    for stop in ("UTC=9999-99-99T99:99:99", "UTC=9999-12-31T00:00:00", ""):
        text = ORBIT_FILE.replace("UTC=2017-12-13T10:27:37<", "UTC=2014-05-07T15:07:04<").replace(
            "AUX_RESORB", "MPL_ORBSCT"
        )
        description = Case(name, {"": text.replace("UTC=2017-12-13T13:45:07", stop).encode()}).describe()
        assert description.attributes["endingDateTime"] == "9999-12-31T23:59:59.999999Z"
        assert description.problems == ()


OLCI = "S3A_OL_1_EFR____20211021T073827_20211021T074112_20211021T091357_0164_077_334_4320_LN1_O_NR_002.SEN3"
OLCI_MANIFEST = """<xfdu xmlns:s="urn:s"><s:acquisitionPeriod><s:startTime>2021-10-21T07:38:27.254946Z</s:startTime>
<s:stopTime>2021-10-21T07:41:12.194233Z</s:stopTime></s:acquisitionPeriod>
<s:platform><s:familyName>Sentinel-3</s:familyName><s:number>A</s:number></s:platform>
<g:generalProductInformation xmlns:g="urn:g"><g:timeliness>NR</g:timeliness></g:generalProductInformation>
<s:frameSet><s:footPrint><posList>{}</posList></s:footPrint></s:frameSet></xfdu>"""


def olci(positions: str) -> Case:
    return Case(OLCI, {"xfdumanifest.xml": OLCI_MANIFEST.format(positions).encode()})


def test_a_ring_round_a_pole_holds_the_pole() -> None:
    description = olci("80 0 82 90 80 180 81 -90 80 0").describe()
    assert description.problems == ()
    assert contains(description.footprint, (123.0, 90.0))
    assert not contains(description.footprint, (123.0, 79.0))


def test_a_ring_across_the_antimeridian_is_split_there() -> None:
    footprint = olci("10 178 10 -178 12 -178 12 178 10 178").describe().footprint
    assert footprint["type"] == "MultiPolygon"
    assert contains(footprint, (180.0, 11.0))
    assert not contains(footprint, (0.0, 11.0))


@pytest.mark.parametrize("positions", ["10 20 10 22 12 22", "10 20"])
def test_a_sentinel_3_ring_of_three_points_is_invalid(positions: str) -> None:
    assert "where a closed ring of at least 4 is required" in refused(olci(positions), InvalidProduct)


def test_a_bad_second_source_is_asked_only_where_the_first_says_nothing() -> None:
    name = "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"
    product = "<a><Product_Info><PRODUCT_START_TIME>2021-09-08T04:27:01.024Z</PRODUCT_START_TIME></Product_Info>{}</a>"
    manifest = "<m><footPrint><coordinates>{}</coordinates></footPrint></m>"
    good, bad = "28 93 27 93 27 92 28 92 28 93", "28 93 27 x 27 92 28 92 28 93"
    ring = "<Global_Footprint><EXT_POS_LIST>{}</EXT_POS_LIST></Global_Footprint>"

    def footprint(first: str, second: str) -> tuple[bool, bool]:
        contents = {"MTD_MSIL1C.xml": product.format(first).encode(), "manifest.safe": manifest.format(second).encode()}
        description = Case(name, contents).describe()
        return description.footprint is not None, any("footprint" in told for told in description.problems)

    assert footprint(ring.format(good), bad) == (True, False)
    assert footprint("", good) == (True, False)
    assert footprint(ring.format(bad), good) == (True, True)
    assert footprint("", "") == (False, True)
