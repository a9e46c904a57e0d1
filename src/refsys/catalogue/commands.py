"""What changes products. Other stages call these inside their own transaction; nobody else writes here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from refsys.catalogue.described import COLUMNS, columns_of, enter_parts
from refsys.catalogue.fingerprints import type_fingerprint
from refsys.catalogue.model import Content, Described, Product, Published, content_digest
from refsys.catalogue.store import fetch_current
from refsys.core import steps
from refsys.core.errors import InvalidProduct
from refsys.core.grams import name_grams
from refsys.core.products import Arrival, Description, FileEntry, check_name, product_id
from refsys.core.times import format_instant
from refsys.infra.work import emit, enqueue
from refsys.missions import Recognised, storage_base

#: The stage that describes contents.
DESCRIBE = "catalogue.describe"
#: The stage that deletes the bytes of contents that were replaced or came twice.
DISCARD = "catalogue.discard"

_ARRIVE = """
WITH arrival AS MATERIALIZED (
    SELECT a.* FROM ROWS FROM (jsonb_to_recordset($1) AS (
        name text, base text, source text, mission text, on_change text, completeness text, available_at timestamptz,
        t0_raw timestamptz, origin_size bigint, origin_checksums jsonb, size bigint, digest bytea,
        found_at timestamptz, inputs uuid[], in_place boolean, priority int)) WITH ORDINALITY
        AS a(name, base, source, mission, on_change, completeness, available_at, t0_raw, origin_size, origin_checksums,
             size, digest, found_at, inputs, in_place, priority, place)
), content AS (
    INSERT INTO catalogue.content (name, base, source, mission, on_change, completeness, available_at, t0_raw,
                                   origin_size, origin_checksums, size, digest, found_at, inputs, in_place)
    SELECT name, base, source, mission, on_change, completeness, available_at, t0_raw, origin_size, origin_checksums,
           size, digest, found_at, inputs, in_place
      FROM arrival ORDER BY place
    RETURNING id, name, base
), file AS (
    INSERT INTO catalogue.file (content_id, ordinal, path, is_folder, size, crc32, md5, blake3)
    SELECT c.id, f.ordinal, f.path, f.is_folder, f.size, f.crc32, f.md5, f.blake3
      FROM content c
      JOIN unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::boolean[], $7::bigint[], $8::bigint[],
                  $9::bytea[], $10::bytea[])
           AS f(name, base, ordinal, path, is_folder, size, crc32, md5, blake3) USING (name, base)
)
SELECT c.id, work.emit($11, c.name, jsonb_build_object('content_id', c.id), a.priority, 1)
  FROM content c JOIN arrival a USING (name, base) ORDER BY a.place
"""

#: What a description and its content say of a product; all of it is replaced with other bytes.
_SAID = (
    *COLUMNS,
    *("content_id", "final_base", "available_at", "t0_raw", "t0_inputs", "packaging", "lineage", "type_fingerprint"),
)
_PRODUCT = ("id", "name", "revision", "name_grams", *_SAID)
_INSERT_PRODUCT = " ".join(
    (
        "INSERT INTO catalogue.product (state,",
        ", ".join(_PRODUCT),
        ") VALUES ('described',",
        ", ".join(f"${number}" for number in range(1, len(_PRODUCT) + 1)),
        ") ON CONFLICT (id) DO UPDATE SET state = 'described',",
        ", ".join(f"{column} = excluded.{column}" for column in _SAID),
        ", described_at = clock_timestamp(), packaged_at = NULL, package_layout = NULL, package_name = NULL,",
        "package_size = NULL, package_md5 = NULL, package_blake3 = NULL",
    )
)

_SUCCEEDED = "UPDATE catalogue.product SET current = false WHERE id = $1 RETURNING name, revision, content_id"
# everything that is said of the product, but for its own id, number and packaging
_KEPT = ", ".join(name for name in _PRODUCT if name not in ("id", "revision", "packaging"))
_REVISE = " ".join(
    (
        "INSERT INTO catalogue.product (state, id, revision, packaging,",
        _KEPT,
        ") SELECT 'described', $2, $3, $4,",
        _KEPT,
        "FROM catalogue.product WHERE id = $1",
    )
)
_TAKE_ALONG = """
WITH parts AS (
    INSERT INTO catalogue.footprint_part (product_id, part, span, sensing_start)
    SELECT $2, part, span, sensing_start FROM catalogue.footprint_part WHERE product_id = $1
)
INSERT INTO catalogue.input (product_id, input_id) SELECT $2, input_id FROM catalogue.input WHERE product_id = $1
"""

_SET_INPUTS = """
WITH gone AS (DELETE FROM catalogue.input WHERE product_id = $1 AND input_id <> ALL ($2::uuid[]))
INSERT INTO catalogue.input (product_id, input_id) SELECT $1, input_id FROM unnest($2::uuid[]) AS input_id
ON CONFLICT DO NOTHING
"""

_SET_PACKAGED = """
WITH packaged AS (
    UPDATE catalogue.product
       SET state = 'packaged', packaged_at = clock_timestamp(), package_layout = $4, package_name = $5,
           package_size = $6, package_md5 = $7, package_blake3 = $8
     WHERE id = $1 AND content_id = $2 AND state IN ('described', 'packaged')
    RETURNING content_id
)
UPDATE catalogue.content c SET base = $3 FROM packaged WHERE c.id = packaged.content_id RETURNING c.id
"""

_DISCARD = """
UPDATE catalogue.content c SET discarded_at = clock_timestamp()
 WHERE c.id = $1 AND c.discarded_at IS NULL
   AND NOT EXISTS (SELECT FROM catalogue.product p WHERE p.content_id = c.id AND p.published_at IS NOT NULL)
RETURNING c.name
"""

# Contents whose step another one took over while it waited: nobody will describe them any more. Their ids may be the
# greater ones, where two arrive at the same time.
# Contents whose step an operator deleted: nobody will describe them.
_ORPHANS = """
SELECT c.id, c.name FROM catalogue.content c
 WHERE c.base = ANY ($1) AND c.discarded_at IS NULL
   AND NOT EXISTS (SELECT 1 FROM catalogue.product p WHERE p.content_id = c.id)
   AND NOT EXISTS (SELECT 1 FROM work.step s
                    WHERE s.key = c.name AND s.stage = $2 AND (s.payload->>'content_id')::bigint = c.id)
   FOR UPDATE SKIP LOCKED
"""


async def arrive(connection: asyncpg.Connection, arrival: Arrival, *, priority: int) -> int:
    """Record a product whose bytes lie verified under `arrival.base`; returns the content's id.

    Announces `product.arrived`. Raises HostileInput when the name cannot be a product's.
    """
    [content_id] = await arrive_many(connection, [(arrival, priority)])
    return content_id


async def arrive_many(connection: asyncpg.Connection, arrivals: Sequence[tuple[Arrival, int]]) -> list[int]:
    """The same for several products, each with its priority; no two have both name and base in common."""
    for arrival, _ in arrivals:
        check_name(arrival.name)
    if not arrivals:
        return []
    tables = [sorted(arrival.files, key=lambda entry: entry.path) for arrival, _ in arrivals]
    rows = [_arrival_row(arrival, files, priority) for (arrival, priority), files in zip(arrivals, tables, strict=True)]
    files = [
        (arrival.name, arrival.base, ordinal, entry)
        for (arrival, _), table in zip(arrivals, tables, strict=True)
        for ordinal, entry in enumerate(table, 1)
    ]
    entries = [entry for *_, entry in files]
    found = await connection.fetch(
        _ARRIVE,
        rows,
        [name for name, *_ in files],
        [base for _, base, *_ in files],
        [ordinal for _, _, ordinal, _ in files],
        [entry.path for entry in entries],
        [entry.is_folder for entry in entries],
        [entry.size_bytes for entry in entries],
        [entry.crc32 for entry in entries],
        [entry.md5 for entry in entries],
        [entry.blake3 for entry in entries],
        steps.PRODUCT_ARRIVED,
    )
    return [row["id"] for row in found]


async def describe(
    connection: asyncpg.Connection,
    content: Content,
    recognised: Recognised,
    description: Description,
    *,
    priority: int,
) -> Described:
    """Enter a described content: a new product, other bytes of an unpublished one, or a revision of a published one.

    The first bytes of a product that was known by its metadata only are a revision too. Announces `product.described`
    unless nothing changed. Raises InvalidProduct where a published product came with other bytes and its inbox says
    `on_change = "park"`.
    """
    held = await connection.fetchrow(
        "SELECT * FROM catalogue.hold_name($1, $2, $3)", content.name, content.id, DESCRIBE
    )
    for overtaken in held["overtaken"]:
        await _discard(connection, overtaken)
    current = await fetch_current(connection, content.name) if held["is_known"] else None
    if current is not None:
        if current.content_id == content.id:
            if current.state == "described":
                await _announce_described(connection, content.name, content.id, current.id, priority)
            return Described(current.id, "unchanged")
        if await _same_bytes(connection, current, content):
            await _discard(connection, content.id)
            return Described(current.id, "duplicate")
        if content.id < current.content_id and not current.is_metadata_only:
            await _discard(connection, content.id)
            return Described(current.id, "overtaken")
    revision, outcome = _revision_for(current, content)
    if outcome == "replaced" and current is not None:
        await _discard(connection, current.content_id, current.final_base)
    if outcome == "revision":
        await connection.execute("UPDATE catalogue.product SET current = false WHERE name = $1", content.name)
    identity = product_id(content.name, revision)
    base = _final_base(content, storage_base(recognised, description.sensing_start), revision, outcome)
    said = columns_of(recognised, description, content.mission) | {
        "id": identity,
        "name": content.name,
        "revision": revision,
        "name_grams": name_grams(content.name),
        "content_id": content.id,
        "final_base": base,
        "available_at": content.available_at,
        "t0_raw": content.t0_raw,
        "t0_inputs": content.t0_raw,
        "packaging": recognised.type.packaging,
        "lineage": _lineage(content),
        "type_fingerprint": type_fingerprint(recognised.type),
    }
    await connection.execute(_INSERT_PRODUCT, *(said[column] for column in _PRODUCT))
    if outcome == "replaced":
        await connection.execute("DELETE FROM catalogue.footprint_part WHERE product_id = $1", identity)
    if description.footprint is not None:
        await enter_parts(connection, [(identity, description.footprint)])
    if content.inputs or outcome == "replaced":
        await connection.execute(_SET_INPUTS, identity, content.inputs)
    await _announce_described(connection, content.name, content.id, identity, priority)
    return Described(identity, outcome)


async def revise(connection: asyncpg.Connection, published: UUID, packaging: str) -> UUID:
    """Make a revision of a published product with the same content, to be packaged in another way; returns its id.

    The caller holds the name. Announces `product.described`.
    """
    old = await connection.fetchrow(_SUCCEEDED, published)
    identity = product_id(old["name"], old["revision"] + 1)
    await connection.execute(_REVISE, published, identity, old["revision"] + 1, packaging)
    await connection.execute(_TAKE_ALONG, published, identity)
    await _announce_described(connection, old["name"], old["content_id"], identity, steps.PRIORITY_BACKLOG)
    return identity


async def set_packaged(
    connection: asyncpg.Connection,
    product_id: UUID,
    content_id: int,
    *,
    base: str,
    layout: int,
    package_name: str,
    size_bytes: int,
    md5: bytes,
    blake3: bytes,
) -> bool:
    """Make a package's layout, size and checksums final, and say where the files lie.

    Returns False where other content took its place or it is published already: the caller drops its work.
    """
    changed = await connection.fetchval(
        _SET_PACKAGED, product_id, content_id, base, layout, package_name, size_bytes, md5, blake3
    )
    return changed is not None


async def publish(connection: asyncpg.Connection, product_id: UUID, content_id: int) -> Published | None:
    """Make a packaged product visible; the last statement of the publishing transaction (it takes the feed's lock).

    Returns None where other content took its place or it is published already.
    """
    row = await connection.fetchrow("SELECT * FROM catalogue.publish($1, $2)", product_id, content_id)
    return Published(**row) if row else None


async def discard_orphans(connection: asyncpg.Connection, bases: Sequence[str]) -> list[str]:
    """Discard the contents in these places that no product has and no step will describe; returns their names."""
    orphans = await connection.fetch(_ORPHANS, bases, DESCRIBE)
    for orphan in orphans:
        await _discard(connection, orphan["id"])
    return [orphan["name"] for orphan in orphans]


def _arrival_row(arrival: Arrival, files: Sequence[FileEntry], priority: int) -> dict[str, Any]:
    return {
        "name": arrival.name,
        "base": arrival.base,
        "source": arrival.source,
        "mission": arrival.mission,
        "on_change": arrival.on_change,
        "completeness": arrival.completeness,
        "available_at": _text(arrival.available_at),
        "t0_raw": _text(arrival.t0_raw),
        "origin_size": arrival.origin_size_bytes,
        "origin_checksums": arrival.origin_checksums,
        "size": sum(entry.size_bytes for entry in files),
        "digest": f"\\x{content_digest(files).hex()}",
        "found_at": _text(arrival.found_at),
        "inputs": [str(each) for each in arrival.inputs],
        "in_place": arrival.in_place,
        "priority": steps.onwards(priority),
    }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _revision_for(current: Product | None, content: Content) -> tuple[int, str]:
    if current is None:
        return 1, "new"
    if current.published_at is None:
        return current.revision, "replaced"
    if content.on_change != "revise" and not current.is_metadata_only:
        raise InvalidProduct(
            f"is published, and {content.source} now offers other bytes under the same name",
            subject=content.name,
            advice="compare both; to publish the new bytes as a revision set the inbox's on_change to 'revise' and "
            "restart this step, else delete it",
        )
    return current.revision + 1, "revision"


def _final_base(content: Content, base: str, revision: int, outcome: str) -> str:
    if content.in_place:
        return content.base
    # No two contents ever share a final place: a stale worker cannot touch its successor's bytes.
    if outcome == "replaced":
        return f"{base}/r{revision}c{content.id}"
    return base if revision == 1 else f"{base}/r{revision}"


def _lineage(content: Content) -> dict[str, Any]:
    way = {"in_place": content.base} if content.in_place else {"attempt": content.base.rpartition("/")[2]}
    return {"content": content.id, "source": content.source, **way}


async def _same_bytes(connection: asyncpg.Connection, current: Product, content: Content) -> bool:
    digest = await connection.fetchval("SELECT digest FROM catalogue.content WHERE id = $1", current.content_id)
    return bool(digest == content.digest)


async def _discard(connection: asyncpg.Connection, content_id: int, final_base: str = "") -> None:
    """`final_base` is where packaging may have moved the bytes without having come to say so.

    What an earlier revision has in common with the one that gives it up stays.
    """
    name = await connection.fetchval(_DISCARD, content_id)
    if name is not None:
        payload = {"content_id": content_id, "final_base": final_base}
        await enqueue(connection, DISCARD, key=f"{name}#{content_id}", payload=payload, priority=steps.PRIORITY_BACKLOG)


async def _announce_described(
    connection: asyncpg.Connection, name: str, content_id: int, identity: UUID, priority: int
) -> None:
    await emit(
        connection,
        steps.PRODUCT_DESCRIBED,
        key=name,
        payload={"product_id": str(identity), "content_id": content_id},
        priority=steps.onwards(priority),
    )


__all__ = [
    "DESCRIBE",
    "DISCARD",
    "arrive",
    "arrive_many",
    "describe",
    "discard_orphans",
    "publish",
    "revise",
    "set_packaged",
]
