"""One offer on its way into storage: received, verified, and as a product's files where it has to be (blocking).

A single file goes from the connection into storage; an archive is unpacked while it comes where its format allows it,
else from a copy aside; the files of a folder go to their places below the product's name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog

from refsys.core.errors import InvalidProduct, Permanent, RefsysError, Transient
from refsys.core.products import FileEntry
from refsys.infra.storage import OpenBatch, Partial, Storage, StorageFull
from refsys.ingestion.archives import Limits, NotStreamable
from refsys.ingestion.archives.layouts import Tree, check_path
from refsys.ingestion.archives.model import Delivery
from refsys.ingestion.delivery import is_archive
from refsys.ingestion.fetching.arriving import Archive, Arriving
from refsys.ingestion.fetching.digests import Digests
from refsys.ingestion.fetching.incoming import Incoming, Line, Restarted
from refsys.ingestion.fetching.leash import Leash
from refsys.ingestion.model import Offer, Part
from refsys.missions import Recognised

log = structlog.get_logger(__name__)

#: A file up to this size is verified in memory, in bytes.
_SMALL: Final = 2**20
#: A single file from this size on can be gone on with by another process, in bytes.
_WORTH_KEEPING: Final = 8 * 2**20

_Taken = TypeVar("_Taken")


@dataclass(frozen=True, slots=True)
class Room:
    """Where what is fetched goes, and within which bounds. Archives may be copied to `scratch`."""

    storage: Storage
    batch: OpenBatch
    limits: Limits
    scratch: Path


@dataclass(frozen=True, slots=True)
class Placing:
    """Brings one offer to `base` in storage; what is written becomes durable with the batch of the room.

    `identity` names the offer's content for partials.
    """

    line: Line
    room: Room
    offer: Offer
    recognised: Recognised
    base: str
    identity: str
    leash: Leash

    def run(self) -> tuple[FileEntry, ...]:
        """The product's file table.

        Raises InvalidProduct where size or checksum are not those announced (a checksum is tried twice), HostileInput
        where it is larger than announced or allowed, Gone where the source has it no more, Unreachable where the
        connection does not hold, Transient where it changes meanwhile. Then nothing of it stays.
        """
        try:
            parts = self.line.source.parts(self.offer)
            entries = self._placed(parts)
            if list(self.line.source.parts(self.offer)) != list(parts):
                raise Transient("changed while it was fetched", subject=self.offer.name, advice="it is fetched again")
        except BaseException:
            with contextlib.suppress(RefsysError, OSError):
                self.room.batch.drop(self.base)
                self.room.storage.delete_prefix(f"{self.base}/")
            raise
        return entries

    def _placed(self, parts: Sequence[Part]) -> tuple[FileEntry, ...]:
        if any(part.path for part in parts) or not parts:
            return self._folder(parts)
        [part] = parts
        offer, product = self.offer, self.recognised
        if is_archive(offer.name, product):
            return self._archive(part)
        path = check_path(product.name.encode(), Delivery(product.name))
        if part.size_bytes is not None and part.size_bytes >= _WORTH_KEEPING:
            partial = self.room.storage.partial(self.identity)
            if partial is not None:
                return (self._resumable(part, path, partial),)
        return (self._file(part, path, offer.checksums, self.room.limits.max_bytes),)

    def _folder(self, parts: Sequence[Part]) -> tuple[FileEntry, ...]:
        delivery, limits = Delivery(self.offer.name), self.room.limits
        tree, entries, size_bytes = Tree(delivery), list[FileEntry](), 0
        if len(parts) > limits.max_members:
            raise delivery.excessive(f"has more than {limits.max_members} files and folders", "max_members")
        for part in parts:
            path = check_path(f"{self.recognised.name}/{part.path}".encode("utf-8", "surrogateescape"), delivery)
            if part.path.endswith("/"):
                tree.add_folder(path)
                continue
            tree.add_file(path)
            entry = self._file(part, path, {}, limits.max_bytes - size_bytes)
            size_bytes += entry.size_bytes
            entries.append(entry)
        if not entries:
            raise delivery.invalid("holds no file")
        folders = [FileEntry(path, 0, is_folder=True) for path in tree.empty_folders()]
        return tuple(sorted(entries + folders, key=lambda entry: entry.path))

    def _file(self, part: Part, path: str, announced: Mapping[str, str], limit: int) -> FileEntry:
        """A file that comes as it is."""
        key, batch = f"{self.base}/{path}", self.room.batch

        def in_memory(incoming: Incoming, digests: Digests) -> FileEntry:
            data = bytearray()
            for piece in incoming.pieces():
                digests.update(piece)
                data += piece
            if not digests.wrong():
                batch.put(key, bytes(data))
            return digests.entry(path)

        def in_pieces(incoming: Incoming, digests: Digests) -> FileEntry:
            with batch.create(key) as writer:
                for piece in incoming.pieces():
                    digests.update(piece)
                    writer.write(piece)
            return digests.entry(path)

        is_small = part.size_bytes is not None and part.size_bytes <= _SMALL
        take = in_memory if is_small else in_pieces
        return self._verified(part, take, announced, limit, again=lambda: batch.drop(key))

    def _resumable(self, part: Part, path: str, partial: Partial) -> FileEntry:
        """A large file, by a partial that another process can go on with."""

        def take(incoming: Incoming, digests: Digests) -> FileEntry:
            if partial.size_bytes > (part.size_bytes or 0):
                partial.restart()
            for piece in partial.pieces():
                self.leash.check()
                digests.update(piece)
            if partial.size_bytes:
                log.info("download.resumed", product=self.offer.name, at_byte=partial.size_bytes)
            for piece in incoming.pieces(partial.size_bytes, partial.tag):
                if not partial.size_bytes:
                    partial.label(incoming.tag)
                digests.update(piece)
                partial.write(piece)
            return digests.entry(path)

        with closing(partial):
            try:
                limit = self.room.limits.max_bytes
                entry = self._verified(part, take, self.offer.checksums, limit, again=partial.restart)
                self.leash.check()
                partial.commit(f"{self.base}/{path}")
            except (Permanent, StorageFull):
                partial.discard()
                raise
        return entry

    def _archive(self, part: Part) -> tuple[FileEntry, ...]:
        room = self.room
        archive = Archive(self.offer, self.recognised, self.base, room.batch, room.limits, room.scratch, self.leash)
        is_copied = False

        def take(incoming: Incoming, digests: Digests) -> tuple[FileEntry, ...]:
            nonlocal is_copied
            with closing(Arriving(_told(incoming, digests), incoming.announced)) as arriving:
                if not is_copied:
                    try:
                        return archive.unpack_stream(arriving, digests)
                    except NotStreamable:
                        is_copied = True
                        self._drop()
                        if arriving.head is None:
                            raise Restarted from None
                return archive.unpack_copy(arriving, digests)

        limit = room.limits.max_bytes
        return self._verified(part, take, self.offer.checksums, limit, again=self._drop, for_table=False)

    def _drop(self) -> None:
        self.room.batch.drop(self.base)

    def _verified(
        self,
        part: Part,
        take: Callable[[Incoming, Digests], _Taken],
        announced: Mapping[str, str],
        limit: int,
        *,
        again: Callable[[], None],
        for_table: bool = True,
    ) -> _Taken:
        """What `take` makes of a part whose checksums are those announced; before each other try `again` is called."""
        before: dict[str, str] | None = None
        while True:
            with closing(Incoming(self.line, self.offer, part, self.leash, limit)) as incoming:
                digests, taken = self._received(incoming, take, announced, again, for_table)
            wrong = digests.wrong()
            if not wrong:
                return taken
            again()
            if before is not None:
                raise _wrong(wrong, incoming.name, is_same=before == digests.computed())
            log.warning("download.again", product=incoming.name, problem=wrong)
            before = digests.computed()

    def _received(
        self,
        incoming: Incoming,
        take: Callable[[Incoming, Digests], _Taken],
        announced: Mapping[str, str],
        again: Callable[[], None],
        for_table: bool,
    ) -> tuple[Digests, _Taken]:
        while True:
            digests = Digests(announced, for_table=for_table)
            try:
                return digests, take(incoming, digests)
            except Restarted:
                again()


def _told(incoming: Incoming, digests: Digests) -> Generator[memoryview]:
    with closing(incoming.pieces()) as pieces:
        for piece in pieces:
            digests.update(piece)
            yield piece


def _wrong(problem: str, subject: str, *, is_same: bool) -> RefsysError:
    if not is_same:
        return Transient(f"comes with other bytes each time: {problem}", subject=subject)
    return InvalidProduct(
        problem,
        subject=subject,
        advice="the same bytes came twice: ask the station to correct its announcement or its file, then restart this "
        "step",
    )
