"""Names, identities and files of products."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from refsys.core.errors import HostileInput

#: Suffixes of containers, not of products: `X.SAFE.zip` holds the product `X.SAFE`.
ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")

#: Namespace of product ids; frozen for ever, ids are public.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:refsys:product")

_SAFE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+@-]{0,253}[A-Za-z0-9_+@-])?")


def canonical_name(name: str) -> str:
    """The product's name: the offered name without archive suffix (case of the suffix does not matter)."""
    lowered = name.lower()
    for suffix in ARCHIVE_SUFFIXES:
        if lowered.endswith(suffix):
            return name[: -len(suffix)]
    return name


def check_name(name: str) -> str:
    """Return `name` if it can be a product's name, else raise HostileInput.

    Names become keys of objects and members of archives: one segment, printable ASCII, 255 bytes at most, no dot at the
    end (Windows drops it, so that two names would become one).
    """
    if not _SAFE_NAME.fullmatch(name):
        shown = ascii(name if len(name) <= 80 else name[:77] + "...")
        raise HostileInput(
            "is not a product name: letters, digits and . _ + @ - only, the first a letter or digit, the last no dot, "
            "at most 255",
            subject=shown,
            advice="ask the station to publish it under its ESA name, or ignore it by the inbox's `ignore` pattern",
        )
    return name


def made_beside(product_name: str) -> str:
    """The folder, below a product's place, of what was made of the product: no product's name begins so."""
    return f"_made/{product_name}"


def product_id(name: str, revision: int = 1) -> uuid.UUID:
    """Revision 1 is UUIDv5(name), revision n UUIDv5(name#n): the same in every installation."""
    return uuid.uuid5(NAMESPACE, name if revision == 1 else f"{name}#{revision}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file (or empty folder) of a product, as the file table holds it.

    `path` begins with the product's name, as in its package (`NAME/manifest.safe`; a product that is one
    file has the single path `NAME`). Sizes in bytes. Empty folders have size 0 and no checksums.
    """

    path: str
    size_bytes: int
    crc32: int = 0
    md5: bytes = b""
    blake3: bytes = b""
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """What extraction found out about a product. Instants UTC; `footprint` is GeoJSON by RFC 7946 or None.

    `problems` are sentences about what was not sound; the product is usable all the same.
    """

    sensing_start: datetime | None
    sensing_stop: datetime | None
    footprint: dict[str, Any] | None
    attributes: dict[str, str | int | float | bool | list[Any]]
    problems: tuple[str, ...] = ()
    footprint_quality: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A product whose bytes lie verified in storage and wait to be described.

    `base` is the prefix under which `files[].path` lie. `available_at` is the publication date in the source's
    own clock; `origin_*` is what the source announced (of the archive it delivered, not of our package). `inputs` are
    the products that it was made from, each once. What is `in_place` stays under `base` for ever: it belongs to
    somebody else, or was there before.
    """

    name: str
    base: str
    files: tuple[FileEntry, ...]
    source: str
    on_change: str = "park"
    completeness: str = "strict"
    available_at: datetime | None = None
    t0_raw: datetime | None = None
    origin_size_bytes: int | None = None
    origin_checksums: dict[str, str] = field(default_factory=dict)
    found_at: datetime | None = None
    mission: str | None = None
    inputs: tuple[uuid.UUID, ...] = ()
    in_place: bool = False
