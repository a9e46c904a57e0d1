"""Notifications as users get them: the queue keeps which product, the value is what the product is at this moment.

A product that users see gives its entity of Products; one that was taken away its entity of DeletedProducts; of one
that they may not see any more only the ids are told, as the hub does with notifications that are old.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Search
from refsys.core.filters import In, Literal, Property
from refsys.core.times import format_instant
from refsys.distribution.odata import pages
from refsys.distribution.odata.options import DELETED_EXPANDABLE, EXPANDABLE
from refsys.distribution.odata.routes import ROOT
from refsys.distribution.subscriptions.model import NOTIFICATION_CONTEXT, Notification
from refsys.missions import TypeRegistry

_SETS: Final = (
    ("Products", Scope.PUBLIC, EXPANDABLE),
    ("DeletedProducts", Scope.DELETED, DELETED_EXPANDABLE),
)


async def render(
    connection: asyncpg.Connection,
    notifications: Sequence[Notification],
    types: TypeRegistry,
    *,
    base_url: str,
    budget: Budget,
) -> list[bytes]:
    """Each notification as a JSON object, in one line. Links begin with `base_url`. Raises search.TooCostly."""
    ids = {told.product_id for told in notifications}
    values = await _values(connection, ids, types, f"{base_url}{ROOT}", budget)
    return [_rendered(told, values.get(told.product_id)) for told in notifications]


def _rendered(told: Notification, value: tuple[str, bytes] | None) -> bytes:
    members: dict[str, Any] = {
        "@odata.context": NOTIFICATION_CONTEXT,
        "SubscriptionEvent": told.event,
        "ProductId": str(told.product_id),
    }
    if value is not None:
        members["ProductName"] = value[0]
    members |= {
        "SubscriptionId": str(told.subscription_id),
        "NotificationDate": format_instant(told.noted_at),
        "AckId": told.ack_id,
    }
    if value is not None:
        members["value"] = orjson.Fragment(value[1])
    return orjson.dumps(members)


async def _values(
    connection: asyncpg.Connection, ids: set[UUID], types: TypeRegistry, root_url: str, budget: Budget
) -> dict[UUID, tuple[str, bytes]]:
    """Id → name and entity, of those that users may see."""
    found: dict[UUID, tuple[str, bytes]] = {}
    for name, scope, expand in _SETS:
        if missing := ids - found.keys():
            which = In(Property("id"), tuple(map(Literal, sorted(missing))))
            wanted = Search(filter=which, limit=len(missing), scope=scope)
            entities = await pages.fetch_entities(connection, wanted, expand, types, budget=budget, root_url=root_url)
            for members in entities:
                entity = pages.single(members, name=name, expand=expand)
                told = orjson.loads(entity)
                found[UUID(told["Id"])] = told["Name"], entity
    return found
