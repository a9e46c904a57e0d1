"""What a subscription and a notification are, and how they look outside (shapes: standards 2.2)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from refsys.core.filters import EVERYTHING, Expression
from refsys.core.times import format_instant
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.parser import parse_filter
from refsys.distribution.odata.vocabulary import DELETED_PRODUCTS, PRODUCTS, Vocabulary
from refsys.missions import TypeRegistry

#: SubscriptionEvent → the kinds of changes in the feed that it is.
EVENTS: Final = {
    "created": ("created",),
    "modified": ("modified", "evicted"),
    "deleted": ("superseded", "withdrawn", "deleted"),
}
_EVENT_OF: Final = {kind: event for event, kinds in EVENTS.items() for kind in kinds}

RUNNING: Final = "running"
PAUSED: Final = "paused"
#: Asked for, it deletes the subscription: none is ever seen in this state.
CANCELLED: Final = "cancelled"

USER: Final = "user"
OPERATOR: Final = "operator"
SYSTEM: Final = "system"

_DATE: Final = "Edm.DateTimeOffset"
#: Members of a subscription besides its Id, for `$metadata`. Those from ChangesBehind on are ours, the hub has none.
SUBSCRIPTION_MEMBERS: Final = (
    ("FilterParam", "Edm.String"),
    ("StageOrder", "Edm.Boolean"),
    ("Priority", "Edm.Int64"),
    ("Status", "Edm.String"),
    ("NotificationEndpoint", "Edm.String"),
    ("NotificationEpUsername", "Edm.String"),
    ("NotificationEpPassword", "Edm.String"),
    ("LastNotificationDate", _DATE),
    ("SubscriptionEvent", "Collection(Edm.String)"),
    ("SubmissionDate", _DATE),
    ("CurrentQueueLength", "Edm.Int64"),
    ("MaxQueueLength", "Edm.Int64"),
    ("ChangesBehind", "Edm.Int64"),
    ("StatusReason", "Edm.String"),
    ("Attempts", "Edm.Int64"),
    ("NextAttempt", _DATE),
    ("LastError", "Edm.String"),
    ("LastErrorDate", _DATE),
)
#: Members of a notification besides its AckId, which is its key; `value`, the product, is a complex one.
NOTIFICATION_MEMBERS: Final = (
    ("SubscriptionEvent", "Edm.String"),
    ("ProductId", "Edm.Guid"),
    ("ProductName", "Edm.String"),
    ("SubscriptionId", "Edm.Guid"),
    ("NotificationDate", _DATE),
)
CONTEXT: Final = "$metadata#OData.CSC.Subscription"
NOTIFICATION_CONTEXT: Final = "$metadata#Notification/$entity"

_ACK_ID: Final = re.compile(r"(\d{1,15})-(\d{1,18}):([0-9a-f-]{36})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Subscription:
    """One row of distribution.subscription."""

    id: UUID
    owner: str
    status: str
    events: list[str]
    filter_text: str
    stage_order: bool
    endpoint: str | None
    submitted_at: datetime
    last_notified_at: datetime | None
    position: int
    acked: int
    queued: int
    paused_by: str | None
    pause_reason: str
    attempts: int
    failing_since: datetime | None
    next_attempt_at: datetime
    last_error: str
    last_error_at: datetime | None

    @property
    def kinds(self) -> list[str]:
        """Kinds of changes that it asks for."""
        return [kind for event in self.events for kind in EVENTS[event]]


@dataclass(frozen=True, slots=True)
class Notification:
    """A change that a subscription asks for; `noted_at` is when that was found."""

    subscription_id: UUID
    position: int
    at: datetime
    kind: str
    product_id: UUID
    noted_at: datetime

    @property
    def event(self) -> str:
        return _EVENT_OF[self.kind]

    @property
    def ack_id(self) -> str:
        return write_ack_id(self.subscription_id, self.position, self.at)


def parse_wanted(text: str, events: Sequence[str], types: TypeRegistry) -> Expression:
    """What a FilterParam means; empty = everything. Raises ODataError with the position of what cannot be meant.

    With `deleted` among the events it is a filter on DeletedProducts; with others besides, on both sets.
    """
    wanted: Expression = EVERYTHING
    if text.strip():
        if set(events) - {"deleted"}:
            wanted = parse_filter(text, Vocabulary(PRODUCTS, types.attributes))
        if "deleted" in events:
            wanted = parse_filter(text, Vocabulary(DELETED_PRODUCTS, types.attributes))
    return wanted


def write_ack_id(subscription_id: UUID, position: int, at: datetime) -> str:
    """The hub's form, base64 of `<milliseconds>-<n>:<subscription>`; here n is the position in the change feed."""
    return base64.b64encode(f"{int(at.timestamp() * 1000)}-{position}:{subscription_id}".encode()).decode()


def read_ack_id(text: str, subscription_id: UUID) -> int:
    """The position that an AckId of this subscription names. Raises ODataError where it is none."""
    try:
        plain = base64.b64decode(text.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        plain = ""
    found = _ACK_ID.fullmatch(plain)
    if found is None:
        raise ODataError(f"{text[:120]!a} is no AckId; notifications have one each")
    if found[3] != str(subscription_id):
        raise ODataError("this AckId is one of another subscription")
    return int(found[2])


def entity(subscription: Subscription, *, last_position: int, queue_length: int) -> dict[str, Any]:
    """A subscription as its user sees it; `last_position` is the feed's. What does not apply is left out."""
    s = subscription
    members = {
        "Id": str(s.id),
        "FilterParam": s.filter_text,
        "StageOrder": s.stage_order,
        "Priority": 1,
        "Status": s.status,
        "NotificationEndpoint": s.endpoint,
        "LastNotificationDate": s.last_notified_at,
        "SubscriptionEvent": s.events,
        "SubmissionDate": s.submitted_at,
        "CurrentQueueLength": s.queued,
        "MaxQueueLength": queue_length,
        "ChangesBehind": max(0, last_position - s.position),
        "StatusReason": _reason(s, queue_length) or None,
        "Attempts": s.attempts or None,
        "NextAttempt": s.next_attempt_at if s.attempts and s.status == RUNNING else None,
        "LastError": s.last_error or None,
        "LastErrorDate": s.last_error_at,
    }
    told = {
        name: format_instant(value) if isinstance(value, datetime) else value
        for name, value in members.items()
        if value is not None
    }
    return {**told, "@odata.context": CONTEXT}


def _reason(subscription: Subscription, queue_length: int) -> str:
    """Why nothing comes; empty where nothing keeps it."""
    if subscription.pause_reason:
        return subscription.pause_reason
    if subscription.queued >= queue_length:
        return (
            f"the queue is full ({queue_length} notifications): what comes now waits in the change feed until some are "
            "acknowledged; nothing is lost"
        )
    return ""
