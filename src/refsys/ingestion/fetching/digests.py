"""Checksums of bytes that pass by: those of the file table, and those that were announced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from blake3 import blake3
from isal.isal_zlib import crc32

from refsys.core.products import FileEntry

_ALGORITHMS: Final[Mapping[str, Callable[[], Any]]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA224": hashlib.sha224,
    "SHA256": hashlib.sha256,
    "SHA384": hashlib.sha384,
    "SHA512": hashlib.sha512,
    "SHA3256": hashlib.sha3_256,
    "SHA3384": hashlib.sha3_384,
    "SHA3512": hashlib.sha3_512,
    "BLAKE3": blake3,
}
_TABLE: Final = ("MD5", "BLAKE3")


class Digests:
    """The announced algorithms that are known, by the names under which they were announced.

    With `for_table` also those of the file table.
    """

    def __init__(self, announced: Mapping[str, str], *, for_table: bool) -> None:
        self._announced = {name: value for name, value in announced.items() if _plain(name) in _ALGORITHMS}
        wanted = {_plain(name) for name in self._announced} | set(_TABLE if for_table else ())
        self._running = {name: _ALGORITHMS[name]() for name in wanted}
        self._for_table = for_table
        self._crc32 = 0
        self._size_bytes = 0

    def update(self, piece: memoryview | bytes) -> None:
        """Take the next bytes."""
        self._size_bytes += len(piece)
        for digest in self._running.values():
            digest.update(piece)
        if self._for_table:
            self._crc32 = crc32(piece, self._crc32)

    def entry(self, path: str) -> FileEntry:
        """What passed by, as a row of the file table."""
        md5, other = (self._running[name].digest() for name in _TABLE)
        return FileEntry(path, self._size_bytes, self._crc32, md5, other)

    def computed(self) -> dict[str, str]:
        """The announced algorithms' values of what passed by."""
        return {name: self._running[_plain(name)].hexdigest() for name in self._announced}

    def wrong(self) -> str:
        """Which announced checksum is not that of what passed by; "" = none."""
        for name, value in self.computed().items():
            if value != self._announced[name]:
                return f"has the {name} {value}, {self._announced[name]} was announced"
        return ""


def _plain(name: str) -> str:
    return name.upper().replace("-", "").replace("_", "")
