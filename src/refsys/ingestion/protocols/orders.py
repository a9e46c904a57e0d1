"""Which orders were placed at a long-term archive: remembered in the database, so that none is placed twice."""

from __future__ import annotations

from typing import Final

import asyncpg

_FIND: Final = "SELECT order_id FROM ingestion.archive_order WHERE inbox = $1 AND remote_id = $2"
_KEEP: Final = """
INSERT INTO ingestion.archive_order (inbox, remote_id, order_id) VALUES ($1, $2, $3)
ON CONFLICT (inbox, remote_id) DO UPDATE SET order_id = excluded.order_id, ordered_at = clock_timestamp()
"""
_FORGET: Final = "DELETE FROM ingestion.archive_order WHERE inbox = $1 AND remote_id = $2 AND order_id = $3"


class Orders:
    """The orders of one inbox, by product. Without a `pool` they are remembered as long as the process lives."""

    def __init__(self, inbox: str, pool: asyncpg.Pool | None) -> None:
        self._inbox = inbox
        self._pool = pool
        self._own: dict[str, str] = {}

    async def find(self, product: str) -> str | None:
        """The id of the order that was placed for a product."""
        if self._pool is None:
            return self._own.get(product)
        found: str | None = await self._pool.fetchval(_FIND, self._inbox, product)
        return found

    async def keep(self, product: str, order: str) -> None:
        """Remember an order, in place of an earlier one."""
        self._own[product] = order
        if self._pool is not None:
            await self._pool.execute(_KEEP, self._inbox, product, order)

    async def forget(self, product: str, order: str) -> None:
        """It came to nothing: another one may be placed."""
        self._own.pop(product, None)
        if self._pool is not None:
            await self._pool.execute(_FORGET, self._inbox, product, order)
