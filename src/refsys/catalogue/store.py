"""The catalogue's SQL for reading; what changes products is in `commands`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from refsys.catalogue.model import CONTENT_COLUMNS, PRODUCT_COLUMNS, Content, Product
from refsys.core.products import FileEntry
from refsys.core.times import FOREVER

_SELECT_PRODUCT = " ".join(("SELECT", ", ".join(PRODUCT_COLUMNS), "FROM catalogue.product"))
_SELECT_CONTENT = " ".join(("SELECT", ", ".join(CONTENT_COLUMNS), "FROM catalogue.content"))

_FILES = """
SELECT array_agg(path ORDER BY ordinal) AS file_path, array_agg(size ORDER BY ordinal) AS file_size,
       array_agg(crc32 ORDER BY ordinal) AS file_crc32, array_agg(md5 ORDER BY ordinal) AS file_md5,
       array_agg(blake3 ORDER BY ordinal) AS file_blake3, array_agg(is_folder ORDER BY ordinal) AS file_is_folder
  FROM catalogue.file WHERE content_id = $1
"""
_SELECT_WHOLE = " ".join(
    (
        "SELECT",
        ", ".join(CONTENT_COLUMNS),
        ", files.* FROM catalogue.content, LATERAL (",
        _FILES,
        ") files WHERE id = $1",
    )
)
_FILES_LIKE = """
SELECT content_id, path, size, crc32, md5, blake3 FROM catalogue.file
 WHERE content_id = ANY($1) AND path ~ $2 AND NOT is_folder
 ORDER BY content_id, ordinal
"""
_FILE_AT = """
SELECT path, size, crc32, md5, blake3, is_folder FROM catalogue.file WHERE content_id = $1 AND path = $2
"""


def product_from(row: Mapping[str, Any]) -> Product:
    """Make a Product of a row with (at least) PRODUCT_COLUMNS."""
    values = {column: row[column] for column in PRODUCT_COLUMNS}
    values["problems"] = tuple(values["problems"])
    if values["sensing_stop"] is not None:
        values["sensing_stop"] = as_written(values["sensing_stop"])
    return Product(**values)


def as_written(instant: datetime) -> datetime:
    """An instant that was read: the driver writes FOREVER as `infinity`, and reads that without a time zone."""
    return FOREVER if instant.tzinfo is None else instant


async def fetch_product(connection: asyncpg.Connection, product_id: UUID) -> Product | None:
    """Any revision, by id."""
    row = await connection.fetchrow(f"{_SELECT_PRODUCT} WHERE id = $1", product_id)
    return product_from(row) if row else None


async def fetch_products(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[Product]:
    """Any revisions, by id."""
    return [product_from(row) for row in await connection.fetch(f"{_SELECT_PRODUCT} WHERE id = ANY($1)", ids)]


async def fetch_current(connection: asyncpg.Connection, name: str) -> Product | None:
    """The newest revision of a name."""
    row = await connection.fetchrow(f"{_SELECT_PRODUCT} WHERE name = $1 AND current", name)
    return product_from(row) if row else None


async def fetch_revisions(connection: asyncpg.Connection, name: str) -> list[Product]:
    """All revisions of a name, newest first."""
    rows = await connection.fetch(f"{_SELECT_PRODUCT} WHERE name = $1 ORDER BY revision DESC", name)
    return [product_from(row) for row in rows]


async def fetch_content(connection: asyncpg.Connection, content_id: int) -> Content | None:
    """One version of a product's bytes."""
    row = await connection.fetchrow(f"{_SELECT_CONTENT} WHERE id = $1", content_id)
    return Content(**row) if row else None


async def files_of(connection: asyncpg.Connection, content_id: int) -> list[FileEntry]:
    """The file table of a content, in its order."""
    return _files(await connection.fetchrow(_FILES, content_id))


async def fetch_whole(connection: asyncpg.Connection, content_id: int) -> tuple[Content, list[FileEntry]] | None:
    """One version of a product's bytes with its file table."""
    row = await connection.fetchrow(_SELECT_WHOLE, content_id)
    return (Content(**{column: row[column] for column in CONTENT_COLUMNS}), _files(row)) if row else None


async def files_like(connection: asyncpg.Connection, content_ids: list[int], paths: str) -> dict[int, list[FileEntry]]:
    """Of contents, by their ids, those files whose paths match a regular expression, in the order of the file table."""
    found: dict[int, list[FileEntry]] = {content_id: [] for content_id in content_ids}
    for row in await connection.fetch(_FILES_LIKE, content_ids, paths):
        found[row["content_id"]].append(
            FileEntry(row["path"], row["size"], row["crc32"], md5=row["md5"], blake3=row["blake3"])
        )
    return found


async def file_at(connection: asyncpg.Connection, content_id: int, path: str) -> FileEntry | None:
    """The file or empty folder at a path; None where there is none."""
    row = await connection.fetchrow(_FILE_AT, content_id, path)
    return FileEntry(*row) if row else None


def _files(row: asyncpg.Record) -> list[FileEntry]:
    """File entries from the columns of `_FILES`, which are NULL where there are none."""
    names = ("path", "size", "crc32", "md5", "blake3", "is_folder")
    columns = [row[f"file_{name}"] or () for name in names]
    return [FileEntry(*values) for values in zip(*columns, strict=True)]


async def used_bases(connection: asyncpg.Connection, bases: list[str]) -> set[str]:
    """Which of these storage prefixes are the place of a content that was not discarded."""
    rows = await connection.fetch(
        "SELECT DISTINCT base FROM catalogue.content WHERE base = ANY($1) AND discarded_at IS NULL", bases
    )
    return {row["base"] for row in rows}
