"""A file's bytes in order, whatever happens to connections and to the file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import HostileInput, InvalidProduct, Overloaded, Transient, Unreachable
from refsys.ingestion.fetching import incoming as module
from refsys.ingestion.fetching.incoming import Connections, Incoming, Line, Restarted
from refsys.ingestion.fetching.leash import Leash
from refsys.ingestion.model import Offer, Part
from tests.byte_source import Asked, ByteSource

RANGE = 1000
DATA = bytes(number % 251 for number in range(10 * RANGE + 37))
OTHER = bytes(number % 241 for number in range(len(DATA)))


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    monkeypatch.setattr(module, "PIECE", 333)


def coming(
    source: ByteSource, threads: ThreadPoolExecutor, *, connections: int = 8, limit: int = 10**9,
    announced: int | None = len(DATA), check: Callable[[], None] = lambda: None,
) -> Incoming:  # fmt: skip
    line = Line(source, Connections(connections), threads, 4, RANGE)
    part = Part("", announced)
    return Incoming(line, Offer("id", "1", "NAME", announced), part, Leash(check), limit)


def received(incoming: Incoming, start: int = 0, tag: str = "") -> bytes:
    """Everything, begun anew as often as it has to be."""
    data = bytearray(DATA[:start])
    while True:
        try:
            for piece in incoming.pieces(start, tag):
                data += piece
            return bytes(data)
        except Restarted:
            data.clear()
            start, tag = 0, ""
        finally:
            incoming.close()


def test_a_large_file_comes_in_ranges_within_an_ordered_window(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA)
    assert received(coming(source, threads)) == DATA
    assert sorted(source.asked, key=lambda asked: asked.start) == [
        Asked(start, min(start + RANGE, len(DATA)) if start else RANGE, "v1" if start else "")
        for start in range(0, len(DATA), RANGE)
    ]
    assert source.most_open <= 4
    assert source.sent_bytes == len(DATA)
    assert source.open_streams == 0


@pytest.mark.parametrize(("connections", "most"), [(1, 1), (2, 2), (3, 3)])
def test_no_more_ranges_than_connections_are_free(threads: ThreadPoolExecutor, connections: int, most: int) -> None:
    source = ByteSource(DATA)
    assert received(coming(source, threads, connections=connections)) == DATA
    assert source.most_open <= most
    if connections == 1:
        assert source.asked == [Asked(0, None, "")]


def test_a_source_that_ignores_ranges_is_read_in_one_stream(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA, knows_ranges=False)
    assert received(coming(source, threads)) == DATA
    assert source.asked[-1] == Asked(0, None, "")


def test_a_cut_goes_on_at_its_byte(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA[:3000], cuts=[1200, 0, 300])
    assert received(coming(source, threads, announced=3000)) == DATA[:3000]
    assert [asked.start for asked in source.asked] == [0, 1200, 1200, 1500]
    assert {asked.tag for asked in source.asked[1:]} == {"v1"}


def test_what_another_attempt_left_is_not_asked_for_again(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA)
    assert received(coming(source, threads), 7000, "v1") == DATA
    assert source.sent_bytes == len(DATA) - 7000


def test_three_cuts_without_a_new_byte_end_it(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA[:3000], cuts=[1000, 0, 0, 0])
    with pytest.raises(Unreachable, match="last cut at byte 1000"):
        received(coming(source, threads, announced=3000))
    assert len(source.asked) == 4


def test_a_source_without_ranges_that_always_cuts_is_not_asked_for_ever(threads: ThreadPoolExecutor) -> None:
    source = ByteSource(DATA[:3000], knows_ranges=False, cuts=[1000] * 99)
    with pytest.raises(Unreachable):
        received(coming(source, threads, announced=3000))
    assert len(source.asked) < 10


@pytest.mark.parametrize("size", [3000, len(DATA)], ids=["in one stream", "in ranges"])
def test_a_file_that_changes_meanwhile_comes_whole_from_its_new_content(threads: ThreadPoolExecutor, size: int) -> None:
    def change(number: int) -> None:
        if number == 2:
            source.data, source.tag = OTHER[:size], "v2"

    source = ByteSource(DATA[:size], cuts=[500, 500], before=change)
    assert received(coming(source, threads, announced=size)) == OTHER[:size]


def test_tags_that_differ_with_each_answer_do_not_keep_a_file_from_coming(threads: ThreadPoolExecutor) -> None:
    def change(number: int) -> None:
        source.tag = f"v{number}"

    source = ByteSource(DATA, before=change)
    assert received(coming(source, threads)) == DATA


def test_sizes_that_lie_are_found_out(threads: ThreadPoolExecutor) -> None:
    with pytest.raises(InvalidProduct, match="has 4000 bytes, 4000000000 were announced"):
        received(coming(ByteSource(DATA[:4000]), threads, announced=4_000_000_000))
    with pytest.raises(InvalidProduct, match="has 4000 bytes, 5000 were announced"):
        received(coming(ByteSource(DATA[:4000], says_size=False), threads, announced=5000))
    source = ByteSource(DATA)
    with pytest.raises(InvalidProduct, match="more than 3000 bytes, which were announced"):
        received(coming(source, threads, announced=3000))
    assert source.sent_bytes < 3000 + 2 * 333
    with pytest.raises(HostileInput, match="more than 2000 bytes, the most accepted"):
        received(coming(ByteSource(DATA[:3000]), threads, announced=None, limit=2000))


def test_a_source_that_asks_for_patience_is_left_alone(threads: ThreadPoolExecutor) -> None:
    def refuse(number: int) -> None:
        if number:
            raise Overloaded("later", retry_after_s=7)

    for size in (3000, len(DATA)):
        with pytest.raises(Overloaded):
            received(coming(ByteSource(DATA[:size], cuts=[500], before=refuse), threads, announced=size))


def test_who_is_let_go_stops_at_once(threads: ThreadPoolExecutor) -> None:
    for size in (3000, len(DATA)):
        source = ByteSource(DATA[:size])
        incoming = coming(source, threads, announced=size)
        pieces = incoming.pieces()
        next(pieces)
        incoming.leash.close()
        with pytest.raises(Transient, match="was stopped"):
            list(pieces)
        assert source.open_streams == 0
        assert source.sent_bytes < size


def test_memory_is_a_few_ranges_whatever_the_size_of_the_file(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 2**20
    source = ByteSource(bytes(48 * step))
    incoming = coming(source, threads, announced=48 * step)
    monkeypatch.setattr(incoming.line, "range_bytes", step)
    tracemalloc.start()
    try:
        assert sum(len(piece) for piece in incoming.pieces()) == 48 * step
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the source's answers are copies of their ranges
    assert peak < (4 + 4 + 1) * step


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 12 * RANGE),
    cuts=st.lists(st.none() | st.integers(0, 2 * RANGE), max_size=6),
    changed_at=st.none() | st.integers(0, 8),
    knows_ranges=st.booleans(),
    connections=st.integers(1, 6),
)
def test_what_comes_is_one_content_and_nothing_else(
    threads: ThreadPoolExecutor,
    size: int,
    cuts: list[int | None],
    changed_at: int | None,
    knows_ranges: bool,
    connections: int,
) -> None:
    def change(number: int) -> None:
        if number == changed_at:
            source.data, source.tag = other, "v2"

    data, other = (DATA * 2)[:size], (OTHER * 2)[:size]
    source = ByteSource(data, cuts=cuts, knows_ranges=knows_ranges, before=change)
    try:
        found = received(coming(source, threads, announced=size, connections=connections))
    except Unreachable:
        assert cuts
    else:
        assert found in (data, other)
    assert source.open_streams == 0
    assert source.most_open <= min(4, connections)
