"""Folders of local storage: made where an object needs them, removed when they are empty, while others do the same."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from refsys.core.errors import Permanent
from refsys.infra.storage.model import StorageFull

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: How often others may remove a folder between its making and its use before that is an error.
_TRIES: Final = 1000


def place(old: Path, new: Path, root: Path) -> list[Path]:
    """Rename a file or folder, with the folders above its new place; returns the folders that got a new entry.

    Raises FileNotFoundError where `old` is not there, and Permanent where a file stands in the place of a folder or the
    other way round (keys of which one is a folder of the other).
    """
    touched: dict[Path, None] = {}
    for _ in range(_TRIES):
        try:
            touched |= dict.fromkeys(make_folders(new.parent, root))
            old.replace(new)
            return [*touched, new.parent]
        except FileNotFoundError:  # somebody who deletes has pruned the folder
            if not old.exists():
                raise
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise Permanent(
                "cannot be an object and a folder at the same time",
                subject=new.relative_to(root).as_posix(),
                advice="delete what lies there, if nothing needs it",
            ) from None
    raise FileNotFoundError(errno.ENOENT, "is removed as often as it is made", str(new.parent))


def make_folders(folder: Path, root: Path) -> list[Path]:
    """Make the folder and what lacks above it, down from `root`; returns the folders that got a new entry."""
    lacking = []
    while folder != root and not folder.is_dir():
        lacking.append(folder)
        folder = folder.parent
    for each in reversed(lacking):
        each.mkdir(exist_ok=True)
    return [each.parent for each in lacking]


def prune(folder: Path, root: Path) -> None:
    """Remove empty folders upwards: an object store has none."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def fsync(path: Path) -> None:
    """Make a file's bytes, or a folder's entries, durable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # a folder that was pruned meanwhile has no entries
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


def files_in(folder: Path, *, leave_out: Path) -> Iterator[Path]:
    """Every file below; links are not followed. What vanishes meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False) and path != leave_out:
                    yield from files_in(path, leave_out=leave_out)
                elif entry.is_file(follow_symlinks=False):
                    yield path
    except (FileNotFoundError, NotADirectoryError):
        return


def newest_write(folder: Path) -> float:
    """The latest instant at which something in it was written, seconds since 1970; infinite where it went meanwhile."""
    try:
        latest = folder.stat().st_mtime
        for child in folder.rglob("*"):
            latest = max(latest, child.stat().st_mtime)
    except FileNotFoundError:
        return float("inf")
    return latest


@contextlib.contextmanager
def room(root: Path) -> Iterator[None]:
    """Raise StorageFull where the disk under `root` has no room left."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageFull(
            f"has no room left: {error.strerror}", subject=f"storage {root}", advice="make room; it is tried again"
        ) from error
