"""What users download, by day: noted in memory while the bytes go, written in batches. Table distribution.volume.

A process that is killed takes with it what it has not written, which is at most what it sent in WRITE_S seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import asyncpg
import structlog

from refsys.infra.postgres import DATABASE_ERRORS

log = structlog.get_logger(__name__)

#: Seconds between two batches.
WRITE_S: Final = 5.0
#: Days over which the volume of a user is limited, today among them.
LIMITED_DAYS: Final = 30

# in the order of the names: processes that write at the same time wait for each other instead of for ever
_WRITE: Final = """
INSERT INTO distribution.volume AS v (user_name, day, downloads, bytes, links, linked_bytes, refused)
SELECT user_name, (clock_timestamp() AT TIME ZONE 'UTC')::date, downloads, bytes, links, linked_bytes, refused
  FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
       AS noted(user_name, downloads, bytes, links, linked_bytes, refused)
 ORDER BY user_name
ON CONFLICT (user_name, day) DO UPDATE SET
    downloads = v.downloads + excluded.downloads, bytes = v.bytes + excluded.bytes, links = v.links + excluded.links,
    linked_bytes = v.linked_bytes + excluded.linked_bytes, refused = v.refused + excluded.refused
"""
_USED: Final = """
SELECT coalesce(sum(bytes + linked_bytes), 0)::bigint FROM distribution.volume
 WHERE user_name = $1 AND day > (clock_timestamp() AT TIME ZONE 'UTC')::date - $2::int
"""
_BY_DAY: Final = """
SELECT user_name, day, downloads, bytes, links, linked_bytes, refused FROM distribution.volume
 WHERE day >= $1 AND ($2::text IS NULL OR user_name = $2)
 ORDER BY day DESC, bytes + linked_bytes DESC, user_name LIMIT $3
"""


@dataclass(slots=True)
class Noted:
    """What is not written yet of a user. `refused`: downloads for which there was no slot or no volume left."""

    downloads: int = 0
    bytes: int = 0
    links: int = 0
    linked_bytes: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """What a user downloaded on a day (UTC); the user of everybody who did not sign in is "". Sizes in bytes."""

    user_name: str
    day: date
    downloads: int
    bytes: int
    links: int
    linked_bytes: int
    refused: int


class Volumes:
    """The notes of one process."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._noted: dict[str, Noted] = {}

    def of(self, user_name: str) -> Noted:
        """Where to note what this user gets now; not to be kept beyond the next `await`."""
        noted = self._noted.get(user_name)
        if noted is None:
            noted = self._noted[user_name] = Noted()
        return noted

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write now and then for the time of the block, and at its end."""
        stop = asyncio.Event()
        writing = asyncio.create_task(self._keep_writing(stop))
        try:
            yield
        finally:
            stop.set()
            await writing

    async def write(self) -> None:
        """Write what was noted; where the database does not answer it stays noted."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        columns = [[getattr(entry, name) for entry in noted.values()] for name in Noted.__slots__]
        try:
            async with self._pool.acquire(timeout=WRITE_S) as connection:
                await connection.execute(_WRITE, list(noted), *columns, timeout=WRITE_S)
        except DATABASE_ERRORS as error:
            for user_name, entry in noted.items():
                kept = self.of(user_name)
                for name in Noted.__slots__:
                    setattr(kept, name, getattr(kept, name) + getattr(entry, name))
            log.warning("volumes.kept", users=len(noted), error=str(error) or type(error).__name__)

    async def _keep_writing(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), WRITE_S)
            await self.write()


async def used_bytes(connection: asyncpg.Connection, user_name: str) -> int:
    """What a user has downloaded, or got links for, in LIMITED_DAYS, as far as it is written."""
    found: int = await connection.fetchval(_USED, user_name, LIMITED_DAYS)
    return found


async def by_day(
    connection: asyncpg.Connection, *, since: date, user_name: str | None = None, limit: int
) -> list[Volume]:
    """Newest day first, and of a day the largest volume first."""
    return [Volume(**row) for row in await connection.fetch(_BY_DAY, since, user_name, limit)]
