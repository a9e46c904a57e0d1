"""The picture of a product that is being packaged: its own, else one that is made and laid beside it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import structlog
from blake3 import blake3

from refsys.catalogue.model import Product
from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry, made_beside
from refsys.distribution.assets import Picture
from refsys.distribution.quicklooks.choosing import first_like
from refsys.distribution.quicklooks.making import MEDIA_TYPE, draw
from refsys.infra.storage import Storage, object_key
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Pictures that a process has drawn at the same time; each may take a gigabyte for a moment.
_AT_ONCE: Final = 2
_MEDIA_TYPES: Final = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg"}


class Quicklooks:
    """Provides pictures; what goes wrong with one is told, and keeps nothing from being published."""

    def __init__(self, storage: Storage, types: TypeRegistry) -> None:
        self._storage = storage
        self._types = types
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def picture_of(self, product: Product, files: Sequence[FileEntry], *, may_make: bool) -> Picture | None:
        """The picture of a product whose files lie in their final place; None where it has none.

        One that is made is in storage then. It may not be made where nothing may be written.
        """
        kind = self._types.types.get(product.type_id)
        rule = kind.quicklook if kind else None
        if rule is None:
            return None
        if own := first_like(rule.own, product.name, files):
            media_type = _MEDIA_TYPES.get(own.path.rpartition(".")[2].lower(), "application/octet-stream")
            return Picture(own.path, False, media_type, own.size_bytes, own.md5, own.blake3)
        raster = first_like(rule.read, product.name, files)
        if rule.rule is None or raster is None or not may_make:
            return None
        try:
            async with self._places:
                data = await draw(self._storage, object_key(product.final_base, raster.path), rule.rule)
            return await asyncio.to_thread(self._keep, product, data)
        except (RefsysError, OSError) as error:
            log.warning("quicklook.failed", product=product.name, raster=raster.path, error=str(error))
            return None

    def _keep(self, product: Product, data: bytes) -> Picture:
        """Its MD5 is in its key: another attempt with other bytes does not touch it."""
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        path = f"{made_beside(product.name)}/{md5.hex()}/quick-look.jpg"
        self._storage.put(object_key(product.final_base, path), data)
        return Picture(path, True, MEDIA_TYPE, len(data), md5, blake3(data).digest())
