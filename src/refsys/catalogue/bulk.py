"""Many finished products entered at once: how the catalogue of another system is taken over.

An entry becomes a published product in one go, without steps: rows are copied in binary into the tables themselves, one
round trip a table. Nothing is announced by events; readers of the change feed see the products like all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue.described import COLUMNS, columns_of
from refsys.catalogue.fingerprints import type_fingerprint
from refsys.catalogue.model import content_digest
from refsys.core import footprints
from refsys.core.errors import RefsysError
from refsys.core.grams import name_grams
from refsys.core.products import Description, FileEntry, check_name, product_id
from refsys.missions import COLLECTIONS, Recognised, storage_base

#: Most entries of one call: other publishers wait while they are written, and each holds a lock on its name.
MOST: Final = 1000

_HOLD: Final = "SELECT * FROM catalogue.hold_names($1)"
_BEGIN: Final = "SELECT * FROM catalogue.begin_publication($1, $2, $3, $4, $5)"
_TAKE_BACK: Final = "DELETE FROM catalogue.content WHERE id = ANY ($1::bigint[])"
_CONTENT: Final = (
    "id", "name", "base", "source", "on_change", "completeness", "available_at", "t0_raw", "origin_size",
    "origin_checksums", "size", "digest", "inputs",
)  # fmt: skip
_FILE: Final = ("content_id", "ordinal", "path", "is_folder", "size", "crc32", "md5", "blake3")
_PRODUCT: Final = (
    *COLUMNS, "id", "name", "state", "content_id", "final_base", "available_at", "t0_raw", "t0_inputs", "packaged_at",
    "published_at", "modified_at", "feed_position", "online", "packaging", "package_layout", "package_name",
    "package_size", "package_md5", "package_blake3", "lineage", "name_grams", "type_fingerprint",
)  # fmt: skip
_PART: Final = ("product_id", "part", "span", "sensing_start")
_INPUT: Final = ("product_id", "input_id")
_CHANGE: Final = ("position", "at", "kind", "product_id")

#: What a value that the tables do not take raises, here or at the server.
_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    KeyError,
    OverflowError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class StoredPackage:
    """Bytes that lie in our storage, and the package that they make (distribution.packages).

    `base` is the prefix under which the paths of `files` lie; nothing is moved or copied.
    """

    base: str
    files: tuple[FileEntry, ...]
    layout: int
    name: str
    size_bytes: int
    md5: bytes
    blake3: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A finished product. Without `package` it is known by its metadata only, and not online.

    `source` is where it came from; `mission` counts where the name does not tell it. The instants are in the source's
    own clock. `origin_size_bytes` and `origin_checksums` (by upper-case algorithm, hex) are what the source announced;
    of a product without package they are shown as its own. `inputs` are the products that it was made from, each once.
    `is_extracted`: the description was made of the product's files by its type's row (catalogue.extract); where it was
    not, products with bytes are described anew in the background. `origin` is what the lineage keeps of the source,
    for example the product's id there.
    """

    recognised: Recognised
    description: Description
    source: str
    package: StoredPackage | None = None
    mission: str = ""
    available_at: datetime | None = None
    t0_raw: datetime | None = None
    origin_size_bytes: int | None = None
    origin_checksums: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[UUID, ...] = ()
    is_extracted: bool = False
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.recognised.name

    @property
    def collection(self) -> str:
        return COLLECTIONS.get(self.recognised.mission or self.mission, "")


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of the entries, by name, in their order.

    `products` are published now, under these ids. `known` the catalogue had, as a product of any state or on the way to
    become one: nothing was changed. `held` a hold keeps from being published: they were not entered, and can be once it
    is lifted.
    """

    products: Mapping[str, UUID]
    known: tuple[str, ...]
    held: tuple[str, ...]


async def enter(connection: asyncpg.Connection, entries: Sequence[Entry]) -> Entered:
    """Enter at most MOST finished products in one transaction, all or none; those that are known are left alone.

    It takes the feed's lock: where the caller has a transaction, this is the last thing in it. Raises HostileInput
    where a name cannot be a product's, RefsysError naming the entry whose values the catalogue does not take; nothing
    is entered then.
    """
    if len(entries) > MOST:
        raise ValueError(f"{len(entries)} entries at once, more than {MOST}")
    by_name: dict[str, Entry] = {}
    for entry in entries:
        by_name.setdefault(check_name(entry.name), entry)
    try:
        async with connection.transaction():
            return await _enter(connection, by_name)
    except _REFUSED as error:
        raise await _blame(connection, list(by_name.values()), error) from error


async def _enter(connection: asyncpg.Connection, by_name: Mapping[str, Entry]) -> Entered:
    held = await connection.fetchrow(_HOLD, list(by_name))
    known = set(held["known"])
    new = [entry for name, entry in by_name.items() if name not in known]
    of_entry = dict(zip((entry.name for entry in new), held["content_ids"], strict=True))
    await _copy(connection, "content", _CONTENT, [_content(entry, of_entry[entry.name]) for entry in new])
    await _copy(connection, "file", _FILE, [row for entry in new for row in _files(entry, of_entry[entry.name])])
    # whatever can be made ready is, before the feed's lock is taken
    rows = [_product(entry, of_entry[entry.name]) for entry in new]
    parts = [list(_parts(entry)) for entry in new]
    begun = await connection.fetchrow(
        _BEGIN,
        [entry.name for entry in new],
        [entry.collection for entry in new],
        [entry.recognised.product_type for entry in new],
        [entry.recognised.platform for entry in new],
        [entry.description.sensing_start for entry in new],
    )
    kept = set(begun["held"])
    if kept:
        await connection.execute(_TAKE_BACK, [of_entry[name] for name in kept])
    taken = [index for index, entry in enumerate(new) if entry.name not in kept]
    for place, index in enumerate(taken):
        at = begun["instant"] + timedelta(microseconds=place)
        rows[index] |= {"published_at": at, "modified_at": at, "feed_position": begun["last_position"] + 1 + place}
    published = [rows[index] for index in taken]
    await _copy(connection, "product", _PRODUCT, [tuple(map(row.__getitem__, _PRODUCT)) for row in published])
    await _copy(connection, "footprint_part", _PART, [row for index in taken for row in parts[index]])
    made_from = [(rows[index]["id"], input_id) for index in taken for input_id in new[index].inputs]
    await _copy(connection, "input", _INPUT, made_from)
    changes = [(row["feed_position"], row["published_at"], "created", row["id"]) for row in published]
    await _copy(connection, "change", _CHANGE, changes)
    return Entered(
        products={row["name"]: row["id"] for row in published},
        known=tuple(name for name in by_name if name in known),
        held=tuple(name for name in by_name if name in kept),
    )


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], records: Sequence[tuple[Any, ...]]
) -> None:
    if records:
        await connection.copy_records_to_table(table, schema_name="catalogue", columns=columns, records=records)


def _content(entry: Entry, content_id: int) -> tuple[Any, ...]:
    files = entry.package.files if entry.package else ()
    return (
        content_id,
        entry.name,
        _base(entry),
        entry.source,
        "park",
        "strict",
        entry.available_at,
        entry.t0_raw,
        entry.origin_size_bytes,
        dict(entry.origin_checksums),
        sum(file.size_bytes for file in files),
        content_digest(files),
        list(entry.inputs),
    )


def _files(entry: Entry, content_id: int) -> Iterable[tuple[Any, ...]]:
    files = sorted(entry.package.files, key=lambda file: file.path) if entry.package else []
    for ordinal, file in enumerate(files, 1):
        yield content_id, ordinal, file.path, file.is_folder, file.size_bytes, file.crc32, file.md5, file.blake3


def _product(entry: Entry, content_id: int) -> dict[str, Any]:
    """The row, but for what publication gives."""
    kind, description, package = entry.recognised.type, entry.description, entry.package
    row = columns_of(entry.recognised, description, entry.mission) | {
        "id": product_id(entry.name),
        "name": entry.name,
        "state": "published",
        "content_id": content_id,
        "final_base": _base(entry),
        "available_at": entry.available_at,
        "t0_raw": entry.t0_raw,
        "t0_inputs": entry.t0_raw,
        "packaged_at": datetime.now(UTC) if package else None,
        "online": package is not None,
        "packaging": kind.packaging,
        "lineage": {
            "content": content_id,
            "source": entry.source,
            **({"origin": entry.origin} if entry.origin else {}),
        },
        "name_grams": name_grams(entry.name),
        "type_fingerprint": type_fingerprint(kind) if entry.is_extracted else "",
    }
    if package is not None:
        return row | {
            "package_layout": package.layout,
            "package_name": package.name,
            "package_size": package.size_bytes,
            "package_md5": package.md5,
            "package_blake3": package.blake3,
        }
    return row | {
        "package_layout": None,
        "package_name": f"{entry.name}{kind.package_suffix}",
        "package_size": entry.origin_size_bytes,
        "package_md5": _announced(entry, "MD5"),
        "package_blake3": _announced(entry, "BLAKE3"),
    }


def _base(entry: Entry) -> str:
    """Where the bytes lie; without bytes, where they would."""
    if entry.package is not None:
        return entry.package.base
    return storage_base(entry.recognised, entry.description.sensing_start)


def _announced(entry: Entry, algorithm: str) -> bytes | None:
    text = entry.origin_checksums.get(algorithm)
    return bytes.fromhex(text) if text else None


def _parts(entry: Entry) -> Iterable[tuple[UUID, asyncpg.Polygon, asyncpg.Range, datetime | None]]:
    description = entry.description
    if description.footprint is not None:
        identity = product_id(entry.name)
        start, stop = description.sensing_start, description.sensing_stop
        # as catalogue.seen has it
        ends = (start, stop) if start is None or stop is None else sorted((start, stop))
        for ring in footprints.parts(description.footprint):
            yield identity, asyncpg.Polygon(*ring), asyncpg.Range(*ends, upper_inc=True), start


async def _blame(connection: asyncpg.Connection, entries: list[Entry], error: Exception) -> RefsysError:
    """The error of the entry that was refused; found by halves, each tried and rolled back."""
    while len(entries) > 1:
        half = entries[: len(entries) // 2]
        refused = await _refusal(connection, half)
        entries, error = (entries[len(half) :], error) if refused is None else (half, refused)
    if entries:
        error = await _refusal(connection, entries) or error
    return RefsysError(
        f"the catalogue does not take its values: {error}",
        subject=entries[0].name if entries else "",
        advice="none of the products that were to be entered with it was; correct it or leave it out",
    )


async def _refusal(connection: asyncpg.Connection, entries: Iterable[Entry]) -> Exception | None:
    attempt = connection.transaction()
    await attempt.start()
    try:
        await _enter(connection, {entry.name: entry for entry in entries})
    except _REFUSED as error:
        return error
    finally:
        await attempt.rollback()
    return None
