"""Unpack a ZIP (PKWARE APPNOTE 6.3.10); see zipdirectory.py for the central directory.

Members are read in the order in which they lie, each in one go. What the directory says of a member must agree with its
local header, with its data descriptor, with where the next member begins, and with the bytes that come. Where the
archive is seekable the directory is read first; where it streams, each member is taken by its local header, and all of
them are compared with the directory when that has come.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor
from isal.isal_zlib import crc32

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.ingestion.archives.layouts import Placing, check_path, layout_of
from refsys.ingestion.archives.model import PIECE, Delivery, InflateError, NotStreamable
from refsys.ingestion.archives.streams import Feed, expect_ratio
from refsys.ingestion.archives.writing import Intake
from refsys.ingestion.archives.zipdirectory import (
    DECISIVE,
    DESCRIPTOR,
    ENTRY_MAGIC,
    STORED,
    UNKNOWN,
    Entry,
    check_kind,
    read_directory,
    tail_limit,
    zip64_values,
)

_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_DESCRIPTOR_MAGIC: Final = b"PK\x07\x08"
_DESCRIPTORS: Final = (struct.Struct("<3L"), struct.Struct("<LQQ"))
_DESCRIPTOR_LIMIT: Final = len(_DESCRIPTOR_MAGIC) + _DESCRIPTORS[1].size
#: Bytes given to the inflater at a time where nobody said where its data end.
_SLICE: Final = 2**16


@dataclass(frozen=True, slots=True)
class _Member:
    """An entry, where it belongs in the product (nowhere: None), and where the next one begins at the earliest."""

    entry: Entry
    path: str | None
    end: int


def unpack_zip(source: BinaryIO, feed: Feed, product: str, intake: Intake) -> None:
    """Hand the members of a seekable archive over to `intake`. `feed` gives the bytes of `source`."""
    delivery = intake.delivery
    size_bytes = feed.size_bytes or 0
    entries, directory_at = read_directory(source, size_bytes, intake)
    _expect_sizes(entries, size_bytes, intake)
    members = _placed(entries, directory_at, product, delivery)
    feed.rewind()
    for member in members:
        intake.check()
        entry = member.entry
        feed.skip(entry.offset - feed.position)
        header = _read_header(feed, member.end, delivery)
        if header is None:
            raise _no_header(entry, delivery)
        _expect_agreement(header, entry, delivery)
        if feed.position + entry.packed_bytes > member.end:
            raise _overlapping(entry, delivery)
        if member.path is None:
            continue
        if entry.is_folder:
            intake.folder(member.path)
            continue
        row = intake.file(member.path, _Body(feed, entry, delivery).pieces())
        _expect_sum(row.crc32, entry, delivery)
        room = feed.peek(min(member.end - feed.position, _DESCRIPTOR_LIMIT))
        if entry.flags & DESCRIPTOR and not _descriptors(room, entry):
            raise _contradicting_descriptor(entry, delivery)


def stream_zip(feed: Feed, product: str, intake: Intake) -> None:
    """Hand the members of an archive over to `intake` as they come.

    Raises NotStreamable where a member does not tell where it ends, where anything is wrong before the directory has
    come, and where that lists something else: what local headers are worth is judged by the directory.
    """
    delivery = intake.delivery
    try:
        taken = list(_taken(feed, product, intake))
    except (InvalidProduct, HostileInput) as error:
        raise NotStreamable(str(error)) from error
    directory_at = feed.position
    limit = tail_limit(len(taken))
    tail = io.BytesIO()
    while data := feed.some(PIECE):
        intake.check()
        tail.write(data)
        if tail.tell() > limit:
            raise NotStreamable("more than a directory follows its members")
    entries, listed_at = read_directory(tail, feed.position, intake, lead_bytes=directory_at)
    if listed_at != directory_at:
        raise NotStreamable("it does not begin with a member")
    _expect_sizes(entries, feed.position, intake)
    placed = _placed(entries, directory_at, product, delivery)
    listed = [(replace(member.entry, flags=member.entry.flags & DECISIVE), member.path) for member in placed]
    if listed != taken:
        raise NotStreamable("its directory lists something else than what came, or another layout")


def _taken(feed: Feed, product: str, intake: Intake) -> Iterator[tuple[Entry, str | None]]:
    """The members as they come, each with what was found out of it, and where it was placed."""
    delivery = intake.delivery
    placing = Placing(product, delivery)
    unpacked, count = 0, 0

    def watched(body: _Body) -> Iterator[bytes]:
        nonlocal unpacked
        for piece in body.pieces():
            unpacked += len(piece)
            expect_ratio(feed, unpacked, intake)
            yield piece

    while feed.peek(len(_LOCAL_MAGIC)) == _LOCAL_MAGIC:
        count += 1
        intake.check()
        intake.expect_members(count)
        offset = feed.position
        header = _read_header(feed, None, delivery)
        if header is None:
            raise delivery.invalid("is cut short: the header of a member is not whole")
        check_kind(header, delivery)
        is_open = bool(header.flags & DESCRIPTOR) and 0 in (header.packed_bytes, header.size_bytes)
        if is_open and header.method == STORED:
            if not header.is_folder:
                raise NotStreamable("a stored member does not tell where it ends")
            is_open = False
        path = placing.place(_checked(header, delivery), header.is_folder)
        intake.expect(header.size_bytes)
        body = _Body(feed, header, delivery, is_open=is_open)
        if path is None or header.is_folder:
            crc = 0
            for piece in watched(body):
                intake.check()
                crc = crc32(piece, crc)
            if path is not None:
                intake.folder(path)
        else:
            crc = intake.file(path, watched(body)).crc32
        found = Entry(
            header.name, header.flags & DECISIVE, header.method, crc, body.packed_bytes, body.size_bytes, offset
        )
        if header.flags & DESCRIPTOR:
            _pass_descriptor(feed, found, delivery)
        else:
            _expect_sum(crc, header, delivery)
        _expect_agreement(header, found, delivery)
        yield found, path


def _checked(entry: Entry, delivery: Delivery) -> str:
    path = check_path(entry.name, delivery)
    if not path and not entry.is_folder:
        raise delivery.invalid("has a member without a name")
    return path


def _expect_sizes(entries: Sequence[Entry], size_bytes: int, intake: Intake) -> None:
    """All members together; none may be larger than it says here."""
    unpacked = sum(entry.size_bytes for entry in entries)
    intake.expect_in_all(unpacked)
    intake.expect_ratio(size_bytes, unpacked)


def _placed(entries: Sequence[Entry], directory_at: int, product: str, delivery: Delivery) -> list[_Member]:
    """The members in the order in which they lie. Raises HostileInput where two share bytes."""
    paths = [_checked(entry, delivery) for entry in entries]
    layout = layout_of(((path, entry.is_folder) for path, entry in zip(paths, entries, strict=True)), product, delivery)
    lying = sorted(zip(entries, map(layout.place, paths), strict=True), key=lambda pair: pair[0].offset)
    ends = [entry.offset for entry, _ in lying[1:]] + [directory_at]
    members = [_Member(entry, path, end) for (entry, path), end in zip(lying, ends, strict=True)]
    for member in members:
        entry = member.entry
        if entry.offset + _LOCAL.size + len(entry.name) + entry.packed_bytes > member.end:
            raise _overlapping(entry, delivery)
    return members


def _read_header(feed: Feed, end: int | None, delivery: Delivery) -> Entry | None:
    """The local header here, of which nothing lies behind `end`; None where it is none, or not whole.

    What stands behind the data is 0 in it.
    """
    offset = feed.position
    data = feed.read(_LOCAL.size)
    if len(data) < _LOCAL.size or not data.startswith(_LOCAL_MAGIC):
        return None
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(data)
    room = name_length + extra_length
    name_and_extra = feed.read(room if end is None else min(room, end - feed.position))
    if end is None and len(name_and_extra) < room:
        return None
    name, extra = name_and_extra[:name_length], name_and_extra[name_length:]
    if UNKNOWN in (packed, size):
        size, packed = zip64_values(extra, (size, packed), name, delivery)
    return Entry(name, flags, method, crc, packed, size, offset)


def _expect_agreement(here: Entry, there: Entry, delivery: Delivery) -> None:
    """Compare a local header with the directory, or with what was found out of the member's data."""
    sums = ((here.crc32, there.crc32), (here.packed_bytes, there.packed_bytes), (here.size_bytes, there.size_bytes))
    # what stands behind the data may be 0 here
    agree = all(told == known or (told == 0 and there.flags & DESCRIPTOR) for told, known in sums)
    told, known = ((entry.name, entry.method, entry.flags & DECISIVE) for entry in (here, there))
    if told != known or not agree:
        raise delivery.invalid("has a local header that contradicts the central directory", there.name)


def _expect_sum(crc: int, entry: Entry, delivery: Delivery) -> None:
    if crc != entry.crc32:
        raise delivery.invalid(f"is damaged: its CRC-32 is {crc:08x}, the archive says {entry.crc32:08x}", entry.name)


def _descriptors(data: bytes, entry: Entry) -> list[int]:
    """Lengths of the data descriptors that `data` may begin with: with or without mark, with sizes of 4 or 8 bytes."""
    values = (entry.crc32, entry.packed_bytes, entry.size_bytes)
    found = []
    for mark in (_DESCRIPTOR_MAGIC, b""):
        for layout in _DESCRIPTORS:
            end = len(mark) + layout.size
            if data.startswith(mark) and len(data) >= end and layout.unpack(data[len(mark) : end]) == values:
                found.append(end)
    return found


def _pass_descriptor(feed: Feed, entry: Entry, delivery: Delivery) -> None:
    """Go on behind the data descriptor, which another member or the directory must follow."""
    data = feed.peek(_DESCRIPTOR_LIMIT + len(ENTRY_MAGIC))
    lengths = _descriptors(data, entry)
    if not lengths:
        raise _contradicting_descriptor(entry, delivery)
    followed = [length for length in lengths if data[length : length + 4] in (_LOCAL_MAGIC, ENTRY_MAGIC)]
    if not followed:
        raise NotStreamable("other bytes stand behind a data descriptor")
    feed.read(followed[0])


def _no_header(entry: Entry, delivery: Delivery) -> Exception:
    return delivery.invalid("has no local header where the central directory says", entry.name)


def _contradicting_descriptor(entry: Entry, delivery: Delivery) -> Exception:
    return delivery.invalid("has a data descriptor that contradicts the central directory or its data", entry.name)


def _overlapping(entry: Entry, delivery: Delivery) -> Exception:
    return delivery.hostile(
        "shares its bytes with what follows it: an archive of such members can unpack without bound", entry.name
    )


class _Body:
    """The data of one member, whose header was read. An open one ends where its compressed data say."""

    def __init__(self, feed: Feed, entry: Entry, delivery: Delivery, *, is_open: bool = False) -> None:
        #: What came so far.
        self.packed_bytes = 0
        self.size_bytes = 0
        self._feed = feed
        self._entry = entry
        self._delivery = delivery
        self._is_open = is_open

    def pieces(self) -> Iterator[bytes]:
        """The member's bytes. Raises InvalidProduct where there are more or fewer than announced."""
        entry = self._entry
        for piece in self._packed() if entry.method == STORED else self._inflated():
            self.size_bytes += len(piece)
            if self.size_bytes > entry.size_bytes and not self._is_open:
                raise self._delivery.invalid(f"unpacks to more than the {entry.size_bytes} bytes announced", entry.name)
            yield piece
        if self.size_bytes != entry.size_bytes and not self._is_open:
            raise self._delivery.invalid(
                f"unpacks to {self.size_bytes} bytes, {entry.size_bytes} are announced", entry.name
            )

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
        if self._is_open:
            self._feed.give_back(inflater.unused_data)
            self.packed_bytes -= len(inflater.unused_data)
        elif inflater.unused_data or next(packed, b""):
            raise self._delivery.invalid("has other bytes behind its compressed data", entry.name)

    def _packed(self) -> Iterator[bytes]:
        while self._is_open or self.packed_bytes < self._entry.packed_bytes:
            left = self._entry.packed_bytes - self.packed_bytes
            data = self._feed.some(_SLICE) if self._is_open else self._feed.read(min(left, PIECE))
            if not data:
                raise self._delivery.invalid("is cut short", self._entry.name)
            self.packed_bytes += len(data)
            yield data
