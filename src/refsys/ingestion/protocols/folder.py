"""A watched folder: each entry is a product, as a folder, a file or an archive (spec/ingestion 9, 20 no. 11).

A folder in which files of sessions lie is none: each file in it is offered by itself. Nothing is ever deleted or
moved: the memory of the inbox knows what it has taken. Links inside a product are refused, since they may lead
anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from refsys.core.errors import Gone, HostileInput, Transient
from refsys.infra.settings import InboxSettings
from refsys.ingestion.model import Offer, Part, Stream
from refsys.ingestion.protocols.filedrop import FileDrop, Listing
from refsys.ingestion.protocols.settling import Entry
from refsys.ingestion.sessions import session_file_of

_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE: Final = (FileNotFoundError, NotADirectoryError)


@dataclass(frozen=True, slots=True)
class _Member:
    """A file or empty folder of an entry, or a link. `path` is relative to the inbox."""

    path: str
    kind: str
    size_bytes: int
    modified_ns: int

    @property
    def version(self) -> str:
        return _tag(self.size_bytes, self.modified_ns)


class FolderSource(FileDrop):
    """One folder on this machine."""

    def __init__(self, inbox: InboxSettings) -> None:
        super().__init__(inbox)
        self._folder = Path(inbox.url.removeprefix("file://"))

    async def listing(self) -> Listing:
        """What lies there now; an entry that may not be looked into is told and passed over."""
        return await asyncio.to_thread(self._listed)

    def parts(self, offer: Offer) -> Sequence[Part]:
        """Raises Transient where it is not as it was offered, and HostileInput for links, devices and pipes in it."""
        members = self._unchanged(offer)
        for member in members:
            if member.kind == "other":
                raise _strange(member.path)
        return [
            Part(path + "/" * (member.kind == "folder"), member.size_bytes, member.version)
            for member in members
            if (path := member.path.removeprefix(offer.remote_id).lstrip("/")) or member.kind == "file"
        ]

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        """Only the entry itself may be a link, as an operator's; those below it are not followed."""
        path = f"{offer.remote_id}/{part.path}" if part.path else offer.remote_id
        try:
            stream = _FileStream(self._opened(path), start, stop, tag)
        except _NOT_THERE:
            raise Gone("is no longer there", subject=path) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _strange(path) from None
            raise Transient(
                f"cannot be read: {error.strerror}", subject=path, advice="may this user read it? it is tried again"
            ) from error
        return stream

    def _listed(self) -> Listing:
        listing = Listing()
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            raise Transient(
                f"cannot be looked into: {error.strerror}", subject=str(self._folder), advice="check the inbox's url"
            ) from error
        for name in names:
            if not self.accepts(name):
                continue
            try:
                members = list(_members(self._folder, name))
            except (OSError, RecursionError) as error:
                listing.is_whole = not self.misses(name, str(error)) and listing.is_whole
                continue
            for entry in _entries(name, members):
                if self.accepts(entry.path):
                    listing.add(entry)
        return listing

    def _unchanged(self, offer: Offer) -> list[_Member]:
        """Raises Gone or Transient where it is not as it was offered."""
        members = list(_members(self._folder, offer.remote_id))
        if not members:
            raise Gone("is no longer there", subject=offer.name, advice=f"leave it in {self._folder} until it is taken")
        if _version(members) != offer.version:
            raise self.changed(offer)
        return members

    def _opened(self, path: str) -> int:
        """A descriptor of the file, reached by descriptors."""
        first, *rest = path.split("/")
        descriptor = os.open(self._folder / first, _OPEN)
        try:
            for name in rest:
                inner = os.open(name, _OPEN | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _strange(path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class _FileStream:
    """A local file's bytes."""

    def __init__(self, descriptor: int, start: int, stop: int | None, tag: str) -> None:
        found = os.fstat(descriptor)
        self._descriptor = descriptor
        # a descriptor that is closed while it is read may be another file's already
        self._lock = threading.Lock()
        self.size_bytes: int | None = found.st_size
        self._size = found.st_size
        self.tag = _tag(found.st_size, found.st_mtime_ns)
        self.start = start if tag in ("", self.tag) else 0
        self._next = self.start
        self._stop = self._size if stop is None else min(stop, self._size)

    def readinto(self, buffer: memoryview, /) -> int:
        wanted = min(len(buffer), self._stop - self._next)
        if wanted <= 0:
            return 0
        with self._lock:
            if self._descriptor == -1:
                raise OSError(errno.EBADF, "the stream is closed")
            count = os.preadv(self._descriptor, [buffer[:wanted]], self._next)
        if not count:
            raise OSError(errno.EIO, f"the file ends at byte {self._next} of {self.size_bytes}")
        self._next += count
        return count

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._descriptor != -1:
                os.close(self._descriptor)
            self._descriptor = -1


def _entries(name: str, members: Sequence[_Member]) -> Iterator[Entry]:
    """What the entry of the folder offers: itself, or the files in it where there are those of sessions."""
    files = [member for member in members if member.kind == "file"]
    if members and not any(_is_of_session(member) for member in files if member.path != name):
        yield _entry(name, members)
        return
    for file in files:
        yield _entry(file.path, [file])


def _is_of_session(member: _Member) -> bool:
    return session_file_of(member.path.rpartition("/")[2]) is not None


def _entry(path: str, members: Sequence[_Member]) -> Entry:
    modified = max(member.modified_ns for member in members)
    return Entry(
        path=path,
        size_bytes=sum(member.size_bytes for member in members),
        modified_at=datetime.fromtimestamp(modified / 1e9, UTC),
        version=_version(members),
    )


def _members(folder: Path, name: str) -> Iterator[_Member]:
    """Files, empty folders and whatever else an entry consists of, sorted; nothing where it is not there."""
    path = folder / name
    try:
        found = path.stat() if "/" not in name else path.lstat()
    except _NOT_THERE:
        return
    if stat.S_ISDIR(found.st_mode):
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)
        except _NOT_THERE:
            return
        if not names:
            yield _Member(name, "folder", 0, found.st_mtime_ns)
        for each in names:
            yield from _members(folder, f"{name}/{each}")
        return
    kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    yield _Member(name, kind, found.st_size if kind == "file" else 0, found.st_mtime_ns)


def _version(members: Sequence[_Member]) -> str:
    digest = hashlib.sha256()
    for member in members:
        line = f"{member.path}\0{member.kind}\0{member.size_bytes}\0{member.modified_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _tag(size_bytes: int, modified_ns: int) -> str:
    return f"{size_bytes}/{modified_ns}"


def _strange(path: str) -> HostileInput:
    return HostileInput(
        "is a link, a device or a pipe; only files and folders are taken", subject=path, advice="look at it"
    )
