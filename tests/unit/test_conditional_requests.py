"""Ranges and conditions as RFC 9110 has them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refsys.distribution.odata.conditions import Unsatisfiable, Validators, Verdict, asked_range, judge
from refsys.distribution.odata.offers import content_disposition

OURS = Validators("abc", datetime(2024, 9, 1, 12, 0, 0, 250_000, tzinfo=UTC))
DATE = "Sun, 01 Sep 2024 12:00:00 GMT"
EARLIER = "Sun, 01 Sep 2024 11:59:59 GMT"
LATER = "Sun, 01 Sep 2024 12:00:01 GMT"


def asked(text: str, size: int = 100, **headers: str) -> tuple[int, int] | None:
    return asked_range({"range": text} | {name.replace("_", "-"): value for name, value in headers.items()}, OURS, size)


def test_validators_are_strong_and_in_whole_seconds() -> None:
    assert (OURS.etag, OURS.last_modified) == ('"abc"', DATE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-1000", (10, 100)),
        ("bytes=99-", (99, 100)),
        ("bytes=-1", (99, 100)),
        ("bytes=-1000", (0, 100)),
        ("BYTES = 0-1".replace(" ", ""), (0, 2)),
        ("bytes= 0-1 ,", (0, 2)),
        ("bytes=0-99999999999999999999999999999999", (0, 100)),
        ("bytes=-99999999999999999999999999999999", (0, 100)),
    ],
)
def test_one_range_is_that_range(text: str, expected: tuple[int, int]) -> None:
    assert asked(text) == expected


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=9" + "9" * 40 + "-"])
def test_a_range_behind_the_end_cannot_be_satisfied(text: str) -> None:
    with pytest.raises(Unsatisfiable):
        asked(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=+1-2", "bytes=1-2-3", "bytes=0x1-",
        "bytes=١-٢", "bytes=1 - 2", "lines=0-1", "bytes=0-1,5-6", "bytes=100-,200-",
    ],
)  # fmt: skip
def test_what_is_no_range_or_several_is_answered_by_the_whole(text: str) -> None:
    assert asked(text) is None


def test_of_no_bytes_every_suffix_is_the_whole() -> None:
    assert asked("bytes=-5", size=0) is None
    with pytest.raises(Unsatisfiable):
        asked("bytes=0-", size=0)


@given(st.text("0123456789-,= bytes", max_size=20), st.integers(0, 50))
def test_any_range_lies_within_the_bytes(text: str, size: int) -> None:
    try:
        found = asked(f"bytes={text}", size)
    except Unsatisfiable:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


@pytest.mark.parametrize(
    ("validator", "holds"),
    [
        ('"abc"', True), ('"abd"', False), ('W/"abc"', False), ("abc", False), (DATE, True), (LATER, False),
        (EARLIER, False), ("", False),
    ],
)  # fmt: skip
def test_a_resumed_download_gets_its_range_only_of_the_same_bytes(validator: str, holds: bool) -> None:
    assert asked("bytes=10-", if_range=validator) == ((10, 100) if holds else None)
    # where it does not hold nobody looks whether the range lies within
    if not holds:
        assert asked("bytes=200-", if_range=validator) is None


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Verdict.GO_ON),
        ({"if-none-match": '"abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": 'W/"abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x", W/"y,z" , "abc"'}, Verdict.NOT_MODIFIED),
        ({"if-none-match": "*"}, Verdict.NOT_MODIFIED),
        ({"if-none-match": '"x"'}, Verdict.GO_ON),
        ({"if-none-match": "abc"}, Verdict.GO_ON),
        ({"if-match": '"abc"'}, Verdict.GO_ON),
        ({"if-match": "*"}, Verdict.GO_ON),
        ({"if-match": '"x"'}, Verdict.FAILED),
        ({"if-match": 'W/"abc"'}, Verdict.FAILED),
        ({"if-match": ""}, Verdict.FAILED),
        ({"if-modified-since": DATE}, Verdict.NOT_MODIFIED),
        ({"if-modified-since": LATER}, Verdict.NOT_MODIFIED),
        ({"if-modified-since": EARLIER}, Verdict.GO_ON),
        ({"if-modified-since": "yesterday"}, Verdict.GO_ON),
        ({"if-unmodified-since": DATE}, Verdict.GO_ON),
        ({"if-unmodified-since": EARLIER}, Verdict.FAILED),
        ({"if-unmodified-since": "yesterday"}, Verdict.GO_ON),
        # tags are asked, dates are not, where both are there
        ({"if-none-match": '"x"', "if-modified-since": LATER}, Verdict.GO_ON),
        ({"if-match": '"abc"', "if-unmodified-since": EARLIER}, Verdict.GO_ON),
        ({"if-match": '"x"', "if-none-match": '"abc"'}, Verdict.FAILED),
    ],
)
def test_conditions_are_judged_in_the_order_of_the_standard(headers: dict[str, str], verdict: Verdict) -> None:
    assert judge(headers, OURS) is verdict


@given(st.text(max_size=40))
@example("Mon, 01 Jan 0001 00:00:00 +9999")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("1 2 3 4 5")
def test_no_header_is_a_reason_to_fail(text: str) -> None:
    for name in ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since"):
        assert judge({name: text}, OURS) in Verdict
    assert asked("bytes=0-9", if_range=text) in (None, (0, 10))


def test_names_go_safely_into_a_header() -> None:
    name = "S1A_IW_GRDH_1SDV_20240101T000000_20240101T000025_051903_0645E1_ABCD.SAFE.zip"
    assert content_disposition(name) == f'attachment; filename="{name}"'
    assert content_disposition('a"\r\nb ü') == (
        "attachment; filename=\"a___b__\"; filename*=UTF-8''a%22%0D%0Ab%20%C3%BC"
    )
