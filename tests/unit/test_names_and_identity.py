"""Names, identities and instants."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.core.errors import HostileInput
from refsys.core.products import ARCHIVE_SUFFIXES, NAMESPACE, canonical_name, check_name, product_id
from refsys.core.times import FOREVER, format_instant, parse_compact, parse_instant

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"


@pytest.mark.parametrize("suffix", [*ARCHIVE_SUFFIXES, ".ZIP", ".Tar.Gz"])
def test_the_canonical_name_is_the_name_without_archive_suffix(suffix):
    assert canonical_name(NAME + suffix) == NAME


def test_only_one_archive_suffix_is_a_container():
    assert canonical_name("a.SAFE.zip.zip") == "a.SAFE.zip"


def test_identities_are_frozen_for_ever():
    assert uuid.UUID("fd32e83c-1796-5f9e-b538-64488b5652ec") == NAMESPACE
    assert product_id(NAME) == uuid.uuid5(NAMESPACE, NAME)
    assert product_id(NAME, 2) == uuid.uuid5(NAMESPACE, f"{NAME}#2")


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../x",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a b",
        "ä.SAFE",
        "S1\u0410.SAFE",
        "x" * 256,
        "a'b",
        "a;b",
        "a#2",
    ],
)
def test_what_cannot_be_a_product_name_is_refused_with_a_reason(name):
    with pytest.raises(HostileInput, match="is not a product name"):
        check_name(name)


def test_real_names_are_accepted():
    assert check_name(NAME) == NAME
    assert check_name("S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-09-01", datetime(2024, 9, 1, tzinfo=UTC)),
        ("2024-09-01T12:30", datetime(2024, 9, 1, 12, 30, tzinfo=UTC)),
        ("2024-09-01T12:30:15.1234567Z", datetime(2024, 9, 1, 12, 30, 15, 123456, tzinfo=UTC)),
        ("2024-09-01t12:30:15,5z", datetime(2024, 9, 1, 12, 30, 15, 500000, tzinfo=UTC)),
        ("2024-09-01T14:30:15+02:00", datetime(2024, 9, 1, 12, 30, 15, tzinfo=UTC)),
        ("2024-09-01T14:30:15+0200", datetime(2024, 9, 1, 12, 30, 15, tzinfo=UTC)),
        ("UTC=2017-12-13T10:27:37", datetime(2017, 12, 13, 10, 27, 37, tzinfo=UTC)),
        ("UTC=9999-99-99T99:99:99", FOREVER),
    ],
)
def test_instants_are_read_in_every_form_that_stations_write(text, instant):
    assert parse_instant(text) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "2024-02-30", "20240901", "2024-09-01T25:00:00Z"])
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError):
        parse_instant(text)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001
def test_an_instant_that_is_written_is_read_back(instant):
    assert parse_instant(format_instant(instant)) == instant


def test_instants_of_other_zones_are_written_in_utc():
    instant = datetime(2024, 9, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert format_instant(instant) == "2024-09-01T00:00:00.000000Z"


def test_the_leap_second_of_a_name_is_the_next_minute():
    assert parse_compact("20161231T235960") == datetime(2017, 1, 1, tzinfo=UTC)
