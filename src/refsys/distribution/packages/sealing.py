"""Sealing: one read of a package in its order, which verifies every file and yields the package's checksums."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from refsys.core.products import FileEntry
from refsys.distribution.packages.model import FilePart, Package
from refsys.distribution.packages.verifying import Verifier
from refsys.infra.storage import Storage

#: `advance` returns when it has read so many bytes.
PAUSE_AFTER: Final = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Seal:
    """What is final of a package: its file's name and length, and its checksums."""

    package_name: str
    size_bytes: int
    md5: bytes
    blake3: bytes


class Sealer(ABC):
    """Reads a product's files (blocking, to be driven from one thread at a time) and seals its package.

    `advance` until it returns False, then `seal`. `stop` may be called by any thread at any time, and does not block.
    """

    @abstractmethod
    def advance(self) -> bool:
        """Read on; returns whether there is more to read.

        Raises Permanent where a file is not what the file table says, MissingObject where it is not there.
        """

    @abstractmethod
    def seal(self) -> Seal:
        """What is final, when everything was read."""

    @abstractmethod
    def stop(self) -> None:
        """Read no further, and free what was needed for it."""


class Sums:
    """The checksums of a package, taken from its bytes in their order."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._md5 = _Md5()
        self._blake3 = blake3()

    def update(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self._md5.update(data)
        self._blake3.update(data)

    def seal(self, package_name: str) -> Seal:
        return Seal(package_name, self.size_bytes, self._md5.digest(), self._blake3.digest())

    def close(self) -> None:
        self._md5.close()


class Sealing(Sealer):
    """Seals a package that is computed of the files under `base`."""

    def __init__(
        self, storage: Storage, base: str, product_name: str, package: Package, files: Sequence[FileEntry]
    ) -> None:
        self._package = package
        self._verifier = Verifier(storage, base, product_name)
        self._files = {entry.path: entry for entry in files}
        self._empty = [entry for entry in files if not entry.size_bytes and not entry.is_folder]
        self._parts = package.parts(0, package.size_bytes)
        self._sums = Sums()

    def advance(self) -> bool:
        read_bytes = 0
        for part in self._parts:
            if isinstance(part, FilePart):
                self._read(self._files[part.path])
                read_bytes += part.length
                if read_bytes >= PAUSE_AFTER:
                    return True
            else:
                self._sums.update(part)
        for entry in self._empty:
            self._read(entry)
        return False

    def seal(self) -> Seal:
        return self._sums.seal(self._package.name)

    def stop(self) -> None:
        self._verifier.stop()
        self._sums.close()

    def _read(self, entry: FileEntry) -> None:
        for data in self._verifier.read(entry):
            self._sums.update(data)


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
