"""The entity set `Orders` of a long-term archive: products are fetched from tape before they can be downloaded.

`POST Products(id)/OData.CSC.Order` with `{"Priority": 50}` orders; the answer, and `Orders(id)`, tell how far it is.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, Literal

from refsys.core.times import format_instant
from refsys.simulation.station.filters import Kinds
from refsys.simulation.station.model import NAMESPACE, Offered
from refsys.simulation.station.query import EntitySet

Status = Literal["queued", "in_progress", "completed", "failed"]
_MESSAGES: Final[dict[Status, str]] = {
    "queued": "request is queued",
    "in_progress": "request is under processing",
    "completed": "requested product is available",
    "failed": "the product cannot be read",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What was ordered when; `fails` at the end."""

    id: uuid.UUID
    product: Offered
    priority: int
    submitted_at: datetime
    fails: bool


class OrderBook:
    """Orders and how far they are, by the station's clock. Every method may be called from any thread.

    An order is queued for the first `queue_s` of its `order_s`; its product is online for `online_s` then.
    """

    def __init__(self, clock: Callable[[], datetime], *, queue_s: float, order_s: float, online_s: float) -> None:
        self.clock = clock
        self._queue = timedelta(seconds=queue_s)
        self._order = timedelta(seconds=order_s)
        self._online = timedelta(seconds=online_s)
        self._lock = threading.Lock()
        self._orders: dict[uuid.UUID, Order] = {}

    def submit(self, product: Offered, priority: int, *, fails: bool) -> Order:
        """The product's order that is still going on or whose product is online, else a new one."""
        with self._lock:
            for order in self._orders.values():
                if order.product.id == product.id and self.status(order) != "failed" and not self.is_evicted(order):
                    return order
            identity = uuid.uuid5(NAMESPACE, f"order/{product.id}/{len(self._orders)}")
            order = self._orders[identity] = Order(identity, product, priority, self.clock(), fails)
            return order

    def orders(self) -> list[Order]:
        with self._lock:
            return list(self._orders.values())

    def find(self, identity: uuid.UUID) -> Order | None:
        return self._orders.get(identity)

    def open_orders(self) -> int:
        """Orders that are not over."""
        return sum(self.status(order) in ("queued", "in_progress") for order in self.orders())

    def is_online(self, product: Offered) -> bool:
        """Whether an order has brought it, and it was not evicted since."""
        return any(
            order.product.id == product.id and self.status(order) == "completed" and not self.is_evicted(order)
            for order in self.orders()
        )

    def status(self, order: Order) -> Status:
        elapsed = self.clock() - order.submitted_at
        if elapsed < self._queue:
            return "queued"
        if elapsed < self._order:
            return "in_progress"
        return "failed" if order.fails else "completed"

    def completed_at(self, order: Order) -> datetime:
        return order.submitted_at + self._order

    def evicted_at(self, order: Order) -> datetime:
        return self.completed_at(order) + self._online

    def is_evicted(self, order: Order) -> bool:
        return self.evicted_at(order) <= self.clock()


class OrderSet(EntitySet[Order]):
    """`Orders`, each of which leads to its Product."""

    name = "Orders"
    kinds: Kinds = MappingProxyType(
        {
            "Id": "id",
            "Status": "text",
            "StatusMessage": "text",
            "SubmissionDate": "instant",
            "EstimatedDate": "instant",
            "CompletedDate": "instant",
            "EvictionDate": "instant",
            "Priority": "number",
        }
    )

    def __init__(self, book: OrderBook, products: EntitySet[Offered]) -> None:
        self._book = book
        self.expands = {"Product": products}

    @property
    def revision(self) -> int:
        """Orders change by themselves: none is remembered for longer than a moment."""
        return int(self._book.clock().timestamp() * 1000)

    def rows(self) -> Sequence[Order]:
        return self._book.orders()

    def find(self, key: str) -> Order | None:
        return self._book.find(uuid.UUID(key))

    def title(self, row: Order) -> str:
        return row.product.name

    def value(self, row: Order, name: str) -> Any:
        status = self._book.status(row)
        done = status == "completed"
        match name:
            case "Id":
                return str(row.id)
            case "Status":
                return status
            case "StatusMessage":
                return _MESSAGES[status]
            case "SubmissionDate":
                return row.submitted_at
            case "EstimatedDate":
                return self._book.completed_at(row)
            case "CompletedDate":
                return self._book.completed_at(row) if done else None
            case "EvictionDate":
                return self._book.evicted_at(row) if done else None
        return row.priority

    def related(self, row: Order, name: str) -> Sequence[Offered]:
        return [row.product]

    def entity(self, row: Order) -> dict[str, Any]:
        told = {name: self.value(row, name) for name in self.kinds}
        return {name: format_instant(said) if isinstance(said, datetime) else said for name, said in told.items()}
