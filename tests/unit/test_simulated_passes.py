"""Passes: when what is published, with what flaws; and the content that is made for it."""

import hashlib
import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.simulation.passes import Flaws, Mishaps, Pass, Schedule, passes, timeline
from refsys.simulation.station import CADU_BYTES, FULL_BLOCK_BYTES, Archive, Made, md5_of

NOON = datetime(2024, 11, 14, 12, tzinfo=UTC)
REAL = Pass(satellite="S1A", orbit=56552, start=datetime(2024, 11, 14, 14, 30, 44, tzinfo=UTC))
SMALL = Pass(satellite="S1A", orbit=7, start=NOON, channel_bytes=100 * CADU_BYTES, block_bytes=30 * CADU_BYTES)


class Receiver:
    """A station without a server, whose clock moves when the schedule says when the next thing happens."""

    def __init__(self, *, delivers_dsib=False, ahead=timedelta()):
        self.now = NOON
        self.archive = Archive(clock=lambda: self.now + ahead)
        self.delivers_dsib = delivers_dsib


def played(downlink, *flaws, delivers_dsib=False, ahead=timedelta()):
    """The sessions that one pass left behind at stations with such flaws, and their archives."""
    receivers = [Receiver(delivers_dsib=delivers_dsib, ahead=ahead) for _ in flaws]
    schedule = Schedule(clock=lambda: receivers[0].now)
    for receiver, wrong in zip(receivers, flaws, strict=True):
        schedule.add(downlink, receiver, wrong)
    while (left_s := schedule.step()) is not None:
        for receiver in receivers:
            receiver.now += timedelta(seconds=left_s)
    assert schedule.done
    return [receiver.archive for receiver in receivers]


def order(session, channel):
    return [block.number for block in session.blocks if block.channel == channel]


def test_a_pass_has_the_sizes_and_names_of_the_real_one():
    sizes = REAL.sizes()
    assert (len(sizes), sizes[0], sizes[-1], sum(sizes)) == (19, FULL_BLOCK_BYTES, 105_351_848, 5_767_640_648)
    assert REAL.session_id == "S1A_20241114143044056552"
    events = timeline(REAL)
    assert (events[0].what, events[0].at_s) == ("session", 27.0)
    assert Counter(event.what for event in events) == {"session": 1, "block": 38, "stop": 1, "end": 2}
    # channels take turns
    assert [event.channel for event in events if event.what == "block"] == [1, 2] * 19
    assert [event.at_s for event in timeline(REAL.faster(10))] == pytest.approx([event.at_s / 10 for event in events])


def test_what_a_pass_leaves_behind():
    [archive] = played(SMALL, Flaws())
    [session] = archive.sessions()
    assert (session.published_at - NOON).total_seconds() == 27
    assert (session.downlink_start, session.downlink_stop) == (NOON, NOON + timedelta(seconds=128))
    assert [order(session, channel) for channel in (1, 2)] == [[1, 2, 3, 4]] * 2
    assert [block.is_final for block in session.raw_blocks(1)] == [False, False, False, True]
    assert {channel: (said["TotalChunks"], said["TotalVolume"]) for channel, said in session.quality.items()} == {
        1: (4, 100 * CADU_BYTES),
        2: (4, 100 * CADU_BYTES),
    }


def test_flaws_are_what_they_say():
    wrong = Flaws(missing=frozenset({(1, 2)}), late={(2, 1): 50.0}, duplicated=frozenset({(1, 4)}), retransfer_s=10.0)
    shuffled, final_first, quiet = Flaws(shuffled=True), Flaws(final_first=True), Flaws(quality=False)
    archives = played(SMALL, wrong, shuffled, final_first, quiet)
    sessions = [archive.sessions()[0] for archive in archives]
    assert order(sessions[0], 1) == [1, 3, 4, 4]
    assert order(sessions[0], 2) == [2, 3, 4, 1]
    late = sessions[0].blocks[-1]
    assert late.number == 1
    assert late.published_at < next(block.published_at for block in sessions[0].blocks if block.channel == 2)
    assert sessions[0].quality[1]["TotalChunks"] == 4
    assert sorted(order(sessions[1], 1)) == [1, 2, 3, 4] != order(sessions[1], 1)
    assert order(sessions[2], 2) == [4, 1, 2, 3]
    assert sessions[3].quality == {}
    [again] = archives[0].sessions()[1:]
    assert (again.retransfer, len(again.blocks), again.session_id) == (True, 8, sessions[0].session_id)
    assert again.md5s() == sessions[1].md5s()


def test_files_that_grow_are_empty_then_half_then_whole():
    events = [event for event in timeline(SMALL, Flaws(growing=True)) if (event.channel, event.number) == (1, 3)]
    assert [(event.what, event.fraction) for event in events] == [("block", 0.0), ("grow", 0.5), ("grow", 1.0)]
    [archive] = played(SMALL, Flaws(growing=True))
    assert [block.size_bytes // CADU_BYTES for block in archive.sessions()[0].raw_blocks(1)] == [30, 30, 30, 10]


def test_stations_with_files_publish_what_each_channel_has_at_its_end():
    [archive] = played(SMALL, Flaws(missing=frozenset({(1, 2)})), delivers_dsib=True)
    [session] = archive.sessions()
    first = next(block for block in session.blocks if (block.channel, block.number) == (1, 0))
    text = first.content.open().file.read().decode()
    assert text.count("<dsdb_name>") == 4
    assert f"<data_size>{100 * CADU_BYTES}</data_size>" in text
    assert order(session, 1) == [1, 3, 4, 0]


def test_a_stations_clock_may_be_an_hour_ahead():
    [archive] = played(SMALL, Flaws(late={(1, 1): 5.0}), ahead=timedelta(hours=1))
    [session] = archive.sessions()
    assert session.downlink_start == NOON + timedelta(hours=1)
    assert session.session_id == SMALL.session_id
    assert all(
        timedelta(0) < block.published_at - session.downlink_start < timedelta(minutes=10) for block in session.blocks
    )


def test_a_relay_satellites_sessions_have_ids_of_their_own():
    relay = Pass(satellite="S1B", orbit=125, start=datetime(2017, 11, 9, 17, 56, 34, 707000, tzinfo=UTC), relay=True)
    assert relay.session_id == "L20171109175634707000125"


def test_passes_follow_each_other():
    found = list(passes(SMALL, {"S1A": 100, "S3B": 5}, every_s=60, count=5))
    assert [(each.satellite, each.orbit) for each in found] == [
        ("S1A", 100),
        ("S3B", 5),
        ("S1A", 101),
        ("S3B", 6),
        ("S1A", 102),
    ]
    assert {b.start - a.start for a, b in itertools.pairwise(found)} == {timedelta(seconds=60)}


@given(
    st.builds(
        Mishaps,
        **dict.fromkeys(
            ("missing", "late", "duplicated", "shuffled", "final_first", "growing", "no_quality", "retransfer"),
            st.sampled_from([0.0, 0.3, 1.0]),
        ),
    ),
    st.integers(0, 5),
    st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_by_chance_or_not_what_is_not_missing_comes_whole(mishaps, seed, channels):
    downlink = Pass(
        satellite="S2A",
        orbit=1,
        start=NOON,
        channels=channels,
        channel_bytes=9 * CADU_BYTES,
        block_bytes=2 * CADU_BYTES,
    )
    flaws = mishaps.flaws(downlink, seed)
    assert flaws == mishaps.flaws(downlink, seed)
    [archive] = played(downlink, flaws)
    wanted = {(channel, number) for channel in range(1, channels + 1) for number in range(1, 6)}
    for session in archive.sessions():
        came = Counter((block.channel, block.number) for block in session.blocks)
        if session.retransfer:
            assert came == Counter(wanted)
            continue
        assert came.keys() == wanted - flaws.missing
        assert {
            key for key, times in came.items() if times == 2
        } == flaws.duplicated - flaws.missing - flaws.late.keys()
        assert {block.size_bytes for block in session.blocks} <= {CADU_BYTES, 2 * CADU_BYTES}
    assert len(archive.sessions()) == 1 + (flaws.retransfer_s is not None)


@given(st.integers(0, 1_100_000), st.integers(0, 1_100_000), st.integers(0, 1_100_000))
@settings(max_examples=30, deadline=None)
def test_made_content_is_the_same_from_everywhere(size, start, stop):
    made = Made("seed", size)
    with made.open().file as file:
        whole = file.read()
        file.seek(min(start, size))
        assert file.read(100) == whole[start : start + 100]
    assert len(whole) == size
    assert made.read(start, stop) == whole[start:stop]
    assert md5_of(made) == hashlib.md5(whole).hexdigest()
    with Made("seed", size + 5000).open().file as longer:
        assert longer.read(size) == whole


def test_made_content_repeats_nothing_and_depends_on_its_seed():
    tile = 512 * CADU_BYTES
    content = Made("seed", 3 * tile)
    tiles = {content.read(tile * number, tile * (number + 1)) for number in range(3)}
    assert len(tiles) == 3
    assert Made("other", tile).read(0, tile) not in tiles
    assert content.read(2 * tile, 2 * tile + 4) == bytes.fromhex("1acffc1d")
