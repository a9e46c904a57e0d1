"""Leaving a station alone that fails, and taking no more bytes a second than it may give. The clock is ours."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.errors import Gone, Overloaded, Permanent, Transient, Unreachable
from refsys.infra.stations import limits as station_limits
from refsys.infra.stations.limits import LONGEST_PAUSE_S, Breaker, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(station_limits, "jittered", lambda seconds, least, most: seconds)
    return Clock()


class GivenUp(BaseException):
    """A request of which nobody learns what became of it."""


def breaker(clock: Clock, failures: int = 3) -> Breaker:
    return Breaker("SGS", failures=failures, pause_s=30.0, clock=clock)


def fail(breaker: Breaker, clock: Clock, error: Exception | None = None) -> None:
    """One request that takes a second to fail."""
    asking = breaker.passing()
    asking.__enter__()
    clock.now += 1
    error = error or Unreachable("cannot be reached")
    assert not asking.__exit__(type(error), error, None)


def refused_for(breaker: Breaker) -> float | None:
    """How long it is left alone; None: it is not."""
    try:
        with breaker.passing():
            raise GivenUp
    except GivenUp:
        return None
    except Unreachable as error:
        return error.retry_after_s


@pytest.mark.parametrize(
    "error", [Unreachable("500"), Overloaded("429"), ConnectionResetError("reset"), TimeoutError("silent")]
)
def test_failures_in_a_row_open_it(clock: Clock, error: Exception) -> None:
    tested = breaker(clock)
    for _ in range(3):
        assert refused_for(tested) is None
        fail(tested, clock, error)
    assert refused_for(tested) == 30.0


@pytest.mark.parametrize("error", [Gone("404"), Permanent("400"), Transient("no JSON")])
def test_an_answer_whatever_it_says_ends_the_row(clock: Clock, error: Exception) -> None:
    tested = breaker(clock)
    for _ in range(3):
        fail(tested, clock)
        fail(tested, clock)
        fail(tested, clock, error)
    assert refused_for(tested) is None


def test_what_fails_at_the_same_time_is_one_failure(clock: Clock) -> None:
    tested = breaker(clock)
    for _ in range(2):
        together = [tested.passing() for _ in range(8)]
        for each in together:
            each.__enter__()
        clock.now += 1
        for each in together:
            assert not each.__exit__(Unreachable, Unreachable("the line is down"), None)
    assert refused_for(tested) is None
    fail(tested, clock)
    assert refused_for(tested) == 30.0


def test_one_request_probes_after_the_pause_and_the_others_wait_for_it(clock: Clock) -> None:
    tested = breaker(clock, failures=1)
    fail(tested, clock)
    clock.now += 30
    with tested.passing():
        assert refused_for(tested) == 1.0
    with tested.passing():
        assert refused_for(tested) is None


def test_each_pause_is_twice_the_one_before_up_to_ten_minutes(clock: Clock) -> None:
    tested = breaker(clock, failures=1)
    pauses = []
    for _ in range(7):
        fail(tested, clock)
        pause_s = refused_for(tested)
        assert pause_s is not None
        pauses.append(pause_s)
        clock.now += pause_s
    assert pauses == [30, 60, 120, 240, 480, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    with tested.passing():
        pass
    fail(tested, clock)
    assert refused_for(tested) == 30.0


def test_a_probe_that_is_given_up_leaves_the_probing_to_the_next(clock: Clock) -> None:
    tested = breaker(clock, failures=1)
    fail(tested, clock)
    clock.now += 30
    with pytest.raises(GivenUp), tested.passing():
        raise GivenUp
    assert refused_for(tested) is None


def test_patience_that_is_asked_for_counts_for_all_at_once_and_is_kept(clock: Clock) -> None:
    tested = breaker(clock)
    fail(tested, clock, Overloaded("429", retry_after_s=1800.0))
    assert refused_for(tested) == 1800.0
    clock.now += 1799
    assert refused_for(tested) == 1.0
    clock.now += 1
    assert refused_for(tested) is None


def test_it_says_why_and_what_then(clock: Clock) -> None:
    tested = breaker(clock, failures=1)
    fail(tested, clock, Unreachable("answered 503"))
    with pytest.raises(Unreachable) as caught, tested.passing():
        pass
    assert str(caught.value) == (
        "SGS: is left alone for 30 s more, after it failed: answered 503 (it is asked again then)"
    )


def test_threads_that_come_after_the_pause_send_one_probe(clock: Clock) -> None:
    tested = breaker(clock, failures=1)
    fail(tested, clock)
    clock.now += 30
    inside, ready, may_end = [], threading.Barrier(8), threading.Event()

    def ask() -> None:
        ready.wait()
        try:
            with tested.passing():
                inside.append(1)
                may_end.wait()
        except Unreachable:
            refused.append(1)
            if len(refused) == 7:
                may_end.set()

    refused: list[int] = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (len(inside), len(refused)) == (1, 7)


@settings(max_examples=50)
@given(pieces=st.lists(st.integers(1, 10**6), min_size=1, max_size=50), share=st.sampled_from([1.0, 0.5, 0.25]))
def test_no_more_bytes_come_than_may(pieces: list[int], share: float) -> None:
    clock = Clock()
    begun = clock.now
    throttle = Throttle(100_000, clock=clock)
    throttle.share = share
    for piece in pieces:
        clock.now += throttle.wait_s(piece)
    took_s = clock.now - begun
    assert sum(pieces) <= 100_000 * share * (took_s + 0.25) + 1
    assert took_s <= sum(pieces) / (100_000 * share) + 1e-6


def test_without_a_bound_nobody_waits(clock: Clock) -> None:
    assert Throttle(0, clock=clock).wait_s(10**12) == 0.0


def test_silence_saves_no_more_than_a_moment(clock: Clock) -> None:
    throttle = Throttle(1000, clock=clock)
    clock.now += 3600
    assert throttle.wait_s(1000) == pytest.approx(0.75)
