"""Times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from refsys.core.times import FOREVER, parse_moment

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        (" 6h ", NOW - timedelta(hours=6)),
        ("2d", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(days=7)),
        ("2024-09-01", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T12:00:00+02:00", datetime(2024, 9, 1, 10, tzinfo=UTC)),
        ("UTC=9999-99-99T99:99:99", FOREVER),
    ],
)
def test_a_moment_is_an_instant_or_an_age(text: str, moment: datetime) -> None:
    assert parse_moment(text, now=NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "6", "-6h", "6.5h", "999999w", "0001-01-01T00:00:00+14:00", "2024-13-01"]
)
def test_what_is_no_moment_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="not a time: "):
        parse_moment(text, now=NOW)
