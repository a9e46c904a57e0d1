"""Read the central directory of a ZIP (PKWARE APPNOTE 6.3.10, sections 4.3.12 to 4.3.16), trusting no number in it.

The directory must end where the end record begins, and the archive with the end record: bytes that stand before or
behind, and second directories that another reader would find, are refused.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from refsys.ingestion.archives.model import Delivery, NotStreamable, read_fully
from refsys.ingestion.archives.writing import Intake

STORED: Final = 0
_DEFLATED: Final = 8
#: What a 4-byte field holds whose value stands in the ZIP64 extra field.
UNKNOWN: Final = 0xFFFFFFFF
#: Flag: sizes and checksum stand behind the data.
DESCRIPTOR: Final = 0x0008
_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_PATCH: Final = 0x0020
#: Flags that decide how a member is read; the others are its writer's own affair.
DECISIVE: Final = DESCRIPTOR | _ENCRYPTED | _PATCH
_OTHER_METHODS: Final = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    12: "bzip2",
    14: "LZMA",
    93: "Zstandard",
    95: "xz",
    98: "PPMd",
    99: "AES encryption",
}

#: The first volume of several begins so.
SPLIT_MAGIC: Final = b"PK\x07\x08"
_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_LOCATOR: Final = struct.Struct("<4sLQL")
_LOCATOR_MAGIC: Final = b"PK\x06\x07"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC: Final = b"PK\x06\x06"
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
ENTRY_MAGIC: Final = b"PK\x01\x02"
_COMMENT_LIMIT: Final = 0xFFFF
_ZIP64: Final = 1
#: Bytes of directory that one member may have on average; real ones have about 200.
_ENTRY_LIMIT: Final = 1024
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as the central directory has it; sizes and offset in bytes."""

    name: bytes
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    offset: int

    @property
    def is_folder(self) -> bool:
        return self.name.endswith(b"/")


@dataclass(frozen=True, slots=True)
class _End:
    """What the end record says: members, size and offset of the directory; and where the record itself begins."""

    count: int
    size_bytes: int
    offset: int
    at: int


def read_directory(
    source: BinaryIO, size_bytes: int, intake: Intake, *, lead_bytes: int = 0
) -> tuple[list[Entry], int]:
    """The members of an archive of `size_bytes`, and the offset of the directory, where their data end.

    Of an archive that streamed, `source` has only what stands behind its first `lead_bytes`, and the directory must
    begin there, else NotStreamable is raised.

    Raises InvalidProduct where the archive is cut short, damaged or of a kind that is not read, HostileInput where it
    has too many members, links, or devices.
    """
    delivery = intake.delivery
    end = _read_end(source, size_bytes, lead_bytes, delivery)
    intake.expect_members(end.count)
    if end.offset + end.size_bytes != end.at:
        raise delivery.invalid("has other bytes before its beginning or its end record, or lacks some")
    if end.size_bytes > end.count * _ENTRY_LIMIT:
        raise delivery.hostile(f"has a central directory of {end.size_bytes} bytes for {end.count} members")
    if lead_bytes and end.offset != lead_bytes:
        raise NotStreamable("other bytes stand between its members or before its directory")
    source.seek(end.offset - lead_bytes)
    data = read_fully(source, end.size_bytes)
    entries, position = [], 0
    for _ in range(end.count):
        entry, position = _read_entry(data, position, delivery)
        entries.append(entry)
    if position != len(data):
        raise delivery.invalid(f"has more in its central directory than the {end.count} members announced")
    return entries, end.offset


def tail_limit(count: int) -> int:
    """Most bytes that may stand behind the data of `count` members."""
    return count * _ENTRY_LIMIT + _END64.size + _LOCATOR.size + _END.size + _COMMENT_LIMIT


def zip64_values(extra: bytes, values: tuple[int, ...], name: bytes, delivery: Delivery) -> tuple[int, ...]:
    """The values with those that are UNKNOWN taken from the ZIP64 extra field, in their order (4.5.3)."""
    field = _extra_field(extra, _ZIP64)
    wanted = values.count(UNKNOWN)
    if field is None or len(field) < 8 * wanted:
        raise delivery.invalid("has a size beyond 4 GiB without the field that says it", name)
    found = iter(struct.unpack_from(f"<{wanted}Q", field))
    return tuple(next(found) if value == UNKNOWN else value for value in values)


def _read_end(source: BinaryIO, size_bytes: int, lead_bytes: int, delivery: Delivery) -> _End:
    start = max(lead_bytes, size_bytes - _END.size - _COMMENT_LIMIT - _LOCATOR.size)
    source.seek(start - lead_bytes)
    tail = read_fully(source, size_bytes - start)
    at = tail.rfind(_END_MAGIC)
    if at < 0:
        source.seek(0)
        if not lead_bytes and source.read(len(SPLIT_MAGIC)) == SPLIT_MAGIC:
            raise _several_volumes(delivery)
        raise delivery.invalid("is cut short, or has other bytes behind its end: its end record is missing")
    while at >= 0:
        # the comment, which may hold anything, ends with the archive
        if len(tail) - at >= _END.size and at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            break
        at = tail.rfind(_END_MAGIC, 0, at + 3) if at else -1
    else:
        raise delivery.invalid("has other bytes behind its end record, or is cut short there")
    _, disk, first_disk, here, count, directory, offset, _ = _END.unpack_from(tail, at)
    locator = tail[at - _LOCATOR.size : at] if at >= _LOCATOR.size else b""
    if locator.startswith(_LOCATOR_MAGIC):
        short = (here, count, directory, offset)
        return _read_end64(source, start + at - _LOCATOR.size, locator, short, lead_bytes, delivery)
    if disk or first_disk or here != count:
        raise _several_volumes(delivery)
    return _End(count, directory, offset, start + at)


def _read_end64(
    source: BinaryIO,
    locator_at: int,
    locator: bytes,
    short: tuple[int, int, int, int],
    lead_bytes: int,
    delivery: Delivery,
) -> _End:
    _, disk, at, disks = _LOCATOR.unpack(locator)
    if disk or disks > 1:
        raise _several_volumes(delivery)
    data = b""
    if lead_bytes <= at <= locator_at - _END64.size:
        source.seek(at - lead_bytes)
        data = read_fully(source, _END64.size)
    if not data.startswith(_END64_MAGIC):
        raise delivery.invalid("has no ZIP64 end record where its locator says")
    _, length, _, _, disk, first_disk, here, count, directory, offset = _END64.unpack(data)
    if disk or first_disk or here != count:
        raise _several_volumes(delivery)
    if at + 12 + length != locator_at:
        raise delivery.invalid("has other bytes before its end record")
    for told, known, unknown in zip(
        short, (here, count, directory, offset), (0xFFFF, 0xFFFF, UNKNOWN, UNKNOWN), strict=True
    ):
        if told not in (known, unknown):
            raise delivery.invalid("has two end records that contradict each other")
    return _End(count, directory, offset, at)


def _read_entry(data: bytes, position: int, delivery: Delivery) -> tuple[Entry, int]:
    if len(data) - position < _ENTRY.size or not data.startswith(ENTRY_MAGIC, position):
        raise delivery.invalid("has a damaged central directory")
    fields = _ENTRY.unpack_from(data, position)
    _, made_by, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length = fields[:13]
    disk, _, attributes, offset = fields[13:]
    start = position + _ENTRY.size
    end = start + name_length + extra_length + comment_length
    name = data[start : start + name_length]
    if end > len(data):
        raise delivery.invalid("has a damaged central directory", name)
    if UNKNOWN in (packed, size, offset):
        extra = data[start + name_length : start + name_length + extra_length]
        size, packed, offset = zip64_values(extra, (size, packed, offset), name, delivery)
    if disk:
        raise _several_volumes(delivery)
    entry = Entry(name, flags, method, crc, packed, size, offset)
    check_kind(entry, delivery, attributes >> 16 if made_by >> 8 == _UNIX else 0)
    return entry, end


def check_kind(entry: Entry, delivery: Delivery, mode: int = 0) -> None:
    """Raises HostileInput for links and devices, InvalidProduct for what is encrypted or otherwise not read."""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a symbolic link" if stat.S_ISLNK(mode) else "a device, a pipe or a socket"
        raise delivery.hostile(f"is {what}; only files and folders are taken", entry.name)
    if entry.flags & _ENCRYPTED:
        raise delivery.invalid("is encrypted, and no password is known", entry.name)
    if entry.flags & _PATCH:
        raise delivery.invalid("is a patch of another file, which this system does not apply", entry.name)
    if entry.method not in (STORED, _DEFLATED):
        method = _OTHER_METHODS.get(entry.method, f"method {entry.method}")
        raise delivery.invalid(f"is compressed by {method}; only stored and deflated members are read", entry.name)
    if entry.is_folder and entry.size_bytes:
        raise delivery.invalid(f"is a folder with {entry.size_bytes} bytes", entry.name)
    if entry.method == STORED and entry.packed_bytes != entry.size_bytes:
        raise delivery.invalid(f"is stored in {entry.packed_bytes} bytes, {entry.size_bytes} are announced", entry.name)


def _extra_field(extra: bytes, wanted: int) -> bytes | None:
    position = 0
    while len(extra) - position >= 4:
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == wanted:
            return extra[position : position + length] if position + length <= len(extra) else None
        position += length
    return None


def _several_volumes(delivery: Delivery) -> Exception:
    return delivery.invalid("is one of several volumes of an archive, which this system does not join")
