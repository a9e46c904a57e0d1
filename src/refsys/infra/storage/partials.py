"""Large objects of local storage that are written over more than one attempt.

A partial is a file `<root>/.new/partial-<digest>`, held exclusively by a lock (flock) while it is written; an extended
attribute says which content its bytes are of. Where the system went down meanwhile nobody knows which of its bytes were
on disk, so the digest is one of the boot, too: after a boot a partial is not found any more, and swept like anything
that was left half-written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from refsys.infra.storage.folders import fsync, place, room
from refsys.infra.storage.model import RESERVED, check_key

_PIECE: Final = 2**20
_TAG: Final = "user.refsys.tag"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
#: How often a file may be committed or removed by another one between our finding and our locking it.
_TRIES: Final = 100


class LocalPartial:
    """An open partial of local storage. One thread at a time uses it."""

    def __init__(self, root: Path, name: str) -> None:
        self._root = root
        self._path, self._descriptor = _taken(root / RESERVED, name)
        try:
            self.tag = os.getxattr(self._descriptor, _TAG).decode()
            self.size_bytes = os.fstat(self._descriptor).st_size
        except OSError:  # it is new, or the file system cannot keep what its bytes are of
            self.restart()

    def pieces(self) -> Iterator[memoryview]:
        """What is there, in its order; each piece is valid until the next."""
        buffer, position = bytearray(_PIECE), 0
        while position < self.size_bytes:
            count = os.preadv(self._descriptor, [buffer], position)
            position += count
            yield memoryview(buffer)[:count]

    def label(self, tag: str) -> None:
        """Say which content the bytes are of; where the file system cannot keep that, nobody goes on with them."""
        self.tag = tag
        with contextlib.suppress(OSError):
            os.setxattr(self._descriptor, _TAG, tag.encode())

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        with room(self._root):
            written = 0
            while written < len(data):
                rest = memoryview(data)[written:]
                written += os.pwrite(self._descriptor, rest, self.size_bytes + written)
        self.size_bytes += written

    def restart(self) -> None:
        """Forget what is there."""
        os.ftruncate(self._descriptor, 0)
        self.size_bytes, self.tag = 0, ""
        with contextlib.suppress(OSError):
            os.removexattr(self._descriptor, _TAG)

    def commit(self, key: str) -> None:
        """Make it the object `key`, durably."""
        with room(self._root):
            with contextlib.suppress(OSError):
                os.removexattr(self._descriptor, _TAG)
            os.fsync(self._descriptor)
            for folder in place(self._path, self._root / check_key(key), self._root):
                fsync(folder)

    def discard(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave it to the next one who asks for it."""
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1


def _taken(folder: Path, name: str) -> tuple[Path, int]:
    """The partial of this name, locked; a new one without a name where somebody else holds it."""
    boot = _BOOT.read_text() if _BOOT.exists() else uuid.uuid4().hex
    path = folder / f"partial-{hashlib.sha256(f'{boot}/{name}'.encode()).hexdigest()[:40]}"
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return path, descriptor
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            break
        os.close(descriptor)
    path = folder / f"partial-{uuid.uuid4().hex}"
    return path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
