"""How far each offered product has come, as the database tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.cli.demonstration.offers import Offer
from refsys.core.products import canonical_name

#: The stages of the way, in order.
STAGES: Final = ("found", "stored", "described", "packaged", "published")

_REMOTES = "SELECT name, found_at, stored_at FROM ingestion.remote WHERE inbox = $1 ORDER BY id"
_PRODUCTS = """
SELECT p.name, p.id, c.found_at AS found, c.stored_at AS stored, p.described_at AS described,
       p.packaged_at AS packaged, p.published_at AS published, p.sensing_start, p.package_size, p.package_name
  FROM catalogue.product p JOIN catalogue.content c ON c.id = p.content_id
 WHERE p.current AND p.name = ANY ($1)
"""
_PARKED = "SELECT key, stage, error FROM work.step WHERE state = 'parked' AND key = ANY ($1) ORDER BY id"


@dataclass(frozen=True, slots=True)
class Progress:
    """One offer. `times` maps the stages that it has passed to their instants; `parked` says why it goes no farther."""

    offer: Offer
    times: dict[str, datetime] = field(default_factory=dict)
    parked: str = ""
    product_id: UUID | None = None
    package_name: str = ""
    sensing_start: datetime | None = None
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        return self.offer.name

    @property
    def is_published(self) -> bool:
        return "published" in self.times

    @property
    def is_parked(self) -> bool:
        return bool(self.parked) and not self.is_published

    @property
    def is_over(self) -> bool:
        return self.is_published or self.is_parked

    @property
    def state(self) -> str:
        """In a word; empty where nothing is known of it yet."""
        if self.is_parked:
            return "parked"
        return next((stage for stage in reversed(STAGES) if stage in self.times), "")

    @property
    def seconds(self) -> float | None:
        """From found to published."""
        if "found" not in self.times or "published" not in self.times:
            return None
        return (self.times["published"] - self.times["found"]).total_seconds()


async def read_progress(connection: asyncpg.Connection, inbox: str, offers: Sequence[Offer]) -> list[Progress]:
    """The progress of each offer, in their order."""
    names = [offer.name for offer in offers]
    remotes = {canonical_name(row["name"]): row for row in await connection.fetch(_REMOTES, inbox)}
    products = {row["name"]: row for row in await connection.fetch(_PRODUCTS, names)}
    parked = {row["key"]: _reason(row) for row in await connection.fetch(_PARKED, names)}
    return [
        _progress(offer, remotes.get(offer.name), products.get(offer.name), parked.get(offer.name, ""))
        for offer in offers
    ]


def _progress(offer: Offer, remote: Any, product: Any, parked: str) -> Progress:
    times: dict[str, datetime | None] = {}
    if remote is not None:
        times = {"found": remote["found_at"], "stored": remote["stored_at"]}
    if product is not None:
        times = {stage: product[stage] for stage in STAGES}
    passed = {stage: at for stage, at in times.items() if at is not None}
    if product is None:
        return Progress(offer, passed, parked)
    return Progress(
        offer,
        passed,
        parked,
        product_id=product["id"],
        package_name=product["package_name"] or "",
        sensing_start=product["sensing_start"],
        size_bytes=product["package_size"],
    )


def _reason(row: Any) -> str:
    error = row["error"] or {}
    told = f"{error.get('message', 'no reason was kept')}"
    return f"{told} ({error['advice']})" if error.get("advice") else told
