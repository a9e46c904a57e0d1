"""The catalogue's nouns: a content (one version of a product's bytes) and a product (what users see)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from blake3 import blake3

from refsys.core.products import FileEntry


@dataclass(frozen=True, slots=True)
class Content:
    """One version of a product's bytes: table catalogue.content."""

    id: int
    name: str
    base: str
    source: str
    mission: str | None
    on_change: str
    completeness: str
    available_at: datetime | None
    t0_raw: datetime | None
    origin_size: int | None
    origin_checksums: Mapping[str, str]
    size: int
    digest: bytes
    found_at: datetime | None
    stored_at: datetime
    discarded_at: datetime | None
    inputs: list[UUID]
    in_place: bool


@dataclass(frozen=True, slots=True)
class Product:
    """A product: table catalogue.product, column by column."""

    id: UUID
    name: str
    revision: int
    current: bool
    state: str
    content_id: int
    final_base: str
    type_id: str
    collection: str
    mission: str
    platform: str
    instrument: str
    product_type: str
    level: str
    timeliness: str
    sensing_start: datetime | None
    sensing_stop: datetime | None
    available_at: datetime | None
    t0_raw: datetime | None
    t0_inputs: datetime | None
    described_at: datetime
    packaged_at: datetime | None
    published_at: datetime | None
    modified_at: datetime | None
    evicted_at: datetime | None
    deleted_at: datetime | None
    deletion_cause: str | None
    feed_position: int | None
    online: bool
    visibility: str
    packaging: str
    package_layout: int | None
    package_name: str | None
    package_size: int | None
    package_md5: bytes | None
    package_blake3: bytes | None
    footprint: dict[str, Any] | None
    footprint_quality: str
    attributes: dict[str, Any]
    problems: tuple[str, ...]
    lineage: dict[str, Any]
    type_fingerprint: str
    edition: int

    @property
    def is_metadata_only(self) -> bool:
        """Whether it was published without bytes, as other catalogues are taken over (catalogue.bulk)."""
        return self.published_at is not None and self.package_layout is None


#: Columns of a product, in the order of its fields, for SELECT lists.
PRODUCT_COLUMNS = tuple(field.name for field in fields(Product))
CONTENT_COLUMNS = tuple(field.name for field in fields(Content))


@dataclass(frozen=True, slots=True)
class Published:
    """What publication assigned. `replaced` is the revision that this one supersedes."""

    published_at: datetime
    feed_position: int
    replaced: UUID | None


@dataclass(frozen=True, slots=True)
class Described:
    """What became of a described content.

    outcome: `new`, `replaced` (an unpublished product got other bytes), `revision` (a published one did),
    `unchanged` (this very content was described before), `duplicate` (another content has the same bytes) or
    `overtaken` (a content that arrived later was described before).
    """

    product_id: UUID
    outcome: str


def content_digest(files: Iterable[FileEntry]) -> bytes:
    """BLAKE3 over the file table in path order: equal digests mean equal files, whatever archive brought them."""
    digest = blake3()
    for entry in sorted(files, key=lambda entry: entry.path):
        digest.update(f"{entry.path}\0{entry.size_bytes}\0{int(entry.is_folder)}\0".encode())
        digest.update(entry.blake3)
    return digest.digest()
