"""What both back ends promise (one contract test: tests/integration/test_storage.py).

MissingObject   nothing lies under the key (a Transient: it may be about to be moved there; the last attempt parks)
StorageFull     no room is left (a Transient: an operator or retention makes room)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from refsys.core.errors import HostileInput, Transient

#: Longest key, and longest segment of one, in bytes (the limits of S3 and of file systems).
KEY_LIMIT: Final = 1024
SEGMENT_LIMIT: Final = 255
#: First segment of keys that nobody may use: what is being written lies there, in local storage.
RESERVED: Final = ".new"
_OUTSIDE: Final = frozenset({"", ".", ".."})
#: Control characters; and the backslash, which some S3 services take for a slash.
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")


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

    Nobody may rely on them before: a catalogue that names them is committed after the block. Several threads may write
    different objects.
    """

    def create(self, key: str) -> AbstractContextManager[BytesWriter]:
        """Write one new object, piece by piece."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write one new object at once."""
        ...


class OpenBatch(Batch, Protocol):
    """A batch of which single objects can be taken back."""

    def drop(self, key: str) -> None:
        """Take back the object `key` and all objects in the folder `key`, as far as they were written in this batch."""
        ...


class Partial(Protocol):
    """An object that is being written and that, where its process dies, another one can go on with.

    `size_bytes` are there; `tag` names the content that they are of.
    """

    size_bytes: int
    tag: str

    def pieces(self) -> Iterator[memoryview]:
        """What is there, in its order; each piece is valid until the next."""
        ...

    def label(self, tag: str) -> None:
        """Say which content the bytes are of."""
        ...

    def write(self, data: bytes | memoryview, /) -> None:
        """Append. Raises StorageFull."""
        ...

    def restart(self) -> None:
        """Forget what is there."""
        ...

    def commit(self, key: str) -> None:
        """Make it the object `key`, durably. Raises StorageFull."""
        ...

    def discard(self) -> None:
        """Remove it."""
        ...

    def close(self) -> None:
        """Leave it to the next one who asks for it."""
        ...


class Storage(ABC):
    """Bytes under keys.

    `is_public`: users reach what links name, as far as anybody has said.
    """

    is_public = False

    @abstractmethod
    def batch(self) -> AbstractContextManager[OpenBatch]:
        """Write new objects; an existing one is replaced in one move.

        An object that a failed batch was to replace is what it was (local), or may be gone (S3).
        """

    def partial(self, name: str) -> Partial | None:
        """The partial of this name, with what an attempt before has left of it; close it.

        A new one where somebody else has it open, also a process that hangs. None where this storage has none (S3).
        """
        return None

    @abstractmethod
    def stat(self, key: str) -> ObjectInfo | None:
        """What lies under the key; None where nothing does."""

    @abstractmethod
    def open(self, key: str) -> Reader:
        """Open for reading. Raises MissingObject."""

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with `prefix` (all of them: ""), in no order."""

    @abstractmethod
    def move(self, source: str, target: str, paths: Sequence[str]) -> None:
        """Make the objects `source/path` those of `target/path`; `paths` are all objects of a product.

        May be repeated: what was moved before stays. Afterwards nothing is promised of what lies under `source`
        (`delete_prefix` it). Raises MissingObject where a path lies under neither.
        """

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; one that is not there is no error."""

    @abstractmethod
    def delete_prefix(self, prefix: str) -> None:
        """Delete everything that lies in the folder `prefix`, with or without its final slash."""

    @abstractmethod
    def free_bytes(self) -> tuple[int, int] | None:
        """Free bytes and all bytes; None where nobody can tell (S3)."""

    @abstractmethod
    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        """The folders directly under `prefix` in which nothing was written since `before`, without final slash."""

    @abstractmethod
    def sweep_unfinished(self, prefix: str, before: datetime) -> int:
        """Remove what was to become objects in the folder `prefix` and was not gone on with since `before`; how many.

        Local storage does not know where it was to go, and removes all of it.
        """

    @abstractmethod
    def link(self, key: str, seconds: float) -> str | None:
        """A URL under which anybody can read the object for so many seconds, whether it is there or not.

        None where this storage has none: a folder.
        """

    def read(self, key: str, most_bytes: int | None = None) -> bytes:
        """A whole object, or its first bytes. Raises MissingObject."""
        reader = self.open(key)
        try:
            size = reader.size_bytes if most_bytes is None else min(reader.size_bytes, most_bytes)
            return reader.read_at(0, size)
        finally:
            reader.close()

    def put(self, key: str, data: bytes) -> None:
        """Write one object, durably, in one move."""
        with self.batch() as batch:
            batch.put(key, data)


def check_key(key: str) -> str:
    """Return the key if it is one, else raise HostileInput.

    Relative, no empty or dotted segment, no control character or backslash, not reserved, not too long.
    """
    segments = key.split("/")
    if not _OUTSIDE.isdisjoint(segments) or segments[0] == RESERVED or _FORBIDDEN.search(key):
        raise HostileInput("is not a storage key: it would leave its folder", subject=_shown(key))
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise HostileInput("is not a storage key: it is not UTF-8", subject=_shown(key)) from None
    if length > KEY_LIMIT or (length > SEGMENT_LIMIT and any(len(s.encode()) > SEGMENT_LIMIT for s in segments)):
        raise HostileInput(
            f"is too long for a storage key ({KEY_LIMIT} bytes, {SEGMENT_LIMIT} a segment)", subject=_shown(key)
        )
    return key


def object_key(base: str, path: str) -> str:
    """The key of what lies at `path` under `base`; an empty base is the storage itself."""
    return f"{base}/{path}" if base else path


def check_folder(prefix: str) -> str:
    """Return the prefix without its final slash if it is the key of a folder, else raise HostileInput."""
    return check_key(prefix.removesuffix("/"))


def folder_of(prefix: str) -> str:
    """The folder in which everything lies whose key begins with `prefix`; "" where that is all of storage.

    Raises HostileInput where it leaves its folder.
    """
    folder = prefix.rpartition("/")[0]
    return check_key(folder) if "/" in prefix else folder


def _shown(key: str) -> str:
    return ascii(key if len(key) <= 200 else f"{key[:197]}...")
