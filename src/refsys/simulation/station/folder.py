"""The folder that feeds a station: what lies in it is offered, what changes there is offered anew, what goes goes."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refsys.core.products import ARCHIVE_SUFFIXES
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import ArchiveKind

#: `S1A_…`, `S2__OPER_…`, `DCS_…`: folders and files with such names are products at any depth.
_LOOKS_LIKE_A_PRODUCT: Final = re.compile(r"(?:S[1-6][A-Z_]|DCS)_\w{2}.*", re.ASCII)
_PRODUCT_FOLDERS: Final = (".SAFE", ".SEN3", ".ISIP")
_LEFT_ALONE: Final = (".tmp", ".part", ".partial")
#: A scan that took longer than this is not repeated before ten times as long has passed.
_CHEAP_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Seen:
    """A product's path, what tells one content from another, and when anything in it last changed (s since 1970)."""

    path: Path
    signature: bytes
    changed_at: float


class FolderWatch:
    """Compares a folder with what was found before, whenever it is asked to.

    A product whose files changed less than `settle_s` ago is still being written and is left for the next time.
    """

    def __init__(
        self,
        folder: Path,
        kind: ArchiveKind,
        *,
        settle_s: float,
        offer: Callable[[str, Path], Offered],
        withdraw: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._kind: ArchiveKind = kind
        self._settle_s = settle_s
        self._offer = offer
        self._withdraw = withdraw
        self._known: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._not_before = 0.0

    def refresh(self) -> None:
        """Look again, if a look is cheap or the last one long ago. Blocks; raises OSError where the folder is gone."""
        with self._lock:
            started = time.monotonic()
            if started < self._not_before:
                return
            self._compare(self._scan())
            took = time.monotonic() - started
            if took > _CHEAP_S:
                self._not_before = time.monotonic() + 10 * took

    def _compare(self, found: dict[str, _Seen]) -> None:
        for name in self._known.keys() - found.keys():
            del self._known[name]
            self._withdraw(name)
        settled_before = time.time() - self._settle_s
        for name, seen in found.items():
            if self._known.get(name) != seen.signature and seen.changed_at <= settled_before:
                self._offer(name, seen.path)
                self._known[name] = seen.signature

    def _scan(self) -> dict[str, _Seen]:
        """By announced name; where two have one name, the first found."""
        found: dict[str, _Seen] = {}
        for path in products_below(self._folder):
            try:
                seen = _look(path)
            except FileNotFoundError:  # being moved away just now
                continue
            found.setdefault(announced_name(path, self._kind), seen)
        return found


def announced_name(path: Path, kind: ArchiveKind) -> str:
    """As a PRIP announces it: a folder by its archive's name, a file by its own."""
    return f"{path.name}.{kind}" if path.is_dir() else path.name


def products_below(folder: Path) -> Iterator[Path]:
    """Products in `folder` and in its folders, sorted. Products are not looked into; links are passed by."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_symlink() or entry.name.startswith(".") or entry.name.endswith(_LEFT_ALONE):
                continue
            if _is_product(entry):
                yield Path(entry.path)
            elif entry.is_dir():
                yield from products_below(Path(entry.path))


def _is_product(entry: os.DirEntry[str]) -> bool:
    if _LOOKS_LIKE_A_PRODUCT.fullmatch(entry.name):
        return True
    if entry.is_dir():
        return entry.name.endswith(_PRODUCT_FOLDERS)
    return entry.name.lower().endswith((*ARCHIVE_SUFFIXES, ".eof"))


def _look(path: Path) -> _Seen:
    digest, changed_at = hashlib.blake2b(digest_size=16), 0.0
    for name, status in _statuses(path):
        size_bytes = 0 if path.is_dir() and name.endswith("/") else status.st_size
        digest.update(f"{name}\0{size_bytes}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
        changed_at = max(changed_at, status.st_ctime)
    return _Seen(path, digest.digest(), changed_at)


def _statuses(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Of the product and of everything in it, in one order; folders end with a slash."""
    if not path.is_dir():
        yield path.name, path.stat()
        return
    yield f"{path}/", path.stat()
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_symlink():
                continue
            if entry.is_dir():
                yield from _statuses(Path(entry.path))
            else:
                yield entry.path, entry.stat()
