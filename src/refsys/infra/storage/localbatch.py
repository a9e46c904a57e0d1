"""New objects of local storage: aside first, then moved into place when all of them are on disk."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from refsys.core.errors import RefsysError
from refsys.infra.storage.folders import fsync, place, prune, room
from refsys.infra.storage.model import BytesWriter, check_key

_BUFFER: Final = 2**20


class LocalBatch:
    """What one batch writes. No file stays open, so that a product may have any number of them."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._numbers = itertools.count()
        folder.mkdir()

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BytesWriter]:
        with room(self._root), self._enter(key).open("wb", buffering=_BUFFER) as file:
            yield file

    def put(self, key: str, data: bytes) -> None:
        with room(self._root):
            self._enter(key).write_bytes(data)

    def drop(self, key: str) -> None:
        for each in [each for each in list(self._files) if each == key or each.startswith(f"{key}/")]:
            self._files.pop(each).unlink(missing_ok=True)

    def commit(self) -> None:
        """All bytes on disk, then the names."""
        for path in self._files.values():
            fsync(path)
        touched: dict[Path, None] = {}
        with contextlib.ExitStack() as undoing:
            for key, path in self._files.items():
                final = self._root / key
                undoing.callback(self._take_back, final, self._keep(path, final))
                touched |= dict.fromkeys(place(path, final, self._root))
            undoing.pop_all()
        for folder in touched:
            fsync(folder)

    def close(self) -> None:
        """Remove what was not moved."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _enter(self, key: str) -> Path:
        check_key(key)
        if key in self._files:
            raise RefsysError("is written twice in one batch", subject=key)
        path = self._files[key] = self._folder / str(next(self._numbers))
        return path

    def _keep(self, path: Path, final: Path) -> Path | None:
        """A second name for what will be replaced, if anything will."""
        kept = path.with_suffix(".kept")
        try:
            kept.hardlink_to(final)
        except OSError:  # nothing is there, it is a folder, or the file system has no links
            return None
        return kept

    def _take_back(self, final: Path, kept: Path | None) -> None:
        with contextlib.suppress(OSError):
            if kept is not None:
                kept.replace(final)
            else:
                final.unlink()
                prune(final.parent, self._root)
