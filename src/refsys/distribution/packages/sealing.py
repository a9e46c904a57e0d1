"""Sealing: one read of a package in its order, which verifies every file and yields the package's checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from refsys.core.errors import Permanent, RefsysError
from refsys.core.products import FileEntry
from refsys.distribution.packages.model import FilePart, Package
from refsys.infra.storage import Reader, Storage, object_key

#: Bytes that are read at once.
PIECE: Final = 4 * 2**20
#: `advance` returns after the file with which it has read so many bytes.
PAUSE_AFTER: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Seal:
    """Checksums of a whole package."""

    md5: bytes
    blake3: bytes


class Sealing:
    """Reads the files under `base` (blocking, to be driven from one thread at a time).

    `advance` until it returns False, then `seal`. `stop` may be called by any thread at any time: the next piece is
    not read any more.
    """

    def __init__(
        self, storage: Storage, base: str, product_name: str, package: Package, files: Sequence[FileEntry]
    ) -> None:
        self._storage = storage
        self._base = base
        self._product_name = product_name
        self._files = {entry.path: entry for entry in files}
        self._empty = [entry for entry in files if not entry.size_bytes and not entry.is_folder]
        self._parts = package.parts(0, package.size_bytes)
        self._md5 = _Md5()
        self._blake3 = blake3()
        self._stopped = False

    def advance(self) -> bool:
        """Read on; returns whether there is more to read.

        Raises Permanent where a file is not what the file table says, MissingObject where it is not there.
        """
        read_bytes = 0
        for part in self._parts:
            if isinstance(part, FilePart):
                self._read(self._files[part.path])
                read_bytes += part.length
                if read_bytes >= PAUSE_AFTER:
                    return True
            else:
                self._md5.update(part)
                self._blake3.update(part)
        for entry in self._empty:
            self._read(entry)
        return False

    def seal(self) -> Seal:
        """The checksums, when everything was read."""
        return Seal(self._md5.digest(), self._blake3.digest())

    def stop(self) -> None:
        """Give up what is being read, and free what was needed for it."""
        self._stopped = True
        self._md5.close()

    def _read(self, entry: FileEntry) -> None:
        reader = self._storage.open(object_key(self._base, entry.path))
        try:
            if reader.size_bytes != entry.size_bytes:
                raise self._differs(entry, f"{reader.size_bytes} bytes", f"{entry.size_bytes}")
            crc, digest = 0, blake3()
            for data in self._pieces(reader, entry):
                crc = isal_zlib.crc32(data, crc)
                digest.update(data)
                self._blake3.update(data)
                self._md5.update(data)
        finally:
            reader.close()
        if digest.digest() != entry.blake3:
            raise self._differs(entry, f"the BLAKE3 {digest.hexdigest()}", entry.blake3.hex() or "none")
        if crc != entry.crc32:
            raise self._differs(entry, f"the CRC-32 {crc:08x}", f"{entry.crc32:08x}")

    def _pieces(self, reader: Reader, entry: FileEntry) -> Iterator[bytes]:
        offset = 0
        while offset < entry.size_bytes:
            if self._stopped:
                raise RefsysError("was given up while it was being verified", subject=self._product_name)
            data = reader.read_at(offset, min(PIECE, entry.size_bytes - offset))
            if not data:
                raise self._differs(entry, f"{offset} bytes", f"{entry.size_bytes}")
            offset += len(data)
            yield data

    def _differs(self, entry: FileEntry, found: str, expected: str) -> Permanent:
        return Permanent(
            f"its file {entry.path} in storage has {found}, and the file table says {expected}: it was altered after "
            "it had been stored",
            subject=self._product_name,
            advice="look at the disk below; put the right bytes (those of the station) at "
            f"{object_key(self._base, entry.path)} and restart this step",
        )


class _Md5:
    """MD5 is by far the slowest of the sums: large pieces are summed in a thread, while the next one is read."""

    _LARGE: Final = 2**20

    def __init__(self) -> None:
        self._sum = hashlib.md5(usedforsecurity=False)
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def update(self, data: bytes) -> None:
        self._wait()
        if len(data) < self._LARGE:
            self._sum.update(data)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="md5")
        self._pending = self._thread.submit(self._sum.update, data)

    def digest(self) -> bytes:
        self._wait()
        return self._sum.digest()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None
