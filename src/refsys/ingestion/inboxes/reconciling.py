"""Comparing what is known with what the station itself counts: what a look missed is entered."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from refsys.core.times import parse_instant
from refsys.infra.settings import InboxSettings
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.entering import Look
from refsys.ingestion.inboxes.progress import Progress
from refsys.ingestion.inboxes.rating import Rater
from refsys.ingestion.model import Source

log = structlog.get_logger(__name__)

#: Hours of the day (UTC) over which the nightly comparisons of all inboxes are spread.
_NIGHT: Final = (0.0, 5.0)
#: How far a station's clock may be ahead of ours.
AHEAD: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison found. `station`: its own count (None: it does not tell); `known`: ours of the same time.

    `listed`: what it listed where the counts differed (None: they agree); `missing`: what of that was not known, and is
    now entered.
    """

    station: int | None
    known: int
    listed: int | None
    missing: int


async def reconcile(pool: asyncpg.Pool, source: Source, rater: Rater) -> Reconciliation:
    """Compare counts; where they differ, or the station tells none, list everything anew and enter what lacks.

    Raises what the source raises.
    """
    inbox = rater.inbox
    async with pool.acquire() as connection:
        opened = await store.open_inbox(connection, inbox.id)
        stop = opened.cursor or opened.now
        start = _start(inbox, opened.now)
        known = await store.count_published(connection, inbox.id, start, stop)
    station = await source.count(start, stop)
    listed, missing = None, 0
    if station is None or station != known:
        look = Look(pool, rater)
        memory = await look.begin(anew=True)
        progress = Progress(None, datetime.now(UTC) + AHEAD)
        async for findings in source.look(memory):
            progress.take(findings.offers)
            await look.take(findings, None)
        await look.finish(progress.newest)
        listed, missing = look.listed, look.fresh
    found = Reconciliation(station, known, listed, missing)
    async with pool.acquire() as connection:
        await store.set_reconciled(connection, inbox.id, asdict(found))
    written = log.warning if missing else log.info
    written("inbox.reconciled", inbox=inbox.id, **asdict(found))
    return found


def is_due(inbox: str, reconciled_at: datetime | None, started_at: datetime, now: datetime) -> bool:
    """Whether the time of night of this inbox has come since it was compared last, or since the start."""
    share = int.from_bytes(hashlib.sha256(inbox.encode()).digest()[:4]) / 2**32
    hour = _NIGHT[0] + share * (_NIGHT[1] - _NIGHT[0])
    slot = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(hours=hour)
    if slot > now:
        slot -= timedelta(days=1)
    return (reconciled_at or started_at) < slot


def _start(inbox: InboxSettings, now: datetime) -> datetime | None:
    """From when on the station is asked: since `since`, and not for what it deleted."""
    since = parse_instant(inbox.since)
    if inbox.evicted_after_days:
        since = max(since, now - timedelta(days=inbox.evicted_after_days))
    return since if since.year > 1970 else None
