"""What operators do with parked steps and with events of the past; the functions are in migration 0002.

Each call is one statement in the caller's transaction, for at most a few hundred steps: their rows stay locked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a parked step.

    restarted; resubmitted (as step `other`); deleted; superseded (step `other` of the same stage and key is due, and
    does it); blocked (step `other` is due with another input and has to run first: nothing was done).
    """

    step_id: int
    outcome: str
    other: int | None


async def restart(
    connection: asyncpg.Connection, step_ids: Sequence[int], *, author: str, reason: str
) -> list[Outcome]:
    """Make parked steps due again, attempts counted anew. Steps that are not parked are not in the answer."""
    return _outcomes(await connection.fetch("SELECT * FROM work.restart($1, $2, $3)", step_ids, author, reason))


async def resubmit(
    connection: asyncpg.Connection, step_ids: Sequence[int], *, author: str, reason: str
) -> list[Outcome]:
    """Replace parked steps by new ones of the same stage and input. Steps that are not parked are not in the answer."""
    return _outcomes(await connection.fetch("SELECT * FROM work.resubmit($1, $2, $3)", step_ids, author, reason))


async def resubmit_from(
    connection: asyncpg.Connection, stage: str, events: Mapping[int, int], *, author: str, reason: str
) -> list[Outcome]:
    """Replace parked steps by steps of an earlier stage; `events` maps each to the event that makes the new one."""
    return _outcomes(
        await connection.fetch(
            "SELECT * FROM work.resubmit_from($1, $2, $3, $4, $5)",
            list(events),
            list(events.values()),
            stage,
            author,
            reason,
        )
    )


async def delete(connection: asyncpg.Connection, step_ids: Sequence[int], *, author: str, reason: str) -> list[Outcome]:
    """End parked steps that shall not be done. Steps that are not parked are not in the answer."""
    return _outcomes(await connection.fetch("SELECT * FROM work.drop_parked($1, $2, $3)", step_ids, author, reason))


async def replay(connection: asyncpg.Connection, stage: str, event_ids: Sequence[int], *, most_priority: int) -> int:
    """Make the stage's steps of these events, where none of the same key is due; returns how many were made."""
    made: int = await connection.fetchval("SELECT work.replay($1, $2, $3)", stage, event_ids, most_priority)
    return made


def _outcomes(rows: Sequence[asyncpg.Record]) -> list[Outcome]:
    return [Outcome(row["step_id"], row["outcome"], row["other"]) for row in rows]
