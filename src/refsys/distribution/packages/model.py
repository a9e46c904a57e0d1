"""What every layout promises: an exact length, and what any range of the bytes is made of, without writing them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of a package that are those of a file: `length` bytes of it from `offset`."""

    path: str
    offset: int
    length: int


#: A piece of a package: bytes of the layout itself, or of a file.
Part = bytes | FilePart


class Package(ABC):
    """The bytes that users download, described. `name` is the file that they get, `size_bytes` its exact length.

    `entries` is how many entries of the file table it describes: what it weighs in memory.
    """

    name: str
    media_type: str
    size_bytes: int
    entries: int

    @abstractmethod
    def parts(self, start: int, stop: int) -> Iterator[Part]:
        """What the bytes from `start` up to, not including, `stop` are made of, in order; no part is empty."""


@dataclass(frozen=True, slots=True)
class Written:
    """What is final of a package that was written once."""

    size_bytes: int
    md5: bytes


def clipped(data: bytes, at: int, start: int, stop: int) -> bytes:
    """Of `data`, which lies at `at`, what lies between `start` and `stop`."""
    if start <= at and at + len(data) <= stop:
        return data
    return data[max(start - at, 0) : max(stop - at, 0)]


def clipped_file(path: str, size_bytes: int, at: int, start: int, stop: int) -> FilePart | None:
    """Of a whole file that lies at `at`, what lies between `start` and `stop`."""
    begin, end = max(start, at), min(stop, at + size_bytes)
    return FilePart(path, begin - at, end - begin) if begin < end else None
