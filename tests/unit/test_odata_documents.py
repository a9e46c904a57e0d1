"""Products as OData JSON, before anything is asked."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.core.filters import Intersects
from refsys.core.grams import name_grams
from refsys.distribution.odata.documents import VOLATILE, Volatile, fill, render_attributes, wkt
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.vocabulary import PRODUCTS, Vocabulary
from refsys.missions import load_types

TYPES = load_types()
TRIANGLE = [[0, 0], [1, 0], [1, 1], [0, 0]]
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        ({"type": "Point", "coordinates": [1.5, -2]}, "POINT (1.5 -2)"),
        ({"type": "LineString", "coordinates": [[0, 0], [1e-7, 12.123456789]]}, "LINESTRING (0 0, 1e-07 12.123456789)"),
        (
            {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]},
            "MULTILINESTRING ((0 0, 1 1), (2 2, 3 3))",
        ),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}, "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        (
            {"type": "MultiPolygon", "coordinates": [[TRIANGLE], [[[5, 5], [6, 5], [6, 6], [5, 5]]]]},
            "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))",
        ),
    ],
)  # fmt: skip
def test_a_footprint_as_text_can_be_asked_for_again(geometry, expected):
    assert wkt(geometry) == expected
    asked = f"OData.CSC.Intersects(area=geography'SRID=4326;{expected}')"
    found = parse_filter(asked, Vocabulary(PRODUCTS, TYPES.attributes))
    assert isinstance(found, Intersects)
    assert found.area.kind == geometry["type"]


@given(
    st.dictionaries(
        st.text(),
        st.one_of(st.text(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**60)),
    )
)
def test_attributes_are_json_whatever_is_in_them(attributes):
    rendered = render_attributes(attributes, TYPES.attributes)
    assert VOLATILE not in rendered
    values = orjson.loads("{" + rendered + "}")["Attributes"]
    assert {value["Name"]: value["Value"] for value in values} == attributes


def test_what_changes_later_is_filled_in_once():
    volatile = Volatile(published_at=NOON, modified_at=NOON, online=False, evicted_at=NOON, key="S1/X")
    filled = orjson.loads("{" + fill(f'"a":1,{VOLATILE}', volatile) + "}")
    assert filled == {
        "a": 1, "PublicationDate": "2024-01-01T12:00:00.000000Z", "ModificationDate": "2024-01-01T12:00:00.000000Z",
        "Online": False, "EvictionDate": "2024-01-01T12:00:00.000000Z", "S3Path": "/S1/X",
    }  # fmt: skip


def test_an_attribute_that_no_table_defines_is_what_it_looks_like():
    values = {"a": True, "b": 1, "c": 1.5, "d": "2024-01-01T12:00:00.000000Z", "e": "2024", "f": ["x", "y"]}
    rendered = orjson.loads("{" + render_attributes(values, {}) + "}")["Attributes"]
    kinds = ["Boolean", "Integer", "Double", "DateTimeOffset", "String", "String"]
    assert [value["ValueType"] for value in rendered] == kinds
    assert rendered[-1]["Value"] == "x y"


@given(st.text(max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_a_name_has_all_grams_of_its_pieces(name, start, length):
    if name.isascii():
        assert set(name_grams(name[start : start + length])) <= set(name_grams(name))
    assert all(len(gram) == 3 for gram in name_grams(name))
