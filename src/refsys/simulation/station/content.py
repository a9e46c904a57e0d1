"""Bytes on offer: a file as it lies, bytes in memory, or CADUs that are made while they are read.

What is made depends on its seed alone, so that whoever knows the seed can verify every byte; shorter content with a
seed is the beginning of longer content with it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Channel access data unit of Sentinel-1 to -3 (CCSDS 131.0): sync marker and codeblock, in every real block.
CADU_BYTES: Final = 2044
_SYNC: Final = bytes.fromhex("1acffc1d")
_TILE_CADUS: Final = 512
_TILE_BYTES: Final = _TILE_CADUS * CADU_BYTES
_PIECE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Opened:
    """A file at its beginning, its size and the time of its last change (ns since 1970)."""

    file: io.BufferedIOBase
    size_bytes: int
    modified_ns: int


class Content(Protocol):
    """What can be opened again and again."""

    @property
    def size_bytes(self) -> int: ...

    def open(self) -> Opened:
        """Raises OSError where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class Lying:
    """A file on disk, with the size that it has now."""

    path: Path

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def open(self) -> Opened:
        file = self.path.open("rb")
        status = os.fstat(file.fileno())
        return Opened(file, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes in memory."""

    data: bytes
    modified_ns: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def open(self) -> Opened:
        return Opened(io.BytesIO(self.data), len(self.data), self.modified_ns)


@dataclass(frozen=True, slots=True)
class Made:
    """Pseudo-random CADUs, each beginning with the sync marker; costs no memory worth mentioning at any size."""

    seed: str
    size_bytes: int
    modified_ns: int = 0

    def open(self) -> Opened:
        return Opened(io.BufferedReader(_Reader(self), 2**16), self.size_bytes, self.modified_ns)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (exclusive), cut at the end."""
        stop = min(stop, self.size_bytes)
        pieces = []
        while start < stop:
            number, offset = divmod(start, _TILE_BYTES)
            piece = _tile(self.seed, number, min(_TILE_BYTES, self.size_bytes))[offset : offset + stop - start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)


def md5_of(content: Content) -> str:
    """Hexadecimal; of what was made it is remembered."""
    return _md5_of_made(content.seed, content.size_bytes) if isinstance(content, Made) else _md5(content)


def _md5(content: Content) -> str:
    digest = hashlib.md5()
    with content.open().file as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@functools.lru_cache(maxsize=100_000)
def _md5_of_made(seed: str, size_bytes: int) -> str:
    return _md5(Made(seed, size_bytes))


@functools.lru_cache(maxsize=16)
def _first_tile(seed: str, size_bytes: int) -> bytes:
    # whole words of the generator, so that less is the beginning of more
    tile = bytearray(random.Random(seed).randbytes((size_bytes + 3) // 4 * 4))
    for at, byte in enumerate(_SYNC):
        tile[at::CADU_BYTES] = bytes([byte]) * len(range(at, len(tile), CADU_BYTES))
    return bytes(tile)


def _tile(seed: str, number: int, size_bytes: int) -> bytes:
    """All tiles of a seed are the first one with another number after its sync marker."""
    first = _first_tile(seed, size_bytes)
    return first[:4] + number.to_bytes(8, "big") + first[12:] if number else first


class _Reader(io.RawIOBase):
    def __init__(self, made: Made) -> None:
        self._made = made
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._made.size_bytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._made.read(self._at, self._at + len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
