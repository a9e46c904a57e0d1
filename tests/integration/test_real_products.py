"""Every real product is described as people read it from its metadata, or is told as unknown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import shapely

from refsys.catalogue.completeness import check
from refsys.catalogue.extract import ManifestMember, examine_files
from refsys.core.errors import InvalidProduct, UnknownProduct
from refsys.core.footprints import area_sr, bbox
from refsys.core.products import Description, FileEntry
from refsys.core.times import format_instant, parse_instant
from refsys.missions import COLLECTIONS, load_types
from tests.geometry import EARTH_RADIUS_KM, Point, assert_sound, contains, inside_by_crossings, on_globe
from tests.real_products import PRODUCTS, UNKNOWN, offers

TYPES = load_types()

#: Speed of every Sentinel over the ground.
GROUND_SPEED_KM_S = 6.75

Examine = Callable[[str], tuple[Description, list[ManifestMember], list[FileEntry]]]


@pytest.fixture(scope="module")
def examine(shared_data: Path) -> Examine:
    """A product's description, the members of its manifest and its files."""
    paths = {path.name: path for path in offers(shared_data)}

    @cache
    def examined(name: str) -> tuple[Description, list[ManifestMember], list[FileEntry]]:
        path = paths[name]
        members = [path] if path.is_file() else sorted(path.rglob("*"))
        files = [
            FileEntry(
                member.relative_to(path.parent).as_posix(),
                0 if member.is_dir() else member.stat().st_size,
                is_folder=member.is_dir(),
            )
            for member in members
        ]
        read = {member.relative_to(path.parent).as_posix(): member for member in members}
        return *examine_files(
            TYPES.recognise(name), lambda member, most=None: read[member].read_bytes()[:most], files
        ), files

    return examined


def named(piece: str) -> str:
    """The one product whose name has a piece."""
    [name] = (name for name in PRODUCTS if piece in name)
    return name


def test_every_real_product_has_a_row_of_expectations(shared_data: Path) -> None:
    assert {path.name for path in offers(shared_data)} == set(PRODUCTS) | UNKNOWN


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_what_no_table_knows_is_unknown(name: str) -> None:
    with pytest.raises(UnknownProduct, match="no product type has such a name"):
        TYPES.recognise(name)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_real_product_is_described_as_people_read_it(name: str, examine: Examine) -> None:
    expected = PRODUCTS[name]
    recognised = TYPES.recognise(name)
    description, _, _ = examine(name)
    assert recognised.type.id == expected.kind
    platform = name[2].strip("_") if name[0] == "S" else ""
    assert recognised.platform == platform
    assert format_instant(description.sensing_start) == expected.start
    assert format_instant(description.sensing_stop) == expected.stop
    attributes = description.attributes
    assert {key: attributes.get(key) for key in expected.attributes} == expected.attributes
    assert attributes["productType"] == recognised.product_type
    assert attributes.get("platformShortName", "") == COLLECTIONS.get(recognised.mission, "")
    assert attributes.get("platformSerialIdentifier", "") == recognised.platform
    assert (attributes["beginningDateTime"], attributes["endingDateTime"]) == (expected.start, expected.stop)
    assert len(description.problems) == len(expected.problems), description.problems
    for problem, beginning in zip(description.problems, expected.problems, strict=True):
        assert problem.startswith(beginning)


@pytest.mark.parametrize("name", PRODUCTS)
def test_attributes_have_the_types_that_the_table_says(name: str, examine: Examine) -> None:
    types = {"String": str, "Integer": int, "Double": float, "Boolean": bool, "DateTimeOffset": str}
    for key, value in examine(name)[0].attributes.items():
        definition = TYPES.attributes[key]
        for item in value if definition.many else [value]:
            assert type(item) is types[definition.type], f"{key} is {item!r}"
        if definition.type == "DateTimeOffset":
            assert format_instant(parse_instant(value)) == value


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_footprint_lies_where_the_manifest_says(name: str, examine: Examine) -> None:
    expected, footprint = PRODUCTS[name], examine(name)[0].footprint
    if expected.geometry is None:
        assert footprint is None
        return
    assert footprint["type"] == expected.geometry
    assert bbox(footprint) == pytest.approx(expected.bbox, abs=1e-6)
    if footprint["type"] != "LineString":
        assert_sound(footprint)
    assert examine(name)[0].footprint_quality == ""


@pytest.mark.parametrize("name", [name for name, expected in PRODUCTS.items() if expected.swath_km])
def test_the_footprint_is_as_large_as_the_swath_and_the_time_make_it(name: str, examine: Examine) -> None:
    description = examine(name)[0]
    seconds = (description.sensing_stop - description.sensing_start).total_seconds()
    area_km2 = area_sr(description.footprint) * EARTH_RADIUS_KM**2
    assert area_km2 == pytest.approx(PRODUCTS[name].swath_km * GROUND_SPEED_KM_S * seconds, rel=0.15)


@pytest.mark.parametrize("name", [name for name in PRODUCTS if re.match(r"S1[A-Z]_.._(RAW|SLC|GRD|OCN)", name)])
def test_a_sentinel_1_footprint_lies_under_the_satellite(name: str, examine: Examine) -> None:
    """The latitude of a circular orbit at the time since its ascending node; the radar looks 5 degrees to the side."""
    attributes = examine(name)[0].attributes
    _, south, _, north = bbox(examine(name)[0].footprint)
    for key, edges in (
        ("startTimeFromAscendingNode", (south, north)),
        ("completionTimeFromAscendingNode", (south, north)),
    ):
        turn = 2 * math.pi * attributes[key] / 1000 / 5924
        latitude = math.degrees(math.asin(math.sin(math.radians(98.18)) * math.sin(turn)))
        assert min(abs(latitude - edge) for edge in edges) < 5.5


#: A position that each polar or long Sentinel-3 product certainly does not see.
FAR_FROM = {
    "S3A_OL_1_EFR____2021": (160.0, 0.0),
    "S3A_OL_2_WFR": (0.0, -50.0),
    "S3A_SL_1_RBT": (180.0, 0.0),
    "S3A_SY_2_SYN": (0.0, -40.0),
    "S3B_OL_1_EFR____2004": (100.0, 40.0),
    "S3B_OL_2_LRR": (60.0, 0.0),
    "S3B_SL_2_WST": (100.0, 0.0),
}


@pytest.mark.parametrize("piece", FAR_FROM)
def test_a_sentinel_3_footprint_holds_what_its_ring_goes_round(piece: str, examine: Examine, shared_data: Path) -> None:
    name = named(piece)
    footprint = examine(name)[0].footprint
    manifest = (shared_data / "sentinel-3" / name / "xfdumanifest.xml").read_text("utf-8")
    numbers = [float(word) for word in re.search(r"posList[^>]*>([^<]*)<", manifest)[1].split()]
    ring = list(zip(numbers[1::2], numbers[::2], strict=True))[:-1]
    _, south, _, north = PRODUCTS[name].bbox
    count = 20_000 if north - south < 20 else 4_000
    positions = [(lon, lat) for lon, lat in on_globe(count) if south - 3 < lat < north + 3]
    inside = inside_by_crossings(ring, FAR_FROM[piece], positions)
    assert sum(inside) > 50
    differ = [at for at, told in zip(positions, inside, strict=True) if contains(footprint, at) != told]
    if piece == "S3B_SL_2_WST":
        # the end of a whole orbit lies over its start: what was seen twice, crossings leave out
        assert 3 < len(differ) < 15
        assert all(contains(footprint, (lon, lat)) and -45 < lon < -19 and lat < -72 for lon, lat in differ)
    else:
        assert differ == []


@pytest.mark.parametrize(
    ("piece", "position", "is_there"),
    [
        ("T01WCP", (180.0, 66.0), True),
        ("T01WCP", (-180.0, 66.0), True),
        ("T01WCP", (179.0, 66.2), True),
        ("T01WCP", (-179.2, 66.2), True),
        ("T01WCP", (178.0, 66.2), False),
        ("T01WCP", (-178.5, 66.2), False),
        ("T01WCP", (0.0, 66.2), False),
        ("T01CCV", (177.3, -72.3), True),
        ("T01CCV", (178.3, -72.9), False),
        ("T01CCV", (-177.3, -72.3), False),
        ("S3A_OL_2_WFR", (0.0, 90.0), True),
        ("S3A_OL_2_WFR", (-150.0, 85.0), True),
        ("S3A_OL_2_WFR", (30.0, 85.0), False),
        ("S3A_SY_2_SYN", (180.0, 78.0), True),
        ("S3A_SY_2_SYN", (-180.0, 78.0), True),
        ("S3A_SY_2_SYN", (0.0, 78.0), False),
        ("S3B_OL_2_LRR", (0.0, 90.0), True),
        ("S3B_OL_2_LRR", (180.0, 40.0), True),
        ("S3B_SL_2_WST", (0.0, 90.0), True),
        ("S3B_SL_2_WST", (0.0, -90.0), False),
        ("S3A_OL_1_EFR____2021", (-20.0, -78.0), True),
        ("S3A_OL_1_EFR____2021", (0.0, -90.0), False),
    ],
)
def test_a_known_position_is_in_the_footprint_or_not(
    piece: str, position: Point, is_there: bool, examine: Examine
) -> None:
    assert contains(examine(named(piece))[0].footprint, position) is is_there


def test_a_whole_tile_across_the_antimeridian_has_the_area_of_a_tile(examine: Examine) -> None:
    footprint = examine(named("T01WCP"))[0].footprint
    assert area_sr(footprint) * EARTH_RADIUS_KM**2 == pytest.approx(109.8**2, rel=0.02)
    assert shapely.geometry.shape(footprint).bounds[::2] == (-180, 180)


@pytest.mark.parametrize("name", [name for name in PRODUCTS if "WV_SLC" in name or "WV_OCN" in name])
def test_every_vignette_of_wave_mode_is_in_the_footprint(name: str, examine: Examine, shared_data: Path) -> None:
    manifest = (shared_data / "sentinel-1" / name / "manifest.safe").read_text("utf-8")
    vignettes = re.findall(r"<gml:coordinates>([^<]*)<", manifest)
    assert len(vignettes) > 30
    shape = shapely.geometry.shape(examine(name)[0].footprint)
    for text in vignettes:
        corners = [tuple(map(float, pair.split(",")))[::-1] for pair in text.split()]
        assert shape.buffer(1e-6).covers(shapely.Polygon(corners))


def test_the_golden_ring_of_a_real_product_is_kept_point_by_point(examine: Examine) -> None:
    [ring] = examine(named("C0B5"))[0].footprint["coordinates"]
    golden = [[48.64994, 10.625828], [48.27924, 12.378114], [50.603844, 12.829241], [50.958828, 11.081389]]
    start = ring.index(golden[0])
    forward = [ring[:-1][(start + i) % 4] for i in range(4)]
    assert golden in (forward, [forward[0], *forward[:0:-1]])


#: what the publishers left out or shortened; the rest is as the manifest says
LACKING = {
    "S1A_IW_GRDH_1SDV_20210809T173953": ["3 of the 11 files", "2 of the 11 files"],
    "S1C_S4_GRDH_1SDH": ["2 of the 13 files"],
    "S1A_IW_RAW__0SDV_20171213T121623": ["6 of the 6 files"],
    "S2A_OPER_MSI_L0__GR": ["14 of the 14 files"],
    "S3A_OL_1_EFR____2021": ["29 of the 29 files"],
    "S3A_AX___BA__AX": [],
    "S1A_AUX_CAL": ["1 of the 1 files"],
    "S1A_OPER_AUX_RESORB": [],
}


@pytest.mark.parametrize("piece", LACKING)
def test_what_the_real_products_lack_is_recorded_or_refused(piece: str, examine: Examine) -> None:
    _, members, files = examine(named(piece))
    recorded = check(members, files, "record")
    assert [sentence[: len(start)] for sentence, start in zip(recorded, LACKING[piece], strict=True)] == LACKING[piece]
    if recorded:
        with pytest.raises(InvalidProduct, match="completeness to 'record'") as caught:
            check(members, files, "strict")
        assert caught.value.subject == named(piece)
    else:
        assert check(members, files, "strict") == []
