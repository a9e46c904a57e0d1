"""Archives that arrive: unpacked from the connection, or from a copy aside where their format needs one (blocking)."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from refsys.core.errors import HostileInput, InvalidProduct
from refsys.core.products import FileEntry
from refsys.infra.storage import Batch, StorageFull
from refsys.ingestion.archives import Limits, unpack, unpack_stream
from refsys.ingestion.fetching.digests import Digests
from refsys.ingestion.fetching.leash import Leash
from refsys.ingestion.model import Offer
from refsys.missions import Recognised

#: Up to this size a copy stays in memory; larger ones go to an unnamed file in the scratch folder. So much of an
#: archive's beginning is kept until it is known whether it can be unpacked while it comes.
_IN_MEMORY: Final = 4 * 2**20


class Arriving:
    """An archive's bytes as they come, read once from the beginning. `pieces` are valid until the next one.

    `head` is what was read, None where that is too much to be kept; `failed` where the pieces ended with an error.
    """

    def __init__(self, pieces: Generator[memoryview], size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        self.head: list[bytes] | None = []
        self.failed = False
        self._pieces = pieces
        self._kept = 0
        self._rest = memoryview(b"")

    def read(self, length: int) -> bytes:
        """At most `length` bytes; none only at the end."""
        if not self._rest:
            self._rest = self._next()
        data = bytes(self._rest[:length])
        self._rest = self._rest[length:]
        if self.head is not None:
            self.head.append(data)
            self._kept += len(data)
            if self._kept > _IN_MEMORY:
                self.head = None
        return data

    def drain(self) -> None:
        """Read the rest, for its checksum."""
        while self._next():
            pass

    def copy_to(self, file: BinaryIO) -> None:
        """Write all of it; the head must be there."""
        for data in self.head or ():
            file.write(data)
        file.write(self._rest)
        while piece := self._next():
            file.write(piece)

    def close(self) -> None:
        """Read no more."""
        self._pieces.close()

    def _next(self) -> memoryview:
        try:
            return next(self._pieces, memoryview(b""))
        except Exception:
            self.failed = True
            raise


@dataclass(frozen=True, slots=True)
class Archive:
    """An offer that is an archive, and where its members go."""

    offer: Offer
    recognised: Recognised
    base: str
    batch: Batch
    limits: Limits
    scratch: Path
    leash: Leash

    def unpack_stream(self, arriving: Arriving, digests: Digests) -> tuple[FileEntry, ...]:
        """The file table; of no use where the checksums are wrong. Raises NotStreamable where a copy is needed."""
        try:
            members = unpack_stream(
                arriving.read,
                archive=self.offer.name,
                product=self.recognised.name,
                base=self.base,
                batch=self.batch,
                limits=self.limits,
                check=self.leash.check,
                size_bytes=arriving.size_bytes,
            )
        except (InvalidProduct, HostileInput):
            if arriving.failed:
                raise
            # its size and checksum, known at its end, say whether it was damaged on the way
            arriving.drain()
            if not digests.wrong():
                raise
            return ()
        arriving.drain()
        return tuple(members)

    def unpack_copy(self, arriving: Arriving, digests: Digests) -> tuple[FileEntry, ...]:
        """The same from a copy, which is looked into only where its checksums are right."""
        try:
            if (arriving.size_bytes or _IN_MEMORY + 1) > _IN_MEMORY:
                self.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.scratch)) as file:
                copy = cast(BinaryIO, file)
                arriving.copy_to(copy)
                if digests.wrong():
                    return ()
                copy.seek(0)
                return self._unpack(copy)
        except OSError as error:
            raise StorageFull(
                f"cannot be kept in {self.scratch}: {error}", subject=self.offer.name, advice="make room there"
            ) from error

    def _unpack(self, copy: BinaryIO) -> tuple[FileEntry, ...]:
        members = unpack(
            copy,
            archive=self.offer.name,
            product=self.recognised.name,
            base=self.base,
            batch=self.batch,
            limits=self.limits,
            check=self.leash.check,
        )
        return tuple(members)
