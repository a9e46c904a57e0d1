"""Sessions in PostgreSQL."""

from __future__ import annotations

import asyncpg

from refsys.ingestion.model import Offer, SessionSaid
from refsys.ingestion.sessions import note_offers, note_said, open_sessions, session_file_of


async def test_what_is_offered_is_open(pool: asyncpg.Pool) -> None:
    name = "DCS_04_S1A_20241114143038056552_ch2_DSDB_00001.raw"
    async with pool.acquire() as connection, connection.transaction():
        await note_offers(connection, "sgs", [Offer("1", "v1", name, session=session_file_of(name))])
        await note_said(connection, "sgs", [SessionSaid("S1A_20241114143038056552", False, channels=2)])
        assert await open_sessions(connection, "sgs") == [("S1A_20241114143038056552", False)]
        assert await open_sessions(connection, "mti") == []
