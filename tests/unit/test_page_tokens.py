"""Tokens of pages: they come back as they went, and only where they belong."""

import base64
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refsys.core.times import FOREVER
from refsys.distribution.paging import InvalidToken, read_token, write_token

SECRET = bytes(range(32))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
    st.just(FOREVER),
)


@given(st.lists(VALUES, max_size=5).map(tuple), st.text(), st.binary(min_size=32, max_size=32))
@settings(max_examples=60, deadline=None)
def test_a_token_gives_back_the_keys(after, about, secret):
    token = write_token(secret, after, about)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    found = read_token(secret, token, about)
    assert found == after
    assert list(map(type, found)) == list(map(type, after))


TOKEN = write_token(SECRET, (datetime(2024, 1, 1, tzinfo=UTC), None, uuid.UUID(int=7)), "odata Name desc")


@given(st.integers(0, len(base64.urlsafe_b64decode(TOKEN + "==")) * 8 - 1))
@settings(max_examples=60, deadline=None)
def test_a_token_with_one_other_bit_is_none(bit):
    raw = bytearray(base64.urlsafe_b64decode(TOKEN + "=="))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidToken):
        read_token(SECRET, base64.urlsafe_b64encode(raw).decode().rstrip("="), "odata Name desc")


@pytest.mark.parametrize("text", ["", "=", "é", "a", "AAAA", "%%%", TOKEN[:-1], TOKEN + "A", "A" * 100_000, "\0"])
def test_what_is_no_token_is_refused(text):
    with pytest.raises(InvalidToken):
        read_token(SECRET, text, "odata Name desc")


def test_a_token_of_another_query_or_another_key_is_refused():
    for secret, about in ((SECRET, "odata Name"), (SECRET, ""), (bytes(32), "odata Name desc")):
        with pytest.raises(InvalidToken, match="begin with the first page"):
            read_token(secret, TOKEN, about)
