"""AUXIP and PRIP: products offered through OData (spec/ingestion 4, 20)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from refsys.infra.settings import ODataSettings
from refsys.ingestion.model import Findings, Memory, Offer
from refsys.ingestion.protocols.odatasource import ODataSource
from refsys.ingestion.protocols.odatavalues import (
    Entry,
    checksums_of,
    evicted_at,
    instant_or_none,
    read_instant,
    size_of,
    text_of,
    version_of,
)

#: Of no bytes at all.
_MD5_OF_NOTHING: Final = "d41d8cd98f00b204e9800998ecf8427e"


class PripSource(ODataSource):
    """One station's products. `since` and `overlap_s` are in the station's clock."""

    entity_set = "Products"

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """What was published from the cursor less the overlap on, and what was held, wherever it stands by now."""
        held = {offer.remote_id for offer in memory.held}
        understood = listed = 0
        async for page in self.root.listed(self.entity_set, self.start(memory.cursor)):
            offers = self.understood(page, self._offer)
            listed, understood = listed + len(page), understood + len(offers)
            held.difference_update(offer.remote_id for offer in offers)
            yield Findings(offers)
        async for page in self.held_again(held):
            yield Findings(self.understood(page, self._offer))
        if memory.cursor is None and understood == listed:
            yield Findings(is_whole=True)

    def _offer(self, entry: Entry) -> Offer:
        return offer_of(entry, self.root.profile)


def offer_of(entry: Entry, profile: ODataSettings) -> Offer:
    """A product as a PRIP describes it. Raises ValueError or KeyError where it lacks id, name or publication date.

    Nothing in it so far means that it is to be written yet, unless its checksum says that there is something.
    """
    published_at = read_instant(entry[profile.publication_date])
    size_bytes = size_of(entry.get(profile.content_length))
    checksums = checksums_of(entry.get("Checksum"))
    is_empty = size_bytes == 0 and checksums.get("MD5", _MD5_OF_NOTHING) == _MD5_OF_NOTHING
    return Offer(
        remote_id=text_of(entry[profile.product_id]),
        version=version_of(entry[profile.publication_date], size_bytes, checksums),
        name=text_of(entry[profile.product_name]),
        size_bytes=size_bytes or None,
        published_at=published_at,
        origin_at=instant_or_none(entry.get("OriginDate")),
        checksums=checksums,
        evicted_at=evicted_at(entry, published_at),
        held="it is empty so far" if is_empty else "",
    )
