"""Attributes that a product gets with the help of an auxiliary: the one valid at its sensing, selected and read here.

Who describes a product calls `Auxiliaries.complete` after `service.examine`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Final

import asyncpg

from refsys.catalogue import store
from refsys.catalogue.selection import latest_cover
from refsys.core.products import Description
from refsys.infra.storage import Storage, object_key
from refsys.missions import Recognised, TypeRegistry
from refsys.missions.functions import DERIVED_WITH, AuxiliaryFunction

#: Parsed auxiliaries that are kept: one is valid for months, a few serve all satellites.
_KEPT: Final = 16


class Auxiliaries:
    """Selects, reads and remembers the auxiliaries that functions of the tables need (missions: DERIVED_WITH)."""

    def __init__(self, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> None:
        self._pool, self._storage, self._types = pool, storage, types
        self._parsed: dict[tuple[str, int], Any] = {}

    async def complete(self, recognised: Recognised, description: Description) -> Description:
        """The description with what the type's functions add by auxiliaries valid at the start of sensing.

        Raises what storage raises where an auxiliary's bytes cannot be read now.
        """
        for name in recognised.type.derive_with:
            function = DERIVED_WITH[name]
            if function.wanted in description.attributes:
                auxiliary = await self._auxiliary(name, function, recognised, description)
                added, problems = function.derive(description.attributes, auxiliary, self._types.packet_stores)
                description = replace(
                    description,
                    attributes={**description.attributes, **added},
                    problems=(*description.problems, *problems),
                )
        return description

    async def _auxiliary(
        self, name: str, function: AuxiliaryFunction, recognised: Recognised, description: Description
    ) -> Any:
        """The parsed auxiliary, None where there is none."""
        start = description.sensing_start
        if start is None:
            return None
        async with self._pool.acquire() as connection:
            product = await latest_cover(connection, function.product_type, recognised.platform, start, start)
            if product is None:
                return None
            key = (name, product.content_id)
            if key in self._parsed:
                return self._parsed[key]
            whole = await store.fetch_whole(connection, product.content_id)
        files = [entry for entry in whole[1] if not entry.is_folder] if whole else []
        if whole is None or not files:
            # known by its metadata only
            return None
        content = await asyncio.to_thread(self._storage.read, object_key(whole[0].base, files[0].path))
        parsed = function.parse(content, product.name)
        while len(self._parsed) >= _KEPT:
            self._parsed.pop(next(iter(self._parsed)))
        self._parsed[key] = parsed
        return parsed
