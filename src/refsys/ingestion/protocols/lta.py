"""Long-term archives: what is offline is ordered, waited for, and fetched (spec/ingestion 17.2).

`POST Products(<id>)/OData.CSC.Order` with `{"Priority": 50}` answers with an order, bare or under `value`; `Orders`
tells its Status: queued, in_progress, completed, failed, cancelled. Some archives write it in capitals or with a blank,
answer `Orders?$filter=Id eq <id>` with the order alone, or give an order the id of its product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from refsys.core.errors import Gone, NotYet, Transient
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.stations.client import StationClient
from refsys.ingestion.model import Offer
from refsys.ingestion.protocols.odatavalues import Entry, boolean_of, id_literal, instant_or_none, plain
from refsys.ingestion.protocols.orders import Orders
from refsys.ingestion.protocols.prip import PripSource

#: The usual priority of an order (0 to 100), as other clients order.
_PRIORITY: Final = 50
#: When to ask again for an order whose end the archive does not tell, or tells wrongly, in seconds.
_USUALLY_S: Final = 60.0
_SOONEST_S: Final = 5.0
_LATEST_S: Final = 600.0


class LtaSource(PripSource):
    """One archive's products. They stay: what an archive evicts is its copy on disk, which can be ordered again."""

    def __init__(self, inbox: InboxSettings, client: StationClient, settings: Settings) -> None:
        super().__init__(inbox, client, settings)
        self._orders = Orders(inbox.id, None)

    @classmethod
    async def connect(cls, inbox: InboxSettings, settings: Settings, stations: Stations) -> Self:
        source = await super().connect(inbox, settings, stations)
        source._orders = Orders(inbox.id, stations.pool)
        return source

    async def prepare(self, offer: Offer) -> None:
        """Order what is offline, once. Raises NotYet until it can be fetched, Transient where its order failed."""
        known = await self._orders.find(offer.remote_id)
        order = None if known is None else await self.root.one("Orders", known)
        if order is None or _is_evicted(order):
            if await self._is_online(offer):
                return
            order = await self._place(offer)
        await self._judge(offer, order)

    def _offer(self, entry: Entry) -> Offer:
        return replace(super()._offer(entry), evicted_at=None)

    async def _is_online(self, offer: Offer) -> bool:
        product = await self.root.one(self.entity_set, offer.remote_id)
        if product is None:
            raise Gone("is not in the archive any more", subject=offer.name)
        return boolean_of(product.get("Online")) is not False

    async def _place(self, offer: Offer) -> Entry:
        url = self.root.url(f"{self.entity_set}({id_literal(offer.remote_id)})/OData.CSC.Order")
        try:
            answer = await self.client.post_json(url, {"Priority": _PRIORITY})
        except NotYet as error:
            raise NotYet(
                f"the archive takes no more orders for now: {error.message}",
                subject=offer.name,
                retry_after_s=error.retry_after_s or _USUALLY_S,
            ) from error
        order = answer.get("value", answer) if isinstance(answer, Mapping) else None
        if not isinstance(order, Mapping):
            raise Transient("answered an order with what is no order", subject=self.root.station)
        await self._orders.keep(offer.remote_id, _id_of(order) or offer.remote_id)
        return order

    async def _judge(self, offer: Offer, order: Entry) -> None:
        status, said = _status(order), plain(order.get("StatusMessage")) or "it does not say why"
        if status == "completed":
            return
        if status in ("failed", "cancelled", "canceled"):
            await self._orders.forget(offer.remote_id, _id_of(order) or offer.remote_id)
            raise Transient(
                f"the archive's order of it {status}: {said}", subject=offer.name, advice="it is ordered again"
            )
        raise NotYet(
            f"it was ordered from the archive: {status or 'no status'}",
            subject=offer.name,
            advice="it is asked for again",
            retry_after_s=_pause_s(order),
        )


def _status(order: Entry) -> str:
    return plain(order.get("Status")).strip().lower().replace(" ", "_")


def _id_of(order: Entry) -> str:
    return plain(order.get("Id"))


def _is_evicted(order: Entry) -> bool:
    """Whether what an order brought was deleted from the archive's disk since."""
    evicted_at = instant_or_none(order.get("EvictionDate"))
    return _status(order) == "completed" and evicted_at is not None and evicted_at <= datetime.now(UTC)


def _pause_s(order: Mapping[str, Any]) -> float:
    """Until the archive estimates that it is done, within limits: its clock may be another."""
    estimated = instant_or_none(order.get("EstimatedDate"))
    if estimated is None:
        return _USUALLY_S
    return min(max((estimated - datetime.now(UTC)).total_seconds(), _SOONEST_S), _LATEST_S)
