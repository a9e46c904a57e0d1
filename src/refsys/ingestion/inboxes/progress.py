"""How far a look has come in the station's clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from refsys.ingestion.model import Offer


class Progress:
    """`newest` is the newest publication date; `safe` is where the next look may begin if this one fails.

    With pages in order `safe` follows them, one page behind, since only the next one shows the order; where a station
    sorts otherwise, older offers may still come, and it stays. Dates beyond `limit` move nothing: one product dated
    into the future would hide all that are published until then.
    """

    def __init__(self, cursor: datetime | None, limit: datetime) -> None:
        self.newest = self.safe = cursor
        self._limit = limit
        self._last: datetime | None = None
        self._in_order = True

    def take(self, offers: Sequence[Offer]) -> list[Offer]:
        """Note a page; returns the offers whose dates are beyond the limit."""
        beyond, before = [], self.newest
        for offer in offers:
            date = offer.published_at
            if date is None:
                continue
            if date > self._limit:
                beyond.append(offer)
                continue
            self._in_order = self._in_order and (self._last is None or date >= self._last)
            self._last = date
            if self.newest is None or date > self.newest:
                self.newest = date
        if self._in_order:
            self.safe = before
        return beyond
