"""Sessions: chains of refresh tokens. Table web.session."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid4

import asyncpg

#: How long a refresh token lives, and a session however often it is refreshed, in seconds.
REFRESH_S: Final = 3600
SESSION_S: Final = 36_000

_START: Final = """
WITH ended AS (DELETE FROM web.session WHERE ends_at < clock_timestamp())
INSERT INTO web.session (id, user_name, ends_at) VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
"""
_RENEW: Final = """
UPDATE web.session
   SET turn = turn + 1,
       ends_at = least(clock_timestamp() + make_interval(secs => $4), started_at + make_interval(secs => $5))
 WHERE id = $1 AND user_name = $2 AND turn = $3 AND ends_at > clock_timestamp()
RETURNING turn, extract(epoch FROM ends_at - clock_timestamp())::float8 AS left_s
"""
_END: Final = "DELETE FROM web.session WHERE id = $1"


async def start(connection: asyncpg.Connection, user: str) -> UUID:
    """A new session, in its first turn."""
    session = uuid4()
    await connection.execute(_START, session, user, REFRESH_S)
    return session


async def renew(connection: asyncpg.Connection, session: UUID, user: str, turn: int) -> tuple[int, float] | None:
    """The next turn and the seconds that it has; None where the token of this turn is not the last, or has ended.

    A token that comes a second time ends the session: one of the two who have it is a thief.
    """
    row = await connection.fetchrow(_RENEW, session, user, turn, REFRESH_S, SESSION_S)
    if row is None:
        await connection.execute(_END, session)
        return None
    return row["turn"], row["left_s"]
