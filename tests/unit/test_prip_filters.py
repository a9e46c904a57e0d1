"""`$filter` in the PRIP dialect: the two names of a product, the production type, dates as they are shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.filters import EVERYTHING, How, Or, Property, TextMatch, all_of
from refsys.core.products import ARCHIVE_SUFFIXES
from refsys.core.times import format_instant
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.prip.filters import parse
from refsys.distribution.prip.vocabulary import vocabulary
from refsys.missions import load_types
from tests.catalogue_rows import START, Row
from tests.plain_evaluator import matches

VOCABULARY = vocabulary(load_types().attributes)
GRD = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
NOTHING = Or(())

# names and texts of few letters, so that they meet at the suffix
suffixes = st.sampled_from(["", *ARCHIVE_SUFFIXES])
stems = st.text("Xz.ipt", min_size=1, max_size=4).filter(lambda text: not text.endswith(ARCHIVE_SUFFIXES))
pieces = st.text("Xz.ip", max_size=3) | st.sampled_from(["X.zip", ".zip", "zip", "X.z", "p.tar.gz", ".tar.", "gz", "X"])


def row_of(stem: str, suffix: str) -> Row:
    return Row(stem, package_name=stem + suffix)


@given(stem=stems, suffix=suffixes, piece=pieces, function=st.sampled_from(["contains", "startswith", "endswith"]))
@settings(max_examples=400, deadline=None)
def test_a_text_is_looked_for_in_the_product_and_in_the_file(stem: str, suffix: str, piece: str, function: str) -> None:
    holds = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[function]
    found = matches(parse(f"{function}(Name,'{piece}')", VOCABULARY), row_of(stem, suffix))
    assert found is (holds(stem, piece) or holds(stem + suffix, piece))


@given(stem=stems, suffix=suffixes, asked=stems, asked_suffix=suffixes)
@settings(max_examples=200, deadline=None)
def test_a_name_is_the_products_or_the_files(stem: str, suffix: str, asked: str, asked_suffix: str) -> None:
    text, row = asked + asked_suffix, row_of(stem, suffix)
    is_it = text in (stem, stem + suffix)
    for odata, expected in (
        (f"Name eq '{text}'", is_it),
        (f"Name ne '{text}'", not is_it),
        (f"Name in ('{text}')", is_it),
        (f"Name in ('Q','{text}.zip','{text}')", is_it or stem + suffix == f"{text}.zip"),
    ):
        assert matches(parse(odata, VOCABULARY), row) is expected, odata


def test_names_are_found_in_lower_case_too() -> None:
    row = row_of("S1A.SAFE", ".zip")
    for odata, expected in (
        ("contains(tolower(Name),'safe.z')", True), ("tolower(Name) eq 's1a.safe.zip'", True),
        ("tolower(Name) eq 's1a.safe'", True), ("tolower(Name) ne 's1a.safe.zip'", False),
        ("tolower(Name) in ('x','s1a.safe.zip')", True), ("endswith(tolower(Name),'.tar')", False),
    ):  # fmt: skip
        assert matches(parse(odata, VOCABULARY), row) is expected, odata


def test_names_are_walked_by_the_file() -> None:
    rows = [row_of(name, ".zip") for name in ("S1A.SAFE", "S1B.SAFE", "S1C.SAFE")]
    for op, expected in (("gt", [2]), ("ge", [1, 2]), ("lt", [0]), ("le", [0, 1])):
        for asked in ("S1B.SAFE.zip", "S1B.SAFE"):
            found = [n for n, row in enumerate(rows) if matches(parse(f"Name {op} '{asked}'", VOCABULARY), row)]
            assert found == expected, (op, asked)


@pytest.mark.parametrize(
    ("odata", "expected"),
    [
        ("ProductionType eq OData.CSC.ProductionType'systematic_production'", EVERYTHING),
        ("ProductionType eq 'systematic_production'", EVERYTHING),
        ("ProductionType eq OData.CSC.ProductionType'0'", EVERYTHING),
        ("ProductionType ne OData.CSC.ProductionType'systematic_production'", NOTHING),
        ("ProductionType eq 'on_demand_default'", NOTHING),
        ("ProductionType eq OData.CSC.ProductionType'on-demand default'", NOTHING),
        ("ProductionType ne 'on_demand_non_default'", EVERYTHING),
        ("OData.CSC.ProductionType'systematic_production' eq ProductionType", EVERYTHING),
        ("'on_demand_default' ne ProductionType", EVERYTHING),
        ("ProductionType in ('on_demand_default','systematic_production')", EVERYTHING),
        ("ProductionType in ('on_demand_default')", NOTHING),
        ("ProductionType eq null", NOTHING),
        ("ProductionType ne null", EVERYTHING),
    ],
)  # fmt: skip
def test_every_product_is_of_systematic_production(odata: str, expected: object) -> None:
    assert parse(odata, VOCABULARY) == expected
    name = TextMatch(How.STARTSWITH, Property("name"), "S1")
    both = parse(f"startswith(Name,'S1') and ({odata})", VOCABULARY)
    assert both == (name if expected == EVERYTHING else all_of(name, NOTHING))


@pytest.mark.parametrize(
    ("odata", "status", "position", "told"),
    [
        ("Name eq 'x' and ProductionType eq 'weekly'", 400, 35, "systematic_production"),
        ("ProductionType gt 'systematic_production'", 400, 16, "eq, ne or in"),
        ("ProductionType in ('systematic_production'", 400, 43, "',' or ')'"),
        ("ProductionType", 400, 15, "eq, ne or in"),
        ("contains(ProductionType,'x')", 400, 10, "a property"),
        ("ProductionType eq 'systematic_production' and Nmae eq 'x'", 400, 47, "did you mean Name?"),
        ("Collection/Name eq 'SENTINEL-1'", 400, 1, "a property"),
        ("contains(toupper(Name),'x')", 501, 10, "toupper"),
        ("year(PublicationDate) eq 2021", 501, 1, "year"),
        ("Attributes/OData.CSC.StringAttribute/all(att:att/Name eq 'x')", 501, 1, "/all"),
        ("OData.CSC.Within(area=geography'SRID=4326;POINT(1 1)')", 400, 1, "polygons without holes"),
        ("geo.distance(Footprint,geography'POINT(1 1)') lt 5", 501, 1, "geo.distance"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_told_with_its_position(odata: str, status: int, position: int, told: str) -> None:
    with pytest.raises(ODataError) as caught:
        parse(odata, VOCABULARY)
    assert caught.value.status == status
    assert f"at position {position}:" in caught.value.message
    assert told in caught.value.message


@given(st.text("'ProductionType eqnOData.CSC(),x0", max_size=40) | st.lists(st.sampled_from(
    ["ProductionType", "OData.CSC.ProductionType", "'systematic_production'", "'x'", "eq", "ne", "in", "(", ")", ",",
     "and", "not", "null", "Name", "true", "contains"]
), max_size=8).map(" ".join))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_filter_or_an_error_with_a_position(text: str) -> None:
    told = "position 1"
    try:
        parse(text, VOCABULARY)
    except ODataError as error:
        told = f"{error.status} {error.message}"
    assert re.search(r"^(400|501) \$filter, at position \d+|^position 1$", told)


def test_a_date_equals_what_is_shown_of_it_and_newer_means_newer() -> None:
    exact = START + timedelta(microseconds=123_456)
    shown, row = "2024-01-01T00:00:00.123Z", Row("X", published_at=exact)
    for odata, expected in (
        (f"PublicationDate eq {shown}", True),
        (f"PublicationDate ne {shown}", False),
        (f"PublicationDate in ({shown},2020-01-01)", True),
        (f"PublicationDate eq {format_instant(exact)}", False),
        (f"PublicationDate gt {shown}", True),  # who has seen it may see it again; nobody misses its neighbour
        (f"PublicationDate ge {shown}", True),
        (f"PublicationDate lt {shown}", False),
        ("PublicationDate eq 2024-01-01T00:00:00.124Z", False),
    ):
        assert matches(parse(odata, VOCABULARY), row) is expected, odata
    attribute = "Attributes/OData.CSC.DateTimeOffsetAttribute/any(att:att/Name eq 'processingDate' and att/Value {})"
    row = Row("X", attributes={"processingDate": format_instant(exact)})
    for test, expected in ((f"eq {shown}", True), (f"ne {shown}", False), ("ne 2024-01-01T00:00:00.122Z", True)):
        assert matches(parse(attribute.format(test), VOCABULARY), row) is expected, test


def test_what_is_never_evicted_is_evicted_later_than_any_date() -> None:
    row: Any = SimpleNamespace(evicted_at=None)
    for test, expected in (
        ("gt 2030-01-01", True), ("lt 2030-01-01", False), ("eq 9999-12-31T23:59:59.999Z", True),
        ("ne 9999-12-31T23:59:59.999Z", False), ("ne 2030-01-01", True), ("eq null", False), ("ne null", True),
    ):  # fmt: skip
        assert matches(parse(f"EvictionDate {test}", VOCABULARY), row) is expected, test
    row.evicted_at = datetime(2029, 1, 1, tzinfo=UTC)
    assert matches(parse("EvictionDate lt 2030-01-01", VOCABULARY), row)
    assert not matches(parse("EvictionDate gt 2030-01-01", VOCABULARY), row)


def test_attributes_have_the_names_of_the_prip() -> None:
    row = Row("X", attributes={"datatakeID": 7, "passNumber": 3})
    test = (
        "Attributes/OData.CSC.IntegerAttribute/any(att:att/Name eq '{}' and att/OData.CSC.IntegerAttribute/Value eq 7)"
    )
    assert matches(parse(test.format("missionDatatakeID"), VOCABULARY), row)
    assert matches(parse(test.format("datatakeID"), VOCABULARY), row)
    assert not matches(parse(test.format("orbitNumber"), VOCABULARY), row)
