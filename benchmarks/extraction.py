"""Extraction against lxml: what describing a product costs above parsing its metadata."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lxml import etree
from rich.table import Table

from refsys.catalogue.documents import Read
from refsys.catalogue.extract import examine_files
from refsys.core.errors import RefsysError, UnknownProduct
from refsys.core.products import FileEntry
from refsys.missions import Recognised, TypeRegistry
from refsys.simulation.samples import make_many

#: Share of lxml's speed that is wanted.
GOAL: Final = 0.4
#: Folders of the shared data that hold products (its README).
_FOLDERS: Final = ("sentinel-1", "sentinel-2", "sentinel-3", "auxiliary", "masks/s1-l1", "masks/s1-l2", "sessions")
_SHARED: Final = Path(__file__).parents[2] / "shared"
_LEAST_S: Final = 0.02
_MANIFESTS: Final = "all with a manifest"
_OTHERS: Final = "auxiliaries of one file"


@dataclass(frozen=True, slots=True)
class Metadata:
    """A product's file table, and the bytes of the files that extraction reads."""

    recognised: Recognised
    files: tuple[FileEntry, ...]
    read: dict[str, bytes]

    def examine(self) -> None:
        examine_files(self.recognised, lambda name, most_bytes=None: self.read[name][:most_bytes], self.files)

    def parse(self) -> None:
        for data in self.read.values():
            etree.fromstring(data)


def measure(folder: Path, types: TypeRegistry, rounds: int) -> Table:
    """Both sides for every product in turn, in interleaved rounds: CPU time of one thread, medians."""
    products, origin = _products(folder, types)
    times: dict[str, list[tuple[float, float]]] = {}
    for product in products:
        pairs = [(_seconds(product.parse), _seconds(product.examine)) for _ in range(rounds)]
        parse, examine = (statistics.median(side) for side in zip(*pairs, strict=True))
        groups = [product.recognised.mission, _MANIFESTS] if product.recognised.type.manifest else [_OTHERS]
        for group in groups:
            times.setdefault(group, []).append((parse, examine))
    table = Table(title=f"extraction of {len(products)} products ({origin}), medians of {rounds} rounds, one thread")
    for column in ("", "products", "lxml products/s", "refsys products/s", "share of lxml", "share for the median"):
        table.add_column(column, justify="right")
    for group, pairs in sorted(times.items()):
        parse, examine = (sum(side) for side in zip(*pairs, strict=True))
        shares = statistics.median(one / other for one, other in pairs)
        goal = f" (goal at least {GOAL:g})" if group == _MANIFESTS else ""
        rates = (f"{len(pairs) / parse:.0f}", f"{len(pairs) / examine:.0f}")
        table.add_row(group, str(len(pairs)), *rates, f"{parse / examine:.2f}{goal}", f"{shares:.2f}")
    return table


def _products(folder: Path, types: TypeRegistry) -> tuple[list[Metadata], str]:
    data = Path(os.environ.get("REFSYS_SHARED", _SHARED)) / "data"
    if data.is_dir():
        paths = [path for name in _FOLDERS if (data / name).is_dir() for path in sorted((data / name).iterdir())]
        return list(_loaded(paths, types)), "real metadata"
    return list(_loaded(make_many(folder / "extraction", 30, size_bytes=200_000), types)), "generated metadata"


def _loaded(paths: list[Path], types: TypeRegistry) -> Iterator[Metadata]:
    for path in paths:
        try:
            recognised = types.recognise(path.name)
        except UnknownProduct:
            continue
        if any(document.embedded for document in recognised.type.documents):
            continue  # lxml alone cannot read a document inside another format
        members = [path] if path.is_file() else sorted(path.rglob("*"))
        named = {member.relative_to(path.parent).as_posix(): member for member in members}
        files = tuple(
            FileEntry(name, 0 if member.is_dir() else member.stat().st_size, is_folder=member.is_dir())
            for name, member in named.items()
        )
        read: dict[str, bytes] = {}

        try:
            examine_files(recognised, _remember(named, read), files)
        except RefsysError:
            continue
        # types that are described by their name alone have nothing to parse
        if read:
            yield Metadata(recognised, files, read)


def _remember(named: dict[str, Path], read: dict[str, bytes]) -> Read:
    def reading(name: str, most_bytes: int | None = None, /) -> bytes:
        return read.setdefault(name, named[name].read_bytes())[:most_bytes]

    return reading


def _seconds(call: Callable[[], None]) -> float:
    """Of one call, over as many as take a while."""
    count, started = 0, time.thread_time()
    while True:
        call()
        count += 1
        took = time.thread_time() - started
        if took > _LEAST_S:
            return took / count
