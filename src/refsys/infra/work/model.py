"""The nouns of work: stages, attempts, and what a failure looks like."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.core.errors import Permanent, RefsysError, Transient
from refsys.core.times import format_instant
from refsys.infra.jitter import jittered
from refsys.infra.work import store

#: Longest pause that a peer may ask for (Retry-After), in seconds.
LONGEST_RETRY_AFTER_S: Final = 86_400.0
#: Most characters of an error's message and of its traceback that are kept.
MESSAGE_LIMIT: Final = 4_000
TRACEBACK_LIMIT: Final = 20_000
#: Most notes kept of one attempt; the database keeps the last 200 of a step.
NOTES_LIMIT: Final = 200


class AttemptVoid(RefsysError):
    """The lease of this attempt was lost and its token is no longer the current one: it has no effect."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A kind of step and what runs it.

    `concurrency` limits how many of its steps run at the same time over all workers (0 = only the workers' own
    limits). `max_attempts` and `lease_s` are those of the settings where 0. `cap` is for `has_room`: due and running
    steps above which the feeders of this stage keep their rows to themselves (0 = no cap). Steps of a `version` above
    the stage's are left to newer workers. `close` is called when the runner ends.
    """

    name: str
    handle: Callable[[Attempt], Awaitable[None]]
    close: Callable[[], Awaitable[None]] | None = None
    concurrency: int = 0
    max_attempts: int = 0
    lease_s: float = 0.0
    cap: int = 0
    version: int = 1


@dataclass(slots=True, eq=False)
class Attempt:
    """One claim of one step. `number` counts the step's claims from 1; `token` is this claim's alone.

    `own_stages`, separated by blanks, are the stages that its worker runs.
    """

    step_id: int
    stage: str
    key: str
    payload: dict[str, Any]
    priority: int
    version: int
    number: int
    token: UUID
    lease_s: float
    pool: asyncpg.Pool
    own_stages: str = ""
    notes: list[str] = field(default_factory=list)
    ending: bool = False
    committed: bool = False
    lost: bool = False

    def note(self, text: str) -> None:
        """Write a line into the attempt's log, which is kept with the step where it fails."""
        self.notes.append(clean(f"{format_instant(datetime.now(UTC))} attempt {self.number}: {text}", MESSAGE_LIMIT))
        del self.notes[:-NOTES_LIMIT]

    @asynccontextmanager
    async def commit(self) -> AsyncIterator[asyncpg.Connection]:
        """Open the transaction of the effect; leaving it ends the step and commits, an exception rolls both back.

        The token is verified by the first statement, which also locks the step: where it is no longer the current
        one AttemptVoid is raised before anything is changed. Keep the body to SQL: a transaction that idles for
        longer than the lease is ended by the database.
        """
        if self.committed:
            raise RefsysError("was committed already", subject=f"step {self.step_id} of {self.stage}")
        async with self.pool.acquire() as connection:
            self.ending = True
            try:
                async with connection.transaction():
                    if not await store.finish(
                        connection,
                        self.step_id,
                        self.token,
                        idle_limit_s=self.lease_s,
                        own_stages=self.own_stages,
                    ):
                        raise self.void()
                    yield connection
                self.committed = True
            finally:
                self.ending = False

    async def check(self) -> None:
        """Raise AttemptVoid when the lease was lost. Long handlers call this between pieces of their work."""
        if not self.lost:
            async with self.pool.acquire() as connection:
                self.lost = not await store.is_current(connection, self.step_id, self.token)
        if self.lost:
            raise self.void()

    def void(self) -> AttemptVoid:
        """The error that says that this attempt counts no more."""
        self.lost = True
        return AttemptVoid(
            f"attempt {self.number} of step {self.step_id} is void: its lease was lost and another attempt took over",
            subject=f"{self.stage} {self.key}",
        )


@dataclass(frozen=True, slots=True)
class StageOverview:
    """What waits in one stage. `deferred` are due steps whose pause is not over; `oldest_due_age_s` of the others."""

    stage: str
    due: int
    deferred: int
    running: int
    parked: int
    oldest_due_age_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an error: whether trying again can help, and how long the peer asked to be left alone."""

    permanent: bool
    retry_after_s: float


def judge(error: BaseException) -> Verdict:
    """Permanent where any cause is; of several requests for patience the longest counts."""
    leaves = list(_leaves(error))
    asked = [leaf.retry_after_s for leaf in leaves if isinstance(leaf, Transient) and leaf.retry_after_s is not None]
    return Verdict(
        permanent=any(isinstance(leaf, Permanent) for leaf in leaves),
        retry_after_s=min(max(asked, default=0.0), LONGEST_RETRY_AFTER_S),
    )


def pause_before(number: int, *, first_s: float, limit_s: float, retry_after_s: float = 0.0) -> timedelta:
    """Pause after the failed attempt `number` (1…): doubling, between half and all of it, and never less than asked."""
    full = min(first_s * 2.0 ** min(number - 1, 60), limit_s)
    return timedelta(seconds=max(jittered(full), retry_after_s))


def describe_error(error: BaseException, *, worker: str, number: int, lasting: str) -> dict[str, Any]:
    """An error as it is kept with its step: type, message, subject, advice, traceback, worker, attempt, at, why."""
    cause = next(_leaves(error))
    return {
        "type": type(cause).__name__,
        "message": clean(cause.message if isinstance(cause, RefsysError) else str(cause), MESSAGE_LIMIT),
        "subject": clean(cause.subject, MESSAGE_LIMIT) if isinstance(cause, RefsysError) else "",
        "advice": clean(cause.advice, MESSAGE_LIMIT) if isinstance(cause, RefsysError) else "",
        "traceback": clean("".join(traceback.format_exception(error)), -TRACEBACK_LIMIT),
        "worker": worker,
        "attempt": number,
        "at": format_instant(datetime.now(UTC)),
        "why": lasting,
    }


def clean(text: str, limit: int) -> str:
    """Make any text storable (no NUL, no lone surrogates) and keep its beginning, or its end where `limit` < 0."""
    storable = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    if len(storable) <= abs(limit):
        return storable
    return storable[:limit] + " …" if limit > 0 else "… " + storable[limit:]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, permanent ones first; or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        found = [leaf for part in error.exceptions for leaf in _leaves(part)]
        yield from sorted(found, key=lambda leaf: not isinstance(leaf, Permanent))
    else:
        yield error
