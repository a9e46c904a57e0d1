"""Did a product come back as it was: the downloaded package against the source, byte for byte."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Final

from refsys.core.products import canonical_name

_PIECE: Final = 2**20


def differences(source: Path, package: Path) -> list[str]:
    """What differs between a product on disk (folder, file or archive) and its downloaded package; empty = nothing.

    `package` is a ZIP of `NAME/…`, or the file itself for a product that is one file. Empty folders count.
    """
    if canonical_name(source.name) != source.name and source.is_file():
        with TemporaryDirectory(prefix="refsys-") as folder:
            _unpack(source, Path(folder))
            return differences(Path(folder) / canonical_name(source.name), package)
    if not zipfile.is_zipfile(package) or (source.is_file() and zipfile.is_zipfile(source)):
        with source.open("rb") as one, package.open("rb") as other:
            return [] if _equal(one, other) else [f"{source.name}: has other bytes"]
    with zipfile.ZipFile(package) as archive:
        return list(_compare(source, archive))


def _compare(source: Path, archive: zipfile.ZipFile) -> Iterator[str]:
    wanted = dict(_tree(source))
    members = {member.filename: member for member in archive.infolist()}
    # folder entries matter where nothing else says that the folder is there
    inhabited = {f"{parent}/" for name in members for parent in PurePosixPath(name.rstrip("/")).parents}
    owed = members.keys() - inhabited
    yield from (f"{name}: is missing" for name in sorted(wanted.keys() - owed))
    yield from (f"{name}: was not there before" for name in sorted(owed - wanted.keys()))
    for name in sorted(wanted.keys() & owed):
        path = wanted[name]
        if path.is_file():
            with path.open("rb") as one, archive.open(members[name]) as other:
                if not _equal(one, other):
                    yield f"{name}: has other bytes"


def _tree(source: Path) -> Iterator[tuple[str, Path]]:
    """Names as in the package: files, and empty folders with a slash at the end."""
    if source.is_file():
        yield source.name, source
        return
    for path in (source, *source.rglob("*")):
        name = path.relative_to(source.parent).as_posix()
        if path.is_file():
            yield name, path
        elif not any(path.iterdir()):
            yield name + "/", path


def _equal(one: IO[bytes], other: IO[bytes]) -> bool:
    while True:
        piece = one.read(_PIECE)
        if piece != other.read(_PIECE):
            return False
        if not piece:
            return True


def _unpack(archive: Path, folder: Path) -> None:
    # "tar" reads every kind of tar, compressed or not
    shutil.unpack_archive(archive, folder, "zip" if zipfile.is_zipfile(archive) else "tar", filter="data")
