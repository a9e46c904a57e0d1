"""Random filter expressions: `odata` in the form that the OData parser gives them, `expressions` of all nodes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from refsys.core.areas import Area
from refsys.core.filters import (
    Arithmetic,
    Attribute,
    Comparison,
    Expression,
    Folded,
    Holds,
    How,
    In,
    Intersects,
    IsNull,
    Kind,
    ListMatch,
    Literal,
    Not,
    Op,
    Property,
    Sign,
    TextMatch,
    Within,
    all_of,
    any_of,
    negate,
)

#: Instants, numbers and texts out of small sets, so that comparisons meet what is there.
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
instants = st.integers(0, 12).map(lambda hours: EPOCH + timedelta(hours=hours))
numbers = st.sampled_from([-1, 0, 1, 2, 10, 0.5, 1.0, 10.25, 1e-7, 1e22, 123, 2**53 + 1])
names = st.sampled_from(["S1A_IW_GRDH", "S1A_IW_SLC_", "S1B_EW_GRDM", "S2A_MSIL1C_", "S3A_OL_1_EFR", "s1a_iw", "X"])
texts = st.sampled_from(["", "S1A", "s1a", "IW_GRDH", "IW", "_", "%", "\\", "''", "NRT-3h", "VV&VH", "VV", "1", "é"])
ids = st.integers(0, 30).map(lambda number: uuid.uuid5(uuid.NAMESPACE_URL, str(number)))
PLAIN = ("orbitNumber", "cloudCover", "timeliness", "sliceProductFlag", "processingDate", "nothing", "odd'name")
LISTS = {"polarisationChannels": "&", "swathIdentifier": " "}
ordered = st.sampled_from(list(Op))
equality = st.sampled_from([Op.EQ, Op.NE])

#: What OData has a function for.
PLACES = (How.CONTAINS, How.STARTSWITH, How.ENDSWITH)
TEXT_PROPERTIES = ("name", "collection")
INSTANT_PROPERTIES = ("sensing_start", "sensing_stop", "published_at", "modified_at", "t0_raw")


def _grid(limit: int) -> st.SearchStrategy[float]:
    return st.integers(-limit * 2, limit * 2).map(lambda half: half / 2)


@st.composite
def boxes(draw: st.DrawFn) -> Area:
    west, south = draw(_grid(179)), draw(_grid(89))
    east = west + draw(st.sampled_from([0.5, 1.0, 15.0, 100.0]))
    north = min(90.0, south + draw(st.sampled_from([0.5, 1.0, 20.0, 90.0])))
    ring = ((west, south), (east, south), (east, north), (west, north), (west, south))
    if draw(st.booleans()):
        # a triangle
        ring = ((west, south), (east, south), (west, north), (west, south))
    rings = [ring]
    if len(ring) == 5 and east - west >= 15 and north - south >= 20 and draw(st.booleans()):
        w, s, e, n = west + 2, south + 2, east - 2, north - 2
        rings.append(((w, s), (w, n), (e, n), (e, s), (w, s)))
    return Area("Polygon", tuple(rings))


points = st.builds(lambda lon, lat: Area("Point", (lon, lat)), _grid(180), _grid(90))
lines = st.builds(
    lambda lon, lat, dx, dy: Area("LineString", ((lon, lat), (lon + dx, lat + dy), (lon + dx, lat))),
    _grid(170), _grid(60), st.sampled_from([0.5, 3.0, 40.0]), st.sampled_from([0.5, 3.0, 25.0]),
)  # fmt: skip


@st.composite
def multipolygons(draw: st.DrawFn) -> Area:
    west, south = draw(_grid(100)), draw(_grid(60))
    one = ((west, south), (west + 5, south), (west + 5, south + 5), (west, south))
    other = tuple((lon + 40, lat + 10) for lon, lat in one)
    return Area("MultiPolygon", ((one,), (other,)))


areas = st.one_of(boxes(), points, lines, multipolygons())


def _property_tests() -> st.SearchStrategy[Expression]:
    texts_of = st.sampled_from(TEXT_PROPERTIES).map(Property)
    dates_of = st.sampled_from(INSTANT_PROPERTIES).map(Property)
    text_values = st.one_of(names, texts).map(Literal)
    instant_values = instants.map(Literal)
    number_values = numbers.map(Literal)
    compared = st.one_of(
        st.builds(Comparison, texts_of, ordered, text_values),
        st.builds(Comparison, dates_of, ordered, st.one_of(instant_values, dates_of)),
        st.builds(Comparison, st.just(Property("package_size")), ordered, number_values),
        st.builds(Comparison, st.just(Property("online")), equality, st.booleans().map(Literal)),
        st.builds(Comparison, st.just(Property("id")), equality, ids.map(Literal)),
    )
    return st.one_of(
        # the dialect's `ne` of a property
        compared.map(lambda test: Not(Comparison(test.left, Op.EQ, test.right)) if test.op is Op.NE else test),
        st.builds(TextMatch, st.sampled_from(PLACES), texts_of, st.one_of(names, texts)),
        st.builds(In, texts_of, st.lists(text_values, min_size=1, max_size=4).map(tuple)),
        st.builds(In, dates_of, st.lists(instant_values, min_size=1, max_size=3).map(tuple)),
        st.builds(In, st.just(Property("id")), st.lists(ids.map(Literal), min_size=1, max_size=3).map(tuple)),
        st.builds(In, st.just(Property("package_size")), st.lists(number_values, min_size=1, max_size=3).map(tuple)),
        st.builds(IsNull, dates_of),
        st.builds(IsNull, dates_of).map(negate),
        st.builds(Intersects, areas),
    )


def _attribute_tests() -> st.SearchStrategy[Expression]:
    plain = st.sampled_from(PLAIN).map(Attribute)
    lists = st.sampled_from([Attribute(name, separator) for name, separator in LISTS.items()])
    any_attribute = st.one_of(plain, lists)
    values = st.one_of(texts, numbers, instants, st.booleans()).map(Literal)

    def read_as_text(test: Comparison | In) -> bool:
        """Texts compared with attributes that are dates are read as dates: the parser does not give such a test."""
        of = test.left if isinstance(test, Comparison) else test.operand
        given = (test.right,) if isinstance(test, Comparison) else test.values
        return of.name != "processingDate" or all(value.kind is not Kind.TEXT for value in given)

    return st.one_of(
        st.builds(Comparison, any_attribute, ordered, values).filter(read_as_text),
        st.builds(TextMatch, st.sampled_from(PLACES), any_attribute, texts),
        st.builds(In, any_attribute, st.lists(values, min_size=1, max_size=4).map(tuple)).filter(read_as_text),
        st.builds(IsNull, any_attribute),
        st.builds(IsNull, any_attribute).map(negate),
    )


_plain = st.sampled_from(PLAIN).map(Attribute)
_of_text = st.one_of(_plain, st.sampled_from(TEXT_PROPERTIES).map(Property))
_accented = st.one_of(texts, names, st.sampled_from(["É", "e", "ΟΔΟΣ", "straße", "s1a_iw_grdh"]))


def _folded_tests(folded: st.SearchStrategy[Folded]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.builds(TextMatch, st.sampled_from(PLACES), folded, _accented),
        st.builds(Comparison, folded, ordered.filter(lambda op: op is not Op.NE), _accented.map(Literal)),
        st.builds(In, folded, st.lists(_accented.map(Literal), min_size=1, max_size=3).map(tuple)),
    )


odata_tests = st.one_of(_property_tests(), _attribute_tests(), _folded_tests(st.builds(Folded, _of_text)))

patterns = st.lists(
    st.sampled_from(["%", "_", "S1A", "s1", "IW", "a", "\\%", "\\_", "\\\\", "VV", "é"]), max_size=5
).map("".join)
_numeric = st.one_of(
    st.sampled_from(["orbitNumber", "cloudCover", "nothing"]).map(Attribute),
    st.just(Property("package_size")),
    st.one_of(numbers, st.sampled_from([3, 7, -2, 1e300])).map(Literal),
)
arithmetic = st.recursive(
    st.builds(Arithmetic, _numeric, st.sampled_from([sign for sign in Sign if sign is not Sign.POWER]), _numeric)
    | st.builds(Arithmetic, _numeric, st.just(Sign.POWER), st.integers(0, 6).map(Literal)),
    lambda inner: st.builds(Arithmetic, inner, st.sampled_from([Sign.ADD, Sign.SUBTRACT, Sign.MULTIPLY]), _numeric),
    max_leaves=3,
)
folded = st.builds(Folded, _of_text, st.booleans(), st.booleans())


def _frame(west: float, south: float, size: float) -> Area:
    (w, s), (e, n) = (west + 0.1, south + 0.1), (west + 0.1 + size, min(89.9, south + 0.1 + size))
    return Area("Polygon", (((w, s), (e, s), (e, n), (w, n), (w, s)),))


def _more_tests() -> st.SearchStrategy[Expression]:
    """What OData has no words for."""
    # off the grid of footprints: what lies exactly on an edge is in or out by a hair
    within = st.builds(_frame, _grid(170), _grid(80), st.sampled_from([0.7, 15.7, 100.7]))
    items = st.lists(st.sampled_from(["VV", "VH", "IW1", "HH", ""]), max_size=3).map(tuple)
    return st.one_of(
        st.builds(TextMatch, st.just(How.LIKE), st.one_of(_of_text, folded), patterns),
        _folded_tests(folded),
        st.builds(Comparison, folded, ordered, st.one_of(_accented.map(Literal), _of_text, folded)),
        st.builds(Comparison, arithmetic, ordered, st.one_of(_numeric, arithmetic)),
        st.builds(Comparison, st.just(Property("package_size")), ordered, st.one_of(_plain, arithmetic)),
        st.builds(IsNull, arithmetic),
        st.builds(Comparison, _plain, ordered, _plain),
        st.builds(Comparison, _plain, ordered, st.sampled_from([*TEXT_PROPERTIES, *INSTANT_PROPERTIES]).map(Property)),
        st.builds(Comparison, st.sampled_from([*TEXT_PROPERTIES, *INSTANT_PROPERTIES]).map(Property), ordered, _plain),
        st.builds(Comparison, st.just(Property("online")), equality, _plain),
        st.builds(ListMatch, st.sampled_from(list(Holds)), st.sampled_from([*PLAIN, *LISTS]).map(Attribute), items),
        st.builds(IsNull, st.just(Property("footprint"))),
        st.builds(Within, within),
    )


tests = st.one_of(odata_tests, _more_tests())


def _whole(tests: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.recursive(
        tests,
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: all_of(*terms)),
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: any_of(*terms)),
            inner.map(negate),
        ),
        max_leaves=8,
    )


odata = _whole(odata_tests)
expressions = _whole(tests)
