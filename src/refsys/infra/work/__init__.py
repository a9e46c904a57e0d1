"""Work: steps that become due in the transaction of their cause, and the runner that runs them.

A stage is a name and a handler. `emit` makes a step due for every stage that is subscribed to an event, `enqueue` for
one stage; both inside the caller's transaction. The handler's effect and the end of its step are one transaction
(`Attempt.commit`), which only the attempt that holds the step's current token can commit.
"""

from __future__ import annotations

import asyncpg

from refsys.infra.work.model import Attempt, AttemptVoid, Stage, StageOverview
from refsys.infra.work.runner import Runner
from refsys.infra.work.store import emit, enqueue, has_room, overview

__all__ = [
    "Attempt",
    "AttemptVoid",
    "Runner",
    "Stage",
    "StageOverview",
    "emit",
    "enqueue",
    "has_room",
    "work_overview",
]


async def work_overview(connection: asyncpg.Connection) -> list[StageOverview]:
    """What waits, runs and is parked in each stage that is subscribed to something or has steps."""
    return [StageOverview(**row) for row in await overview(connection)]
