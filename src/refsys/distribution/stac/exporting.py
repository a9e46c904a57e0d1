"""Every item that a filter finds, written to a file that is there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import asyncpg

from refsys.catalogue import search
from refsys.core.errors import ConfigurationError, RefsysError
from refsys.core.filters import Expression
from refsys.distribution.stac.reading import COLUMNS, JOIN, complete
from refsys.missions import TypeRegistry


class Form(StrEnum):
    PARQUET = "parquet"
    NDJSON = "ndjson"


class ItemWriter(Protocol):
    def write(self, items: Sequence[str]) -> None: ...

    def close(self) -> None: ...


class NdjsonWriter:
    """Writes items as JSON, one a line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def write(self, items: Sequence[str]) -> None:
        self._file.writelines(f"{item}\n" for item in items)

    def close(self) -> None:
        self._file.close()


_PAGE: Final = 500


async def export(
    connection: asyncpg.Connection,
    wanted: Expression,
    types: TypeRegistry,
    target: Path,
    *,
    form: Form,
    base_url: str,
    storage_url: str = "",
    limit: int | None = None,
    takes: Callable[[str], bool] | None = None,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the items of all published products that a filter finds, in the order of publication, as of one moment.

    `takes` decides by a product's name beyond the filter; `progress` is told the number so far. Returns how many were
    written; where that is none, there is no file. Raises ConfigurationError where `target` exists and `force` is not
    given, RefsysError where it cannot be written.
    """
    _check(target, force=force)
    written = 0
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _told(target):
            writer = _open(part, form, types)
        with closing(writer):
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                async for rows in search.walk(connection, wanted, columns=("p.name", *COLUMNS), joins=JOIN, page=_PAGE):
                    kept = [row for row in rows if takes is None or takes(row["name"])]
                    kept = kept if limit is None else kept[: limit - written]
                    items = await complete(connection, kept, types, base_url=base_url, storage_url=storage_url)
                    with _told(target):
                        writer.write(items)
                    written += len(items)
                    if progress is not None:
                        progress(written)
                    if written == limit:
                        break
            with _told(target):
                writer.close()
        if written:
            _check(target, force=force)
            with _told(target):
                _settle(part, target)
    finally:
        part.unlink(missing_ok=True)
    return written


def _open(path: Path, form: Form, types: TypeRegistry) -> ItemWriter:
    if form is Form.NDJSON:
        return NdjsonWriter(path)
    from refsys.distribution.stac.parquet import ParquetWriter

    return ParquetWriter(path, types)


def _check(target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise ConfigurationError("is a folder", subject=str(target), advice="name a file with --output")
    if target.exists() and not force:
        raise ConfigurationError("exists", subject=str(target), advice="name another file, or replace it with --force")


def _settle(part: Path, target: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RefsysError(
            f"cannot be written: {error.strerror or error}",
            subject=str(target),
            advice="look at the folder and its disk, or name another file with --output",
        ) from error
