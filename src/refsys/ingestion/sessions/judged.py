"""A session is judged anew whenever something of it changes."""

from __future__ import annotations

import asyncpg

from refsys.core import steps
from refsys.infra.work import emit
from refsys.ingestion.sessions import store


async def judge(connection: asyncpg.Connection, name: str, *, stored: store.Key | None = None) -> None:
    """Judge both transfers of a session whose rows the caller holds; `stored` got a block just now."""
    if stored is not None and await store.begin(connection, stored.id):
        key = f"{name} retransfer" if stored.retransfer else name
        await emit(connection, steps.SESSION_BEGUN, key=key, payload={"session": stored.id, "revision": 0})
