"""Layout 1: a ZIP without compression, computed from the file table, never written (docs/reference/package-layout.md).

Frozen: published checksums are those of these bytes. Whoever wants other bytes makes another layout.

    for each entry in the order of the file table:  local header, bytes of the file
    for each entry:                                 central header
    where a number needs it:                        ZIP64 end record and its locator
    end record
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from refsys.core.products import FileEntry
from refsys.distribution.packages.model import Package, Part, clipped, clipped_file
from refsys.distribution.packages.zip_records import Records, central_size, end, local_size, stored

LAYOUT: Final = 1


class StoredZip(Package):
    """`NAME.zip`, with the product's files stored under their paths in the file table."""

    media_type = "application/zip"

    def __init__(self, product_name: str, sensing_start: datetime | None, files: Sequence[FileEntry]) -> None:
        self.name = f"{product_name}.zip"
        self.entries = len(files)
        self._files = files
        self._records = Records(sensing_start)
        # where each local header lies, and each central one
        self._local_at = array("Q")
        self._central_at = array("Q")
        self._lay_out()

    def parts(self, start: int, stop: int) -> Iterator[Part]:
        start, stop = max(start, 0), min(stop, self.size_bytes)
        if start >= stop:
            return
        if start < self._directory_at:
            yield from self._local_parts(start, stop)
        if stop > self._directory_at and start < self._end_at:
            yield from self._central_parts(start, stop)
        if stop > self._end_at:
            yield clipped(self._end(), self._end_at, start, stop)

    def _lay_out(self) -> None:
        position = 0
        for entry in self._files:
            self._local_at.append(position)
            position += local_size(entry, stored(entry)) + entry.size_bytes
        self._directory_at = position
        for entry, at in zip(self._files, self._local_at, strict=True):
            self._central_at.append(position)
            position += central_size(entry, stored(entry), at)
        self._end_at = position
        self.size_bytes = position + len(self._end())

    def _local_parts(self, start: int, stop: int) -> Iterator[Part]:
        for index in range(bisect_right(self._local_at, start) - 1, self.entries):
            at, entry = self._local_at[index], self._files[index]
            if at >= stop:
                return
            header = self._records.local(entry, stored(entry))
            if head := clipped(header, at, start, stop):
                yield head
            body = clipped_file(entry.path, entry.size_bytes, at + len(header), start, stop)
            if body is not None:
                yield body

    def _central_parts(self, start: int, stop: int) -> Iterator[Part]:
        for index in range(max(bisect_right(self._central_at, start) - 1, 0), self.entries):
            at, entry = self._central_at[index], self._files[index]
            if at >= stop:
                return
            header = self._records.central(entry, stored(entry), self._local_at[index])
            if piece := clipped(header, at, start, stop):
                yield piece

    def _end(self) -> bytes:
        return end(self.entries, self._directory_at, self._end_at)
