"""What is delivered: a folder as an archive whose bytes depend on its files alone, a file as it lies."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final, Literal

from blake3 import blake3

from refsys.core.products import canonical_name
from refsys.simulation.station.content import Content, Lying, Made, md5_of
from refsys.simulation.station.model import Offered

ArchiveKind = Literal["zip", "tar", "tgz"]

#: Names of algorithms as OData's Checksum writes them.
ALGORITHMS: Final[dict[str, Callable[[], Any]]] = {
    "MD5": hashlib.md5,
    "SHA-256": hashlib.sha256,
    "SHA3-256": hashlib.sha3_256,
    "BLAKE3": blake3,
}

_PIECE: Final = 2**20
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Package:
    """What `$value` answers with. `checksums`: algorithm → hexadecimal value."""

    content: Content
    size_bytes: int
    checksums: dict[str, str]
    checked_at: datetime


class Packer:
    """Makes packages into `cache`, each once, when it is first needed. Every method may be called from any thread.

    Without `cache` there is a temporary folder, from the first package to `close`.
    """

    def __init__(self, cache: Path | None, kind: ArchiveKind, *, deflate: bool, algorithms: Sequence[str]) -> None:
        self._given = cache
        self._cache: Path | None = None
        self._kind = kind
        self._deflate = deflate
        self._algorithms = tuple(algorithms)
        self._packages: dict[int, Package] = {}
        self._locks: dict[int, threading.Lock] = {}
        self._guard = threading.Lock()

    def known(self, offered: Offered) -> Package | None:
        """The package, if it is there already."""
        return self._packages.get(offered.serial)

    def package(self, offered: Offered) -> Package:
        """The package, made now if it is not there. Blocks; raises OSError where the source cannot be read."""
        with self._guard:
            lock = self._locks.setdefault(offered.serial, threading.Lock())
        with lock:
            if offered.serial not in self._packages:
                self._packages[offered.serial] = self._make(offered)
            return self._packages[offered.serial]

    def forget(self, offered: Offered) -> None:
        """Drop the package of a product that is offered no more. Downloads that run go on to their end."""
        with self._guard:
            self._locks.pop(offered.serial, None)
            package = self._packages.pop(offered.serial, None)
        if package is not None:
            _remove(package, self._cache)

    def close(self) -> None:
        """Remove every archive that was made; they are made again where they are asked for again."""
        with self._guard:
            packages = list(self._packages.values())
            self._packages.clear()
            cache, self._cache = self._cache, None
        for package in packages:
            _remove(package, cache)
        if cache is not None and self._given is None:
            shutil.rmtree(cache, ignore_errors=True)

    def _make(self, offered: Offered) -> Package:
        content = self._content(offered)
        if isinstance(content, Made) and self._algorithms == ("MD5",):
            return Package(content, content.size_bytes, {"MD5": md5_of(content)}, datetime.now(UTC))
        sums = [(name, ALGORITHMS[name]()) for name in self._algorithms]
        with content.open().file as file:
            while piece := file.read(_PIECE):
                for _name, digest in sums:
                    digest.update(piece)
            size_bytes = file.tell()
        return Package(content, size_bytes, {name: digest.hexdigest() for name, digest in sums}, datetime.now(UTC))

    def _content(self, offered: Offered) -> Content:
        source = offered.source
        if not isinstance(source, Path):
            return source
        if not source.is_dir():
            return Lying(source)
        path = self._folder() / f"{offered.serial}.{self._kind}"
        pack(source, path, self._kind, root=canonical_name(offered.name), deflate=self._deflate)
        return Lying(path)

    def _folder(self) -> Path:
        with self._guard:
            if self._cache is None:
                self._cache = self._given or Path(tempfile.mkdtemp(prefix="refsys-station-"))
                self._cache.mkdir(parents=True, exist_ok=True)
            return self._cache


def _remove(package: Package, cache: Path | None) -> None:
    """Delete the archive that was made; sources stay."""
    if isinstance(package.content, Lying) and package.content.path.parent == cache:
        package.content.path.unlink(missing_ok=True)


def pack(source: Path, target: Path, kind: ArchiveKind, *, root: str, deflate: bool = False) -> None:
    """Write the folder `source` as an archive of `root/…`: sorted, without owners and times, links left out.

    The archive gets the time of the newest member, so that a package made again has the ETag that it had.
    """
    members = list(_members(source, root))
    partial = target.with_name(target.name + ".part")
    if kind == "zip":
        _write_zip(partial, members, deflate)
    else:
        _write_tar(partial, members, gzipped=kind == "tgz")
    newest_ns = max(path.stat().st_mtime_ns for _name, path in members)
    os.utime(partial, ns=(newest_ns, newest_ns))
    partial.rename(target)


def _members(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Names of folders end with a slash."""
    yield f"{name}/", folder
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _members(path, f"{name}/{path.name}")
        elif path.is_file():
            yield f"{name}/{path.name}", path


def _write_zip(target: Path, members: Sequence[tuple[str, Path]], deflate: bool) -> None:
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", method, compresslevel=1) as archive:
        for name, path in members:
            member = zipfile.ZipInfo(name, _ZIP_EPOCH)
            member.create_system = 3  # Unix, so that the modes mean something
            if name.endswith("/"):
                member.external_attr = 0o40755 << 16 | 0x10
                archive.writestr(member, b"")
                continue
            member.external_attr = 0o100644 << 16
            member.compress_type = method
            member.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(member, "w") as into:
                shutil.copyfileobj(source, into, _PIECE)


def _write_tar(target: Path, members: Sequence[tuple[str, Path]], *, gzipped: bool) -> None:
    with target.open("wb") as file:
        if not gzipped:
            _fill_tar(file, members)
            return
        with gzip.GzipFile("", "wb", 1, file, mtime=0) as squeezed:
            _fill_tar(squeezed, members)


def _fill_tar(file: IO[bytes] | gzip.GzipFile, members: Sequence[tuple[str, Path]]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in members:
            member = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
                continue
            with path.open("rb") as source:
                member.size = os.fstat(source.fileno()).st_size
                archive.addfile(member, source)
