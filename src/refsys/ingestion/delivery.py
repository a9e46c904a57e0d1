"""What was delivered becomes a product in storage: an archive is unpacked, a single file is taken as it is."""

from __future__ import annotations

from typing import BinaryIO

from refsys.core.products import FileEntry, canonical_name
from refsys.ingestion.archives import store_file, unpack
from refsys.ingestion.model import Place
from refsys.missions import Recognised


def place_delivery(file: BinaryIO, name: str, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
    """Store a delivered file under the name it was offered with (blocking); returns the product's file table.

    A product that consists of files came as an archive, whatever the name says.
    """
    product = recognised.name
    is_archive = canonical_name(name) != name or recognised.type.packaging == "zip"
    with place.storage.batch() as batch:
        if is_archive:
            return tuple(
                unpack(
                    file,
                    archive=name,
                    product=product,
                    base=place.base,
                    batch=batch,
                    limits=place.limits,
                    check=place.check,
                )
            )
        entry = store_file(file, path=product, base=place.base, batch=batch, limits=place.limits, check=place.check)
        return (entry,)
