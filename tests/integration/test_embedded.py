"""The embedded PostgreSQL."""

from __future__ import annotations

import asyncpg

from refsys.runtime.embedded import EmbeddedPostgres


async def test_a_fresh_database_is_migrated(pool: asyncpg.Pool) -> None:
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 0


async def test_it_listens_on_no_network(postgres_server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(postgres_server.dsn)
    try:
        assert await connection.fetchval("SHOW listen_addresses") == ""
    finally:
        await connection.close()
