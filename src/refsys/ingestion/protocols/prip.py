"""AUXIP and PRIP: products offered through OData over HTTP (spec/ingestion 4, 19.2, 20).

Only what every station understands is asked: `ge`, `and`, `$orderby`, `$top`, `$skip`; the rest is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import structlog

from refsys.core.errors import Transient
from refsys.core.products import FileEntry
from refsys.core.times import format_instant, parse_instant
from refsys.infra.http import StationClient
from refsys.infra.settings import InboxSettings, Settings
from refsys.ingestion.delivery import place_delivery
from refsys.ingestion.download import Download
from refsys.ingestion.model import Findings, Memory, Offer, Place, Remote
from refsys.missions import Recognised

log = structlog.get_logger(__name__)

#: Most pages of one look, lest a station whose links go in a circle keeps us for ever.
_PAGES: Final = 100_000


class PripSource:
    """One station's products. `since` and `overlap` are in the station's clock."""

    def __init__(self, inbox: InboxSettings, client: StationClient, settings: Settings) -> None:
        self._inbox = inbox
        self._client = client
        self._settings = settings
        self._root = inbox.url.rstrip("/")

    @classmethod
    async def open(cls, inbox: InboxSettings, settings: Settings) -> PripSource:
        client = StationClient(
            inbox.station or f"inbox {inbox.id}",
            inbox.auth,
            url=inbox.url,
            connect_timeout_s=settings.fetch.connect_timeout_s,
            read_timeout_s=settings.fetch.read_timeout_s,
            verify_tls=inbox.verify_tls,
            connections=inbox.concurrency + 1,
        )
        await client.__aenter__()
        return cls(inbox, client, settings)

    has_ranges = True

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """Pages by publication date from `cursor` less the overlap, following nextLink, else until an empty page."""
        url, skip, asked = self._first_page(memory.cursor), 0, ""
        for _ in range(_PAGES):
            if url == asked:
                raise Transient(f"links a page to itself: {url[:200]}", subject=self._client.station)
            asked = url
            page = await self._client.get_json(url)
            entries = page.get("value") if isinstance(page, Mapping) else page
            if not isinstance(entries, list):
                raise Transient(
                    "answered a listing without `value`", subject=self._client.station, advice="is url an OData root?"
                )
            if not entries:
                return
            yield Findings(list(self._offers(entries)))
            link = page.get("@odata.nextLink") if isinstance(page, Mapping) else None
            skip += len(entries)
            url = self._linked(link) if link else f"{self._first_page(memory.cursor)}&$skip={skip}"

    async def bring(self, remote: Remote, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
        """Download, verify, unpack."""
        offer = remote.offer
        scratch = self._settings.state_dir / "scratch"
        url = f"{self._root}/Products({quote(offer.remote_id, safe='-')})/$value"
        download = Download(self._client, url, offer, scratch, place.limits.max_bytes)
        async with download.run(place.check) as file:
            return await asyncio.to_thread(place_delivery, file, offer.name, recognised, place)

    async def close(self) -> None:
        await self._client.__aexit__()

    def _first_page(self, cursor: datetime | None) -> str:
        start = parse_instant(self._inbox.since)
        if cursor is not None:
            start = max(start, cursor - timedelta(seconds=self._inbox.overlap_s))
        options = {
            "$filter": f"PublicationDate ge {format_instant(start)}",
            "$orderby": "PublicationDate asc",
            "$top": str(self._inbox.page_size),
        }
        return f"{self._root}/Products?{urlencode(options, safe='$:,()', quote_via=quote)}"

    def _linked(self, link: Any) -> str:
        """A nextLink as an absolute URL; it may be relative to the service root (OData JSON 4.01, 4.5.1)."""
        text = str(link)
        if "://" not in text:
            text = f"{self._root}/{text.lstrip('/')}"
        return text.replace(" ", "%20")

    def _offers(self, entries: Sequence[Any]) -> Iterator[Offer]:
        """An entry that cannot be understood is told and passed over: the others still count."""
        for entry in entries:
            try:
                yield offer_of(entry)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                log.warning("look.entry_ignored", inbox=self._inbox.id, entry=repr(entry)[:200], error=repr(error))


def offer_of(entry: Mapping[str, Any]) -> Offer:
    """A product as a PRIP describes it. Raises ValueError or KeyError where it lacks id, name or publication date."""
    remote_id, name = _text(entry["Id"]), _text(entry["Name"])
    published_at = parse_instant(entry["PublicationDate"])
    size = entry.get("ContentLength")
    size_bytes = int(size) if size not in (None, "", 0, "0") else None
    if size_bytes is not None and size_bytes < 0:
        raise ValueError(f"ContentLength is {size_bytes}")
    checksums = {
        str(checksum["Algorithm"]).upper(): str(checksum["Value"]).lower()
        for checksum in entry.get("Checksum") or ()
        if checksum.get("Value") and checksum.get("Algorithm")
    }
    origin = entry.get("OriginDate")
    parts = [format_instant(published_at), str(size_bytes or ""), *(f"{k}={checksums[k]}" for k in sorted(checksums))]
    return Offer(
        remote_id=remote_id,
        version="/".join(parts)[:1000],
        name=name,
        size_bytes=size_bytes,
        published_at=published_at,
        origin_at=parse_instant(origin) if origin else None,
        checksums=checksums,
    )


def _text(value: Any) -> str:
    """A text that a database can hold."""
    text = str(value) if isinstance(value, str | int) else ""
    if not text.strip() or len(text) > 2000:
        raise ValueError(f"{value!r:.100} is no name or id")
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
