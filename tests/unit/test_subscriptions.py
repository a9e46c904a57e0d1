"""What subscriptions are made of: ids of notifications, addresses of endpoints, filters."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refsys.catalogue.feed import KINDS
from refsys.core.hosts import is_public_address
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.subscriptions.model import (
    EVENTS,
    NOTIFICATION_MEMBERS,
    SUBSCRIPTION_MEMBERS,
    Subscription,
    entity,
    parse_wanted,
    read_ack_id,
    write_ack_id,
)
from refsys.distribution.subscriptions.sending import check_endpoint
from refsys.missions import load_types

KEY = UUID("991c4730-cf6f-432a-9f6c-47be0230ff45")
NOW = datetime(2024, 3, 18, 10, 11, 46, 532000, tzinfo=UTC)
TYPES = load_types()


def subscription(**changes: Any) -> Subscription:
    members: dict[str, Any] = {
        "id": KEY, "owner": "ann", "status": "running", "events": ["created"], "filter_text": "", "stage_order": False,
        "endpoint": None, "submitted_at": NOW, "last_notified_at": None, "position": 5, "acked": 3, "queued": 2,
        "paused_by": None, "pause_reason": "", "attempts": 0, "failing_since": None, "next_attempt_at": NOW,
        "last_error": "", "last_error_at": None,
    }  # fmt: skip
    return Subscription(**{**members, **changes})


def test_an_ack_id_has_the_hubs_form() -> None:
    """The id of the hub's documentation: 0 of 1710756706532."""
    text = "MTcxMDc1NjcwNjUzMi0wOjk5MWM0NzMwLWNmNmYtNDMyYS05ZjZjLTQ3YmUwMjMwZmY0NQ=="
    assert write_ack_id(KEY, 0, NOW) == text
    assert read_ack_id(text, KEY) == 0


@given(
    st.integers(0, 10**18 - 1),
    st.integers(0, 2**33).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.uuids(),
)
def test_an_ack_id_leads_back_to_its_position_and_needs_no_escaping(position: int, at: datetime, key: UUID) -> None:
    text = write_ack_id(key, position, at)
    assert read_ack_id(text, key) == position
    assert not set("+/") & set(text)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_what_is_no_ack_id_is_refused(text: str) -> None:
    with pytest.raises(ODataError) as raised:
        read_ack_id(text, KEY)
    assert raised.value.status == 400


def test_every_kind_of_change_is_one_event() -> None:
    assert sorted(kind for kinds in EVENTS.values() for kind in kinds) == sorted(KINDS)


def test_an_entity_has_members_that_the_metadata_name_and_only_what_applies() -> None:
    names = {name for name, _ in SUBSCRIPTION_MEMBERS} | {"Id", "@odata.context"}
    plain = entity(subscription(), last_position=9, queue_length=100)
    full = entity(
        subscription(
            endpoint="https://host/", attempts=2, last_error="x", last_error_at=NOW, last_notified_at=NOW, queued=100
        ),
        last_position=9,
        queue_length=100,
    )
    assert plain.keys() < full.keys() <= names
    assert names - full.keys() == {"NotificationEpUsername", "NotificationEpPassword"}
    assert (plain["ChangesBehind"], full["NextAttempt"]) == (4, "2024-03-18T10:11:46.532000Z")
    assert "full" in full["StatusReason"]
    paused = entity(
        subscription(status="paused", paused_by="system", pause_reason="why"), last_position=0, queue_length=9
    )
    assert (paused["StatusReason"], paused["ChangesBehind"]) == ("why", 0)
    assert len(NOTIFICATION_MEMBERS) == 5


def test_a_filter_is_one_on_the_sets_that_its_events_name() -> None:
    parse_wanted("DeletionCause eq 'x'", ["deleted"], TYPES)
    parse_wanted("PublicationDate gt 2024-01-01T00:00:00Z", ["created", "modified"], TYPES)
    parse_wanted("Name eq 'x'", ["created", "deleted"], TYPES)
    for text, events in (("DeletionCause eq 'x'", ["created", "deleted"]), ("Online eq true", ["deleted"])):
        with pytest.raises(ODataError, match="position 1"):
            parse_wanted(text, events, TYPES)


PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808"]
NOT_PUBLIC = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8",
    "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::", "2001:0:1::1",
    "2001:db8::1", "localhost", "127.1", "2130706433", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_all_others_are_not(address: str) -> None:
    assert not is_public_address(address)


@pytest.mark.parametrize("url", ["https://host.example/told?x=1", "http://8.8.8.8:8080/", "https://[2606:4700::1111]/"])
def test_an_endpoint_is_a_url_of_the_internet(url: str) -> None:
    assert check_endpoint(url, private=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "host", "ftp://host/", "file:///etc/passwd", "http://", "http:///x", "https://host:0/", "https://host:99999/",
        "https://a b/", "https://hóst/", "https://host/\r\nX: y", "https://user@host/", "https://[::1]/", "https://[::1/",
        "https://127.0.0.1/", "https://localhost/", "https://" + "a" * 70 + "/", "https://host/" + "a" * 2000,
    ],
)  # fmt: skip
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(ODataError) as raised:
        check_endpoint(url, private=False)
    assert raised.value.status == 400


@given(st.text(max_size=60).map(lambda text: f"https://{text}") | st.text(max_size=60))
def test_no_endpoint_is_more_than_accepted_or_refused(url: str) -> None:
    with contextlib.suppress(ODataError):
        assert check_endpoint(url, private=True) == url
