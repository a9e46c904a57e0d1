"""What became of every pass: planned ones, sessions, and orbits of which nobody tells."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from refsys.ingestion.passes.listing import Pass, Planned, Received, list_passes, state_of

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW = START + timedelta(days=1)
STATIONS = {"svalbard-cadip": "SGS", "svalbard-xbip": "SGS", "matera": "MTI", "elsewhere": "A station without a code"}


def planned(hours: float, station: str = "SGS", orbit: int | None = None, satellite: str = "S1A") -> Planned:
    start = START + timedelta(hours=hours)
    return Planned(satellite, station, orbit, start, start + timedelta(minutes=10), "a plan")


def received(
    hours: float, name: str = "", *, inboxes: tuple[str, ...] = ("svalbard-cadip",), orbit: int | None = None
) -> Received:
    start = START + timedelta(hours=hours)
    return Received(name or f"S1A_{hours}", "complete", "S1A", inboxes, orbit, start, start + timedelta(minutes=9))


def told(passes: Sequence[Pass]) -> list[tuple[str, str, str]]:
    return [(each.state, each.station, each.session.name if each.session else "") for each in passes]


def test_planned_passes_find_their_sessions_and_what_never_came_is_missing() -> None:
    passes = list_passes(
        [planned(0), planned(2), planned(23.5), planned(30)],
        [received(0.05, "A"), received(23.51, "B")],
        STATIONS,
        NOW,
    )
    assert told(passes) == [
        ("complete", "SGS", "A"),
        ("missing", "SGS", ""),
        ("complete", "SGS", "B"),
        ("expected", "SGS", ""),
    ]


def test_a_pass_is_missing_only_some_time_after_its_end() -> None:
    plan = planned(0)
    for minutes, state in ((5, "expected"), (60, "expected"), (75, "missing")):
        [only] = list_passes([plan], [], STATIONS, START + timedelta(minutes=minutes))
        assert only.state == state


def test_two_stations_at_one_time_are_told_apart_by_their_code() -> None:
    plans = [planned(0, "MTI"), planned(0, "SGS")]
    passes = list_passes(plans, [received(0.02, "A", inboxes=("svalbard-cadip", "svalbard-xbip"))], STATIONS, NOW)
    assert told(passes) == [("missing", "MTI", ""), ("complete", "SGS", "A")]


def test_a_station_without_a_code_gets_the_pass_of_that_time() -> None:
    passes = list_passes([planned(0, "NSG")], [received(0.02, "A", inboxes=("elsewhere",))], STATIONS, NOW)
    assert told(passes) == [("complete", "NSG", "A")]


def test_sessions_that_nobody_planned_are_passes_too() -> None:
    passes = list_passes([planned(0)], [received(5, "A"), received(0, "B")], STATIONS, NOW)
    assert told(passes) == [("complete", "SGS", "B"), ("complete", "SGS", "A")]
    assert passes[1].plan == ""


def test_without_plans_missed_orbits_are_suspected_between_those_that_came() -> None:
    sessions = [received(0, "A", orbit=100), received(1.7, "B", orbit=101), received(6.8, "C", orbit=104)]
    passes = list_passes([], sessions, STATIONS, NOW)
    assert [(each.state, each.orbit) for each in passes] == [
        ("complete", 100),
        ("complete", 101),
        ("suspected", 102),
        ("suspected", 103),
        ("complete", 104),
    ]
    assert passes[2].starts_at == START + timedelta(hours=3.4)
    # where a plan tells what to expect, orbits without a pass are none that were missed
    states = {each.state for each in list_passes([planned(0, orbit=100)], sessions, STATIONS, NOW)}
    assert states == {"complete"}


def test_a_satellite_that_was_silent_for_days_has_not_missed_each_orbit() -> None:
    sessions = [received(0, "A", orbit=100), received(200, "B", orbit=220)]
    assert {each.state for each in list_passes([], sessions, STATIONS, NOW)} == {"complete"}


@pytest.mark.parametrize(
    ("transfers", "state"),
    [
        (["incomplete", "complete"], "complete"),
        (["incomplete", "receiving"], "receiving"),
        (["incomplete", "announced"], "announced"),
        (["incomplete"], "incomplete"),
    ],
)
def test_a_retransfer_takes_an_incomplete_session_on(transfers: list[str], state: str) -> None:
    assert state_of(transfers) == state
