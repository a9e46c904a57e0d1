"""Which offers an inbox takes, how urgently, and how far a look has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from refsys.core import steps
from refsys.infra.settings import InboxSettings
from refsys.ingestion.inboxes.progress import Progress
from refsys.ingestion.inboxes.rating import SESSION_OUTSIDE, Rater, SessionFacts
from refsys.ingestion.inboxes.reconciling import is_due
from refsys.ingestion.model import Offer, SessionFile, SessionSaid
from refsys.missions import load_types

TYPES = load_types()
#: A Monday.
NOW = datetime(2024, 11, 18, 12, tzinfo=UTC)
MONDAYS = "* * 0-5 ? * MON *"


def rater(**changes: Any) -> Rater:
    return Rater(InboxSettings(**({"id": "x", "type": "cadip", "url": "http://host/odata/v1"} | changes)), TYPES)


def block(session: str, published_at: datetime = NOW, number: int = 1, path: str = "") -> Offer:
    name = f"DCS_04_{session}_ch1_DSDB_{number:05}.raw"
    return Offer(
        name,
        "1",
        name,
        7,
        published_at,
        path=path or f"{session}/{name}",
        session=SessionFile(session, False, 1, number),
    )


def why(found: Rater, offer: Offer) -> str:
    return found.judge(offer, NOW).why


def test_patterns_are_matched_with_the_path_where_there_is_one() -> None:
    of_session = block("S1A_20241118033015056552")
    assert why(rater(match=r"S1A_\d+/DCS_.*"), of_session) == ""
    assert why(rater(match="DCS_.*"), of_session) == "its name does not match `match`"
    assert why(rater(match="DCS_.*"), Offer("1", "1", of_session.name)) == ""
    assert why(rater(ignore=".*/DCS_.*"), of_session) == "its name matches `ignore`"


@pytest.mark.parametrize(
    ("session", "satellite", "path", "taken"),
    [
        ("S1A_20241118033015056552", "", "", True),
        ("S2A_20241118033015056552", "", "", False),
        ("L20171109175634707000125", "", "", True),  # nobody says whose it is
        ("L20171109175634707000125", "S1B", "", True),
        ("L20171109175634707000125", "S2B", "", False),
        ("L20171109175634707000125", "", "S2B/L20171109175634707000125/x.raw", False),
    ],
)
def test_the_mission_of_a_session_is_that_of_its_satellite(
    session: str, satellite: str, path: str, taken: bool
) -> None:
    found = rater(mission="S1")
    assert found.needs_facts(session, False) == session.startswith("L")
    found.facts[session, False] = SessionFacts(satellite)
    assert (why(found, block(session, path=path)) == "") == taken
    assert found.wants_session(SessionSaid(session, False, satellite)) == (taken or bool(path))


def test_the_window_decides_by_the_time_in_the_sessions_id_whenever_its_files_are_published() -> None:
    found = rater(window=MONDAYS)
    late = NOW + timedelta(days=3)
    assert why(found, block("S1A_20241118055959056552", late)) == ""
    assert why(found, block("S1A_20241118060000056552", NOW.replace(hour=3))) == SESSION_OUTSIDE


def test_a_session_without_a_time_in_its_id_is_taken_whole_or_not_at_all() -> None:
    session, inside = "S1B__MPS__________017080", NOW.replace(hour=5, minute=59)
    first_inside = rater(window=MONDAYS)
    published = [inside, inside + timedelta(minutes=2), inside + timedelta(days=1)]
    assert [why(first_inside, block(session, at)) for at in published] == ["", "", ""]
    first_outside = rater(window=MONDAYS)
    assert {why(first_outside, block(session, at)) for at in reversed(published)} == {SESSION_OUTSIDE}
    by_station = rater(window=MONDAYS)
    by_station.facts[session, False] = SessionFacts(starts_at=inside)
    assert why(by_station, block(session, published[2])) == ""
    as_before = rater(window=MONDAYS)
    as_before.facts[session, False] = SessionFacts(starts_at=inside, is_outside=True)
    assert why(as_before, block(session, inside)) == SESSION_OUTSIDE


def test_the_window_leaves_auxiliaries_alone_unless_it_is_told() -> None:
    orbit = Offer("1", "1", "S1A_OPER_AUX_POEORB_OPOD_20210101T000000_V20201212T225942_20201214T005942.EOF", 7, NOW)
    assert why(rater(window=MONDAYS), orbit) == ""
    assert why(rater(window=MONDAYS, window_auxiliaries=True), orbit) == "it was published outside the `window`"


def test_what_is_held_is_seen_and_what_is_unwanted_is_not_held() -> None:
    held = Offer("1", "1", "file.raw", 0, NOW, held="it is empty")
    judged = rater().judge(held, NOW)
    assert (judged.state, judged.why) == ("seen", "it is empty")
    assert rater(match="other").judge(held, NOW).state == "filtered"


def test_what_was_published_long_ago_comes_after_what_is_live() -> None:
    live, old = (rater().judge(block("S1A_20241118033015056552", at), NOW) for at in (NOW, NOW - timedelta(days=3)))
    assert live.priority > old.priority == steps.PRIORITY_BACKLOG


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_stations_clock_may_be_an_hour_off(skew: timedelta) -> None:
    progress = Progress(None, NOW + timedelta(days=1))
    assert progress.take([Offer("1", "1", "a", 1, NOW + skew)]) == []
    assert progress.newest == NOW + skew


def test_a_date_far_in_the_future_moves_nothing_and_disorder_keeps_what_is_safe() -> None:
    progress = Progress(NOW, NOW + timedelta(days=1))
    future = Offer("1", "1", "a", 1, NOW + timedelta(days=400))
    later, earlier = (Offer("1", "1", "a", 1, NOW + timedelta(minutes=n)) for n in (2, 1))
    assert progress.take([future]) == [future]
    assert (progress.safe, progress.newest) == (NOW, NOW)
    progress.take([later])
    progress.take([earlier])
    assert (progress.safe, progress.newest) == (NOW, later.published_at)


def test_each_inbox_is_compared_once_a_night_each_at_its_own_time() -> None:
    started = NOW - timedelta(days=1)
    hours = range(24)

    def due(inbox: str, reconciled_at: datetime | None) -> list[int]:
        midnight = NOW.replace(hour=0)
        return [hour for hour in hours if is_due(inbox, reconciled_at, started, midnight + timedelta(hours=hour))]

    first = {inbox: due(inbox, NOW.replace(hour=0) - timedelta(minutes=1))[0] for inbox in map(str, range(40))}
    assert set(first.values()) == {1, 2, 3, 4, 5}
    assert due("a", NOW.replace(hour=5)) == []
    assert due("a", None) == due("a", started)
