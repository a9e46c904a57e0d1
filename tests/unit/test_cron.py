"""Cron expressions in the form of Quartz, asked for one instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from refsys.core.cron import Cron

MONDAY = datetime(2024, 11, 18, 3, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "matches", "differs"),
    [
        ("* * 0-5 ? * MON *", MONDAY, MONDAY + timedelta(hours=3)),
        ("* * 0-5 ? * MON *", MONDAY.replace(hour=5, minute=59, second=59), MONDAY + timedelta(days=1)),
        ("* * 0-8 ? * WED *", MONDAY + timedelta(days=2), MONDAY),
        ("* * 0-5 ? * 2", MONDAY, MONDAY - timedelta(days=1)),
        ("* * * ? * * *", MONDAY, None),
        ("* * * * * ?", MONDAY, None),
        ("0/15 * * * * ?", MONDAY, MONDAY + timedelta(seconds=1)),
        ("*/15 30 3 18 11 ? 2024", MONDAY, MONDAY.replace(year=2025)),
        ("15 10-40/10 * * nov ?", MONDAY, MONDAY + timedelta(minutes=5)),
        ("* * 22-3 * * ?", MONDAY, MONDAY + timedelta(hours=1)),
        ("* * * ? * SAT-MON", MONDAY, MONDAY + timedelta(days=1)),
        ("* * 1,2,3 1,18 1-3,NOV ?", MONDAY, MONDAY.replace(month=10)),
        ("* * * ? * TUE,wed", MONDAY + timedelta(days=2), MONDAY),
    ],
)
def test_an_instant_matches_or_not(text: str, matches: datetime, differs: datetime | None) -> None:
    cron = Cron.parse(text)
    assert cron.matches(matches)
    assert differs is None or not cron.matches(differs)


def test_it_is_asked_in_utc() -> None:
    local = timezone(timedelta(hours=5))
    assert Cron.parse("* * 3 * * ?").matches(MONDAY.astimezone(local))
    assert not Cron.parse("* * 8 * * ?").matches(MONDAY.astimezone(local))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("* * * L * ?", "day is L; L, W and # are not understood"),
        ("* * * 15W * ?", "day is 15W; L, W and # are not understood"),
        ("* * * ? * 6L", "weekday is 6L; L, W and # are not understood"),
        ("* * * ? * FRI#2", "weekday is FRI#2; L, W and # are not understood"),
        ("* * * ? * ?", "day and weekday are both ?"),
        ("* * * 1 * MON", "day and weekday are both restricted"),
        ("? * * * * ?", "second is ?"),
        ("60 * * * * ?", "second is 60; it is 0 to 59"),
        ("* * * ? * 0", "weekday is 0; it is 1 to 7, SUN to SAT"),
        ("* * * * XXX ?", "month is XXX; it is 1 to 12, JAN to DEC"),
        ("* * 5- * * ?", "hour is 5-"),
        ("* * 1,, * * ?", "hour is empty"),
        ("*/0 * * * * ?", "the step 0"),
        ("* * * * * ? 2025-2024", "ends before it begins"),
        ("* * * * *", "has 5 fields"),
        ("", "has 0 fields"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        Cron.parse(text)
