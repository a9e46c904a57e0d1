"""EDIP: files on an FTP server, in the clear or by TLS, explicit (ftps) and implicit (ftpis) (spec/ingestion 8, 20).

The folder that the url names is walked whole at each look. Links are not followed. A listing that is refused, breaks
off or stays silent fails the look.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from refsys.core.errors import Gone, Transient
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Station
from refsys.ingestion.model import Offer, Part, Stream
from refsys.ingestion.protocols.filedrop import FileDrop, Listing, products_of
from refsys.ingestion.protocols.ftpclient import IDLE_S, FtpClient, FtpServer, Security
from refsys.ingestion.protocols.ftplistings import FtpEntry
from refsys.ingestion.protocols.metered import open_metered
from refsys.ingestion.protocols.settling import Entry

#: Deepest folder that is looked into: a server may have circles.
DEPTH_LIMIT: Final = 32
_SECURITY: Final[dict[str, Security]] = {"ftp": "none", "ftps": "explicit", "ftpis": "implicit"}
_IMPLICIT_PORT: Final = 990


class EdipSource(FileDrop):
    """One FTP server's folder. A stream is one connection's: parts of a file are not read at the same time."""

    has_ranges = False

    def __init__(self, inbox: InboxSettings, settings: Settings, shared: Station) -> None:
        super().__init__(inbox)
        self._shared = shared
        self._least = settings.fetch.least_bytes_per_s
        self._loop = asyncio.get_running_loop()
        self._pruning: asyncio.TimerHandle | None = None
        self._client = FtpClient(server_of(inbox, settings), on_idle=self._prune_later)
        self._path = unquote(urlsplit(inbox.url).path)
        self._root = ""

    async def listing(self) -> Listing:
        """Walks the folders."""
        async with self._shared.listing():
            with self._shared.breaker.passing():
                return await asyncio.to_thread(self._listed)

    def parts(self, offer: Offer) -> Sequence[Part]:
        """One file as it was listed, or the files that a product's folder has now."""
        if not self.is_folder(offer):
            return [Part("", offer.size_bytes, offer.version)]
        listing = Listing()
        with self._shared.connection(), self._shared.breaker.passing():
            self._walk(offer.path, 1, listing)
        return self.parts_in(offer, listing.entries)

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        """From `start` to the end, whatever `stop` says. Raises Transient where it has another size than listed."""
        path = f"{offer.path}/{part.path}" if part.path else offer.path
        stream = open_metered(self._shared, self._least, lambda: self._client.open(self._absolute(path), start, tag))
        if None not in (stream.size_bytes, part.size_bytes) and stream.size_bytes != part.size_bytes:
            stream.close()
            raise self.changed(offer, f": it has {stream.size_bytes} bytes, not {part.size_bytes}")
        return stream

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._pruning is not None:
            self._pruning.cancel()
        await asyncio.to_thread(self._client.close)

    def _prune_later(self) -> None:
        """Connections that were kept for nothing are not to count at the station (any thread)."""

        def prune() -> None:
            self._pruning = None
            if self._client.prune():
                plan()

        def plan() -> None:
            self._pruning = self._pruning or self._loop.call_later(IDLE_S, prune)

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(plan)

    def _listed(self) -> Listing:
        listing = Listing()
        self._walk("", 0, listing)
        if self.inbox.directories:
            listing.entries = products_of(listing.entries)
        return listing

    def _walk(self, folder: str, depth: int, listing: Listing) -> None:
        if depth > DEPTH_LIMIT:
            raise Transient(
                f"has folders deeper than {DEPTH_LIMIT}", subject=self.station, advice=f"look at {folder!a}"
            )
        try:
            found = self._client.list(self._absolute(folder))
        except Gone:
            if not folder:
                raise
            # it went since its own folder was listed, or is not for us
            listing.is_whole = listing.is_whole and not self.misses(folder, "cannot be looked into")
            return
        if found.strange:
            self.misses(f"{folder}: {found.strange[0]}", "is a line of a listing that says nothing")
            listing.is_whole = False
            if not found.entries:
                raise Transient(
                    f"lists {folder!a} in a form that is not understood: {found.strange[0][:100]!a}",
                    subject=self.station,
                    advice="ask the station to let its server answer MLSD",
                )
        for path, entry in self._accepted(folder, found.entries):
            if entry.kind == "folder":
                self._walk(path, depth + 1, listing)
            else:
                listing.add(_entry(path, entry))

    def _accepted(self, folder: str, entries: Sequence[FtpEntry]) -> Iterator[tuple[str, FtpEntry]]:
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            # a name with a slash in it would lead elsewhere
            if entry.kind != "other" and self.accepts(path if "/" not in entry.name else f"../{path}"):
                yield path, entry

    def _absolute(self, path: str) -> str:
        if not self._root:
            self._root = posixpath.join(self._client.start_folder(), self._path.lstrip("/")).rstrip("/")
        return f"{self._root}/{path}".rstrip("/") or "/"


def server_of(inbox: InboxSettings, settings: Settings) -> FtpServer:
    """Where an inbox's url leads."""
    parts = urlsplit(inbox.url)
    station = settings.station_of(inbox)
    security = _SECURITY[parts.scheme]
    return FtpServer(
        station=station.name,
        host=parts.hostname or "",
        port=parts.port or (_IMPLICIT_PORT if security == "implicit" else 21),
        security=security,
        user=inbox.auth.user,
        password=inbox.auth.password.get_secret_value(),
        verify_tls=inbox.verify_tls,
        encrypt_data=inbox.encrypt_data,
        connect_timeout_s=settings.fetch.connect_timeout_s,
        read_timeout_s=settings.fetch.read_timeout_s,
        connections=min(inbox.concurrency + 1, station.connections),
    )


def _entry(path: str, entry: FtpEntry) -> Entry:
    at = entry.modified_at
    moment = f"{at:%Y-%m-%d}" if entry.is_dated_only and at is not None else entry.moment
    size = "" if entry.size_bytes is None else entry.size_bytes
    return Entry(path, entry.size_bytes, at, f"{size}/{moment}", entry.moment)
