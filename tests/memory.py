"""Products in memory, to be described with something wrong in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from refsys.catalogue.extract import ManifestMember, examine_files
from refsys.core.errors import RefsysError
from refsys.core.products import Description, FileEntry
from refsys.missions import load_types
from refsys.simulation.samples import make_many

TYPES = load_types()


@dataclass(frozen=True)
class Case:
    """A product in memory: its files by their path within it (a product that is one file: by the empty path)."""

    name: str
    contents: dict[str, bytes]
    folders: tuple[str, ...] = ()

    def files(self) -> list[FileEntry]:
        return [
            *(FileEntry(f"{self.name}/{path}", 0, is_folder=True) for path in self.folders),
            *(
                FileEntry(self.path(path), len(content), md5=hashlib.md5(content).digest())
                for path, content in self.contents.items()
            ),
        ]

    def path(self, path: str) -> str:
        return f"{self.name}/{path}" if path else self.name

    def examine(self) -> tuple[Description, list[ManifestMember]]:
        read = {self.path(path): content for path, content in self.contents.items()}
        return examine_files(TYPES.recognise(self.name), lambda path, most=None: read[path][:most], self.files())

    def describe(self) -> Description:
        return self.examine()[0]

    def edited(self, *pairs: tuple[str, str], path: str = "manifest.safe") -> Case:
        """With texts of one file replaced by others."""
        text = self.contents[path].decode()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        return self.holding(path, text.encode())

    def holding(self, path: str, content: bytes) -> Case:
        return replace(self, contents={**self.contents, path: content})

    def without(self, path: str) -> Case:
        return replace(self, contents={name: content for name, content in self.contents.items() if name != path})


def sentinel1(folder: Path) -> Case:
    """A complete Sentinel-1 GRD product without a problem, its eight files and manifest small."""
    [product] = make_many(folder, 1, size_bytes=50_000)
    files = (file for file in product.rglob("*") if file.is_file())
    return Case(product.name, {file.relative_to(product).as_posix(): file.read_bytes() for file in files})


def refused(case: Case, kind: type[RefsysError]) -> str:
    """The error that describing a product ends with, as an operator reads it."""
    with pytest.raises(kind) as caught:
        case.examine()
    assert case.name in str(caught.value), "names the product"
    assert caught.value.advice, "says what to do"
    return str(caught.value)
