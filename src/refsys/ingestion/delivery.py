"""A delivered file becomes a product in a batch: an archive is unpacked, a single file is taken as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from refsys.core.products import FileEntry, canonical_name
from refsys.infra.storage import Batch
from refsys.ingestion.archives import Limits, store_file, unpack
from refsys.ingestion.archives.model import go_on
from refsys.missions import Recognised


def is_archive(name: str, recognised: Recognised) -> bool:
    """Whether what is offered under this name has to be unpacked.

    A product that consists of files came as an archive, whatever the name says.
    """
    return canonical_name(name) != name or recognised.type.packaging != "bare"


def take_delivery(
    file: BinaryIO,
    name: str,
    recognised: Recognised,
    *,
    base: str,
    batch: Batch,
    limits: Limits,
    check: Callable[[], None] = go_on,
) -> tuple[FileEntry, ...]:
    """Write a delivered file's members, or itself, into a batch; returns the product's file table."""
    product = recognised.name
    if is_archive(name, recognised):
        members = unpack(file, archive=name, product=product, base=base, batch=batch, limits=limits, check=check)
        return tuple(members)
    return (store_file(file, path=product, base=base, batch=batch, limits=limits, check=check),)
