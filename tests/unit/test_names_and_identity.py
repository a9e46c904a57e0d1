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


def test_identities_are_frozen_for_ever():
    assert uuid.UUID("fd32e83c-1796-5f9e-b538-64488b5652ec") == NAMESPACE
    assert product_id(NAME) == uuid.uuid5(NAMESPACE, NAME)
    assert product_id(NAME, 2) == uuid.uuid5(NAMESPACE, f"{NAME}#2")


@pytest.mark.parametrize(
    ("offered", "name"),
    [
        ("a.SAFE.zip.zip", "a.SAFE.zip"),
        ("a.SAFE.tar.gz.zip", "a.SAFE.tar.gz"),
        ("a.SAFE.zip.tar.gz", "a.SAFE.zip"),
        ("a.SAFE.tgz.TGZ", "a.SAFE.tgz"),
        ("a.zip.SAFE", "a.zip.SAFE"),
        ("a.SAFE.gz", "a.SAFE.gz"),
        ("a.SAFE.zip ", "a.SAFE.zip "),
        ("a.SAFE.zip.", "a.SAFE.zip."),
        ("a.SAFE.z\u0131p", "a.SAFE.z\u0131p"),
        ("a.SAFE.zip\0.SAFE", "a.SAFE.zip\0.SAFE"),
        ("../../a.SAFE.zip", "../../a.SAFE"),
        (".zip", ""),
        (".tar.gz", ""),
    ],
)
def test_one_suffix_at_the_end_is_a_container_and_nothing_else_is(offered, name):
    assert canonical_name(offered) == name


@pytest.mark.parametrize("name", ["zip", "tar.gz", "tgz"])
def test_a_name_that_looks_like_a_suffix_is_a_name(name):
    assert canonical_name(name) in (name, "tar")
    assert check_name(name) == name


PATHS = [
    "../x",
    "a/b",
    "a/",
    "/a",
    "a\\b",
    "C:a",
    "C:\\a",
    "\\\\host\\a",
    "~a",
    "a/../b",
    "%2e%2e%2fx",
    "a%00b",
    "a:b",
    "a*",
    "a?",
]
CONTROL = ["a\0b", "a\nb", "a\n", "\na", "a\rb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\x85b", "\ufeffa"]
SPACES = [" a", "a ", "a b", "a\u00a0b", "a\u2003", "a\u200b", "a\u2028b"]
DOTS = ["", ".", "..", "...", ".hidden", "a.", "a..", f"{NAME}.", "-rf", "_a", "@a", "+a"]
# as Latin letters, digits and dots to the eye: Cyrillic, Greek, full width, ligature, combining, bidirectional
LOOK_ALIKES = [
    "S1\u0410.SAFE", "\u0405" + "1A.SAFE", "S1\u0391", "\uff331A", "S1A.S\u0391FE", "S\u0661A", "S1A\u2024SAFE",
    "\ufb01le", "S1A\u0301", "S1A\u202eEFAS", "\u212aelvin", "ä.SAFE",
]  # fmt: skip
SHELL = ["a'b", 'a"b', "a;b", "a#2", "a&b", "a|b", "$a", "a`b", "a<b", "(a)", "{a}", "a,b", "a=b", "!a"]
LONG = ["x" * 256, "x" * 300, f"{'x' * 292}.SAFE.zip", "é" * 130]


@pytest.mark.parametrize("name", [*PATHS, *CONTROL, *SPACES, *DOTS, *LOOK_ALIKES, *SHELL, *LONG], ids=ascii)
def test_what_cannot_be_a_product_name_is_refused_with_a_reason(name):
    with pytest.raises(HostileInput, match="is not a product name") as caught:
        check_name(name)
    told = str(caught.value)
    assert told.isascii(), "what the name looks like does not reach a terminal"
    assert told.isprintable()
    assert len(told) < 1200
    assert caught.value.advice


@pytest.mark.parametrize("name", ["x", "0", "x" * 255, "a..b", "a-", "CON", "a.zip"])
def test_odd_names_that_harm_nobody_are_accepted(name):
    assert check_name(name) == name


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


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00", "9999-12-31T23:59:60Z"])
def test_an_instant_outside_the_calendar_is_no_instant(text):
    with pytest.raises(ValueError, match="not an instant"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text", ["99991231T235960", "20240230", "20240101T250000", "2024", "20240101T1200", "٢٠٢٤٠٩٠١"]
)
def test_what_is_no_compact_instant_is_refused(text):
    with pytest.raises(ValueError):
        parse_compact(text)


def test_the_open_end_of_a_name_is_for_ever():
    assert parse_compact("99999999T999999") == FOREVER


def test_a_leap_second_is_the_next_minute():
    assert parse_instant("2016-12-31T23:59:60.250000Z") == datetime(2017, 1, 1, 0, 0, 0, 250000, tzinfo=UTC)
    with pytest.raises(ValueError):
        parse_instant("2016-12-31T23:59:61Z")


def test_the_leap_second_of_a_name_is_the_next_minute():
    assert parse_compact("20161231T235960") == datetime(2017, 1, 1, tzinfo=UTC)
