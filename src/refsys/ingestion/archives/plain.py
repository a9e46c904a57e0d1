"""Products that come without an archive: one file's bytes, or a folder on a local disk."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from refsys.core.errors import HostileInput, Transient
from refsys.core.products import FileEntry, check_name
from refsys.infra.storage import Batch
from refsys.ingestion.archives.layouts import check_path
from refsys.ingestion.archives.model import PIECE, Delivery, Limits, go_on, read_fully
from refsys.ingestion.archives.writing import Intake

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def store_file(
    stream: BinaryIO, *, path: str, base: str, batch: Batch, limits: Limits, check: Callable[[], None] = go_on
) -> FileEntry:
    """Write what `stream` still holds under `base/path` and return its row.

    Raises HostileInput where it has more than `limits.max_bytes` or `path` leaves its folder.
    """
    delivery = Delivery(path)
    with Intake(delivery, base=base, batch=batch, limits=limits, check=check) as intake:
        return intake.file(check_path(path.encode("utf-8", "surrogateescape"), delivery), _pieces(stream, path))


def store_folder(
    folder: Path, *, product: str, base: str, batch: Batch, limits: Limits, check: Callable[[], None] = go_on
) -> list[FileEntry]:
    """Write the files of a product's folder under `base/product` and return its file table, in the order of its paths.

    Links are not followed. Raises HostileInput for links, devices and pipes and beyond the limits, InvalidProduct for
    an empty folder, and Transient where something changes or vanishes meanwhile.
    """
    check_name(product)
    delivery = Delivery(str(folder))
    with Intake(delivery, base=base, batch=batch, limits=limits, check=check) as intake:
        with _reading(str(folder)):
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise _strange(delivery)
            descriptor = os.open(folder, _OPEN | os.O_DIRECTORY)
        _Walk(intake).folder(descriptor, product)
        return intake.table()


class _Walk:
    """Goes down by open descriptors, so that a folder that becomes a link meanwhile leads nowhere."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._count = 0

    def folder(self, descriptor: int, path: str) -> None:
        """Take what lies in the open folder, which is closed afterwards."""
        intake = self._intake
        try:
            with _reading(path):
                names = sorted(os.listdir(descriptor))
            for name in names:
                self._count += 1
                intake.check()
                intake.expect_members(self._count)
                self._take(descriptor, name, check_path(os.fsencode(f"{path}/{name}"), intake.delivery))
        finally:
            os.close(descriptor)

    def _take(self, parent: int, name: str, path: str) -> None:
        with _reading(path):
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise _strange(self._intake.delivery, path)
            descriptor = os.open(name, _OPEN | (os.O_DIRECTORY if stat.S_ISDIR(mode) else 0), dir_fd=parent)
        if stat.S_ISDIR(mode):
            self._intake.folder(path)
            self.folder(descriptor, path)
        else:
            self._file(descriptor, path)

    def _file(self, descriptor: int, path: str) -> None:
        with open(descriptor, "rb", buffering=0) as file:
            before = os.fstat(descriptor)
            self._intake.expect(before.st_size)
            self._intake.file(path, _pieces(file, path))
            after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Transient("changes while it is read", subject=path, advice="it is tried again")


def _strange(delivery: Delivery, path: str = "") -> HostileInput:
    return delivery.hostile("is a link, a device or a pipe; only files and folders are taken", path)


def _pieces(stream: BinaryIO, path: str) -> Iterator[bytes]:
    while True:
        with _reading(path):
            piece = read_fully(stream, PIECE)
        if not piece:
            return
        yield piece


@contextlib.contextmanager
def _reading(path: str) -> Iterator[None]:
    """What the source's disk says about reading, apart from what storage says about writing."""
    try:
        yield
    except OSError as error:
        raise Transient(
            f"cannot be read: {error.strerror or error}", subject=path, advice="it is tried again"
        ) from error
