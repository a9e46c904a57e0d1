"""XBIP: files on a WebDAV server (spec/ingestion 7, 20; RFC 4918).

At each look the collection that the url names is listed by PROPFIND with `Depth: infinity`; where the server refuses
that, collection by collection with `Depth: 1`. Entries are read while they come, so that a listing may have any length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self
from urllib.parse import quote, unquote, urlsplit

import aiohttp

from refsys.core.errors import HostileInput, InvalidProduct, Overloaded, RefsysError, Transient, Unreachable
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.stations.client import CONNECTION_ERRORS, StationClient, client_of
from refsys.ingestion.model import Offer, Part, Stream
from refsys.ingestion.protocols.filedrop import FileDrop, Listing, products_of
from refsys.ingestion.protocols.multistatus import PROPFIND, DavEntry, MultiStatus
from refsys.ingestion.protocols.settling import Entry

#: Deepest collection that is looked into.
DEPTH_LIMIT: Final = 32
#: Most bytes of one answer: 200,000 files take 80 MB.
_ANSWER_LIMIT: Final = 2 * 2**30
#: How long one answer may take to come, in read timeouts: one that drips in never counts as silent.
_PATIENCE: Final = 10
_PIECE: Final = 256 * 2**10
#: Collections that are asked for at the same time.
_PARALLEL: Final = 4


@dataclass(slots=True)
class _Answer:
    """What one PROPFIND told: files and collections by their paths below the inbox."""

    files: list[Entry] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    is_whole: bool = True
    is_cut: bool = False


class _NoListing(Transient):
    """What was answered is no listing."""


class XbipSource(FileDrop):
    """One WebDAV server's collection."""

    def __init__(self, inbox: InboxSettings, client: StationClient, settings: Settings) -> None:
        super().__init__(inbox)
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._patience_s = settings.fetch.connect_timeout_s + _PATIENCE * settings.fetch.read_timeout_s
        url = urlsplit(inbox.url)
        self._url = url._replace(path=url.path.rstrip("/"), query="", fragment="").geturl()
        self._path = unquote(url.path.rstrip("/"))
        self._refuses_infinity = False

    @classmethod
    async def connect(cls, inbox: InboxSettings, settings: Settings, stations: Stations) -> Self:
        """The source of an inbox of type xbip."""
        client = client_of(inbox, settings, stations)
        await client.__aenter__()
        return cls(inbox, client, settings)

    async def listing(self) -> Listing:
        """Raises Gone where the url leads nowhere, Unreachable or Transient where the listing is not whole."""
        listing = Listing()
        await self._descend("", listing)
        if self.inbox.directories:
            listing.entries = products_of(listing.entries)
        return listing

    def parts(self, offer: Offer) -> Sequence[Part]:
        """One file as it was listed, or the files that a product's folder has now."""
        if not self.is_folder(offer):
            return [Part("", offer.size_bytes, offer.version)]
        listing = Listing()
        asyncio.run_coroutine_threadsafe(self._descend(offer.path, listing), self._loop).result()
        return self.parts_in(offer, listing.entries)

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        """Raises Transient where it has another size than was listed."""
        path = f"{offer.path}/{part.path}" if part.path else offer.path
        stream = self._client.open_stream(self._url_of(path), start, stop, tag)
        if None not in (stream.size_bytes, part.size_bytes) and stream.size_bytes != part.size_bytes:
            stream.close()
            raise self.changed(offer, f": it has {stream.size_bytes} bytes, not {part.size_bytes}")
        return stream

    async def close(self) -> None:
        """Close the connections."""
        await self._client.__aexit__()

    async def _descend(self, folder: str, listing: Listing) -> None:
        """Add all that lies below a collection."""
        if not self._refuses_infinity:
            answer = await self._all_at_once(folder)
            if answer is not None:
                self._take(answer, listing)
                return
        level = [folder]
        for depth in range(DEPTH_LIMIT + 1):
            if depth == DEPTH_LIMIT and level:
                advice = f"look there at {level[0]!a}"
                raise Transient(f"has folders deeper than {DEPTH_LIMIT}", subject=self.station, advice=advice)
            deeper: list[str] = []
            for start in range(0, len(level), _PARALLEL):
                asked = level[start : start + _PARALLEL]
                for answer in await asyncio.gather(*(self._one(each, is_root=each == folder) for each in asked)):
                    self._take(answer, listing)
                    deeper += answer.folders
            level = deeper

    async def _all_at_once(self, folder: str) -> _Answer | None:
        """The whole tree; None where the server refuses to tell it, or cuts it short."""
        try:
            answer = await self._propfind(folder, "infinity")
        except (Overloaded, _NoListing):
            raise
        except Unreachable as error:
            if isinstance(error.__cause__, CONNECTION_ERRORS):
                raise
            return None  # it may have been too much for it: a smaller question shows whether that is all
        except RefsysError:
            self._refuses_infinity = True
            return None
        self._refuses_infinity = answer.is_cut
        return None if answer.is_cut else answer

    async def _one(self, folder: str, *, is_root: bool) -> _Answer:
        """The members of one collection; none, where it has gone or is not for us."""
        try:
            answer = await self._propfind(folder, "1")
        except Unreachable:
            raise
        except RefsysError as error:
            if is_root:
                self._refuses_infinity = False
                raise
            return _Answer(is_whole=not self.misses(folder, str(error)))
        if answer.is_cut:
            raise Transient(f"cut the listing of {folder!a} short (507)", subject=self.station)
        return answer

    async def _propfind(self, folder: str, depth: str) -> _Answer:
        """One request. Raises what the client raises, and Transient for what is no listing."""
        url = self._url_of(folder) + "/"
        headers = {
            "Depth": depth,
            "Content-Type": "application/xml; charset=utf-8",
            "Accept": "application/xml, text/xml",
        }
        answer = _Answer()
        try:
            async with self._client.ask("PROPFIND", url, headers, PROPFIND) as response:
                async with asyncio.timeout(self._patience_s):
                    await self._read_answer(response, folder, answer)
        except CONNECTION_ERRORS as error:
            raise self._client.unreachable(error) from error
        return answer

    async def _read_answer(self, response: aiohttp.ClientResponse, folder: str, answer: _Answer) -> None:
        reader, count, base = MultiStatus(self.station), 0, None
        try:
            if response.status != 207:
                raise InvalidProduct(f"answered {response.status} to PROPFIND")
            async for piece in response.content.iter_chunked(_PIECE):
                count += len(piece)
                if count > _ANSWER_LIMIT:
                    raise HostileInput(f"has more than {_ANSWER_LIMIT} bytes")
                for entry in reader.feed(piece):
                    base = self._base(entry, folder) if base is None else base
                    self._sort(entry, base, folder, answer)
            reader.close()
            if base is None:
                raise InvalidProduct("names nothing, not even the folder itself")
        except (InvalidProduct, HostileInput) as error:
            raise _NoListing(
                f"lists {folder!a} as what cannot be read: {error.message}",
                subject=self.station,
                advice="is the inbox's url a WebDAV folder, and no login page or proxy in between?",
            ) from error

    def _base(self, first: DavEntry, folder: str) -> str:
        """The path that the inbox has in hrefs: that of its url, or another one behind a proxy that renames.

        The first entry of an answer is the collection itself.
        """
        if _is_below(first.path, self._path) or not first.path.startswith("/"):
            return self._path
        own = f"/{folder}" if folder else ""
        return first.path.removesuffix(own) if first.is_folder and first.path.endswith(own) else self._path

    def _sort(self, entry: DavEntry, base: str, folder: str, answer: _Answer) -> None:
        if not entry.path.startswith("/") and entry.path:
            path = f"{folder}/{entry.path}" if folder else entry.path
        elif _is_below(entry.path, base):
            path = entry.path[len(base) :].lstrip("/")
        else:
            path = f"../{entry.path}"
        if entry.status == 507 and path == folder:
            answer.is_cut = True
        elif entry.status not in (200, 404, 410):
            answer.is_whole = not self.misses(path, f"the server says {entry.status} of it") and answer.is_whole
        elif entry.status != 200 or path == folder or not self.accepts(path):
            return
        elif entry.is_folder:
            answer.folders.append(path)
        else:
            answer.files.append(_entry(path, entry))

    def _take(self, answer: _Answer, listing: Listing) -> None:
        for each in answer.files:
            listing.add(each)
        listing.is_whole = listing.is_whole and answer.is_whole

    def _url_of(self, path: str) -> str:
        return f"{self._url}/{quote(path)}".rstrip("/")


def _is_below(path: str, base: str) -> bool:
    return path == base or path.startswith(f"{base}/")


def _entry(path: str, entry: DavEntry) -> Entry:
    at: datetime | None = entry.modified_at
    size = "" if entry.size_bytes is None else entry.size_bytes
    # some servers have another ETag each time that they start, or for each of their machines
    return Entry(path, entry.size_bytes, at, f"{size}/{at.isoformat() if at is not None else entry.tag}")
