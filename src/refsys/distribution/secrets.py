"""Keys that all API processes share. Table distribution.secret."""

from __future__ import annotations

from typing import Final

import asyncpg

#: What each key signs.
PAGES: Final = "pages"
TOKENS: Final = "tokens"
LINKS: Final = "links"

_FETCH: Final = "SELECT value FROM distribution.secret WHERE name = $1"


async def fetch_secret(connection: asyncpg.Connection, name: str) -> bytes:
    """The key of this name, 32 bytes."""
    value: bytes | None = await connection.fetchval(_FETCH, name)
    assert value is not None  # the migration made it
    return value
