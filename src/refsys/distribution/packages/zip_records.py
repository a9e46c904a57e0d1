"""The records of a ZIP as all layouts have them: frozen, published checksums are of such bytes.

Source of the format: PKWARE APPNOTE 6.3.10, sections 4.3 (records), 4.4 (fields), 4.5.3 (ZIP64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from refsys.core.products import FileEntry

# A number that does not fit below these is written as ZIP64; one that equals them means "see ZIP64" (4.4.1.4).
LIMIT_16: Final = 0xFFFF
LIMIT_32: Final = 0xFFFFFFFF

STORED: Final = 0
DEFLATED: Final = 8

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR: Final = struct.Struct("<4sIQI")
_EXTRA: Final = struct.Struct("<2H")
_DESCRIPTOR: Final = struct.Struct("<4s3I")
_DESCRIPTOR_64: Final = struct.Struct("<4sI2Q")

_MADE_BY: Final = 3 << 8 | 45  # Unix, version 4.5 of the format
_NEEDS: Final = 20
_NEEDS_64: Final = 45
_UTF8: Final = 1 << 11
_TOLD_BEHIND: Final = 1 << 3
_FILE_ATTRIBUTES: Final = 0o100644 << 16
_FOLDER_ATTRIBUTES: Final = 0o040755 << 16 | 0x10
_EXTRA_64: Final = 0x0001

_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Member:
    """How an entry of the file table stands in a ZIP: `packed_bytes` long where its own bytes are deflated.

    `is_64`: its sizes are in ZIP64 fields.
    """

    method: int
    packed_bytes: int
    is_64: bool


def stored(entry: FileEntry) -> Member:
    """An entry whose bytes are those of the file."""
    return Member(STORED, entry.size_bytes, entry.size_bytes >= LIMIT_32)


class Records:
    """Local and central headers of a product's files, which all have the instant of sensing."""

    def __init__(self, sensing_start: datetime | None) -> None:
        self._date, self._time = dos_date_time(sensing_start)

    def local(self, entry: FileEntry, member: Member) -> bytes:
        """4.3.7; of what is deflated CRC and sizes are told in a descriptor behind it."""
        name, extra = member_name(entry), local_extra(entry, member)
        crc, packed, size = _numbers(entry, member) if member.method == STORED else (0, 0, 0)
        if member.is_64:
            packed = size = LIMIT_32
        fields = (_flags(member), member.method, self._time, self._date, crc, packed, size, len(name), len(extra))
        return _LOCAL.pack(b"PK\3\4", _needs(extra), *fields) + name + extra

    def central(self, entry: FileEntry, member: Member, at: int) -> bytes:
        """4.3.12; `at` is where its local header lies."""
        name, extra = member_name(entry), central_extra(entry, member, at)
        crc, packed, size = _numbers(entry, member)
        if member.is_64:
            packed = size = LIMIT_32
        attributes = _FOLDER_ATTRIBUTES if entry.is_folder else _FILE_ATTRIBUTES
        fields = (_flags(member), member.method, self._time, self._date, crc, packed, size, len(name), len(extra))
        head = _CENTRAL.pack(b"PK\1\2", _MADE_BY, _needs(extra), *fields, 0, 0, 0, attributes, min(at, LIMIT_32))
        return head + name + extra


def descriptor(entry: FileEntry, member: Member) -> bytes:
    """4.3.9, with signature."""
    record = _DESCRIPTOR_64 if member.is_64 else _DESCRIPTOR
    return record.pack(b"PK\7\x08", *_numbers(entry, member))


def end(count: int, at: int, end_at: int) -> bytes:
    """4.3.16, preceded by 4.3.14 and 4.3.15 where one of its numbers does not fit.

    The central directory has `count` headers and lies from `at` to `end_at`.
    """
    size = end_at - at
    few, small, near = min(count, LIMIT_16), min(size, LIMIT_32), min(at, LIMIT_32)
    last = _END.pack(b"PK\5\6", 0, 0, few, few, small, near, 0)
    if count < LIMIT_16 and size < LIMIT_32 and at < LIMIT_32:
        return last
    end_64 = _END_64.pack(b"PK\6\6", _END_64.size - 12, _MADE_BY, _NEEDS_64, 0, 0, count, count, size, at)
    return end_64 + _LOCATOR.pack(b"PK\6\7", 0, end_at, 1) + last


def local_size(entry: FileEntry, member: Member) -> int:
    """The length of its local header."""
    return _LOCAL.size + len(member_name(entry)) + len(local_extra(entry, member))


def central_size(entry: FileEntry, member: Member, at: int) -> int:
    """The length of its central header."""
    return _CENTRAL.size + len(member_name(entry)) + len(central_extra(entry, member, at))


def member_name(entry: FileEntry) -> bytes:
    return (f"{entry.path}/" if entry.is_folder else entry.path).encode()


def local_extra(entry: FileEntry, member: Member) -> bytes:
    """Both sizes, or nothing (4.5.3); zeros where a descriptor tells them."""
    if not member.is_64:
        return b""
    return _extra_64(entry.size_bytes, member.packed_bytes) if member.method == STORED else _extra_64(0, 0)


def central_extra(entry: FileEntry, member: Member, at: int) -> bytes:
    """Only what is not in its field, in this order: size, size when compressed, offset (4.5.3)."""
    sizes = (entry.size_bytes, member.packed_bytes) if member.is_64 else ()
    return _extra_64(*sizes, *((at,) if at >= LIMIT_32 else ()))


def dos_date_time(instant: datetime | None) -> tuple[int, int]:
    """Date and time as ZIP has them (4.4.6): UTC, in steps of 2 s, from 1980 to 2107; without instant the earliest."""
    when = _EARLIEST if instant is None else min(max(instant.astimezone(UTC), _EARLIEST), _LATEST)
    date = when.year - 1980 << 9 | when.month << 5 | when.day
    return date, when.hour << 11 | when.minute << 5 | when.second // 2


def _numbers(entry: FileEntry, member: Member) -> tuple[int, int, int]:
    return entry.crc32, member.packed_bytes, entry.size_bytes


def _flags(member: Member) -> int:
    return _UTF8 if member.method == STORED else _UTF8 | _TOLD_BEHIND


def _extra_64(*numbers: int) -> bytes:
    return _EXTRA.pack(_EXTRA_64, 8 * len(numbers)) + struct.pack(f"<{len(numbers)}Q", *numbers) if numbers else b""


def _needs(extra: bytes) -> int:
    return _NEEDS_64 if extra else _NEEDS
