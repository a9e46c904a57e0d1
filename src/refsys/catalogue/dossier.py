"""Everything that is known about one name: its product, files, steps, lineage, and what operators did to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue import audit, lineage, rules, store
from refsys.catalogue.model import Content, Product
from refsys.core.products import FileEntry, canonical_name

_CONTENTS: Final = "SELECT id FROM catalogue.content WHERE name = $1 ORDER BY id DESC"
_STEPS: Final = """
SELECT step_id AS id, stage, created_at, started_at, finished_at, attempts, outcome AS state, NULL::jsonb AS error
  FROM work.history WHERE key = $1
UNION ALL
SELECT id, stage, created_at, started_at, NULL, attempts, state, error FROM work.step WHERE key = $1
 ORDER BY created_at, id
"""
_NEAR: Final = "SELECT name FROM catalogue.content WHERE strpos(lower(name), lower($1)) > 0 ORDER BY id DESC LIMIT 5"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the name's work. `state`: due, running, parked, or what it ended as (done, superseded, …)."""

    id: int
    stage: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    state: str
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Dossier:
    """`product` is the one that was asked for, None where nothing of the name is described yet.

    `revisions` and `contents` are all of the name, newest first; `content` and `files` are the product's own, of the
    newest content where there is no product. `rules` are those in force, `actions` the newest of operators.
    """

    name: str
    product: Product | None
    revisions: tuple[Product, ...]
    content: Content
    contents: tuple[Content, ...]
    files: tuple[FileEntry, ...]
    steps: tuple[Step, ...]
    inputs: tuple[lineage.Relative, ...] = ()
    made_with_it: tuple[lineage.Relative, ...] = ()
    rules: tuple[rules.Rule, ...] = ()
    actions: tuple[audit.Entry, ...] = ()

    def instants(self) -> dict[str, datetime | None]:
        """When each stage was done, in the order of the way; `available` is in the source's clock."""
        product, content = self.product, self.content
        instants = {
            "available": content.available_at,
            "found": content.found_at,
            "stored": content.stored_at,
            "described": product.described_at if product else None,
            "packaged": product.packaged_at if product else None,
            "published": product.published_at if product else None,
        }
        later = {
            "evicted": product.evicted_at if product else None,
            "deleted": product.deleted_at if product else None,
            "discarded": content.discarded_at,
        }
        return instants | {what: instant for what, instant in later.items() if instant is not None}


async def compile_dossier(connection: asyncpg.Connection, wanted: str) -> Dossier | None:
    """The dossier of a name (with or without archive suffix) or of a product's id; None where nothing is known."""
    product = await _product(connection, wanted)
    name = product.name if product is not None else canonical_name(wanted)
    ids = [row["id"] for row in await connection.fetch(_CONTENTS, name)]
    contents = [content for identity in ids if (content := await store.fetch_content(connection, identity))]
    if not contents:
        return None
    content = next((c for c in contents if product is not None and c.id == product.content_id), contents[0])
    return Dossier(
        name=name,
        product=product,
        revisions=tuple(await store.fetch_revisions(connection, name)),
        content=content,
        contents=tuple(contents),
        files=tuple(await store.files_of(connection, content.id)),
        steps=tuple(Step(**row) for row in await connection.fetch(_STEPS, name)),
        inputs=tuple(await lineage.inputs_of(connection, product.id)) if product else (),
        made_with_it=tuple(await lineage.blast_radius(connection, [name])),
        rules=tuple(await rules.applying(connection, name)),
        actions=tuple(await audit.entries(connection, name=name)),
    )


async def near_names(connection: asyncpg.Connection, wanted: str) -> list[str]:
    """Some names that contain what was asked for, newest first."""
    return [row["name"] for row in await connection.fetch(_NEAR, wanted)]


async def _product(connection: asyncpg.Connection, wanted: str) -> Product | None:
    try:
        return await store.fetch_product(connection, UUID(wanted))
    except ValueError:
        return await store.fetch_current(connection, canonical_name(wanted))
