"""How far each offered product has come, as the database tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.cli.demonstration.offers import Offer

#: The stages of the way, in order.
STAGES: Final = ("found", "stored", "described", "packaged", "published")

#: States of a remote file that is still to be brought.
_COMING: Final = ("seen", "waiting", "queued", "fetching")

_REMOTES = """
SELECT DISTINCT ON (product) product, state, found_at, stored_at, content_id
  FROM ingestion.remote WHERE inbox = $1 AND found_at >= $2 AND product = ANY ($3) ORDER BY product, id DESC
"""
_PRODUCTS = """
SELECT p.name, p.id, p.content_id, c.found_at AS found, c.stored_at AS stored, p.described_at AS described,
       p.packaged_at AS packaged, p.published_at AS published, p.sensing_start, p.package_size, p.package_name
  FROM catalogue.product p JOIN catalogue.content c ON c.id = p.content_id
 WHERE p.current AND p.name = ANY ($1)
"""
_STEPS = "SELECT key, stage, state, parked_at, error FROM work.step WHERE key = ANY ($1) ORDER BY parked_at"


@dataclass(frozen=True, slots=True)
class Progress:
    """One offer. `times` maps the stages that it has passed to their instants; `moves`: something is still to be done
    with it; `parked` says why it goes no farther.
    """

    offer: Offer
    times: dict[str, datetime] = field(default_factory=dict)
    moves: bool = True
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
        return "published" in self.times and not self.is_parked

    @property
    def is_parked(self) -> bool:
        return bool(self.parked)

    @property
    def is_over(self) -> bool:
        return not self.moves and (self.is_published or self.is_parked)

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


async def read_progress(
    connection: asyncpg.Connection, inbox: str, offers: Sequence[Offer], since: datetime
) -> list[Progress]:
    """The progress of each offer, in their order. What was found before `since` belongs to an earlier run."""
    names = [offer.name for offer in offers]
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        remotes = {row["product"]: row for row in await connection.fetch(_REMOTES, inbox, since, names)}
        products = {row["name"]: row for row in await connection.fetch(_PRODUCTS, names)}
        steps = await connection.fetch(_STEPS, names)
    active = {step["key"] for step in steps if step["state"] != "parked"}
    parked = {step["key"]: step for step in steps if step["state"] == "parked"}
    found = []
    for offer in offers:
        remote, product, step = (rows.get(offer.name) for rows in (remotes, products, parked))
        moves = remote is None or remote["state"] in _COMING or offer.name in active
        found.append(_progress(offer, remote, product, None if moves else step, moves=moves))
    return found


def _progress(offer: Offer, remote: Any, product: Any, parked: Any, *, moves: bool) -> Progress:
    if remote is None:
        return Progress(offer)
    if product is None or (moves and product["content_id"] != remote["content_id"]):
        times = {"found": remote["found_at"], "stored": remote["stored_at"]}
        return Progress(offer, _passed(times), moves, _reason(parked) if parked else "")
    is_late = parked is not None and (product["published"] is None or parked["parked_at"] > remote["found_at"])
    return Progress(
        offer,
        _passed({stage: product[stage] for stage in STAGES}),
        moves,
        _reason(parked) if is_late else "",
        product_id=product["id"],
        package_name=product["package_name"] or "",
        sensing_start=product["sensing_start"],
        size_bytes=product["package_size"],
    )


def _passed(times: dict[str, datetime | None]) -> dict[str, datetime]:
    return {stage: at for stage, at in times.items() if at is not None}


def _reason(row: Any) -> str:
    error = row["error"] or {}
    told = f"{error.get('message', 'no reason was kept')}"
    return f"{told} ({error['advice']})" if error.get("advice") else told
