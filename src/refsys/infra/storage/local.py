"""Objects as files in a folder: written aside, fsynced, moved into place; read through open descriptors.

<root>/.new/<random>/   what is being written; emptied of what a dead process left (`sweep_unfinished`)
<root>/.new/partial-…   what is written over more than one attempt (`partials.py`); the same
<root>/<key>            an object
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from refsys.core.errors import ConfigurationError
from refsys.infra.storage.folders import files_in, fsync, newest_write, place, prune, remove, room
from refsys.infra.storage.localbatch import LocalBatch
from refsys.infra.storage.model import (
    RESERVED,
    MissingObject,
    ObjectInfo,
    OpenBatch,
    Partial,
    Reader,
    Storage,
    check_folder,
    check_key,
    folder_of,
)
from refsys.infra.storage.partials import LocalPartial

_MISSING: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStorage(Storage):
    """A folder as object storage. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / RESERVED).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot be used as storage: {error.strerror}", subject=str(root), advice="check storage_url"
            ) from error

    @contextlib.contextmanager
    def batch(self) -> Iterator[OpenBatch]:
        with room(self.root):
            batch = LocalBatch(self.root, self._aside())
            try:
                yield batch
                batch.commit()
            finally:
                batch.close()

    def partial(self, name: str) -> Partial:
        with room(self.root):
            return LocalPartial(self.root, name)

    def stat(self, key: str) -> ObjectInfo | None:
        try:
            found = self._path(key).stat()
        except _MISSING:
            return None
        return _info(key, found) if stat.S_ISREG(found.st_mode) else None

    def open(self, key: str) -> Reader:
        try:
            return _LocalReader(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC), key)
        except _MISSING:
            raise MissingObject(key) from None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = folder_of(prefix)
        for path in files_in(self.root / folder, leave_out=self.root / RESERVED):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix):
                with contextlib.suppress(FileNotFoundError):
                    yield _info(key, path.stat())

    def move(self, source: str, target: str, paths: Sequence[str]) -> None:
        """One rename for each first segment of the paths (a product is one folder, or one file) where it is new."""
        for path in paths:
            if not self._path(f"{source}/{path}").is_file() and not self._path(f"{target}/{path}").is_file():
                raise MissingObject(f"{source}/{path}")
        with room(self.root):
            for name in dict.fromkeys(path.partition("/")[0] for path in paths):
                self._move(source, target, name, [path for path in paths if path.partition("/")[0] == name])

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            path = self._path(key)
            with contextlib.suppress(*_MISSING):
                path.unlink()
            prune(path.parent, self.root)

    def delete_prefix(self, prefix: str) -> None:
        folder = self.root / check_folder(prefix)
        if folder.is_dir():
            aside = self._aside()
            with contextlib.suppress(FileNotFoundError):
                folder.rename(aside)
                remove(aside)
        prune(folder.parent, self.root)

    def free_bytes(self) -> tuple[int, int] | None:
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        folder = self.root / check_folder(prefix)
        limit = before.timestamp()
        try:
            children = [child for child in folder.iterdir() if child.is_dir()]
        except _MISSING:
            return []
        return [child.relative_to(self.root).as_posix() for child in children if newest_write(child) < limit]

    def sweep_unfinished(self, prefix: str, before: datetime) -> int:
        check_folder(prefix)
        limit = before.timestamp()
        left = [child for child in (self.root / RESERVED).iterdir() if newest_write(child) < limit]
        for child in left:
            remove(child)
        return len(left)

    def link(self, key: str, seconds: float) -> None:
        """A folder has no links."""

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _aside(self) -> Path:
        return self.root / RESERVED / uuid.uuid4().hex

    def _move(self, source: str, target: str, name: str, paths: Sequence[str]) -> None:
        old, new = self.root / source, self.root / target
        # where the folder is there already, its other files stay
        moved = paths if (new / name).is_dir() else [name]
        touched = {old: None}
        for path in moved:
            with contextlib.suppress(FileNotFoundError):  # it was moved before, or is just now
                touched |= dict.fromkeys(place(old / path, new / path, self.root))
        for path in paths:
            if not (new / path).is_file():
                raise MissingObject(f"{source}/{path}")
        for folder in touched:
            fsync(folder)


class _LocalReader:
    def __init__(self, descriptor: int, key: str) -> None:
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise MissingObject(key)
        self.size_bytes = found.st_size

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        data = os.pread(self._descriptor, length, offset)
        while len(data) < length:  # one call reads 2 GiB at most
            more = os.pread(self._descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def read_now(self, offset: int, length: int) -> bytearray | None:
        data = bytearray(length)
        try:
            count = os.preadv(self._descriptor, [data], offset, os.RWF_NOWAIT)
        except OSError:  # not in memory, or the file system cannot tell: `read_at` will
            return None
        del data[count:]
        return data or None

    def close(self) -> None:
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
