"""Filters in CQL2: what they mean, in both spellings."""

import json

import cql2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from refsys.core.times import parse_instant
from refsys.distribution.cql2 import InvalidCql2, parse_json, parse_text, print_json, print_text
from tests import cql2_documents as documents
from tests.catalogue_rows import Row
from tests.cql2_documents import MADE, VOCABULARY
from tests.plain_evaluator import matches

#: A number that the other reader takes for its neighbour.
NO_DOUBLE = str(2**53 + 1)
QUICK = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(documents.documents, st.lists(documents.rows, min_size=1, max_size=6))
def test_a_filter_finds_what_cql2_says_is_true(document, rows):
    expression = parse_json(document, VOCABULARY)
    for row in rows:
        assert matches(expression, row) is (documents.says(document, row) is True)


@QUICK
@given(documents.documents)
def test_what_is_printed_is_read_back_the_same(document):
    expression = parse_json(document, VOCABULARY)
    assert parse_text(print_text(expression, VOCABULARY), VOCABULARY) == expression
    assert parse_json(print_json(expression, VOCABULARY), VOCABULARY) == expression


def plain(node):
    """A document with times that are compared as times."""
    match node:
        case {"timestamp": text}:
            return parse_instant(text)
        case dict():
            return {key: plain(value) for key, value in node.items()}
        case list():
            return [plain(member) for member in node]
        case _:
            return node


@QUICK
@given(documents.documents)
def test_another_reader_of_cql2_takes_our_text_for_our_json(document):
    expression = parse_json(document, VOCABULARY)
    text, found = print_text(expression, VOCABULARY), print_json(expression, VOCABULARY)
    assume(NO_DOUBLE not in text and "()" not in text)
    assert plain(cql2.parse_text(text).to_json()) == plain(found)


@QUICK
@given(documents.documents)
def test_what_another_writer_of_cql2_makes_is_read(document):
    text = json.dumps(document)
    # it writes DIV like a function, and lists without members not at all
    assume('"div"' not in text and "[]" not in text and NO_DOUBLE not in text)
    assert parse_text(cql2.parse_json(text).to_text(), VOCABULARY) == parse_json(document, VOCABULARY)


def find(text, rows, vocabulary=MADE):
    """The names of the rows that a text finds."""
    expression = parse_text(text, vocabulary)
    return {row.name for row in rows if matches(expression, row)}


ROWS = [
    Row("A", mission="S1", platform="A", attributes={"instrument": "SAR", "beams": ["IW1", "IW2"], "cloudCover": 5}),
    Row("B", mission="S1", platform="B", attributes={"instrument": "SAR", "beams": ["IW3"], "timeliness": "NRT-3h"}),
    Row("C", mission="S2", platform="A", attributes={"tileId": "32TMM", "cloudCover": 50.5, "orbitNumber": 0}),
    Row("D", mission="S3", platform="A", attributes={"instrument": "SYNERGY", "timeliness": "ÉTÉ"}, sensing_stop=None),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # what is missing is neither so nor not so
        ("eo:cloud_cover < 10", "A"),
        ("NOT eo:cloud_cover < 10", "C"),
        ("eo:cloud_cover <> 5", "C"),
        ("eo:cloud_cover IS NULL", "BD"),
        ("eo:cloud_cover IS NOT NULL", "AC"),
        ("(eo:cloud_cover < 10) IS NULL", "BD"),
        ("NOT ((eo:cloud_cover < 10) IS NULL)", "AC"),
        ("eo:cloud_cover < 10 OR NOT eo:cloud_cover < 10", "AC"),
        ("NOT product:timeliness LIKE 'X%'", "BD"),
        ("eo:cloud_cover NOT IN (5, 6)", "C"),
        ("eo:cloud_cover NOT BETWEEN 1 AND 6", "C"),
        # either side first, constants alone, tests compared with what is true
        ("10 > eo:cloud_cover", "A"),
        ("5 BETWEEN 1 AND eo:cloud_cover", "AC"),
        ("1 < 2 AND 'a' LIKE '_'", "ABCD"),
        ("1 > 2", ""),
        ("TRUE", "ABCD"),
        ("FALSE", ""),
        ("(eo:cloud_cover < 10) = FALSE", "C"),
        ("TRUE <> (eo:cloud_cover < 10)", "C"),
        ("NULL_NAME IS NULL OR TRUE", None),
        # arithmetic, with its order and no failure
        ("eo:cloud_cover + 1 * 2 = 7", "A"),
        ("(eo:cloud_cover + 1) * 2 = 12", "A"),
        ("eo:cloud_cover ^ 2 = 25", "A"),
        ("2 ^ 3 ^ 2 = 512 AND eo:cloud_cover > 0", "AC"),
        ("10 - 3 - 2 = eo:cloud_cover", "A"),
        ("eo:cloud_cover / sat:absolute_orbit > 0", ""),
        ("NOT eo:cloud_cover / sat:absolute_orbit > 0", ""),
        ("(eo:cloud_cover / sat:absolute_orbit) IS NULL", "ABCD"),
        ("7 DIV 2 = 3 AND -7 % 4 = -3 AND eo:cloud_cover > 9", "C"),
        ("-eo:cloud_cover = -5", "A"),
        ("+eo:cloud_cover = +5", "A"),
        ("eo:cloud_cover > sat:absolute_orbit", "C"),
        # texts
        ("CASEI(product:timeliness) = CASEI('nrt-3H')", "B"),
        ("ACCENTI(CASEI(product:timeliness)) = 'ete'", "D"),
        ("CASEI(product:timeliness) LIKE CASEI('NRT%')", "B"),
        ("id LIKE '_'", "ABCD"),
        ("id LIKE '\\_'", ""),
        ("CASEI(product:timeliness) IN (CASEI('NRT-3H'), casei('été'))", "BD"),
        ('id = "id"', "ABCD"),
        # values that the catalogue has in other words
        ("platform = 'sentinel-1a'", "A"),
        ("platform LIKE 'sentinel-1%'", "AB"),
        ("platform <> 'sentinel-1a'", "BC"),
        ("platform IN ('sentinel-2a', 'x')", "C"),
        ("platform IS NULL", "D"),
        ("platform > 'sentinel-1a'", "BC"),
        ("CASEI(platform) = CASEI('Sentinel-2A')", "C"),
        ("NOT platform IS NULL", "ABC"),
        ("grid:code = 'MGRS-32TMM'", "C"),
        ("grid:code <> 'MGRS-32TMM'", ""),
        ("grid:code <> 'MGRS-33TMM'", "C"),
        ("grid:code IN ('MGRS-1', 'MGRS-32TMM')", "C"),
        ("grid:code IS NULL", "ABD"),
        # lists
        ("A_CONTAINS(instruments, ('olci'))", "D"),
        ("a_containedBy(instruments, ['sar', 'msi'])", "AB"),
        ("A_EQUALS(instruments, ('slstr', 'olci'))", "D"),
        ("A_OVERLAPS(('sar', 'olci'), instruments)", "ABD"),
        ("NOT A_CONTAINS(instruments, ('olci'))", "AB"),
        ("A_CONTAINS(sar:beams, ('iw1', 'iw2'))", "A"),
        ("A_CONTAINEDBY(sar:beams, ('iw3'))", "B"),
        ("A_OVERLAPS(sar:beams, ())", ""),
        ("NOT A_OVERLAPS(sar:beams, ())", "AB"),
        # times
        ("start_datetime = '2024-01-01'", "ABCD"),
        ("start_datetime = DATE('2024-01-01')", "ABCD"),
        ("start_datetime < TIMESTAMP('2024-01-01T00:00:00.000001Z')", "ABCD"),
        ("T_DURING(end_datetime, INTERVAL('2024-01-01', '2024-01-01'))", "ABC"),
        ("T_INTERSECTS(INTERVAL(start_datetime, end_datetime), DATE('2024-01-01'))", "ABC"),
        ("T_DISJOINT(INTERVAL(start_datetime, end_datetime), INTERVAL('..', '2023-12-31'))", "ABCD"),
        ("T_AFTER(end_datetime, '2024-01-01T00:00:24Z')", "ABC"),
        ("T_BEFORE(end_datetime, INTERVAL('2025-01-01', '..'))", "ABC"),
        ("T_INTERSECTS(end_datetime, INTERVAL('..', '..'))", "ABC"),
        ('"start_datetime" IS NOT NULL AND properties.eo:cloud_cover = 5', "A"),
    ],
)
def test_means(text, found):
    if found is None:
        with pytest.raises(InvalidCql2):
            parse_text(text, MADE)
    else:
        assert find(text, ROWS) == set(found)


SQUARE = "POLYGON((0 0,10 0,10 10,0 10,0 0))"
IN, PART, OUT, NONE = (
    Row("IN", footprint={"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 1]]]}),
    Row("PART", footprint={"type": "Polygon", "coordinates": [[[9, 9], [19, 9], [19, 19], [9, 9]]]}),
    Row("OUT", footprint={"type": "Polygon", "coordinates": [[[175, 9], [176, 9], [176, 19], [175, 9]]]}),
    Row("NONE"),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"S_INTERSECTS(geometry, {SQUARE})", {"IN", "PART"}),
        (f"S_INTERSECTS({SQUARE}, geometry)", {"IN", "PART"}),
        (f"s_disjoint(geometry,{SQUARE})", {"OUT"}),
        (f"NOT S_INTERSECTS(geometry,{SQUARE})", {"OUT"}),
        (f"S_WITHIN(geometry, {SQUARE})", {"IN"}),
        (f"S_CONTAINS({SQUARE}, geometry)", {"IN"}),
        (f"NOT S_WITHIN(geometry, {SQUARE})", {"PART", "OUT"}),
        ("S_CONTAINS(geometry, POINT(12 10))", {"PART"}),
        ("S_CONTAINS(geometry, MULTIPOINT((12 10),(1.5 1.2)))", set()),
        ("S_WITHIN(POINT Z(1.5 1.2 5), geometry)", {"IN"}),
        ("S_INTERSECTS(geometry, BBOX(0, 0, 10, 10))", {"IN", "PART"}),
        ("S_INTERSECTS(geometry, BBOX(170, 0, -100, -170, 20, 100))", {"OUT"}),
        ("S_INTERSECTS(geometry, GEOMETRYCOLLECTION(POINT(1.5 1.2), LINESTRING(175 9, 176 9)))", {"IN", "OUT"}),
        ("geometry IS NULL", {"NONE"}),
        ("S_INTERSECTS(geometry, geometry)", {"IN", "PART", "OUT"}),
        (f"S_INTERSECTS({SQUARE}, POINT(5 5))", {"IN", "PART", "OUT", "NONE"}),
        (f"S_WITHIN({SQUARE}, POINT(5 5))", set()),
    ],
)
def test_asks_for_areas(text, found):
    assert find(text, [IN, PART, OUT, NONE]) == found


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"op": "isNull", "args": {"property": "id"}}, "id IS NULL"),
        ({"op": "ISNULL", "args": [{"property": "id"}]}, "id IS NULL"),
        ({"op": "between", "args": [{"property": "file:size"}, [1, 2]]}, "file:size BETWEEN 1 AND 2"),
        ({"op": "=", "args": [{"casei": {"property": "id"}}, {"casei": "X"}]}, "CASEI(id) = 'x'"),
        (
            {"op": "t_finishedby", "args": [{"property": "published"}, {"date": "2024-01-01"}]},
            "T_FINISHEDBY(published, DATE('2024-01-01'))",
        ),
        ({"op": "=", "args": [{"property": "properties.file:size"}, 10**18]}, "file:size = 1e18"),
    ],
)
def test_older_spellings_are_read(document, text):
    assert parse_json(document, VOCABULARY) == parse_text(text, VOCABULARY)
