"""The station's own reading of $filter, and of Range."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.simulation.station.filters import FilterError, parse_filter
from refsys.simulation.station.transfer import Span, parse_range

ROW = {
    "Name": "S1A_OPER_AUX_POEORB_O'Neill.EOF.zip",
    "Id": "0d4a2f9e-7c1b-5f7e-9d4e-2a4a9e1d8c11",
    "PublicationDate": datetime(2024, 9, 1, 12, 0, 0, 1, tzinfo=UTC),
    "ContentDate/Start": datetime(2024, 8, 1, tzinfo=UTC),
    "ContentDate/End": None,
    "Channel": 2,
    "FinalBlock": True,
    "AntennaId": None,
}


KINDS = {
    "Name": "text",
    "Id": "id",
    "PublicationDate": "instant",
    "ContentDate/Start": "instant",
    "ContentDate/End": "instant",
    "Channel": "number",
    "FinalBlock": "boolean",
    "AntennaId": "text",
}


def holds(text, refused=()):
    return parse_filter(text, KINDS, refused)(ROW.__getitem__)


@pytest.mark.parametrize(
    "text",
    [
        "PublicationDate gt 2024-09-01T12:00:00.000000Z",
        "PublicationDate ge 2024-09-01T12:00:00.000001Z",
        "PublicationDate eq 2024-09-01T14:00:00.000001+02:00",
        "PublicationDate le 2024-09-01T12:00:00.000001Z",
        "PublicationDate lt 2024-09-02",
        "PublicationDate ne 2024-09-02",
        "((PublicationDate ge 2024-09-01T00:00:00.000Z) and (PublicationDate lt 2024-09-02T00:00:00.000Z))",
        "contains(Name,'POEORB')",
        "contains( Name , 'O''Neill' )",
        "startswith(Name,'S1A') and endswith(Name,'.zip')",
        "Name eq 'S1A_OPER_AUX_POEORB_O''Neill.EOF.zip'",
        "Name in ('x','S1A_OPER_AUX_POEORB_O''Neill.EOF.zip')",
        "Id eq 0D4A2F9E-7c1b-5f7e-9d4e-2a4a9e1d8c11",
        "ContentDate/Start lt 2024-08-02",
        "not contains(Name,'RESORB')",
        "not (contains(Name,'RESORB') or Name eq 'x')",
        "contains(Name,'x') or contains(Name,'y') or contains(Name,'POEORB')",
        # and binds closer than or
        "contains(Name,'S1A') or contains(Name,'x') and contains(Name,'y')",
        "not contains(Name,'x') and contains(Name,'S1A')",
        "Channel eq 2 and FinalBlock eq true",
        "Channel gt 1 and Channel lt 2.5 and FinalBlock ne false",
        "Channel in (1, 2)",
    ],
)
def test_true_of_the_row(text):
    assert holds(text)
    assert not holds(f"not ({text})")


@pytest.mark.parametrize(
    "text",
    [
        "PublicationDate gt 2024-09-01T12:00:00.000001Z",
        "PublicationDate lt 2024-09-01T12:00:00.000001Z",
        "Name eq 's1a_oper_aux_poeorb_o''neill.eof.zip'",
        "contains(Name,'poeorb')",
        "(contains(Name,'S1A') or contains(Name,'x')) and contains(Name,'y')",
        "Name in ('x')",
        "FinalBlock eq false",
        "Channel lt -2",
        "contains(AntennaId,'1')",
    ],
)
def test_false_of_the_row(text):
    assert not holds(text)


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "ge", "lt", "le"])
def test_what_is_not_known_compares_as_false(operator):
    assert not holds(f"ContentDate/End {operator} 2024-08-02")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        ("   ", 1),
        ("Name", 5),
        ("Name eq", 8),
        ("Name eq 'x", 9),
        ("Name eq 5", 9),
        ("Name eq x", 9),
        ("Name like 'x'", 6),
        ("PublicationDate gt '2024-09-01T12:00:00Z'", 20),
        ("PublicationDate gt 2024-13-01", 20),
        ("PublicationDate gt 2024-09-01T12", 20),
        ("Size eq '5'", 1),
        ("Id gt 0d4a2f9e-7c1b-5f7e-9d4e-2a4a9e1d8c11", 4),
        ("contains(Name)", 14),
        ("contains(PublicationDate,'x')", 10),
        ("tolower(Name) eq 'x'", 1),
        ("Name eq 'x' and", 16),
        ("Name eq 'x' Name eq 'y'", 13),
        ("(Name eq 'x'", 13),
        ("Name eq 'x')", 12),
        ("Name in ()", 10),
        ("Name eq 'x'; drop table", 12),
        ("NOT Name eq 'x'", 1),
        ("Channel eq '2'", 12),
        ("FinalBlock gt true", 12),
        ("FinalBlock eq maybe", 15),
        ("contains(Channel,'2')", 10),
    ],
)
def test_what_it_does_not_understand_is_refused_with_the_place(text, position):
    with pytest.raises(FilterError, match=rf"character {position}\b"):
        parse_filter(text, KINDS)


@pytest.mark.parametrize("text", ["PublicationDate ge 2024-09-01", "contains(Name,'x')", "Name in ('x')"])
def test_a_station_may_not_know_an_operator(text):
    parse_filter(text, KINDS)
    with pytest.raises(FilterError):
        parse_filter(text, KINDS, {"ge", "contains", "in"})


@pytest.mark.parametrize("opening", ["(", "not "])
def test_endless_nesting_is_refused(opening):
    with pytest.raises(FilterError, match="nested deeper"):
        parse_filter(opening * 100_000 + "Name eq 'x'", KINDS)


@given(
    st.lists(st.sampled_from(["Name", " ", "eq", "'x'", "(", ")", "and", "or", "not", "in", ",", "'", "2024-01-01"]))
)
def test_any_text_is_a_filter_or_a_filter_error(words):
    try:
        predicate = parse_filter("".join(words), KINDS)
    except FilterError:
        return
    assert predicate(ROW.__getitem__) in (True, False)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("bytes=0-", Span(0, 100)),
        ("bytes=10-19", Span(10, 20)),
        ("Bytes=10-1000", Span(10, 100)),
        ("bytes=99-99", Span(99, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("pieces=0-1", None),
    ],
)
def test_a_range_is_read_or_ignored(text, span):
    assert parse_range(text, 100) == span


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_is_an_error(text):
    with pytest.raises(ValueError, match="100 bytes"):
        parse_range(text, 100)
