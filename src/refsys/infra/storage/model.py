"""What both back ends promise (one contract test: tests/integration/test_storage.py).

MissingObject   nothing lies under the key (a Transient: it may be about to be moved there; the last attempt parks)
StorageFull     no room is left (a Transient: an operator or retention makes room)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from refsys.core.errors import HostileInput, Transient

#: Longest key, in bytes (S3's limit).
KEY_LIMIT = 1024


class MissingObject(Transient):
    """Nothing lies under the key."""

    def __init__(self, key: str) -> None:
        super().__init__("is not in storage", subject=key, advice="was it deleted by hand? fetch the product again")


class StorageFull(Transient):
    """No room is left; nothing half-written is visible."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object: its key, size in bytes, and when it was last written (UTC)."""

    key: str
    size_bytes: int
    modified_at: datetime


class BytesWriter(Protocol):
    """Takes bytes in order."""

    def write(self, data: bytes | memoryview, /) -> object: ...


class Reader(Protocol):
    """An open object; it stays readable while it is open, even where it is moved or deleted meanwhile (local)."""

    size_bytes: int

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer only where the object ends. Any thread may call it."""
        ...

    def read_now(self, offset: int, length: int) -> bytearray | None:
        """Some of these bytes, the first ones, if that needs no waiting for a disk or a network; else None."""
        ...

    def close(self) -> None: ...


class Batch(Protocol):
    """New objects that become durable together when the block ends; an exception takes them all back.

    Nobody may rely on them before: a catalogue that names them is committed after the block.
    """

    def create(self, key: str) -> AbstractContextManager[BytesWriter]:
        """Write one new object, piece by piece."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write one new object at once."""
        ...


class Storage(ABC):
    """Bytes under keys."""

    @abstractmethod
    def batch(self) -> AbstractContextManager[Batch]:
        """Write new objects; an existing one is replaced in one move."""

    @abstractmethod
    def stat(self, key: str) -> ObjectInfo | None:
        """What lies under the key; None where nothing does."""

    @abstractmethod
    def open(self, key: str) -> Reader:
        """Open for reading. Raises MissingObject."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix`, in no order."""

    @abstractmethod
    def move(self, source: str, target: str, paths: Sequence[str]) -> None:
        """Make the objects `source/path` those of `target/path`; all of a product at once.

        May be repeated: what was moved before stays. Afterwards nothing is promised of what lies under `source`
        (`delete_prefix` it). Raises MissingObject where a path lies under neither.
        """

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""

    @abstractmethod
    def delete_prefix(self, prefix: str) -> None:
        """Delete everything whose key begins with `prefix`, which ends in a slash."""

    @abstractmethod
    def free_bytes(self) -> tuple[int, int] | None:
        """Free bytes and all bytes; None where nobody can tell (S3)."""

    @abstractmethod
    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        """The folders directly under `prefix` in which nothing was written since `before`, without final slash."""

    def read(self, key: str) -> bytes:
        """A whole object. Raises MissingObject."""
        reader = self.open(key)
        try:
            return reader.read_at(0, reader.size_bytes)
        finally:
            reader.close()

    def put(self, key: str, data: bytes) -> None:
        """Write one object, durably, in one move."""
        with self.batch() as batch:
            batch.put(key, data)


def check_key(key: str) -> str:
    """Return the key if it is one: relative, no empty or dotted segment, no control character. Raises HostileInput."""
    segments = key.split("/")
    if any(segment in ("", ".", "..") for segment in segments) or any(ord(c) < 32 or c == "\x7f" for c in key):
        raise HostileInput("is not a storage key: it would leave its folder", subject=ascii(key[:200]))
    if len(key.encode("utf-8", "surrogateescape")) > KEY_LIMIT or any(len(s.encode()) > 255 for s in segments):
        raise HostileInput(f"is too long for a storage key ({KEY_LIMIT} bytes, 255 a segment)", subject=ascii(key[:80]))
    return key
