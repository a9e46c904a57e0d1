"""Read a tar: ustar, GNU and pax (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Interchange Format").

Read in one pass, as it comes. A tar has no checksum over its data; what it has (headers' sums, sizes, the two blocks of
zeros at its end) must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from refsys.ingestion.archives.layouts import Placing, check_path, layout_of
from refsys.ingestion.archives.model import PIECE
from refsys.ingestion.archives.streams import Stream
from refsys.ingestion.archives.writing import Intake

BLOCK: Final = 512
_ZEROS: Final = bytes(BLOCK)
#: Longest extended header or long name, in bytes, and how many of them may stand before one member.
_EXTENSION_LIMIT: Final = 2**16
_EXTENSIONS: Final = 8

_FILES: Final = (b"0", b"\0", b"7")
_FOLDER: Final = b"5"
_LABEL: Final = b"V"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_REACHING_OUT: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
}
_UNUSUAL: Final = {
    b"S": "is a sparse file, which this system does not read",
    b"M": "is continued from another volume, which this system does not read",
}


@dataclass(frozen=True, slots=True)
class _Member:
    path: str
    size_bytes: int
    is_folder: bool


def is_header(block: bytes) -> bool:
    """Is this block a header: does its sum agree (of unsigned bytes; of signed ones in very old tars)."""
    if len(block) != BLOCK:
        return False
    stated = _octal(block[148:156])
    if stated is None:
        return False
    counted = block[:148] + b" " * 8 + block[156:]
    difference = sum(counted) - stated
    return difference == 0 or difference == 256 * sum(byte > 127 for byte in counted)


def unpack_tar(begin: Callable[[], Stream], product: str, intake: Intake, *, again: bool) -> None:
    """Hand the members over to `intake`. `begin` gives the archive's bytes from the start, `again`: as often as wanted.

    Mostly the first member tells the layout; an archive of another layout is listed whole before it is unpacked.
    Raises NotStreamable where that is not possible.
    """
    layout = None
    if again:
        listed = ((member.path, member.is_folder) for member in _TarReader(begin(), intake).members())
        layout = layout_of(listed, product, intake.delivery)
    placing = Placing(product, intake.delivery, layout)
    reader = _TarReader(begin(), intake)
    for member in reader.members():
        intake.check()
        path = placing.place(member.path, member.is_folder)
        if path is None:
            continue
        if member.is_folder:
            intake.folder(path)
        else:
            intake.expect(member.size_bytes)
            intake.file(path, reader.pieces(member))
    placing.confirm()


class _TarReader:
    """The members in their order; the bytes of each may be read until the next one is asked for."""

    def __init__(self, stream: Stream, intake: Intake) -> None:
        self._stream = stream
        self._delivery = intake.delivery
        self._intake = intake
        self._left = 0

    def members(self) -> Iterator[_Member]:
        count = 0
        while (member := self._next()) is not None:
            count += 1
            self._intake.expect_members(count)
            self._left = member.size_bytes
            yield member
            if not self._stream.skip(self._left + -member.size_bytes % BLOCK):
                raise self._cut(member.path)
        self._expect_end()

    def pieces(self, member: _Member) -> Iterator[bytes]:
        """The bytes of the member that came last."""
        while self._left:
            piece = self._stream.read(min(self._left, PIECE))
            if not piece:
                raise self._cut(member.path)
            self._left -= len(piece)
            yield piece

    def _next(self) -> _Member | None:
        """The next file or folder, with what the extensions before it say of it; None at the end."""
        name: bytes | None = None
        pax: dict[str, bytes] = {}
        for _ in range(_EXTENSIONS):
            block = self._stream.read(BLOCK)
            if block == _ZEROS:
                if name is not None or pax:
                    raise self._delivery.invalid("is cut short: an extended header stands before nothing")
                return None
            if not is_header(block):
                raise self._no_header(block)
            kind = block[156:157]
            if kind == _LONG_NAME:
                name = self._extension(block).rstrip(b"\0")
            elif kind == _PAX:
                pax |= self._records(block)
            elif kind == _PAX_GLOBAL:
                self._expect_harmless(self._records(block))
            elif kind == _LONG_LINK:
                self._extension(block)
            elif kind != _LABEL:
                return self._member(block, pax.get("path") or name or _name(block), pax)
        raise self._delivery.hostile(f"has {_EXTENSIONS} extended headers in a row")

    def _member(self, block: bytes, name: bytes, pax: dict[str, bytes]) -> _Member:
        kind = block[156:157]
        if kind in _REACHING_OUT:
            raise self._delivery.hostile(f"is {_REACHING_OUT[kind]}; only files and folders are taken", name)
        if kind in _UNUSUAL or any(key.startswith("GNU.sparse.") for key in pax):
            raise self._delivery.invalid(_UNUSUAL.get(kind, _UNUSUAL[b"S"]), name)
        if kind != _FOLDER and kind not in _FILES:
            raise self._delivery.invalid(f"is of the unknown kind {ascii(kind)[1:]}", name)
        size_bytes = self._size(block, pax, name)
        # a tar of before POSIX marks a folder by its name only
        is_folder = kind == _FOLDER or name.endswith(b"/")
        if is_folder and size_bytes:
            raise self._delivery.invalid(f"is a folder with {size_bytes} bytes", name)
        path = check_path(name, self._delivery)
        if not path and not is_folder:
            raise self._delivery.invalid("has a file without a name")
        return _Member(path, size_bytes, is_folder)

    def _size(self, block: bytes, pax: dict[str, bytes], name: bytes) -> int:
        stated = pax.get("size")
        if stated is None:
            size_bytes = _number(block[124:136])
        else:
            size_bytes = int(stated) if stated.isdigit() and len(stated) < 20 else None
        if size_bytes is None or size_bytes < 0:
            raise self._delivery.invalid("has no valid size in its header", name)
        return size_bytes

    def _extension(self, block: bytes) -> bytes:
        """The bytes of an extended header."""
        size_bytes = _number(block[124:136])
        if size_bytes is None or not 0 < size_bytes <= _EXTENSION_LIMIT:
            raise self._delivery.hostile(
                f"has an extended header without size, or longer than {_EXTENSION_LIMIT} bytes"
            )
        padded = size_bytes + -size_bytes % BLOCK
        data = self._stream.read(padded)
        if len(data) != padded:
            raise self._delivery.invalid("is cut short in an extended header")
        return data[:size_bytes]

    def _records(self, block: bytes) -> dict[str, bytes]:
        """Records of a pax header: "length key=value\\n"."""
        data = self._extension(block)
        records: dict[str, bytes] = {}
        while data:
            length, space, _ = data.partition(b" ")
            end = int(length) if space and length.isdigit() and len(length) < 6 else 0
            key, _, value = data[len(length) + 1 : end].partition(b"=")
            if not value.endswith(b"\n") or end > len(data):
                raise self._delivery.invalid("has an extended header that is not made of records")
            records[key.decode("utf-8", "backslashreplace")] = value[:-1]
            data = data[end:]
        return records

    def _expect_harmless(self, records: dict[str, bytes]) -> None:
        named = [key for key in records if key in ("path", "size") or key.startswith("GNU.sparse.")]
        if named:
            raise self._delivery.invalid(f"has a global header that gives all members the same {named[0]}")

    def _expect_end(self) -> None:
        """After one block of zeros there is another, and nothing else to the end of the archive."""
        rest = self._stream.read(PIECE)
        if len(rest) < BLOCK:
            raise self._delivery.invalid("is cut short: its end mark is missing")
        while rest:
            self._intake.check()
            if rest.count(0) != len(rest):
                raise self._delivery.invalid("has other bytes behind its end, or is damaged there")
            rest = self._stream.read(PIECE)

    def _no_header(self, block: bytes) -> Exception:
        if len(block) < BLOCK:
            return self._delivery.invalid("is cut short: its end mark is missing")
        return self._delivery.invalid("is damaged: a member's header has another sum, or is none")

    def _cut(self, member: str) -> Exception:
        return self._delivery.invalid("is cut short: the archive ends in this file", member)


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] != b"ustar\0":  # GNU keeps other things in the place of the prefix
        return name
    prefix = block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _number(text: bytes) -> int | None:
    """A number in a header: octal digits, or GNU's base 256, which may be negative."""
    if text[0] in (0x80, 0xFF):
        return int.from_bytes(text[1:], "big", signed=False) - (256 ** (len(text) - 1) if text[0] == 0xFF else 0)
    return _octal(text)


def _octal(text: bytes) -> int | None:
    digits = text.split(b"\0", 1)[0].strip(b" ")
    if digits.strip(b"01234567"):
        return None
    return int(digits or b"0", 8)
