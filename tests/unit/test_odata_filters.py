"""`$filter` as users write it: what it means, what is refused and where."""

import contextlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.areas import Area
from refsys.core.filters import (
    And,
    Attribute,
    Comparison,
    How,
    In,
    Intersects,
    IsNull,
    Literal,
    Not,
    Op,
    Or,
    Property,
    TextMatch,
    all_of,
    atoms,
    negate,
)
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.printer import print_filter
from refsys.distribution.odata.vocabulary import PRODUCTS, Vocabulary
from refsys.missions import AttributeDefinition, load_types
from tests import filter_strategies

VOCABULARY = Vocabulary(PRODUCTS, load_types().attributes)
SQUARE = Area("Polygon", (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)),))
WKT = "POLYGON((0 0,1 0,1 1,0 1,0 0))"
MAY = datetime(2022, 5, 3, tzinfo=UTC)


def parse(text):
    return parse_filter(text, VOCABULARY)


def name_is(name):
    return Comparison(Property("name"), Op.EQ, Literal(name))


def attribute_is(name, value, op=Op.EQ):
    return Comparison(Attribute(name), op, Literal(value))


def lambda_of(condition, kind="String", name="orbitNumber", variable="att"):
    return f"Attributes/OData.CSC.{kind}Attribute/any({variable}:{variable}/Name eq '{name}' and {condition})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name eq 'S1A_X.SAFE'", name_is("S1A_X.SAFE")),
        ("Name eq 'it''s'", name_is("it's")),
        ("'S1A' eq Name", name_is("S1A")),
        ("Name ne 'S1A'", Not(name_is("S1A"))),
        ("not Name eq 'S1A'", Not(name_is("S1A"))),
        ("not(Name eq 'S1A')", Not(name_is("S1A"))),
        ("not (Name ne 'S1A')", name_is("S1A")),
        ("not not not Name eq 'S1A'", Not(name_is("S1A"))),
        ("contains(Name,'AUX_POEORB')", TextMatch(How.CONTAINS, Property("name"), "AUX_POEORB")),
        ("startswith(Name, 'S1A')", TextMatch(How.STARTSWITH, Property("name"), "S1A")),
        ("endswith( Name ,'.SAFE' )", TextMatch(How.ENDSWITH, Property("name"), ".SAFE")),
        ("contains(Name,'x') eq true", TextMatch(How.CONTAINS, Property("name"), "x")),
        ("contains(Name,'x') eq false", Not(TextMatch(How.CONTAINS, Property("name"), "x"))),
        ("contains(Name,'x') ne true", Not(TextMatch(How.CONTAINS, Property("name"), "x"))),
        ("Name in ('a', 'b')", In(Property("name"), (Literal("a"), Literal("b")))),
        ("Collection/Name eq 'SENTINEL-1'", Comparison(Property("collection"), Op.EQ, Literal("SENTINEL-1"))),
        (
            "Id eq 950d38ac-0000-4000-8000-c6f87bb05800",
            Comparison(Property("id"), Op.EQ, Literal(UUID("950d38ac-0000-4000-8000-c6f87bb05800"))),
        ),
        (
            "Id eq '950d38ac-0000-4000-8000-c6f87bb05800'",
            Comparison(Property("id"), Op.EQ, Literal(UUID("950d38ac-0000-4000-8000-c6f87bb05800"))),
        ),
        ("Online eq true", Comparison(Property("online"), Op.EQ, Literal(True))),
        ("Online", Comparison(Property("online"), Op.EQ, Literal(True))),
        ("not Online", Not(Comparison(Property("online"), Op.EQ, Literal(True)))),
        ("ContentLength gt 1000000000", Comparison(Property("package_size"), Op.GT, Literal(1000000000))),
        ("1e3 lt ContentLength", Comparison(Property("package_size"), Op.GT, Literal(1000.0))),
        ("OriginDate eq null", IsNull(Property("t0_raw"))),
        ("OriginDate ne null", Not(IsNull(Property("t0_raw")))),
        (
            "PublicationDate gt ModificationDate",
            Comparison(Property("published_at"), Op.GT, Property("modified_at")),
        ),
        ("Name eq 'and' AND Name eq 'or'", And((name_is("and"), name_is("or")))),
        (
            "Name eq 'a' and Name eq 'b' or Name eq 'c'",
            Or((And((name_is("a"), name_is("b"))), name_is("c"))),
        ),
        (
            "Name eq 'a' and (Name eq 'b' or Name eq 'c')",
            And((name_is("a"), Or((name_is("b"), name_is("c"))))),
        ),
        ("(Name eq 'a' and Name eq 'b') and Name eq 'c'", And((name_is("a"), name_is("b"), name_is("c")))),
        ("((((Name eq 'a'))))", name_is("a")),
        ("true", And(())),
    ],
)  # fmt: skip
def test_means(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    "date",
    [
        "2022-05-03T00:00:00.000Z", "2022-05-03T00:00:00.000000Z", "2022-05-03T00:00:00Z", "2022-05-03T00:00Z",
        "2022-05-03T00:00:00.000", "2022-05-03", "'2022-05-03'", "'2022-05-03T00:00:00.000Z'", "2022-05-03t00:00:00z",
        "2022-05-03T02:00:00+02:00", "2022-05-03T02:00:00 02:00", "2022-05-02T22:00:00-0200", "'2022-05-03T00:00:00'",
    ],
)  # fmt: skip
def test_a_date_may_be_bare_quoted_naive_or_with_a_zone(date):
    assert parse(f"ContentDate/Start gt {date}") == Comparison(Property("sensing_start"), Op.GT, Literal(MAY))
    assert parse(f"{date} lt ContentDate/Start") == Comparison(Property("sensing_start"), Op.GT, Literal(MAY))


@pytest.mark.parametrize(
    "form",
    [
        f"OData.CSC.Intersects(area=geography'SRID=4326;{WKT}')",
        f"OData.CSC.Intersects(Footprint=geography'SRID=4326;{WKT}')",
        f"OData.CSC.Intersects(location=Footprint,area=geography'SRID=4326;{WKT}')",
        f"OData.CSC.Intersects(area=geography'SRID=4326;{WKT}', location=Footprint)",
        "OData.CSC.Intersects( area = geometry'srid=4326; polygon (( 0 0 , 1.0 0, 1e0 1,0 1,0 0 )) ' )",
        f"OData.CSC.Intersects(area=geography'{WKT}')",
        f"OData.CSC.Intersects(area=geography'SRID=4326;{WKT}') eq true",
    ],
)
def test_an_area_may_be_given_in_three_forms(form):
    assert parse(form) == Intersects(SQUARE)


@pytest.mark.parametrize(
    ("wkt", "expected"),
    [
        ("POINT(12.5 -3)", Area("Point", (12.5, -3.0))),
        ("point z (12.5 -3 700)", Area("Point", (12.5, -3.0))),
        ("MULTIPOINT(1 2,(3 4))", Area("MultiPoint", ((1.0, 2.0), (3.0, 4.0)))),
        ("LINESTRING(0 0,1 1,2 0)", Area("LineString", ((0.0, 0.0), (1.0, 1.0), (2.0, 0.0)))),
        (
            "MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6,5 5)))",
            Area("MultiPolygon", (
                (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)),),
                (((5.0, 5.0), (6.0, 5.0), (6.0, 6.0), (5.0, 5.0)),),
            )),
        ),
        (
            "POLYGON((0 0,9 0,9 9,0 9,0 0),(1 1,1 2,2 2,1 1))",
            Area("Polygon", (
                ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0), (0.0, 0.0)),
                ((1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0)),
            )),
        ),
    ],
)  # fmt: skip
def test_an_area_is_a_point_a_line_or_polygons(wkt, expected):
    assert parse(f"OData.CSC.Intersects(area=geography'SRID=4326;{wkt}')") == Intersects(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (lambda_of("att/OData.CSC.IntegerAttribute/Value ge 3", "Integer"), attribute_is("orbitNumber", 3, Op.GE)),
        # the cast does not say what the value is
        (lambda_of("att/OData.CSC.StringAttribute/Value eq 123", "Integer"), attribute_is("orbitNumber", 123)),
        (lambda_of("att/OData.CSC.IntegerAttribute/Value eq 15", "String"), attribute_is("orbitNumber", 15)),
        (lambda_of("att/OData.CSC.IntegerAttribute/Value eq '15'", "Integer"), attribute_is("orbitNumber", "15")),
        (lambda_of("att/Value eq 123", "Integer"), attribute_is("orbitNumber", 123)),
        (lambda_of("i0/Value eq 123", "Integer", variable="i0"), attribute_is("orbitNumber", 123)),
        (lambda_of("att/Value eq 1").replace("Attributes/", "attributes/"), attribute_is("orbitNumber", 1)),
        ("Attributes/any(a:a/Name eq 'orbitNumber' and a/Value eq 1)", attribute_is("orbitNumber", 1)),
        ("Attributes/any(a:(a/Name eq 'orbitNumber') and (a/Value eq 1))", attribute_is("orbitNumber", 1)),
        ("Attributes/any(a:(a/Name eq 'orbitNumber' and a/Value eq 1))", attribute_is("orbitNumber", 1)),
        ("Attributes/any(a:a/Value eq 1 and a/Name eq 'orbitNumber')", attribute_is("orbitNumber", 1)),
        (lambda_of("1 eq att/Value"), attribute_is("orbitNumber", 1)),
        (lambda_of("att/Value eq true", "Boolean"), attribute_is("orbitNumber", True)),
        (lambda_of("att/Value ne 'x'"), attribute_is("orbitNumber", "x", Op.NE)),
        (lambda_of("att/Value gt 2022-05-03", name="processingDate"), attribute_is("processingDate", MAY, Op.GT)),
        # the tables know that it is a date
        (lambda_of("att/Value gt '2022-05-03'", name="processingDate"), attribute_is("processingDate", MAY, Op.GT)),
        (lambda_of("att/Value gt '2022-05-03'", "DateTimeOffset", "mine"), attribute_is("mine", MAY, Op.GT)),
        (lambda_of("att/Value gt '2022-05-03'", name="mine"), attribute_is("mine", "2022-05-03", Op.GT)),
        (
            lambda_of("att/OData.CSC.StringAttribute/Value in ('IW_RAW__0A','IW_RAW__0C')", name="productType"),
            In(Attribute("productType"), (Literal("IW_RAW__0A"), Literal("IW_RAW__0C"))),
        ),
        (
            lambda_of("contains(att/OData.CSC.StringAttribute/Value,'GRD')", name="productType"),
            TextMatch(How.CONTAINS, Attribute("productType"), "GRD"),
        ),
        (
            lambda_of("att/Value ge 1 and att/Value le 5"),
            And((attribute_is("orbitNumber", 1, Op.GE), attribute_is("orbitNumber", 5, Op.LE))),
        ),
        (
            lambda_of("(att/Value eq 1 or att/Value eq 5)"),
            Or((attribute_is("orbitNumber", 1), attribute_is("orbitNumber", 5))),
        ),
        # what a product does not have has no value, not even another one
        (
            lambda_of("not (att/Value eq 1)"),
            And((Not(IsNull(Attribute("orbitNumber"))), Not(attribute_is("orbitNumber", 1)))),
        ),
        ("Attributes/any(att:att/Name eq 'orbitNumber')", Not(IsNull(Attribute("orbitNumber")))),
        (
            lambda_of("att/Value eq null"),
            And((Not(IsNull(Attribute("orbitNumber"))), IsNull(Attribute("orbitNumber")))),
        ),
        # lists are written with their separator
        (
            lambda_of("att/Value eq 'VV&VH'", name="polarisationChannels"),
            Comparison(Attribute("polarisationChannels", "&"), Op.EQ, Literal("VV&VH")),
        ),
        (f"not {lambda_of('att/Value eq 1')}", Not(attribute_is("orbitNumber", 1))),
        (f"{lambda_of('att/Value eq 1')} eq false", Not(attribute_is("orbitNumber", 1))),
    ],
)  # fmt: skip
def test_an_attribute_is_asked_for_in_any(text, expected):
    assert parse(text) == expected


SENTINELEOF = (
    "startswith(Name,'S1A') and contains(Name,'AUX_POEORB') and ContentDate/Start lt '2022-05-03T00:00:00.000000Z'"
    " and ContentDate/End gt '2022-05-03T00:01:00.000000Z'"
)
EODAG = (
    "Collection/Name eq 'SENTINEL-1' and OData.CSC.Intersects(area=geography'SRID=4326;POLYGON ((1.0 43.0, 1.0 44.0,"
    " 2.0 44.0, 2.0 43.0, 1.0 43.0))') and Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType'"
    " and att/OData.CSC.StringAttribute/Value eq 'IW_GRDH_1S') and Attributes/OData.CSC.IntegerAttribute/any(att:"
    "att/Name eq 'orbitNumber' and att/OData.CSC.StringAttribute/Value eq 123) and ContentDate/Start lt 2022-05-03"
)


@pytest.mark.parametrize(("text", "tests"), [(SENTINELEOF, 4), (EODAG, 5)])
def test_what_clients_send_is_understood(text, tests):
    assert len(list(atoms(parse(text)))) == tests


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "expected a property or a value, found the end"),
        ("Name", 5, "expected eq, ne, lt, le, gt, ge or in, found the end"),
        ("Name eq", 8, "expected a property or a value, found the end"),
        ("Nme eq 'x'", 1, "did you mean Name?"),
        ("name eq 'x'", 1, "did you mean Name?"),
        ("Name eq 5", 9, "expected a text in quotes, found '5'"),
        ("Name eq \"x\"", 9, "expected texts in single quotes"),
        ("Name eq 'x", 9, "expected a closing quote, found the end"),
        ("Name eq 'x' Name eq 'y'", 13, "expected and, or, or the end, found 'Name'"),
        ("Name eq 'x' and", 16, "expected a property or a value, found the end"),
        ("(Name eq 'x'", 13, "expected ')', and or or, found the end"),
        ("Name eq 'x')", 12, "expected and, or, or the end"),
        ("'a' eq 'b'", 8, "one side has to be one"),
        ("Name like 'x'", 6, "expected eq, ne, lt, le, gt, ge or in, found 'like'"),
        ("Name lt null", 9, "only eq and ne compare with null"),
        ("Online gt true", 1, "has no order"),
        ("Id gt 950d38ac-0000-4000-8000-c6f87bb05800", 1, "has no order"),
        ("Id eq 950d38ac", 7, "expected a number, an id or a date"),
        ("Id eq 'me'", 7, "expected an id such as"),
        ("ContentDate/Start gt 2022-13-01", 22, "expected a date"),
        ("ContentDate/Start gt 2022-05-03T25:00:00Z", 22, "expected a date"),
        ("ContentDate/Start gt 5", 22, "expected a date"),
        ("ContentLength gt 99999999999999999999", 18, "does not fit into 64 bits"),
        ("ContentLength gt 1e999", 18, "not a finite number"),
        ("ContentLength add 5 gt 3", 15, "found 'add'"),
        ("ContentLength eq Name", 1, "is a number, name is a text"),
        ("toupper(Name) eq 'x'", 1, "one of the functions contains, startswith, endswith, OData.CSC.Intersects"),
        ("tolower(5) eq 'x'", 9, "a property that is a text"),
        ("tolower(Online) eq 'x'", 9, "online is true or false"),
        ("tolower(Name) eq 5", 18, "a text in quotes"),
        ("tolower(Name eq 'x'", 14, "expected ')'"),
        ("startsWith(Name,'x')", 1, "did you mean startswith?"),
        ("contains('x',Name)", 10, "expected a property"),
        ("contains(Name)", 14, "expected ','"),
        ("contains(Online,'x')", 10, "expected a property that is a text"),
        ("contains(Name,Name)", 15, "expected a text in quotes"),
        ("Name in ()", 10, "expected a property or a value"),
        ("Name in 'x'", 9, "expected '(' and a list of values"),
        ("Name in ('x','y'", 17, "expected ',' or ')'"),
        ("Name eq 'a\0'", 9, "U+0000"),
        ("geo.intersects(area=geography'POINT(0 0)')", 1, "OData.CSC.Intersects"),
        ("OData.CSC.Intersects(geography'POINT(0 0)')", 22, "expected area=geography"),
        ("OData.CSC.Intersects(area='POINT(0 0)')", 27, "expected geography'…'"),
        ("OData.CSC.Intersects(location=Footprint)", 40, "expected area=geography"),
        ("OData.CSC.Intersects(area=geography'SRID=32632;POINT(0 0)')", 37, "expected SRID=4326, found SRID=32632"),
        (
            "OData.CSC.Intersects(area=geography'SRID=4326;CIRCLE(0 0)')",
            47,
            "POINT, LINESTRING, POLYGON, MULTIPOINT, MULTILINESTRING, MULTIPOLYGON",
        ),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(0,0)')", 54, "expected a latitude, found ',0)'"),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(0 0 x)')", 57, "expected ')', found 'x)'"),
        ("OData.CSC.Intersects(area=geography'SRID=4326;POINT(0 91)')", 47, "no longitude and latitude"),
        ("OData.CSC.Intersects(area=geography'POLYGON EMPTY')", 45, "expected '(', found 'EMPTY'"),
        ("OData.CSC.Intersects(area=geography'POLYGON((0 0,1 1))')", 37, "the polygon"),
        ("OData.CSC.Intersects(area=geography'POLYGON((0 0,1 0,1 1,0 1))')", 37, "is not closed"),
        ("OData.CSC.Intersects(area=geography'POLYGON((0 0,1 1,0 1,1 0,0 0))')", 37, "Self-intersection"),
        ("OData.CSC.Intersects(area=geography'POLYGON((0 0,1 0,1 1,0 0)) x')", 64, "expected the closing quote"),
        ("Attributes/OData.CSC.StringAttribute/all(a:a/Name eq 'x')", 1, "expected any"),
        ("Attributes/OData.CSC.StrngAttribute/any(a:a/Name eq 'x')", 1, "did you mean String?"),
        ("Attributes/OData.CSC.StringAttribute/any(a/Name eq 'x')", 42, "expected a variable"),
        ("Attributes/any(a:a/Value eq 5)", 18, "expected a/Name eq '…'"),
        ("Attributes/any(a:a/Name eq 'x' and a/Name eq 'y')", 16, "once, beside the values, found it 2 times"),
        ("Attributes/any(a:a/Name eq 'x' or a/Value eq 5)", 32, "expected and or ')'"),
        ("Attributes/any(a:a/Name ne 'x' and a/Name eq 'y')", 25, "expected eq"),
        ("Attributes/any(a:a/Name eq 'x' and b/Value eq 5)", 36, "expected a/Value or"),
        ("Attributes/any(a:a/Name eq 'x' and Name eq 'y')", 36, "expected a/Value or"),
        ("Attributes/any(a:a/Name eq 'x' and a/Velue eq 5)", 36, "expected a/Value or"),
        ("Attributes/any(a:a/Name eq 'x' and not a/Name eq 'y')", 40, "only once"),
        ("Attributes/any(a:a/Name eq 'x' and a/Value eq a/Value)", 47, "expected a value"),
        ("Attributes/any(a:a/Name eq 'x' and Attributes/any(b:b/Name eq 'y'))", 36, "none inside another"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_its_position(text, position, words):
    with pytest.raises(ODataError) as caught:
        parse(text)
    assert caught.value.status == 400
    assert f"at position {position}: " in caught.value.message
    assert words in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "Name eq 'x'" + ")" * 10_000,
        "not " * 10_000 + "Name eq 'x'",
        "not(" * 200 + "Online" + ")" * 200,
        "tolower(" * 5000 + "Name" + ")" * 5000 + " eq 'x'",
        "Attributes/any(a:" + "(" * 5000 + "a/Name eq 'x'" + ")" * 5000 + ")",
        " or ".join(["Name eq 'x'"] * 501),
        "Name in (" + ",".join(["'x'"] * 1001) + ")",
        f"Name eq '{'x' * 70_000}'",
        f"OData.CSC.Intersects(area=geography'LINESTRING({','.join(f'{i % 90} {i % 7}' for i in range(25_000))})')",
    ],
)
def test_what_is_too_deep_or_too_long_is_refused(text):
    with pytest.raises(ODataError) as caught:
        parse(text)
    assert caught.value.status == 400
    assert len(caught.value.message) < 500


def test_many_tests_in_a_row_are_not_deep():
    assert len(parse(" or ".join(f"Name eq '{n}'" for n in range(500))).terms) == 500


@settings(max_examples=300, deadline=None)
@given(filter_strategies.odata)
def test_what_is_printed_is_read_back_the_same(expression):
    definitions = {
        **{name: AttributeDefinition(name, "String", "", True, sep) for name, sep in filter_strategies.LISTS.items()},
        "processingDate": AttributeDefinition("processingDate", "DateTimeOffset", ""),
    }
    vocabulary = Vocabulary(PRODUCTS, definitions)
    text = print_filter(expression, vocabulary)
    assert parse_filter(text, vocabulary) == expression
    assert print_filter(parse_filter(text, vocabulary), vocabulary) == text


_WORDS = (
    "Name eq ne ' ( ) , : = and or not in true null 5 -1.5e3 2022-05-03 contains( Online ContentDate/Start '' 'x' "
    "Attributes/any(a: a/Name a/Value OData.CSC.Intersects(area= geography' SRID=4326;POINT(1 2)' POLYGON(( \0 é % "
    "950d38ac-0000-4000-8000-c6f87bb05800 Attributes/OData.CSC.StringAttribute/any( att:att/Name att/Value"
)
_PIECES = st.sampled_from(_WORDS.split(" "))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=25).map(" ".join), st.lists(_PIECES).map("".join)))
def test_whatever_is_given_is_understood_or_refused(text):
    with contextlib.suppress(ODataError):
        parse(text)


@settings(max_examples=200, deadline=None)
@given(filter_strategies.odata, st.data())
def test_a_filter_with_a_piece_changed_is_understood_or_refused(expression, data):
    definitions = {n: AttributeDefinition(n, "String", "", True, s) for n, s in filter_strategies.LISTS.items()}
    text = print_filter(expression, Vocabulary(PRODUCTS, definitions))
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 5))
    with contextlib.suppress(ODataError):
        parse(text[:at] + data.draw(st.one_of(_PIECES, st.characters())) + text[at + cut :])


def test_a_family_of_sentinel_1_products_stands_for_its_members_as_at_the_hub() -> None:
    wanted = parse(lambda_of("att/OData.CSC.StringAttribute/Value eq 'GRD'", name="productType"))
    assert isinstance(wanted, In)
    values = {value.value for value in wanted.values}
    assert {"GRD", "IW_GRDH_1S", "EW_GRDM_1S", "S3_GRDF_1S"} <= values
    assert not [value for value in values if "SLC" in str(value)]
    same = parse(lambda_of("att/OData.CSC.StringAttribute/Value in ('GRD')", name="productType"))
    assert same == wanted
    unequal = parse(lambda_of("att/OData.CSC.StringAttribute/Value ne 'GRD'", name="productType"))
    assert unequal == all_of(negate(IsNull(Attribute("productType"))), negate(wanted))
    for text in ("att/OData.CSC.StringAttribute/Value eq 'IW_GRDH_1S'", "startswith(att/Value,'GRD')"):
        assert "SLC" not in str(parse(lambda_of(text, name="productType")))
    assert parse(lambda_of("att/Value eq 'GRD'", name="processorName")) == Comparison(
        Attribute("processorName"), Op.EQ, Literal("GRD")
    )
