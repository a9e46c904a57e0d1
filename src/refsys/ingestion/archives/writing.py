"""From pieces of bytes to objects in storage and rows of the file table, every byte seen once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from blake3 import blake3
from isal.isal_zlib import crc32

from refsys.core.products import FileEntry
from refsys.infra.storage import Batch
from refsys.ingestion.archives.layouts import Tree
from refsys.ingestion.archives.model import Delivery, Limits, ratio_limit

#: Pieces that may wait for their MD5.
_WAITING: Final = 4


class Intake:
    """One delivery on its way into storage: counts, hashes and writes what its reader hands over."""

    def __init__(
        self, delivery: Delivery, *, base: str, batch: Batch, limits: Limits, check: Callable[[], None]
    ) -> None:
        self.delivery = delivery
        self.limits = limits
        self.check = check
        self.tree = Tree(delivery)
        self._base = base
        self._batch = batch
        self._entries: list[FileEntry] = []
        self._size_bytes = 0
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def expect_members(self, count: int) -> None:
        """Refuse too many members, also where some of them will be left out."""
        if count > self.limits.max_members:
            raise self.delivery.excessive(f"has more than {self.limits.max_members} files and folders", "max_members")

    def expect(self, size_bytes: int) -> None:
        """Refuse what will be too large before anything of it is written."""
        self.expect_in_all(self._size_bytes + size_bytes)

    def expect_in_all(self, size_bytes: int) -> None:
        """Refuse a delivery of this size."""
        if size_bytes > self.limits.max_bytes:
            raise self.delivery.excessive(f"unpacks to more than {self.limits.max_bytes} bytes", "max_product_bytes")

    def expect_ratio(self, packed_bytes: int, unpacked_bytes: int) -> None:
        """Refuse an archive that unpacks to too many times its length."""
        if unpacked_bytes > ratio_limit(packed_bytes, self.limits.max_ratio):
            raise self.delivery.excessive(
                f"unpacks from {packed_bytes} to {unpacked_bytes} bytes, "
                f"more than {self.limits.max_ratio:g} times as many",
                "max_ratio",
            )

    def folder(self, path: str) -> None:
        """Enter a folder."""
        self.tree.add_folder(path)

    def file(self, path: str, pieces: Iterable[bytes]) -> FileEntry:
        """Write a file; returns its row. `pieces` are of bounded size."""
        self.tree.add_file(path)
        key = f"{self._base}/{path}"
        rest = iter(pieces)
        first, second = next(rest, b""), next(rest, b"")
        entry = self._large(path, key, (first, second), rest) if second else self._small(path, key, first)
        self._entries.append(entry)
        return entry

    def table(self) -> list[FileEntry]:
        """Files and empty folders in the order of their paths. Raises InvalidProduct where there is no file."""
        if not self._entries:
            raise self.delivery.invalid("holds no file")
        empty = [FileEntry(path, 0, is_folder=True) for path in self.tree.empty_folders()]
        return sorted(self._entries + empty, key=lambda entry: entry.path)

    def _small(self, path: str, key: str, data: bytes) -> FileEntry:
        self.check()
        self._take(len(data))
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        entry = FileEntry(path, len(data), crc32(data), md5, blake3(data).digest())
        self._batch.put(key, data)
        return entry

    def _large(self, path: str, key: str, first: Iterable[bytes], rest: Iterable[bytes]) -> FileEntry:
        """MD5 takes as long as all the rest together: a thread of its own does it meanwhile."""
        crc, size_bytes, fast = 0, 0, blake3()
        slow = hashlib.md5(usedforsecurity=False)
        waiting: deque[Future[None]] = deque()
        thread = self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="md5")
        with self._batch.create(key) as writer:
            for part in (first, rest):
                for piece in part:
                    self.check()
                    self._take(len(piece))
                    waiting.append(thread.submit(slow.update, piece))
                    size_bytes += len(piece)
                    crc = crc32(piece, crc)
                    fast.update(piece)
                    writer.write(piece)
                    if len(waiting) > _WAITING:
                        waiting.popleft().result()
        for each in waiting:
            each.result()
        return FileEntry(path, size_bytes, crc, slow.digest(), fast.digest())

    def _take(self, size_bytes: int) -> None:
        self.expect(size_bytes)
        self._size_bytes += size_bytes
