"""Name patterns explained: where a name leaves a pattern, and names that a pattern matches."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.missions import load_types
from refsys.missions.patterns import Reach, example, examples, how_far

TYPES = load_types()
#: Words that patterns are made of.
PIECES = st.sampled_from(
    [
        "A",
        "_",
        r"\.",
        r"\d",
        r"\d{3}",
        "[XYZ]",
        "[^A]",
        "(?:AB|C)",
        "(?P<{}>D|EF)",
        "(G(?:H|I)?)",
        "J+",
        "K*",
        "(?=.)",
        "(?i:l)",
    ]
)


@pytest.mark.parametrize(
    ("pattern", "name", "end", "wanted"),
    [
        ("ABC", "ABX", 2, "C"),
        ("ABCDEF", "AXCDEF", 1, "BCDEF"),
        ("ABC", "ABCD", 3, ""),
        (r"A(?P<day>\d{8})_B", "A2024090_B", 8, r"\d{8}"),
        (r"A(?P<day>\d{8})_B", "A20240901-B", 9, "_B"),
        ("A_(?:CAL|INS)_V", "A_COL_V", 3, "AL"),
        ("A_(?:CAL|INS)_V", "A_XXX_V", 2, "(?:CAL|INS)"),
        ("AB|CDE", "CDX", 2, "E"),
        (r"(?P<a>X)(?P=a)Z", "XXY", 2, "Z"),
        ("[]^]A", "]B", 1, "A"),
        (r"(?i:DCS_(?P<s>\d\d))", "dcs_1x", 5, r"\d"),
        ("A", "é", 0, "A"),
        ("A", "", 0, "A"),
    ],
)
def test_a_pattern_goes_along_with_a_name_as_far_as_it_can(pattern, name, end, wanted):
    assert how_far(re.compile(pattern), name) == Reach(end, wanted)


def test_every_row_has_an_example_that_no_other_row_matches():
    for kind in TYPES.types.values():
        names = examples(kind.name)
        assert names, kind.id
        assert example(kind.name) == names[0]
        for name in names:
            assert [found.type.id for found in TYPES.matching(name)] == [kind.id]


def test_each_alternative_of_a_pattern_is_in_an_example():
    assert examples(re.compile("S1_(?:A|B(?:C|D))_[XY]")) == ["S1_A_X", "S1_BC_X", "S1_BD_X", "S1_A_Y"]


def test_where_no_name_can_be_made_up_there_is_none():
    assert example(re.compile("(?!A)A")) == ""
    assert example(re.compile("/A")) == ""


@given(st.lists(PIECES, min_size=1, max_size=8), st.text("ABCDEFGHIJKLXYZ_.123", max_size=12))
def test_what_is_told_of_any_pattern_is_true(pieces, name):
    pattern = re.compile(
        "".join(piece.format(f"g{number}") if "<{}>" in piece else piece for number, piece in enumerate(pieces))
    )
    assert all(pattern.fullmatch(found) for found in examples(pattern))
    reach = how_far(pattern, name)
    assert 0 <= reach.end <= len(name)
    if pattern.fullmatch(name):
        assert reach.wanted == ""
    if reach.wanted == "":
        assert pattern.match(name)
