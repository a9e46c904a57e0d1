"""Unpack a ZIP (PKWARE APPNOTE 6.3.10) whose central directory was read; see zipdirectory.py for the directory.

Members are read in the order in which they lie, each in one go. What the directory says of a member must agree with its
local header, with its data descriptor, with where the next member begins, and with the bytes that come.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor

from refsys.ingestion.archives.layouts import check_path, layout_of
from refsys.ingestion.archives.model import PIECE, Delivery, InflateError, ratio_limit, read_fully
from refsys.ingestion.archives.writing import Intake
from refsys.ingestion.archives.zipdirectory import (
    DECISIVE,
    DESCRIPTOR,
    STORED,
    UNKNOWN,
    Entry,
    read_directory,
    zip64_values,
)

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_DESCRIPTORS: Final = (struct.Struct("<3L"), struct.Struct("<LQQ"))


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry, where it belongs in the product (nowhere: None), and how many bytes it has in the archive at most."""

    entry: Entry
    path: str | None
    room_bytes: int


def unpack_zip(source: BinaryIO, size_bytes: int, product: str, intake: Intake) -> None:
    """Hand the members of the archive over to `intake`."""
    delivery = intake.delivery
    entries, directory_at = read_directory(source, size_bytes, intake)
    _expect_sizes(entries, size_bytes, intake)
    members = _placed(entries, directory_at, product, delivery)
    for member in members:
        intake.check()
        body = _Body(source, member, delivery)
        if member.path is None:
            continue
        if member.entry.is_folder:
            intake.folder(member.path)
        else:
            row = intake.file(member.path, body.pieces())
            if row.crc32 != member.entry.crc32:
                raise delivery.invalid(
                    f"is damaged: its CRC-32 is {row.crc32:08x}, the archive says {member.entry.crc32:08x}",
                    member.entry.name,
                )
            body.expect_descriptor()


def _expect_sizes(entries: Sequence[Entry], size_bytes: int, intake: Intake) -> None:
    """All members together, before any of them is inflated; later none may be larger than it says here."""
    unpacked = sum(entry.size_bytes for entry in entries)
    intake.expect(unpacked)
    if unpacked > ratio_limit(size_bytes, intake.limits.max_ratio):
        raise intake.delivery.excessive(
            f"unpacks from {size_bytes} to {unpacked} bytes, more than {intake.limits.max_ratio:g} times as many",
            "max_ratio",
        )


def _placed(entries: Sequence[Entry], directory_at: int, product: str, delivery: Delivery) -> list[_Member]:
    """The members in the order in which they lie. Raises HostileInput where two share bytes."""
    paths = [check_path(entry.name, delivery) for entry in entries]
    for path, entry in zip(paths, entries, strict=True):
        if not path and not entry.is_folder:
            raise delivery.invalid("has a member without a name")
    layout = layout_of(((path, entry.is_folder) for path, entry in zip(paths, entries, strict=True)), product, delivery)
    lying = sorted(zip(entries, map(layout.place, paths), strict=True), key=lambda pair: pair[0].offset)
    ends = [entry.offset for entry, _ in lying[1:]] + [directory_at]
    members = [_Member(entry, path, end - entry.offset) for (entry, path), end in zip(lying, ends, strict=True)]
    for member in members:
        entry = member.entry
        if _LOCAL.size + len(entry.name) + entry.packed_bytes > member.room_bytes:
            raise _overlapping(entry, delivery)
    return members


def _overlapping(entry: Entry, delivery: Delivery) -> Exception:
    return delivery.hostile(
        "shares its bytes with what follows it: an archive of such members can unpack without bound", entry.name
    )


class _Body:
    """One member in the archive: its local header, which is checked at once, its data, its data descriptor."""

    def __init__(self, source: BinaryIO, member: _Member, delivery: Delivery) -> None:
        self._source = source
        self._entry = entry = member.entry
        self._delivery = delivery
        source.seek(entry.offset)
        self._ahead = read_fully(source, min(member.room_bytes, PIECE))
        start = self._check_header()
        if start + entry.packed_bytes > member.room_bytes:
            raise _overlapping(entry, delivery)
        self._room_bytes = member.room_bytes - start - entry.packed_bytes
        self._ahead = self._ahead[start:]

    def pieces(self) -> Iterator[bytes]:
        """The member's bytes. Raises InvalidProduct where there are more or fewer than announced."""
        entry = self._entry
        came = 0
        for piece in self._packed() if entry.method == STORED else self._inflated():
            came += len(piece)
            if came > entry.size_bytes:
                raise self._delivery.invalid(f"unpacks to more than the {entry.size_bytes} bytes announced", entry.name)
            yield piece
        if came != entry.size_bytes:
            raise self._delivery.invalid(f"unpacks to {came} bytes, {entry.size_bytes} are announced", entry.name)

    def expect_descriptor(self) -> None:
        """Compare the data descriptor, where there is one: with or without its mark, with sizes of 4 or 8 bytes."""
        entry = self._entry
        if not entry.flags & DESCRIPTOR:
            return
        data = self._take(min(self._room_bytes, len(_DESCRIPTOR_MAGIC) + _DESCRIPTORS[1].size))
        values = (entry.crc32, entry.packed_bytes, entry.size_bytes)
        for mark in (_DESCRIPTOR_MAGIC, b""):
            for layout in _DESCRIPTORS:
                start, end = len(mark), len(mark) + layout.size
                if data.startswith(mark) and len(data) >= end and layout.unpack(data[start:end]) == values:
                    return
        raise self._delivery.invalid("has a data descriptor that contradicts the central directory", entry.name)

    def _check_header(self) -> int:
        """Compare the local header with the directory; returns its length."""
        entry, data = self._entry, self._ahead
        if len(data) < _LOCAL.size or not data.startswith(_LOCAL_MAGIC):
            raise self._delivery.invalid("has no local header where the central directory says", entry.name)
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(data)
        start = _LOCAL.size + int(name_length)
        name, extra = data[_LOCAL.size : start], data[start : start + extra_length]
        if UNKNOWN in (packed, size):
            size, packed = zip64_values(extra, (size, packed), entry.name, self._delivery)
        told = (name, method, flags & DECISIVE)
        sums = zip((crc, packed, size), (entry.crc32, entry.packed_bytes, entry.size_bytes), strict=True)
        # what stands behind the data may be 0 here
        agree = all(here == there or (here == 0 and entry.flags & DESCRIPTOR) for here, there in sums)
        if told != (entry.name, entry.method, entry.flags & DECISIVE) or not agree:
            raise self._delivery.invalid("has a local header that contradicts the central directory", entry.name)
        return start + int(extra_length)

    def _inflated(self) -> Iterator[bytes]:
        entry = self._entry
        inflater = IgzipDecompressor(flag=DECOMP_DEFLATE)
        packed = self._packed()
        while not inflater.eof:
            given = next(packed, b"") if inflater.needs_input else b""
            if inflater.needs_input and not given:
                raise self._delivery.invalid("is cut short: its compressed data end too early", entry.name)
            try:
                piece = inflater.decompress(given, PIECE)
            except InflateError as error:
                raise self._delivery.invalid(f"is damaged: its data cannot be inflated ({error})", entry.name) from None
            if piece:
                yield piece
        if inflater.unused_data or next(packed, b""):
            raise self._delivery.invalid("has other bytes behind its compressed data", entry.name)

    def _packed(self) -> Iterator[bytes]:
        left = self._entry.packed_bytes
        while left:
            data = self._take(min(left, PIECE))
            if not data:
                raise self._delivery.invalid("is cut short", self._entry.name)
            left -= len(data)
            yield data

    def _take(self, length: int) -> bytes:
        """The next bytes, `length` at most: what was read with the header first."""
        data, self._ahead = self._ahead[:length], self._ahead[length:]
        return data + read_fully(self._source, length - len(data)) if len(data) < length else data
