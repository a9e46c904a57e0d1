"""Reading a product's files in their final place, and holding them against the file table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from blake3 import blake3
from isal import isal_zlib

from refsys.core.errors import Permanent, RefsysError
from refsys.core.products import FileEntry
from refsys.infra.storage import Reader, Storage, object_key

#: Bytes that are read at once.
PIECE: Final = 4 * 2**20


class Verifier:
    """Reads files under `base`, once each (blocking). `stop`: the next piece is not read any more."""

    def __init__(self, storage: Storage, base: str, product_name: str) -> None:
        self._storage = storage
        self._base = base
        self._product_name = product_name
        self.stopped = False

    def read(self, entry: FileEntry) -> Iterator[bytes]:
        """The bytes of a file, in pieces; whoever takes all of them knows that they are those of the file table.

        Raises Permanent where they are not, MissingObject where the file is not there.
        """
        reader = self._storage.open(object_key(self._base, entry.path))
        try:
            if reader.size_bytes != entry.size_bytes:
                raise self._differs(entry, f"{reader.size_bytes} bytes", f"{entry.size_bytes}")
            crc, digest = 0, blake3()
            for data in self._pieces(reader, entry):
                crc = isal_zlib.crc32(data, crc)
                digest.update(data)
                yield data
        finally:
            reader.close()
        if digest.digest() != entry.blake3:
            raise self._differs(entry, f"the BLAKE3 {digest.hexdigest()}", entry.blake3.hex() or "none")
        if crc != entry.crc32:
            raise self._differs(entry, f"the CRC-32 {crc:08x}", f"{entry.crc32:08x}")

    def stop(self) -> None:
        self.stopped = True

    def _pieces(self, reader: Reader, entry: FileEntry) -> Iterator[bytes]:
        offset = 0
        while offset < entry.size_bytes:
            if self.stopped:
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
