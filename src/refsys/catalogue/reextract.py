"""Describing products anew, in the background, where the tables in force say something else than those before.

A worker that starts compares what it has with the catalogue and makes steps due: one for each type with products that
another row described, and one that looks through all names where name patterns changed. A step takes a batch and makes
its successor due in the same transaction: whatever kills it, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import structlog

from refsys.catalogue import stale, store
from refsys.catalogue.auxiliaries import Auxiliaries
from refsys.catalogue.fingerprints import current_fingerprint, names_fingerprint
from refsys.catalogue.redescribe import Redescribed, enter, redescribe
from refsys.catalogue.stale import START, Batch, Place
from refsys.core import steps
from refsys.infra.storage import Storage
from refsys.infra.work import Attempt, Stage, enqueue
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

STAGE: Final = "catalogue.reextract"
#: The key of the step that looks through the names; no type's id has brackets.
NAMES: Final = "(names)"
#: Products that one transaction describes anew.
BATCH: Final = 100

_LOCK: Final = "SELECT pg_advisory_xact_lock(7310298240582)"
_LOOKED: Final = """
INSERT INTO catalogue.recognition (patterns) VALUES ($1)
ON CONFLICT (is_only) DO UPDATE SET patterns = excluded.patterns, looked_at = clock_timestamp()
"""
_IS_DUE: Final = "SELECT EXISTS (SELECT FROM work.step WHERE stage = $1 AND key = $2 AND state = 'due')"
_LATER: Final = "SELECT clock_timestamp() + interval '30 seconds'"
#: How often a step is left to a worker with other tables, and how many failures of a batch are told one by one.
_MOST_LEFT: Final = 120
_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Progress:
    """The payload of a step. `fingerprint` is that of the row (or of all patterns) that it works with.

    `left`: products that wait, None before the first batch. `changed`, `failed`: what became of the others. `passed`:
    how often workers with other tables have left the step to others.
    """

    fingerprint: str
    place: Place = START
    left: int | None = None
    changed: int = 0
    failed: int = 0
    passed: int = 0

    @classmethod
    def of(cls, payload: dict[str, Any]) -> Self:
        place = payload["place"]
        return cls(**{**payload, "place": Place(place["fingerprint"], UUID(place["id"]))})

    def payload(self) -> dict[str, Any]:
        plain = asdict(self)
        return {**plain, "place": {**plain["place"], "id": str(self.place.id)}}


def stages(pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> list[Stage]:
    """The stage that describes anew: one step at a time, whatever the number of workers."""
    handle = partial(_reextract, pool=pool, storage=storage, types=types, auxiliaries=Auxiliaries(pool, storage, types))
    return [Stage(name=STAGE, handle=handle, concurrency=1)]


async def plan(pool: asyncpg.Pool, types: TypeRegistry) -> list[str]:
    """Make steps due for all that the tables in force did not describe; returns their keys."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_LOCK)
        wanted = await stale.stale_types(connection, types)
        patterns, before = names_fingerprint(types), await stale.looked_at(connection)
        if before is None and not wanted:
            await connection.execute(_LOOKED, patterns)
        elif before != patterns:
            wanted[NAMES] = patterns
        for key, fingerprint in wanted.items():
            payload = Progress(fingerprint).payload()
            await enqueue(connection, STAGE, key=key, payload=payload, priority=steps.PRIORITY_BACKLOG)
    if wanted:
        log.info("reextract.planned", types=sorted(wanted))
    return sorted(wanted)


async def _reextract(
    attempt: Attempt, *, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, auxiliaries: Auxiliaries
) -> None:
    """In: Progress. Effect: a batch of products is described by the tables in force. Due next: the next batch."""
    key, progress = attempt.key, Progress.of(attempt.payload)
    wanted = names_fingerprint(types) if key == NAMES else current_fingerprint(types, key)
    if progress.fingerprint != wanted:
        await _leave(attempt, progress)
        return
    async with pool.acquire() as connection:
        if progress.left is None:
            progress = replace(progress, left=await _count(connection, key, wanted))
        batch = await _next(connection, key, wanted, progress.place, types)
    redescribed: list[Redescribed] = []
    for product in batch.products:
        async with pool.acquire() as connection:
            whole = await store.fetch_whole(connection, product.content_id)
        # known by its metadata only, where it has no files
        if whole is not None and whole[1]:
            attempt.note(f"describes {product.name} anew")
            redescribed.append(await redescribe(product, *whole, types=types, storage=storage, auxiliaries=auxiliaries))
    async with attempt.commit() as connection:
        changed = await enter(connection, redescribed)
        failures = [one for one in redescribed if one.failure]
        progress = replace(
            progress,
            place=batch.place,
            left=max((progress.left or 0) - batch.seen, 0),
            changed=progress.changed + changed,
            failed=progress.failed + len(failures),
        )
        if not batch.is_last:
            await _go_on(connection, key, progress)
        elif key == NAMES:
            await connection.execute(_LOOKED, wanted)
    _tell(key, progress, failures, is_done=batch.is_last)


async def _count(connection: asyncpg.Connection, key: str, wanted: str) -> int:
    return await (stale.count_online(connection) if key == NAMES else stale.count_stale(connection, key, wanted))


async def _next(connection: asyncpg.Connection, key: str, wanted: str, after: Place, types: TypeRegistry) -> Batch:
    if key == NAMES:
        return await stale.stale_by_name(connection, types, after, limit=BATCH)
    return await stale.stale_of_type(connection, key, wanted, after, limit=BATCH)


async def _leave(attempt: Attempt, progress: Progress) -> None:
    """Its tables are not those of this worker: another worker may have them, as while a release takes over."""
    is_given_up = progress.passed >= _MOST_LEFT
    async with attempt.commit() as connection:
        if not is_given_up:
            await _go_on(connection, attempt.key, replace(progress, passed=progress.passed + 1), at_once=False)
    if is_given_up:
        advice = "whoever starts with other tables than the catalogue was described by makes it due again"
        log.warning("reextract.given_up", type=attempt.key, left=progress.left, advice=advice)


async def _go_on(connection: asyncpg.Connection, key: str, progress: Progress, *, at_once: bool = True) -> None:
    """Make the next step due, unless a start has planned one meanwhile; the last thing in its transaction."""
    await connection.execute(_LOCK)
    if await connection.fetchval(_IS_DUE, STAGE, key):
        return
    not_before = None if at_once else await connection.fetchval(_LATER)
    await enqueue(
        connection,
        STAGE,
        key=key,
        payload=progress.payload(),
        priority=steps.PRIORITY_BACKLOG,
        not_before=not_before,
    )


def _tell(key: str, progress: Progress, failures: Sequence[Redescribed], *, is_done: bool) -> None:
    for one in failures[:_TOLD]:
        log.warning("reextract.kept", product=one.product.name, problem=one.failure)
    if len(failures) > _TOLD:
        log.warning("reextract.kept_more", type=key, products=len(failures) - _TOLD)
    event = "reextract.done" if is_done else "reextract.batch"
    log.info(event, type=key, changed=progress.changed, failed=progress.failed, left=progress.left)
