"""Whether pieces cover an interval, by the rules and examples of spec/catalogue 12 and production annex E."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.core.cover import join_rf_segments, join_segments, sequence_gap, time_gap, without_duplicates
from refsys.core.times import FOREVER
from tests.catalogue_rows import START

MINUTES_10 = timedelta(minutes=10)
THREE_S = timedelta(seconds=3)


@dataclass(frozen=True)
class Piece:
    start: datetime
    stop: datetime
    made_at: datetime | None = None
    number: int | None = None
    position: str = "NONE"
    name: str = ""


@dataclass(frozen=True)
class Segment:
    polarisation: str
    start: datetime
    stop: datetime
    consolidation: str = ""
    sensing_consolidation: str = ""
    inserted_at: datetime = START


def at(text):
    """Minutes and seconds from the start: `-1:00`, `02:58`."""
    minutes, seconds = text.removeprefix("-").split(":")
    moved = timedelta(minutes=int(minutes), seconds=int(seconds))
    return START - moved if text.startswith("-") else START + moved


def pieces(*texts):
    return [Piece(*map(at, text.split())) for text in texts]


def gap(found, threshold=THREE_S, stop="10:00"):
    found = time_gap(found, START, at(stop), threshold=threshold)
    return found and (found.start, found.stop)


def test_gaps_up_to_the_threshold_are_none():
    covering = pieces("-1:00 02:58", "03:00 07:00", "07:02 09:58")  # annex E.3
    assert gap(covering) is None
    assert gap(reversed(covering)) is None
    assert gap(pieces("-1:00 02:58", "03:02 07:00", "07:02 09:58")) == (at("02:58"), at("03:02"))
    assert gap(pieces("-1:00 02:58", "03:01 09:57")) is None
    assert gap(pieces("-1:00 02:58", "03:01 09:56")) == (at("09:56"), at("10:00"))
    assert gap(pieces("00:03 10:00")) is None
    assert gap(pieces("00:04 10:00")) == (START, at("00:04"))
    assert gap(pieces("-9:00 -8:00", "00:00 10:00")) is None
    assert gap(pieces("00:00 09:57", "10:01 11:00")) is None, "what lies behind makes no gap in front of it"
    assert gap([]) == (START, at("10:00"))
    assert gap([], stop="00:01") == (START, at("00:01"))
    assert gap([Piece(START, FOREVER), Piece(START, at("00:01"))]) is None


@given(
    st.lists(st.tuples(st.integers(-50, 650), st.integers(0, 200)), max_size=12),
    st.integers(0, 30),
)
def test_what_is_covered_has_no_long_stretch_without_a_piece(spans, threshold):
    found = time_gap(
        [Piece(START + timedelta(seconds=s), START + timedelta(seconds=s + length)) for s, length in spans],
        START,
        START + MINUTES_10,
        threshold=timedelta(seconds=threshold),
    )
    bare = [second for second in range(600) if not any(s <= second < s + length for s, length in spans)]
    longest = run = 0
    for one, other in pairwise([-2, *bare]):
        run = run + 1 if other == one + 1 else 1
        longest = max(longest, run)
    if len(spans) == 0:
        assert found is not None
    elif all(length for _, length in spans):
        assert (found is not None) == (longest > threshold)
    if found is not None:
        assert START <= found.start <= found.stop


def granules(text):
    """`5 6 7L 1F`: numbers of granules of a minute each, from the start on; F is FIRST, L is LAST."""
    positions = {"F": "FIRST", "L": "LAST"}
    for minute, item in enumerate(text.split()):
        start = START + timedelta(minutes=minute)
        number = item.rstrip("FL")
        yield Piece(
            start,
            start + timedelta(minutes=1),
            number=int(number) if number != "-" else None,
            position=positions.get(item[-1], "NONE"),
        )


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("5 6 7L 1F 2", None),  # annex E.4
        ("5 7", "granule 7 (NONE) does not follow granule 5 (NONE)"),
        ("7L 2", "granule 2 (NONE) does not follow granule 7 (LAST)"),
        ("7L 8", "granule 8 (NONE) does not follow granule 7 (LAST)"),
        ("7L 9F", None),
        ("5 6 6", "granule 6 (NONE) does not follow granule 6 (NONE)"),
        ("5 1F", "granule 1 (FIRST) does not follow granule 5 (NONE)"),
        ("- 1", "granule 1 (NONE) does not follow granule without a number (NONE)"),
        ("4 -", "granule without a number (NONE) does not follow granule 4 (NONE)"),
        ("", "there is no granule"),
    ],
)
def test_granules_follow_each_other_by_number(row, wrong):
    row = list(granules(row))
    found = sequence_gap(reversed(row), START, START + timedelta(minutes=len(row)))
    assert (found and found.why) == wrong


def test_the_ends_of_a_dump_are_waited_for_unless_told_otherwise():
    row, early, late = list(granules("1F 2 3L")), START - timedelta(seconds=1), START + timedelta(minutes=4)
    for start, stop in ((early, at("03:00")), (START, late)):
        assert sequence_gap(row, start, stop) is not None
        assert sequence_gap(row, start, stop, ends_may_lack=True) is None
    middle = list(granules("2 3 4"))
    assert sequence_gap(middle, early, at("03:00"), ends_may_lack=True).stop == START
    assert sequence_gap(middle, START, late, ends_may_lack=True).start == at("03:00")


@given(st.lists(st.integers(2, 12), min_size=1, max_size=5), st.data())
def test_whole_dumps_are_a_row_and_without_one_of_its_granules_it_is_none(lengths, data):
    dumps = [["1F", *map(str, range(2, length)), f"{length}L"] for length in lengths]
    row = list(granules(" ".join(item for dump in dumps for item in dump)))
    stop = START + timedelta(minutes=len(row))
    assert sequence_gap(row, START, stop) is None
    del row[data.draw(st.integers(0, len(row) - 1))]
    assert sequence_gap(row, START, stop) is not None


def test_of_pieces_with_the_same_times_the_newest_counts():
    first, second = START + timedelta(hours=1), START + timedelta(hours=2)
    a, b = Piece(START, first, first, name="a"), Piece(START, first, second, name="b")
    longer = Piece(START, second, first, name="longer")
    undated = Piece(START, first, None, name="undated")
    for order in ([a, b, longer, undated], [longer, undated, b, a]):
        assert [piece.name for piece in without_duplicates(order)] == ["b", "longer"]
    assert without_duplicates([undated, replace(undated, name="later")])[0].name == "later"


def test_single_polarisations_need_no_other_and_the_whole():
    whole = Segment("SH", START, at("05:00"), "FULL")
    assert join_segments([whole]).lacks == ""
    assert join_segments([replace(whole, consolidation="PARTIAL")]).lacks == "SH: one segment, which is PARTIAL"
    assert join_segments([replace(whole, consolidation="")]).lacks == "SH: one segment, which is not FULL"
    assert join_segments([replace(whole, polarisation="VH")]).lacks == "polarisations VH are no datatake's"
    assert join_segments([]).lacks == "polarisations none are no datatake's"
    both = join_segments([whole, replace(whole, polarisation="SV")])
    assert both.lacks == "polarisations SH, SV are no datatake's"


def test_two_polarisations_are_a_pair_and_both_complete():
    vv, vh = Segment("VV", START, at("05:00"), "FULL"), Segment("VH", START, at("05:01"), "FULL")
    made = join_segments([vv, vh])
    assert (made.lacks, made.start, made.stop) == ("", START, at("05:01"))
    assert join_segments([replace(vv, polarisation="HH"), replace(vh, polarisation="HV")]).lacks == ""
    assert join_segments([vv, replace(vh, polarisation="HV")]).lacks != ""
    assert join_segments([vv, replace(vh, polarisation="HH"), vh]).lacks != ""
    assert join_segments([vv, replace(vh, consolidation="END")]).lacks == "VH: one segment, which is END"


def test_several_segments_begin_end_and_touch():
    begin = Segment("SV", START, at("02:00"), "PARTIAL", "BEGIN")
    middle = Segment("SV", at("02:00"), at("04:00"), "PARTIAL")
    end = Segment("SV", at("03:59"), at("06:00"), "PARTIAL", "END")
    made = join_segments([end, begin, middle])
    assert (made.lacks, made.start, made.stop) == ("", START, at("06:00"))
    assert made.by_polarisation == {"SV": [begin, middle, end]}
    assert join_segments([begin, end]).lacks.startswith("SV: nothing lies from 2024-01-01T00:02:00.000000Z to")
    assert join_segments([middle, end]).lacks == "SV: the begin lacks"
    assert join_segments([begin, middle]).lacks == "SV: the end lacks"
    within = Segment("SV", at("00:10"), at("00:20"), "PARTIAL")
    assert join_segments([begin, within, middle, end]).lacks == ""


def test_a_segment_that_came_again_replaces_the_first():
    partial = Segment("SV", START, at("02:00"), "PARTIAL")
    whole = Segment("SV", START, at("06:00"), "FULL", inserted_at=START + timedelta(hours=1))
    for order in ([partial, whole], [whole, partial]):
        assert join_segments(order).by_polarisation == {"SV": [whole]}


def test_rf_characterisation_needs_a_pair_of_the_same_start():
    vv, vh = Segment("VV", START, at("00:02")), Segment("VH", START, at("00:02"))
    later = replace(vh, start=at("01:00"), stop=at("01:02"))
    assert join_rf_segments([vv, vh, later], START).lacks == ""
    assert join_rf_segments([vv, later], START).lacks == "polarisations VV are no pair"
    assert join_rf_segments([replace(vv, polarisation="SV")], START).lacks == "polarisations SV are no pair"
