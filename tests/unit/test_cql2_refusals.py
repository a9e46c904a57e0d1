"""Filters in CQL2 that are not understood: the error says where; whatever is given, nothing else happens."""

import contextlib
import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.distribution.cql2 import InvalidCql2, parse_json, parse_text
from tests.cql2_documents import MADE, VOCABULARY

SQUARE = "POLYGON((0 0,10 0,10 10,0 10,0 0))"


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "expected a name or a value, found the end"),
        ("eo:cloud_cover", 1, "expected a test, which is true or false, found 'eo:cloud_cover'"),
        ("eo:cloud_cover <", 17, "expected a name or a value, found the end"),
        ("eo:cluod_cover = 5", 1, "did you mean eo:cloud_cover?"),
        ("eo:cloud_cover = 'x'", 18, "expected a number, found 'x'"),
        ("id = 5", 6, "expected a text, found '5', which is a number"),
        ("start_datetime > 'soon'", 18, "expected a time such as"),
        ("start_datetime > TIMESTAMP('2024-13-01T00:00:00Z')", 28, "expected a time such as"),
        ("start_datetime > DATE(2024)", 23, "expected DATE of a text in single quotes"),
        ("eo:cloud_cover = 5 eo:cloud_cover", 20, "expected AND, OR, an operator or the end"),
        ("(eo:cloud_cover = 5", 20, "expected an operator, ',' or ')', found the end"),
        ("[eo:cloud_cover = 5)", 20, "expected ']'"),
        ("eo:cloud_cover = 5)", 19, "expected AND, OR, an operator or the end, found ')'"),
        ("eo:cloud_cover = 5 AND", 23, "expected a name or a value, found the end"),
        ("eo:cloud_cover = 5 = 5", 20, "expected AND, OR, an operator or the end, found '='"),
        ("id = 'x", 6, "expected a closing '"),
        ("\"id = 'x'", 1, 'expected a closing "'),
        ("id = #", 6, "expected a name, a value or a parenthesis, found '#'"),
        ("eo:cloud_cover = 5x", 18, "found '5x'"),
        ("id LIKE", 8, "expected a name or a value"),
        ("id NOT = 'x'", 8, "expected LIKE, BETWEEN or IN"),
        ("id IS 'x'", 7, "expected NULL or NOT NULL"),
        ("id LIKE id", 9, "expected a pattern"),
        ("id LIKE 'x\\'", 9, "ends with a backslash"),
        ("eo:cloud_cover LIKE 'x'", 1, "expected a text"),
        ("eo:cloud_cover BETWEEN 5", 25, "expected AND and the upper limit"),
        ("id IN 'x'", 7, "expected '(' and a list"),
        ("id IN ()", 7, "expected a list with values"),
        ("id IN ('x' 'y')", 12, "expected an operator, ',' or ')'"),
        ("Buffer(id)", 1, "expected a function of CQL2"),
        ("S_INTERSECT(geometry, POINT(1 2))", 1, "did you mean S_INTERSECTS?"),
        ("S_INTERSECTS(geometry)", 1, "expected 2 values for S_INTERSECTS, found 1"),
        ("S_INTERSECTS(geometry, id)", 24, "expected a geometry, found 'id'"),
        ("S_INTERSECTS(geometry, POINT(1))", 31, "expected a latitude"),
        ("S_INTERSECTS(geometry, POLYGON((0 0,1 1,0 1,1 0,0 0)))", 24, "Self-intersection"),
        ("S_INTERSECTS(geometry, BBOX(0,0,1))", 24, "the box is no list of 4 or 6 numbers"),
        ("S_INTERSECTS(geometry, BBOX(0,9,1,0))", 24, "north of its north"),
        ("S_TOUCHES(geometry, POINT(1 2))", 1, "S_TOUCHES is not offered; there are S_INTERSECTS"),
        (f"S_CONTAINS(geometry, {SQUARE})", 1, "only of points"),
        ("S_WITHIN(geometry, POINT(1 2))", 1, "without holes"),
        ("T_AFTER(id, '2024-01-01')", 9, "expected a time or an interval"),
        ("T_AFTER(INTERVAL('2024-01-01'), published)", 9, "expected INTERVAL of two times"),
        ("T_AFTER(published, INTERVAL('2024-01-02','2024-01-01'))", 20, "ends before it begins"),
        ("T_AFTER(published, INTERVAL(5,'..'))", 29, "expected a time in single quotes"),
        ("A_CONTAINS(id, ('x'))", 12, "expected a list"),
        ("A_CONTAINS(sar:polarizations, (5))", 32, "expected a list"),
        ("A_EQUALS(sar:polarizations, (5, 'x'))", 30, "expected a text"),
        ("A_EQUALS(sar:polarizations, sar:polarizations)", 1, "two lists of products"),
        ("sar:polarizations = 'VV'", 1, "A_CONTAINS"),
        ("geometry = 'x'", 1, "S_INTERSECTS"),
        ("grid:code < 'x'", 1, "only with values, by =, <> and IN"),
        ("grid:code LIKE 'M%'", 1, "only with values"),
        ("refsys:online > TRUE", 1, "has no order"),
        ("id + 1 > 2", 1, "expected a number, found 'id'"),
        ("CASEI(eo:cloud_cover) = 'x'", 7, "expected a text"),
        ("CASEI(id, id) = 'x'", 1, "expected one value in CASEI"),
        ("(id = 'x') = 'y'", 14, "expected TRUE or FALSE"),
        ("id = 'a\0'", 6, "U+0000"),
        ("eo:cloud_cover > 1e999", 18, "not a finite number"),
        ("NOT id", 5, "expected a test"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_position(text, position, words):
    with pytest.raises(InvalidCql2) as caught:
        parse_text(text, MADE)
    assert f"at position {position}: " in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("document", "place", "words"),
    [
        (None, "filter: ", "found null"),
        ([], "filter: ", "expected a test"),
        ({}, "filter: ", "found {}"),
        ("x", "filter: ", "expected a test"),
        ({"op": "and"}, "at args: ", "expected a list, found null"),
        ({"op": 5, "args": []}, "at op: ", "expected an operator of CQL2, found a number"),
        ({"op": "eq", "args": []}, "at op: ", "expected an operator of CQL2"),
        ({"op": "S_INTERSECT", "args": []}, "at op: ", "did you mean s_intersects?"),
        ({"op": "and", "args": []}, "filter: ", "expected tests for AND"),
        ({"op": "not", "args": [True, True]}, "filter: ", "expected tests for NOT"),
        ({"op": "=", "args": [{"property": "id"}]}, "filter: ", "expected 2 values for =, found 1"),
        ({"op": "=", "args": [{"property": "id"}, None]}, "at args[1]: ", "found null"),
        ({"op": "=", "args": [{"property": "id"}, {"property": 5}]}, "at args[1]: ", "expected an object with"),
        (
            {"op": "and", "args": [True, {"op": "=", "args": [{"property": "x"}, 5]}]},
            "at args[1].args[0]: ",
            "queryable",
        ),
        ({"op": "=", "args": [{"property": "eo:cloud_cover"}, 10**400]}, "at args[1]: ", "a number of 64 bits"),
        ({"op": "=", "args": [{"property": "eo:cloud_cover"}, float("nan")]}, "at args[1]: ", "not a finite number"),
        ({"op": "=", "args": [{"property": "id"}, "\ud800"]}, "at args[1]: ", "half a surrogate pair"),
        ({"op": "in", "args": [{"property": "id"}, "x"]}, "at args[1]: ", "expected a list of values"),
        ({"op": "in", "args": [{"property": "id"}, []]}, "at args[1]: ", "expected a list of values"),
        ({"op": "t_after", "args": [{"property": "published"}, {"timestamp": "x"}]}, "at args[1]: ", "a time such as"),
        (
            {"op": "t_after", "args": [{"property": "published"}, {"interval": ["..", 5]}]},
            "at args[1].interval[1]: ",
            "a time",
        ),
        (
            {"op": "s_intersects", "args": [{"property": "geometry"}, {"type": "Point"}]},
            "at args[1]: ",
            "the geometry has no list",
        ),
        (
            {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [1]}]},
            "at args[1]: ",
            "the box is no list",
        ),
        ({"casei": {"property": "id"}}, "filter: ", "expected a test"),
    ],
)
def test_a_document_that_is_not_understood_is_refused_with_its_place(document, place, words):
    with pytest.raises(InvalidCql2) as caught:
        parse_json(document, MADE)
    assert place in caught.value.message
    assert words in caught.value.message


def nested(depth, inner=True):
    for _ in range(depth):
        inner = {"op": "not", "args": [inner]}
    return inner


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "TRUE" + ")" * 10_000,
        "NOT " * 10_000 + "TRUE",
        "[" * 10_000,
        "CASEI(" * 10_000,
        "1 + " * 10_000 + "1 > 2",
        "1 ^ " * 10_000 + "1 > 2",
        "-" * 10_000 + "1 > 2",
        "1 * -" * 10_000,
        " OR ".join(["TRUE"] * 501),
        "id IN (" + ",".join(["'x'"] * 1001) + ")",
        f"id = '{'x' * 70_000}'",
        "A_EQUALS(sar:polarizations, (" + ",".join(["'x'"] * 1001) + "))",
        "(" * 40 + "TRUE" + ") IS NULL" * 40,
        f"S_INTERSECTS(geometry, LINESTRING({','.join(f'{i % 90} {i % 7}' for i in range(25_000))}))",
        "S_INTERSECTS(geometry, " + "GEOMETRYCOLLECTION(" * 5000,
    ],
)
def test_what_is_too_deep_or_too_long_is_refused(text):
    with pytest.raises(InvalidCql2) as caught:
        parse_text(text, VOCABULARY)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "document",
    [
        nested(900),
        {"op": "or", "args": [True] * 501},
        {"op": "or", "args": [True] * 1001},
        {"op": "or", "args": [{"op": "in", "args": [1, [2] * 1000]}] * 50},
        {
            "op": "s_intersects",
            "args": [{"property": "geometry"}, {"type": "LineString", "coordinates": [[0, 0]] * 20_001}],
        },
        {
            "op": "or",
            "args": [
                {
                    "op": "s_intersects",
                    "args": [{"property": "geometry"}, {"type": "MultiPoint", "coordinates": [[0, 0]] * 15_000}],
                }
            ]
            * 2,
        },
    ],
)
def test_a_document_that_is_too_deep_or_too_long_is_refused(document):
    with pytest.raises(InvalidCql2) as caught:
        parse_json(document, VOCABULARY)
    assert len(caught.value.message) < 500


def test_the_deepest_filter_that_is_read_needs_little_of_the_stack():
    """As a request has it, a few hundred calls deep already."""
    deepest = "1 + 1 * 1 ^ (NOT (TRUE AND " * 12 + "1" + "))" * 12
    arithmetic = "(1 + 1 * " * 49 + "file:size" + ")" * 49 + " > 2"

    def below(frames, read):
        return read() if frames == 0 else below(frames - 1, read)

    room = 250 - len(inspect.stack())
    for text in ("NOT " * 49 + "TRUE", "(" * 50 + "TRUE" + ")" * 50, arithmetic, deepest):
        with contextlib.suppress(InvalidCql2):
            below(max(0, room), lambda text=text: parse_text(text, VOCABULARY))
    assert below(max(0, room), lambda: parse_json(nested(50), VOCABULARY)) == parse_text("TRUE", VOCABULARY)


_WORDS = (
    "eo:cloud_cover id published geometry = <> < ( ) , [ ] AND OR NOT IN LIKE BETWEEN IS NULL TRUE 5 -1.5e3 'x' 'x%' "
    "S_INTERSECTS( T_DURING( INTERVAL( '..' '2024-01-01' TIMESTAMP( DATE( BBOX( POINT( POLYGON(( 1 2 CASEI( A_EQUALS( "
    "sar:polarizations + * / ^ DIV % \" ' \0 é \ud800 \\"
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_WORDS.split(" ")), max_size=25).map(" ".join)))
def test_whatever_is_given_is_understood_or_refused(text):
    with contextlib.suppress(InvalidCql2):
        parse_text(text, VOCABULARY)


MEMBERS = st.sampled_from(
    [
        "op",
        "args",
        "property",
        "and",
        "=",
        "like",
        "in",
        "isNull",
        "s_intersects",
        "t_during",
        "a_equals",
        "interval",
        "timestamp",
        "date",
        "type",
        "coordinates",
        "Point",
        "Polygon",
        "bbox",
        "casei",
        "id",
        "geometry",
        "published",
        "+",
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | MEMBERS,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(MEMBERS | st.integers(), inner, max_size=3)
            | st.builds(lambda op, args: {"op": op, "args": args}, MEMBERS, st.lists(inner, max_size=3))
        ),
        max_leaves=12,
    )
)
def test_whatever_document_is_given_is_understood_or_refused(document):
    with contextlib.suppress(InvalidCql2):
        parse_json(document, VOCABULARY)
