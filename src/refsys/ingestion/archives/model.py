"""What bounds a delivery, and how errors speak of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from isal import igzip_lib

from refsys.core.errors import HostileInput, InvalidProduct

#: Bytes that are read, inflated, hashed and written at a time.
PIECE: Final = 2**20
#: A delivery that unpacks to no more than this many bytes is no bomb, whatever its ratio.
HARMLESS_BYTES: Final = 2**20
#: What isal raises for compressed data that are damaged; its type stubs do not say that it is a class.
InflateError: Final = cast("type[Exception]", igzip_lib.IsalError)

_DAMAGED: Final = "fetch it again; if it stays so, ask the station to publish it anew"
_HOSTILE: Final = "nothing was taken from it; ask the station what it sent, and delete the step"
_LIMITED: Final = "nothing was taken from it; if the product is sound, raise {setting} in [fetch], and restart the step"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one delivery: bytes unpacked, files and folders, and bytes unpacked for each byte packed."""

    max_bytes: int
    max_members: int
    max_ratio: float


class NotStreamable(Exception):
    """What comes cannot be unpacked, or not be judged, while it streams; it can where it lies in a seekable file."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came, under the name that errors give it."""

    name: str

    def invalid(self, message: str, member: str | bytes = "") -> InvalidProduct:
        """It is damaged, contradicts itself, or is something else than announced."""
        return InvalidProduct(message, subject=self._subject(member), advice=_DAMAGED)

    def hostile(self, message: str, member: str | bytes = "") -> HostileInput:
        """It tries to leave its folder or to reach out."""
        return HostileInput(message, subject=self._subject(member), advice=_HOSTILE)

    def excessive(self, message: str, setting: str, member: str | bytes = "") -> HostileInput:
        """It is beyond a limit."""
        return HostileInput(message, subject=self._subject(member), advice=_LIMITED.format(setting=setting))

    def _subject(self, member: str | bytes) -> str:
        return f"{_shown(self.name)}, {_shown(member)}" if member else _shown(self.name)


def ratio_limit(size_bytes: int, max_ratio: float) -> int:
    """How many bytes an archive of `size_bytes` may unpack to."""
    return max(HARMLESS_BYTES, int(size_bytes * max_ratio))


def size_of(source: BinaryIO) -> int:
    """All bytes of a seekable source, which is left at its start."""
    size_bytes = source.seek(0, os.SEEK_END)
    source.seek(0)
    return size_bytes


def read_fully(source: BinaryIO, length: int) -> bytes:
    """`length` bytes, fewer only where the source ends (a raw file may return fewer at a time)."""
    data = source.read(length)
    while len(data) < length:
        more = source.read(length - len(data))
        if not more:
            break
        data += more
    return data


def go_on() -> None:
    """The check of a caller who never abandons."""


def _shown(name: str | bytes) -> str:
    """A name from outside as harmless text."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    text = ascii(text)[1:-1]
    return text if len(text) <= 200 else f"{text[:197]}..."
