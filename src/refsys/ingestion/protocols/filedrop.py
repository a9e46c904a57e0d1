"""What the sources have in common that only list files: WebDAV, FTP, a folder, a prefix in S3.

At each look everything is listed. A listing that fails raises: what was not listed is not known to be absent.
"""

from __future__ import annotations

import abc
import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from refsys.core.errors import Gone, RefsysError, Transient
from refsys.infra.settings import InboxSettings
from refsys.ingestion.model import Findings, Memory, Offer, Part, Stream
from refsys.ingestion.protocols.settling import DSIB_LIMIT, Entry, Settling, listed_by_dsib
from refsys.ingestion.sessions import session_file_of

log = structlog.get_logger(__name__)

#: Most files of one listing: more are none of a station, and would fill our memory.
ENTRIES_LIMIT: Final = 1_000_000
#: Longest path below an inbox, in bytes.
PATH_LIMIT: Final = 1000
#: Offers of one piece of a look.
_PIECE: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Listing:
    """What lies there. `is_whole` is False where something was listed in a way that cannot be understood."""

    entries: list[Entry] = field(default_factory=list)
    is_whole: bool = True

    def add(self, entry: Entry) -> None:
        """Raises Transient beyond ENTRIES_LIMIT."""
        if len(self.entries) >= ENTRIES_LIMIT:
            raise Transient(
                f"lists more than {ENTRIES_LIMIT} files", advice="let the inbox's url name a folder with fewer"
            )
        self.entries.append(entry)


class FileDrop(abc.ABC):
    """A place where files lie. `inbox` says where, and which of them count as one."""

    has_ranges = True

    def __init__(self, inbox: InboxSettings) -> None:
        self.inbox = inbox
        self.station = inbox.station or f"inbox {inbox.id}"
        self._settling = Settling(inbox.stable_s)
        self._ignore = re.compile(inbox.ignore)
        self._told: set[str] = set()

    @abc.abstractmethod
    async def listing(self) -> Listing:
        """Everything that lies there; raises where it is not all."""

    @abc.abstractmethod
    def parts(self, offer: Offer) -> Sequence[Part]: ...

    @abc.abstractmethod
    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream: ...

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """All of it, the oldest first; what may still grow is held."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        listing = await self.listing()
        ended = loop.time()
        entries = sorted(listing.entries, key=lambda entry: (entry.modified_at or _EPOCH, entry.path))
        unsettled = await asyncio.to_thread(self._unsettled, entries, began, ended)
        for start in range(0, len(entries), _PIECE):
            piece = entries[start : start + _PIECE]
            yield Findings([self.offer(entry, self._why_held(entry, unsettled)) for entry in piece])
        yield Findings(is_whole=listing.is_whole)

    async def prepare(self, offer: Offer) -> None:
        """Nothing: it lies there."""
        return None

    async def count(self, start: datetime | None, stop: datetime) -> int | None:
        """How many files with such times lie there now."""
        entries = (await self.listing()).entries
        return sum(start is None or start <= at for entry in entries if (at := entry.modified_at) and at < stop)

    async def close(self) -> None:
        """Nothing is kept open."""
        return None

    def offer(self, entry: Entry, held: str = "") -> Offer:
        """What an entry offers."""
        at, days = entry.modified_at, self.inbox.evicted_after_days
        return Offer(
            remote_id=entry.path,
            version=entry.version,
            name=entry.name,
            size_bytes=entry.size_bytes,
            published_at=at,
            evicted_at=at + timedelta(days=days) if at is not None and days else None,
            path=entry.path,
            held=held,
            session=session_file_of(entry.name, retransfer=self.inbox.retransfer),
        )

    def is_folder(self, offer: Offer) -> bool:
        """Whether it is the folder of a product: its version is a digest, that of a file has slashes."""
        return self.inbox.directories and "/" not in offer.version

    def parts_in(self, offer: Offer, entries: Sequence[Entry]) -> Sequence[Part]:
        """The files of a product's folder, as they lie there now. Raises Transient where it is not as it was listed."""
        if not entries:
            raise Gone("is no longer there", subject=offer.name)
        if product_of(offer.path, entries).version != offer.version:
            raise self.changed(offer)
        return [Part(each.path.removeprefix(f"{offer.path}/"), each.size_bytes, each.version) for each in entries]

    def accepts(self, path: str) -> bool:
        """Whether a path can be asked for and remembered; tells once of each that cannot."""
        if is_path(path):
            return True
        self._tell(path, "is no path")
        return False

    def misses(self, path: str, problem: str) -> bool:
        """Whether it matters that something there cannot be listed: not where `ignore` says so. Tells it once."""
        self._tell(path, problem)
        return self._ignore.fullmatch(path) is None

    def _tell(self, path: str, problem: str) -> None:
        if path not in self._told and len(self._told) < 1000:
            self._told.add(path)
            log.warning("look.entry_ignored", inbox=self.inbox.id, entry=ascii(path)[:200], problem=problem)

    def changed(self, offer: Offer, what: str = "") -> Transient:
        """The error of a file that is not the one that was offered."""
        return Transient(
            f"changed since it was listed{what}", subject=offer.name, advice="it is offered anew once it stands still"
        )

    def _unsettled(self, entries: Sequence[Entry], began: float, ended: float) -> set[str]:
        unsettled = self._settling.unsettled(entries, began, ended)
        return unsettled - listed_by_dsib(entries, unsettled, self._read)

    def _why_held(self, entry: Entry, unsettled: set[str]) -> str:
        if entry.size_bytes == 0:
            return "it is empty"
        if entry.path in unsettled:
            return f"it has not stood still for {self.inbox.stable_s:g} s, and no DSIB lists it"
        return ""

    def _read(self, entry: Entry) -> bytes:
        """The bytes of a small file."""
        offer = self.offer(entry)
        stream = self.open(offer, Part("", offer.size_bytes, offer.version))
        try:
            return read_all(stream, DSIB_LIMIT)
        finally:
            stream.close()


def products_of(entries: Iterable[Entry]) -> list[Entry]:
    """The folders directly below the inbox, each as one entry, and the files beside them."""
    members: dict[str, list[Entry]] = {}
    for entry in entries:
        members.setdefault(entry.path.partition("/")[0], []).append(entry)
    return [
        found[0] if len(found) == 1 and found[0].path == name else product_of(name, found)
        for name, found in members.items()
    ]


def product_of(name: str, members: Sequence[Entry]) -> Entry:
    """The folder of a product, from the files in it."""
    digest, detail = hashlib.sha256(), hashlib.sha256()
    for member in sorted(members, key=lambda each: each.path):
        digest.update(f"{member.path}\0{member.version}\n".encode("utf-8", "surrogateescape"))
        detail.update(f"{member.detail}\n".encode())
    sizes = [member.size_bytes for member in members]
    return Entry(
        path=name,
        size_bytes=sum(size or 0 for size in sizes),
        modified_at=max((member.modified_at for member in members if member.modified_at), default=None),
        version=digest.hexdigest(),
        detail=detail.hexdigest(),
    )


def is_path(path: str) -> bool:
    """Whether it leads from an inbox to a file in it, in characters that a database holds."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return False
    segments = path.split("/")
    return len(encoded) <= PATH_LIMIT and "\0" not in path and not {"", ".", ".."} & set(segments)


def read_all(stream: Stream, limit: int) -> bytes:
    """What a stream holds. Raises RefsysError where it is more than `limit` bytes."""
    buffer, count = bytearray(limit + 1), 0
    with memoryview(buffer) as view:
        while count <= limit and (length := stream.readinto(view[count:])):
            count += length
    if count > limit:
        raise RefsysError(f"has more than {limit} bytes")
    return bytes(buffer[:count])
