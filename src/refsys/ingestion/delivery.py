"""What was delivered becomes a product in storage: an archive is unpacked, a single file is taken as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from refsys.core.products import FileEntry, canonical_name
from refsys.infra.storage import Batch
from refsys.ingestion.archives import Limits, store_file, unpack
from refsys.ingestion.archives.model import go_on
from refsys.ingestion.model import Place
from refsys.missions import Recognised


def place_delivery(file: BinaryIO, name: str, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
    """Store a delivered file under the name it was offered with (blocking); returns the product's file table."""
    with place.storage.batch() as batch:
        return take_delivery(
            file, name, recognised, base=place.base, batch=batch, limits=place.limits, check=place.check
        )


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
    """Write a delivered file's members, or itself, into a batch; returns the product's file table.

    A product that consists of files came as an archive, whatever the name says.
    """
    product = recognised.name
    if canonical_name(name) != name or recognised.type.packaging != "bare":
        members = unpack(file, archive=name, product=product, base=base, batch=batch, limits=limits, check=check)
        return tuple(members)
    return (store_file(file, path=product, base=base, batch=batch, limits=limits, check=check),)
