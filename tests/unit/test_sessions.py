"""Sessions without a database: names, what is complete, deadlines, DSIBs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import ConfigurationError, HostileInput, InvalidProduct
from refsys.infra.settings import InboxSettings, SessionPolicy, SessionSettings, Settings
from refsys.ingestion.model import SessionFile
from refsys.ingestion.sessions import session_file_of
from refsys.ingestion.sessions.deadlines import Rules, check_timeliness, deadline_of, timeliness_limit_s
from refsys.ingestion.sessions.dsib import dsib_name, make_dsib, read_dsib
from refsys.ingestion.sessions.judging import (
    CADU,
    Block,
    ChannelFacts,
    SessionFacts,
    judge_channel,
    judge_session,
    merge,
    numbers,
    stored_blocks,
    total_chunks,
    total_volume,
    view_of,
    whole,
)
from refsys.ingestion.sessions.names import BLOCK_ZERO, mission_of, satellite_of, start_of
from refsys.missions import load_types
from tests.sessions import BEGAN, NAME, block_name

NOW = datetime(2024, 11, 14, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (block_name(1), SessionFile(NAME, False, 1, 1)),
        (f"dcs_04_{NAME.lower()}_CH2_dsdb_00019.RAW", SessionFile(NAME, False, 2, 19)),
        (f"DCS_04_{NAME}_ch1_DSIB.xml", SessionFile(NAME, False, 1, 0)),
        ("DCS_02_L20171109175634707000125_ch1_DSDB_00035.aisp", SessionFile("L20171109175634707000125", False, 1, 35)),
        ("DCS_95_S1B__MPS__________017080_ch2_DSIB.XML", SessionFile("S1B__MPS__________017080", False, 2, 0)),
        (block_name(0), SessionFile(NAME, False, 1, BLOCK_ZERO)),
        (f"{block_name(1)}.tmp", None),
        (f"DCS_04_{NAME}_ch1_DSDB_00001.xml", None),
        ("S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF", None),
        (f"../{block_name(1)}", None),
        (f"DCS_04_{NAME}_ch1_DSDB_٠٠٠٠١.raw", None),
    ],
)
def test_a_files_name_says_which_block_it_is(name: str, file: SessionFile | None) -> None:
    assert session_file_of(name) == file


def test_a_block_number_counts_where_names_count_from_zero() -> None:
    assert [session_file_of(block_name(n), block=n + 1) for n in (0, 7)] == [
        SessionFile(NAME, False, 1, 1),
        SessionFile(NAME, False, 1, 8),
    ]
    contradicting = session_file_of(block_name(7), block=3, retransfer=True, is_final=True)
    assert contradicting == SessionFile(NAME, True, 1, 7, True)


@pytest.mark.parametrize(
    ("session", "path", "satellite", "start"),
    [
        (NAME, "", "S1A", BEGAN),
        ("S1B__MPS__________017080", "", "S1B", None),
        ("L20171109175634707000125", "", "", datetime(2017, 11, 9, 17, 56, 34, tzinfo=UTC)),
        ("L20171109175634707000125", "WILE/S2A/L20171109175634707000125/ch01/x.raw", "S2A", None),
        ("L20179999175634707000125", "S2A", "", None),
    ],
)
def test_a_session_tells_its_satellite_and_start_or_its_folder_does(
    session: str, path: str, satellite: str, start: datetime | None
) -> None:
    assert satellite_of(session, path) == satellite
    assert mission_of(satellite) == satellite[:2]
    assert start is None or start_of(session) == start


def channel(
    stored: Sequence[int], of: int = 5, *, final: int | None = None, offered: Sequence[int] = (), **facts: Any
) -> ChannelFacts:
    """A channel of `of` blocks, of which some are stored, and some are only offered."""
    sizes = {number: (10 if number < of else 3) * CADU for number in range(-1, 100)}
    blocks = {
        number: Block(
            number,
            block_name(max(0, number)),
            sizes[number],
            number == final,
            number + 2 if number in stored else None,
            bytes([number + 1]) if number in stored else None,
        )
        for number in {*stored, *offered}
    }
    return ChannelFacts(blocks, **facts)


def session(*channels: ChannelFacts, **facts: Any) -> SessionFacts:
    return SessionFacts(facts.pop("name", NAME), dict(enumerate(channels, 1)), **facts)


def test_a_channel_is_complete_when_all_up_to_its_final_block_is_stored() -> None:
    assert judge_channel(NAME, channel([1, 2, 3, 4, 5], final=5)).is_complete
    lacking = judge_channel(NAME, channel([1, 2, 5], final=5, offered=[4]))
    assert (lacking.is_complete, lacking.expected, lacking.missing) == (False, 5, (3, 4))
    unknown = judge_channel(NAME, channel([1, 2, 4]))
    assert (unknown.is_complete, unknown.expected, unknown.missing) == (False, None, (3,))


def test_the_stations_totals_say_how_many_blocks_there_are() -> None:
    facts = channel([1, 2, 3, 4, 5])
    volume = (4 * 10 + 3) * CADU
    assert judge_channel(NAME, replace(facts, total_chunks=5, total_volume=volume)).is_complete
    assert judge_channel(NAME, replace(facts, total_chunks=6)).missing == (6,)
    more = judge_channel(NAME, replace(channel([1, 2, 3, 4, 5], final=5), total_chunks=6))
    assert (more.is_complete, more.missing) == (False, (6,))
    assert "TotalChunks is 6" in more.problems[0]
    fewer = judge_channel(NAME, replace(channel([1, 2, 3, 4, 5], final=5), total_chunks=4))
    assert (fewer.is_complete, len(fewer.problems)) == (True, 1)
    short = judge_channel(NAME, replace(channel([1, 2, 3, 4, 5], final=5), total_volume=volume + 1))
    assert (short.is_complete, short.missing) == (False, ())
    assert f"TotalVolume is {volume + 1}" in short.problems[0]


def test_two_final_blocks_and_blocks_beyond_are_told_and_waited_for() -> None:
    facts = channel([1, 2, 3, 4], final=4, offered=[5])
    twice = {**facts.blocks, 5: replace(facts.blocks[5], is_final=True)}
    judged = judge_channel(NAME, replace(facts, blocks=twice))
    assert (judged.is_complete, judged.missing, len(judged.problems)) == (False, (5,), 1)
    beyond = judge_channel(NAME, channel([1, 2, 3, 4], final=4, offered=[5]))
    assert (beyond.is_complete, beyond.missing) == (False, (5,))


def test_numbering_from_zero_is_tolerated() -> None:
    judged = judge_channel(NAME, channel([BLOCK_ZERO, 1, 2, 3, 4], 4, final=4, total_chunks=5))
    assert (judged.is_complete, judged.expected, judged.problems) == (True, 5, ())
    assert judge_channel(NAME, channel([BLOCK_ZERO, 2], final=2)).missing == (1,)


def test_a_stations_dsib_names_the_blocks() -> None:
    names = [block_name(number) for number in range(1, 6)]
    facts = channel([1, 2, 3, 4, 5], named=names)
    assert judge_channel(NAME, facts).is_complete
    lacking = judge_channel(NAME, channel([1, 2, 4, 5], named=[name.lower() for name in names]))
    assert (lacking.is_complete, lacking.missing) == (False, (3,))
    disagreeing = judge_channel(NAME, channel([1, 2, 3, 4], final=4, named=names, total_chunks=4))
    assert disagreeing.missing == (5,)
    assert len(disagreeing.problems) == 2
    beside = judge_channel(NAME, channel([1, 2, 3, 4, 5, 6], 6, named=names))
    assert (beside.is_complete, beside.problems) == (True, ("its DSIB does not name block 6",))


def test_sizes_that_do_not_add_up_are_no_complete_channel_unless_the_station_says_so() -> None:
    facts = channel([1, 2, 3], 3, final=3)
    cut = replace(facts, blocks={**facts.blocks, 2: replace(facts.blocks[2], size=5 * CADU + 7)})
    judged = judge_channel(NAME, cut)
    assert (judged.is_complete, judged.missing, len(judged.problems)) == (False, (), 2)
    volume = sum(block.size or 0 for block in cut.blocks.values())
    assert judge_channel(NAME, replace(cut, total_volume=volume)).is_complete
    assert judge_channel(NAME, replace(cut, named=[block_name(n) for n in (1, 2, 3)])).is_complete
    edrs = judge_channel("L20171109175634707000125", cut)
    assert (edrs.is_complete, len(edrs.problems)) == (True, 2)
    packets = {n: replace(block, name=block.name.replace(".raw", ".aisp")) for n, block in cut.blocks.items()}
    assert judge_channel(NAME, replace(cut, blocks=packets)).problems == ()


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (session(), "announced"),
        (session(channel([], offered=[1])), "announced"),
        (session(channel([1])), "receiving"),
        (session(channel([1], 1, final=1)), "receiving"),
        (session(channel([1], 1, final=1), channels=1), "complete"),
        (session(channel([1], 1, final=1), channels=2), "receiving"),
        (session(channel([1], 1, final=1), is_passed=True), "complete"),
        (session(channel([1], 1, final=1), channels=2, is_passed=True), "incomplete"),
        (session(channel([1], 1, final=1), ChannelFacts(has_dsib=True), is_passed=True), "incomplete"),
        (session(channel([1], 1, final=1), channel([], offered=[1]), is_passed=True), "incomplete"),
        (session(channel([1], 1, final=1), channel([1], 1, final=1)), "complete"),
        (session(channel([1], 1, final=1), channel([1], 1, final=1), channels=1), "complete"),
        (session(channel([1]), channel([1]), is_passed=True), "incomplete"),
        (session(is_passed=True), "incomplete"),
        (session(channel([1, 3], final=3), gave_up=True), "complete"),
    ],
)
def test_the_state_of_a_session(facts: SessionFacts, state: str) -> None:
    assert judge_session(facts).state == state


def test_an_incomplete_session_says_what_it_lacks() -> None:
    judged = judge_session(
        session(channel([1, 2, 4, 7, 8], 9, final=9, offered=[9]), channel([1]), channels=2, is_passed=True)
    )
    assert judged.problems == (
        "channel 1: blocks 3, 5-6, 9 missing",
        "channel 2: nobody said which block is the final one",
    )


def test_a_retransfer_fills_gaps_and_replaces_once_it_is_in_force() -> None:
    nominal = session(channel([1, 2, 4], final=5, offered=[3, 5]))
    again = session(channel([2, 3, 5]))
    blocks = {n: replace(b, retransfer=True, digest=b"again") for n, b in again.by_channel[1].blocks.items()}
    again = replace(again, by_channel={1: ChannelFacts(blocks)})
    filled, replaced = (merge(nominal, again, is_in=is_in) for is_in in (False, True))
    assert [(b.block, b.retransfer) for _, b in stored_blocks(filled)] == [
        (1, False), (2, False), (3, True), (4, False), (5, True)
    ]  # fmt: skip
    assert [b.block for _, b in stored_blocks(replaced) if b.retransfer] == [2, 3, 5]
    assert judge_channel(NAME, filled.by_channel[1]).is_complete
    assert view_of(filled) != view_of(replaced)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_missing_block_is_never_complete(data: st.DataObject) -> None:
    of = data.draw(st.integers(1, 12))
    stored = data.draw(st.sets(st.integers(1, of)))
    offered = data.draw(st.sets(st.integers(1, of)))
    final = data.draw(st.sampled_from([None, of]))
    chunks = data.draw(st.sampled_from([None, of]))
    names = data.draw(st.sampled_from([None, [block_name(number) for number in range(1, of + 1)]]))
    facts = channel(sorted(stored), of, final=final, offered=sorted(offered | ({of} if final else set())), named=names)
    judged = judge_channel(NAME, replace(facts, total_chunks=chunks))
    known = final is not None or chunks is not None or names is not None
    assert judged.is_complete == (known and len(stored) == of)
    assert not set(judged.missing) & stored
    if known:
        assert set(judged.missing) == set(range(1, of + 1)) - stored


@pytest.mark.parametrize(
    ("said", "number"),
    [
        *((19, 19), ("19", 19), (19.0, None), (True, None), (-3, None), (0, None), ("1e9", None), ("٣", None)),
        *(("9" * 30, None), (10**30, None), (None, None), ([1], None)),
    ],
)
def test_a_stations_numbers_are_taken_with_care(said: Any, number: int | None) -> None:
    assert whole(said) == number
    assert total_volume({"TotalVolume": said}) == number
    assert total_chunks({"TotalChunks": 10**7}) is None


def test_block_numbers_for_people() -> None:
    assert [numbers([3]), numbers([BLOCK_ZERO, 1, 2, 5])] == ["block 3", "blocks 0-2, 5"]
    assert numbers(range(1, 100_000)) == "blocks 1-99999"
    assert len(numbers(range(1, 100_000, 2))) < 200


def test_a_made_dsib_reads_as_those_of_stations_do(shared_data: Path) -> None:
    for number in (1, 2):
        name = f"DCS_02_L20171109175634707000125_ch{number}_DSIB.xml"
        real = read_dsib((shared_data / "sessions" / name).read_bytes(), name=name)
        assert len(real.names) == 35
        assert (real.start, real.stop, real.problem) == (
            datetime(2017, 12, 13, 14, 59, 48, tzinfo=UTC),
            datetime(2017, 12, 13, 15, 17, 25, tzinfo=UTC),
            "",
        )
        assert real.start is not None
        assert real.stop is not None
        made = make_dsib(
            "L20171109175634707000125", real.start, real.stop, real.size_bytes or 0, real.names, "--> made"
        )
        assert read_dsib(made, name=name) == real


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<a/>", InvalidProduct),
        ("<DCSU_Session_Information_Block/>", InvalidProduct),
        ("<DCSU_Session_Information_Block>", InvalidProduct),
        ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', HostileInput),
        (
            "<DCSU_Session_Information_Block><dsdb_list><dsdb_name>../../etc/passwd</dsdb_name>"
            f"<dsdb_name>{block_name(1, 2)}</dsdb_name></dsdb_list></DCSU_Session_Information_Block>",
            InvalidProduct,
        ),
    ],
)
def test_a_dsib_that_is_none_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_dsib(text.encode(), name=dsib_name(NAME, 1, "04"))


def test_a_dsib_with_strange_names_keeps_those_of_its_channel() -> None:
    names = [block_name(1), block_name(1), block_name(2, 2), "x", block_name(2)]
    said = read_dsib(make_dsib(NAME, BEGAN, BEGAN, 5, names, ""), name=dsib_name(NAME, 1, "04"))
    assert said.names == (block_name(1), block_name(2))
    assert "2 files" in said.problem


def row(**changes: Any) -> Mapping[str, Any]:
    """A session whose downlink ended at 14:33, seen two minutes later, by a clock that agrees."""
    return {
        "name": NAME,
        "downlink_stop": datetime(2024, 11, 14, 14, 33, tzinfo=UTC),
        "planned_stop": None,
        "newest": None,
        "seen_at": datetime(2024, 11, 14, 14, 31, tzinfo=UTC),
        "news_at": datetime(2024, 11, 14, 14, 35, tzinfo=UTC),
        "now": NOW,
        "lag": timedelta(seconds=10),
        "wait_until": None,
        "fills": False,
    } | changes


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "deadline"),
    [
        ({}, "14:43:10"),
        ({"lag": None}, "14:43:00"),
        # the station's clock is an hour ahead, or behind
        (
            {"downlink_stop": datetime(2024, 11, 14, 15, 33, tzinfo=UTC), "lag": timedelta(seconds=10) - HOUR},
            "14:43:10",
        ),
        (
            {"downlink_stop": datetime(2024, 11, 14, 13, 33, tzinfo=UTC), "lag": timedelta(seconds=10) + HOUR},
            "14:43:10",
        ),
        # something came late: it is quiet only five minutes later
        ({"news_at": datetime(2024, 11, 14, 15, 0, tzinfo=UTC)}, "15:05:00"),
        ({"news_at": datetime(2024, 11, 14, 15, 0, tzinfo=UTC), "fills": True}, "15:05:00"),
        ({"wait_until": datetime(2024, 11, 14, 23, 0, tzinfo=UTC)}, "23:00:00"),
        ({"downlink_stop": None}, "14:40:48"),
        ({"downlink_stop": None, "planned_stop": datetime(2024, 11, 14, 14, 34, tzinfo=UTC)}, "14:44:10"),
        ({"downlink_stop": None, "newest": datetime(2024, 11, 14, 14, 32, tzinfo=UTC)}, "14:42:10"),
        ({"downlink_stop": None, "name": "S1B__MPS__________017080"}, "14:41:10"),
        # found late, and nothing tells when it was published
        ({"lag": None, "seen_at": datetime(2024, 11, 14, 15, 0, tzinfo=UTC)}, "15:10:00"),
        # dates that are none
        ({"downlink_stop": datetime(9999, 1, 1, tzinfo=UTC)}, "14:40:48"),
        ({"downlink_stop": datetime(1, 1, 1, tzinfo=UTC)}, "14:40:48"),
        ({"lag": timedelta(days=700_000)}, "14:45:00"),
        ({"lag": timedelta(days=-700_000), "news_at": datetime(2024, 11, 14, 12, 0, tzinfo=UTC)}, None),
    ],
)
def test_the_deadline_counts_from_the_end_of_the_downlink_in_our_clock(
    changes: dict[str, Any], deadline: str | None
) -> None:
    found = deadline_of(row(**changes), Rules(True, 600.0, 300.0))
    assert deadline is None or f"{found:%H:%M:%S}" == deadline
    assert found < NOW + timedelta(days=2)


def test_the_limit_is_that_of_the_most_urgent_class_that_needs_whole_sessions() -> None:
    types = load_types()
    found = {key: timeliness_limit_s(*key, types) for key in [
        ("S1", ""), ("S1", "FAST24"), ("S1", "S1_SESSION"), ("S2", ""), ("S3", ""), ("S3", "NTC"), ("", ""),
    ]}  # fmt: skip
    assert list(found.values()) == [10800, 21600, 1800, 4500, 3600, 252000, 10800]


def test_a_timeliness_that_no_class_has_is_refused() -> None:
    types = load_types()
    known = InboxSettings(id="a", type="folder", url="/a", timeliness="NRT")
    check_timeliness(Settings(inbox=(known,)), types)
    with pytest.raises(ConfigurationError, match="NTR"):
        check_timeliness(Settings(inbox=(known.model_copy(update={"timeliness": "NTR"}),)), types)
    with pytest.raises(ConfigurationError, match=r"sessions\.policy"):
        check_timeliness(Settings(sessions=SessionSettings(policy=(SessionPolicy(timeliness="soon"),))), types)
