"""Layout 2: a ZIP with deflated members, written once to storage (docs/reference/package-layout.md).

The bytes are those that were written: deflate gives others in another version of the library. All records are frozen.

    for each entry in the order of the file table:  local header, bytes (deflated, and a descriptor, where they shrink)
    for each entry:                                 central header
    where a number needs it:                        ZIP64 end record and its locator
    end record
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from threading import Lock, Thread
from typing import Final

from isal import isal_zlib

from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry, made_beside
from refsys.distribution.packages import sealing
from refsys.distribution.packages.model import Package, Part, clipped_file
from refsys.distribution.packages.sealing import Seal, Sealer, Sums
from refsys.distribution.packages.verifying import Verifier
from refsys.distribution.packages.zip_records import DEFLATED, LIMIT_32, Member, Records, descriptor, end, stored
from refsys.infra.storage import BytesWriter, Storage

LAYOUT: Final = 2

#: A quarter more speed than level 2 for a hundredth more bytes (on speckle of 16 bits).
_LEVEL: Final = 1
_RAW: Final = -15
#: From this size on a deflated file has ZIP64 fields: what does not shrink may grow by less than a thousandth.
_LARGE: Final = 4_290_000_000


class DeflatedZip(Package):
    """`NAME.zip`, as it was written beside the product."""

    media_type = "application/zip"
    entries = 1

    def __init__(self, product_name: str, size_bytes: int, md5: bytes) -> None:
        self.name = f"{product_name}.zip"
        self.size_bytes = size_bytes
        self.path = written_path(product_name, md5)

    def parts(self, start: int, stop: int) -> Iterator[Part]:
        part = clipped_file(self.path, self.size_bytes, 0, start, stop)
        if part is not None:
            yield part


def written_path(product_name: str, md5: bytes) -> str:
    """Where a package lies, below the product's place. Its MD5 is in it: other bytes never take the place of these."""
    return f"{made_beside(product_name)}/{md5.hex()}/{product_name}.zip"


class Deflating(Sealer):
    """Writes the package of the files under `base` to `target`, verifying them on the way; `stop` takes it back.

    What it has in memory is a few pieces, whatever the size of the files. The object is there, durable, when `advance`
    has returned False; never in part.
    """

    def __init__(
        self,
        storage: Storage,
        base: str,
        product_name: str,
        sensing_start: datetime | None,
        files: Sequence[FileEntry],
        *,
        target: str,
    ) -> None:
        self._storage = storage
        self._product_name = product_name
        self._records = Records(sensing_start)
        self._files = files
        self._target = target
        self._verifier = Verifier(storage, base, product_name)
        self._sums = Sums()
        self._writing = self._write()
        self._is_done = False
        self._lock = Lock()

    def advance(self) -> bool:
        read_bytes = 0
        with self._lock:
            for count in self._writing:
                read_bytes += count
                if read_bytes >= sealing.PAUSE_AFTER:
                    return True
            self._is_done = True
        return False

    def seal(self) -> Seal:
        return self._sums.seal(f"{self._product_name}.zip")

    def stop(self) -> None:
        self._verifier.stop()
        if self._is_done:
            self._sums.close()
        else:
            # to take back what was written needs the storage, and whoever is writing just now to notice
            Thread(target=self._close, name="take back").start()

    def _close(self) -> None:
        with self._lock:
            self._writing.close()
        self._sums.close()

    def _write(self) -> Generator[int, None, None]:
        """Yields, now and then, how many bytes were read."""
        members: list[tuple[FileEntry, Member, int]] = []
        with self._storage.batch() as batch, batch.create(self._target) as file:
            out = _Summed(file, self._sums)
            for entry in self._files:
                at = self._sums.size_bytes
                member = yield from self._add(entry, out)
                members.append((entry, member, at))
            directory_at = self._sums.size_bytes
            for entry, member, at in members:
                out.write(self._records.central(entry, member, at))
            out.write(end(len(members), directory_at, self._sums.size_bytes))

    def _add(self, entry: FileEntry, out: _Summed) -> Generator[int, None, Member]:
        """One entry: local header, bytes, descriptor."""
        if entry.is_folder:
            out.write(self._records.local(entry, stored(entry)))
            return stored(entry)
        pieces = self._verifier.read(entry)
        first = next(pieces, b"")
        is_all = len(first) == entry.size_bytes
        deflate = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        packed = deflate.compress(first) + deflate.flush(isal_zlib.Z_FINISH if is_all else isal_zlib.Z_SYNC_FLUSH)
        if len(packed) >= len(first):
            out.write(self._records.local(entry, stored(entry)) + first)
            for data in pieces:
                out.write(data)
                yield len(data)
            return stored(entry)
        is_64 = entry.size_bytes >= _LARGE
        out.write(self._records.local(entry, Member(DEFLATED, 0, is_64)))
        begin = self._sums.size_bytes
        out.write(packed)
        for data in pieces:
            out.write(deflate.compress(data))
            yield len(data)
        if not is_all:
            out.write(deflate.flush())
        member = Member(DEFLATED, self._sums.size_bytes - begin, is_64)
        if member.packed_bytes >= LIMIT_32 and not is_64:
            raise RefsysError(f"its file {entry.path} grew when it was deflated", subject=self._product_name)
        out.write(descriptor(entry, member))
        return member


class _Summed:
    """Writes bytes, and sums them."""

    def __init__(self, file: BytesWriter, sums: Sums) -> None:
        self._file = file
        self._sums = sums

    def write(self, data: bytes) -> None:
        self._sums.update(data)
        self._file.write(data)
