"""A disk that is soon full: a file system in memory where we may mount one, else a folder with a budget."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from refsys.infra.storage import Storage
from refsys.infra.storage.local import LocalStorage


class Disk(Protocol):
    """`storage` lies on it; `grow` gives it room."""

    storage: Storage

    def grow(self, size_bytes: int) -> None: ...


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Disk]:
    """A disk of so many bytes."""
    folder.mkdir()
    if not _mount(folder, f"size={size_bytes}"):
        yield _Budget(folder, size_bytes)
        return
    try:
        yield _Mounted(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class _Mounted:
    """The kernel refuses what is too much."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.storage: Storage = LocalStorage(folder)

    def grow(self, size_bytes: int) -> None:
        assert _mount(self._folder, f"remount,size={size_bytes}")


class _Budget:
    """Nothing refuses a write: only that the disk is nearly full can be seen."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.storage: Storage = _Counted(folder, self)

    def grow(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes


class _Counted(LocalStorage):
    def __init__(self, folder: Path, disk: _Budget) -> None:
        super().__init__(folder)
        self._disk = disk

    def free_bytes(self) -> tuple[int, int]:
        used = sum(info.size_bytes for info in self.list(""))
        return max(0, self._disk.size_bytes - used), self._disk.size_bytes


def _mount(folder: Path, options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
