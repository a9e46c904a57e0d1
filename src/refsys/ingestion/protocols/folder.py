"""A watched folder: each entry is a product, as a folder, a file or an archive (spec/ingestion 9, 20 no. 11).

An entry is offered once nothing in it has changed for `stable_s` seconds. Nothing is ever deleted or moved: the memory
of the inbox knows what it has taken. Links inside a product are refused, since they may lead anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from refsys.core.errors import Transient
from refsys.core.products import FileEntry
from refsys.infra.settings import InboxSettings
from refsys.ingestion.archives import store_folder
from refsys.ingestion.delivery import place_delivery
from refsys.ingestion.model import Findings, Memory, Offer, Place, Remote
from refsys.missions import Recognised


@dataclass(frozen=True, slots=True)
class _Member:
    """A file or empty folder of an entry, or a link. `path` is relative to the inbox."""

    path: str
    kind: str
    size_bytes: int
    modified_ns: int


class FolderSource:
    """One folder. What it has seen before it settles is kept in memory only: a restart waits once more."""

    def __init__(self, inbox: InboxSettings) -> None:
        self._inbox = inbox
        self._folder = Path(inbox.url.removeprefix("file://"))
        self._seen: dict[str, tuple[str, float]] = {}

    has_ranges = True

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """Everything that stands still."""
        now = asyncio.get_running_loop().time()
        yield Findings(await asyncio.to_thread(self._settled, now))

    async def bring(self, remote: Remote, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
        """Copy or unpack; a product that changes meanwhile is left to its next offer."""
        return await asyncio.to_thread(self._bring, remote.offer, recognised, place)

    async def close(self) -> None:
        return None

    def _settled(self, now: float) -> list[Offer]:
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            raise Transient(
                f"cannot be looked into: {error.strerror}", subject=str(self._folder), advice="check the inbox's url"
            ) from error
        seen, self._seen = self._seen, {}
        offers: list[Offer] = []
        for name in names:
            found = _look_at(self._folder, name)
            if found is None:
                continue
            version, since = seen.get(name, ("", now))
            if version != found.version:
                since = now
            self._seen[name] = (found.version, since)
            if now - since >= self._inbox.stable_s:
                offers.append(found)
        return sorted(offers, key=lambda offer: (offer.published_at, offer.name))

    def _bring(self, offer: Offer, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
        self._check(offer)
        path = self._folder / offer.remote_id
        if path.is_dir():
            with place.storage.batch() as batch:
                # the entry itself may be a link, as an operator's; links inside it are not followed
                entries = store_folder(
                    path.resolve(),
                    product=recognised.name,
                    base=place.base,
                    batch=batch,
                    limits=place.limits,
                    check=place.check,
                )
                self._check(offer)
            return tuple(entries)
        with path.open("rb") as file:
            delivered = place_delivery(file, offer.name, recognised, place)
        self._check(offer)
        return delivered

    def _check(self, offer: Offer) -> None:
        if _version(list(_members(self._folder, offer.remote_id))) != offer.version:
            raise _changed(offer, self._folder)


def _look_at(folder: Path, name: str) -> Offer | None:
    """What an entry offers now; None where it went meanwhile, or is an empty file (it may be growing)."""
    members = list(_members(folder, name))
    if not members:
        return None
    size = sum(member.size_bytes for member in members)
    if members[0].path == name and members[0].kind == "file" and size == 0:
        return None
    modified = max(member.modified_ns for member in members)
    return Offer(
        remote_id=name,
        version=_version(members),
        name=name,
        size_bytes=size,
        published_at=datetime.fromtimestamp(modified / 1e9, UTC),
    )


def _members(folder: Path, name: str) -> Iterator[_Member]:
    """Files, empty folders and whatever else an entry consists of, sorted; nothing where it is not there."""
    path = folder / name
    try:
        found = path.stat() if "/" not in name else path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)
        except FileNotFoundError:
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


def _changed(offer: Offer, folder: Path) -> Transient:
    return Transient(
        "changed or went while it was taken", subject=offer.name, advice=f"leave it alone in {folder} until it is taken"
    )
