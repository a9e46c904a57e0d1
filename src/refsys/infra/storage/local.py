"""Objects as files in a folder: written aside, fsynced, moved into place; read through open descriptors.

<root>/.new/<random>/   what is being written; emptied of what a dead process left (`sweep_new`)
<root>/<key>            an object
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.storage.model import Batch, BytesWriter, MissingObject, ObjectInfo, Reader, Storage, StorageFull
from refsys.infra.storage.model import check_key as _checked

_NEW: Final = ".new"
_BUFFER: Final = 2**20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MISSING: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
#: Seconds after which what a process that died was writing is removed.
_ABANDONED_S: Final = 86_400.0


class LocalStorage(Storage):
    """A folder as object storage. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            (root / _NEW).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot be used as storage: {error.strerror}", subject=str(root), advice="check storage_url"
            ) from error

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        batch = _LocalBatch(self)
        with _room(self.root):
            try:
                yield batch
                batch.commit()
            finally:
                batch.close()

    def stat(self, key: str) -> ObjectInfo | None:
        try:
            found = self._path(key).stat()
        except _MISSING:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def open(self, key: str) -> Reader:
        try:
            return _LocalReader(os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC), key)
        except _MISSING:
            raise MissingObject(key) from None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder, _, _ = prefix.rpartition("/")
        start = self._path(folder) if folder else self.root
        for path in _files(start):
            key = path.relative_to(self.root).as_posix()
            if key.startswith(prefix) and not key.startswith(f"{_NEW}/"):
                with contextlib.suppress(FileNotFoundError):
                    found = path.stat()
                    yield ObjectInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def move(self, source: str, target: str, paths: Sequence[str]) -> None:
        """One rename for each first segment of the paths (a product is one folder, or one file)."""
        with _room(self.root):
            for name in dict.fromkeys(path.partition("/")[0] for path in paths):
                self._move(f"{source}/{name}", f"{target}/{name}")

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            path = self._path(key)
            with contextlib.suppress(*_MISSING):
                path.unlink()
            self._prune(path.parent)

    def delete_prefix(self, prefix: str) -> None:
        folder = self._path(prefix.rstrip("/"))
        aside = self._aside()
        with contextlib.suppress(*_MISSING):
            folder.rename(aside)
            shutil.rmtree(aside)
        self._prune(folder.parent)

    def free_bytes(self) -> tuple[int, int] | None:
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        self._sweep_new()
        folder = self._path(prefix.rstrip("/"))
        limit = before.timestamp()
        if not folder.is_dir():
            return []
        return [
            f"{prefix.rstrip('/')}/{child.name}"
            for child in folder.iterdir()
            if child.is_dir() and _newest(child) < limit
        ]

    def _path(self, key: str) -> Path:
        return self.root / _checked(key)

    def _aside(self) -> Path:
        return self.root / _NEW / uuid.uuid4().hex

    def _move(self, source: str, target: str) -> None:
        old, new = self._path(source), self._path(target)
        if not old.exists():
            if new.exists():
                return
            raise MissingObject(source)
        for _ in range(3):  # the folder may be pruned between its making and its use
            make_folders(new.parent, self.root)
            try:
                if new.exists():
                    aside = self._aside()
                    new.rename(aside)
                    remove(aside)
                old.rename(new)
                break
            except FileNotFoundError:
                if not old.exists():
                    break
        if not new.exists():
            raise MissingObject(source)
        fsync_folder(new.parent)
        fsync_folder(old.parent)

    def _prune(self, folder: Path) -> None:
        """Remove empty folders upwards: an object store has none."""
        while folder != self.root and self.root in folder.parents:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _sweep_new(self) -> None:
        limit = datetime.now(UTC).timestamp() - _ABANDONED_S
        for child in (self.root / _NEW).iterdir():
            if _newest(child) < limit:
                remove(child)


class _LocalBatch:
    """Files are written in place of nothing or of something older: aside first, then moved when all are on disk."""

    def __init__(self, storage: LocalStorage) -> None:
        self._storage = storage
        self._folder = storage._aside()
        self._files: dict[str, tuple[Path, BinaryIO]] = {}
        self._folder.mkdir()

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BytesWriter]:
        yield self._new(key, _BUFFER)

    def put(self, key: str, data: bytes) -> None:
        self._new(key, 0).write(data)

    def _new(self, key: str, buffering: int) -> BinaryIO:
        self._storage._path(key)
        if key in self._files:
            raise RefsysError("is written twice in one batch", subject=key)
        path = self._folder / str(len(self._files))
        file: BinaryIO = path.open("wb", buffering=buffering)
        self._files[key] = (path, file)
        return file

    def commit(self) -> None:
        """All bytes on disk, then the names."""
        for _, file in self._files.values():
            file.flush()
        for _, file in self._files.values():
            os.fsync(file.fileno())
        touched: dict[Path, None] = {}
        for key, (path, _) in self._files.items():
            final = self._storage._path(key)
            if final.parent not in touched:
                touched.update(dict.fromkeys(make_folders(final.parent, self._storage.root)))
                touched[final.parent] = None
            try:
                path.replace(final)
            except FileNotFoundError:  # pruned meanwhile by somebody who deletes
                make_folders(final.parent, self._storage.root)
                path.replace(final)
        for folder in touched:
            fsync_folder(folder)

    def close(self) -> None:
        for _, file in self._files.values():
            with contextlib.suppress(OSError):
                file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


class _LocalReader:
    def __init__(self, descriptor: int, key: str) -> None:
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise MissingObject(key)
        self.size_bytes = found.st_size

    def read_at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, offset)
        if len(data) == length or not data:
            return data
        pieces = [data]
        missing = length - len(data)
        while missing > 0:
            data = os.pread(self._descriptor, missing, offset + length - missing)
            if not data:
                break
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

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


def make_folders(folder: Path, root: Path) -> list[Path]:
    """Make the folder and what lacks above it, down from `root`; returns the folders that got a new entry."""
    lacking = []
    while folder != root and not folder.is_dir():
        lacking.append(folder)
        folder = folder.parent
    for each in reversed(lacking):
        each.mkdir(exist_ok=True)
    return [each.parent for each in lacking]


def fsync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # pruned meanwhile: it has no entries
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder with everything in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _room(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"has no room left: {error.strerror}", subject=f"storage {root}", advice="make room; it is tried again"
        ) from error


def _files(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return


def _newest(folder: Path) -> float:
    """The latest instant at which something in it was written, seconds since 1970; infinite where it went meanwhile."""
    try:
        latest = folder.stat().st_mtime
        for child in folder.rglob("*"):
            latest = max(latest, child.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")
    return latest
