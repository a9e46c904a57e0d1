"""Layout 1: a ZIP without compression, computed from the file table, never written (docs/reference/package-layout.md).

Frozen: published checksums are those of these bytes. Whoever wants other bytes makes another layout.
Source of the format: PKWARE APPNOTE 6.3.10, sections 4.3 (records), 4.4 (fields), 4.5.3 (ZIP64).

    for each entry in the order of the file table:  local header, bytes of the file
    for each entry:                                 central header
    where a number needs it:                        ZIP64 end record and its locator
    end record
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from refsys.core.products import FileEntry
from refsys.distribution.packages.model import Package, Part, clipped, clipped_file

LAYOUT: Final = 1

# A number that does not fit below these is written as ZIP64; one that equals them means "see ZIP64" (4.4.1.4).
_LIMIT_16: Final = 0xFFFF
_LIMIT_32: Final = 0xFFFFFFFF

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_EXTRA: Final = struct.Struct("<2H")

_MADE_BY: Final = 3 << 8 | 45  # Unix, version 4.5 of the format
_NEEDS: Final = 20
_NEEDS_64: Final = 45
_UTF8: Final = 1 << 11
_STORED: Final = 0
_FILE_ATTRIBUTES: Final = 0o100644 << 16
_FOLDER_ATTRIBUTES: Final = 0o040755 << 16 | 0x10
_EXTRA_64: Final = 0x0001

_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


class StoredZip(Package):
    """`NAME.zip`, with the product's files stored under their paths in the file table."""

    media_type = "application/zip"

    def __init__(self, product_name: str, sensing_start: datetime | None, files: Sequence[FileEntry]) -> None:
        self.name = f"{product_name}.zip"
        self.entries = len(files)
        self._files = files
        self._date, self._time = dos_date_time(sensing_start)
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
            position += _LOCAL.size + len(_member_name(entry)) + len(_local_extra(entry)) + entry.size_bytes
        self._directory_at = position
        for entry, at in zip(self._files, self._local_at, strict=True):
            self._central_at.append(position)
            position += _CENTRAL.size + len(_member_name(entry)) + len(_central_extra(entry, at))
        self._end_at = position
        self.size_bytes = position + len(self._end())

    def _local_parts(self, start: int, stop: int) -> Iterator[Part]:
        for index in range(bisect_right(self._local_at, start) - 1, self.entries):
            at, entry = self._local_at[index], self._files[index]
            if at >= stop:
                return
            header = self._local(entry)
            if head := clipped(header, at, start, stop):
                yield head
            body = clipped_file(entry.path, entry.size_bytes, at + len(header), start, stop)
            if body is not None:
                yield body

    def _central_parts(self, start: int, stop: int) -> Iterator[Part]:
        for index in range(max(bisect_right(self._central_at, start) - 1, 0), self.entries):
            at = self._central_at[index]
            if at >= stop:
                return
            if piece := clipped(self._central(self._files[index], self._local_at[index]), at, start, stop):
                yield piece

    def _local(self, entry: FileEntry) -> bytes:
        """4.3.7; sizes and CRC are known beforehand, hence no data descriptor."""
        name, extra = _member_name(entry), _local_extra(entry)
        size = min(entry.size_bytes, _LIMIT_32)
        fields = (_UTF8, _STORED, self._time, self._date, entry.crc32, size, size, len(name), len(extra))
        return _LOCAL.pack(b"PK\3\4", _needs(extra), *fields) + name + extra

    def _central(self, entry: FileEntry, at: int) -> bytes:
        """4.3.12."""
        name, extra = _member_name(entry), _central_extra(entry, at)
        size = min(entry.size_bytes, _LIMIT_32)
        attributes = _FOLDER_ATTRIBUTES if entry.is_folder else _FILE_ATTRIBUTES
        fields = (_UTF8, _STORED, self._time, self._date, entry.crc32, size, size, len(name), len(extra), 0, 0, 0)
        head = _CENTRAL.pack(b"PK\1\2", _MADE_BY, _needs(extra), *fields, attributes, min(at, _LIMIT_32))
        return head + name + extra

    def _end(self) -> bytes:
        """4.3.16, preceded by 4.3.14 and 4.3.15 where one of its numbers does not fit."""
        count, size, at = self.entries, self._end_at - self._directory_at, self._directory_at
        end = _END.pack(
            b"PK\5\6",
            0,
            0,
            min(count, _LIMIT_16),
            min(count, _LIMIT_16),
            min(size, _LIMIT_32),
            min(at, _LIMIT_32),
            0,
        )
        if count < _LIMIT_16 and size < _LIMIT_32 and at < _LIMIT_32:
            return end
        end_64 = _END_64.pack(
            b"PK\6\6", _END_64.size - 12, _MADE_BY, _NEEDS_64, 0, 0, count, count, size, at
        )  # fmt: skip
        return end_64 + _LOCATOR.pack(b"PK\6\7", 0, self._end_at, 1) + end


def dos_date_time(instant: datetime | None) -> tuple[int, int]:
    """Date and time as ZIP has them (4.4.6): UTC, in steps of 2 s, from 1980 to 2107; without instant the earliest."""
    when = _EARLIEST if instant is None else min(max(instant.astimezone(UTC), _EARLIEST), _LATEST)
    date = when.year - 1980 << 9 | when.month << 5 | when.day
    return date, when.hour << 11 | when.minute << 5 | when.second // 2


def _member_name(entry: FileEntry) -> bytes:
    return (f"{entry.path}/" if entry.is_folder else entry.path).encode()


def _local_extra(entry: FileEntry) -> bytes:
    """Both sizes, or nothing (4.5.3)."""
    return _extra_64(entry.size_bytes, entry.size_bytes) if entry.size_bytes >= _LIMIT_32 else b""


def _central_extra(entry: FileEntry, at: int) -> bytes:
    """Only what does not fit into its field, in this order: size, size when compressed, offset (4.5.3)."""
    sizes = (entry.size_bytes, entry.size_bytes) if entry.size_bytes >= _LIMIT_32 else ()
    return _extra_64(*sizes, *((at,) if at >= _LIMIT_32 else ()))


def _extra_64(*numbers: int) -> bytes:
    return _EXTRA.pack(_EXTRA_64, 8 * len(numbers)) + struct.pack(f"<{len(numbers)}Q", *numbers) if numbers else b""


def _needs(extra: bytes) -> int:
    return _NEEDS_64 if extra else _NEEDS
