"""The inboxes: look at what is offered, remember it, queue it as there is room; none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import structlog

from refsys.catalogue import commands
from refsys.catalogue.store import used_bases
from refsys.core import steps
from refsys.core.errors import HostileInput, RefsysError, Transient
from refsys.core.products import canonical_name, check_name
from refsys.core.times import parse_instant
from refsys.infra.jitter import jittered
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import FetchSettings, InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.infra.work import has_room
from refsys.ingestion import store
from refsys.ingestion.model import FETCH, Memory, Offer, Source
from refsys.ingestion.protocols import open_source
from refsys.ingestion.service import ATTEMPTS, free_share
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Steps of an inbox that are due or running above which its offers wait in the inbox's own memory.
CAP: Final = 256
#: The stages that what is fetched goes to, and how much of their work makes fetching pause.
DOWNSTREAM: Final = {"catalogue.describe": 1000, "distribution.package": 1000, "distribution.publish": 1000}
#: Seconds between two looks whether there is room for what waits.
_DISPATCH_S: Final = 0.25
#: Longest pause after looks that failed, in seconds.
_PATIENCE_S: Final = 600.0
#: Offers published longer ago than this are backlog: live ones go first.
_BACKLOG: Final = timedelta(days=2)
#: How far a station's clock may be ahead of ours.
_AHEAD: Final = timedelta(days=1)
_SWEEP_S: Final = 3600.0
_ABANDONED: Final = timedelta(days=1)


async def run_inboxes(
    settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, stop: asyncio.Event
) -> None:
    """Watch every inbox, and sweep what dead attempts left, until `stop`."""
    guard = _Room(storage, settings.fetch)
    async with asyncio.TaskGroup() as group:
        for inbox in settings.inbox:
            group.create_task(_Inbox(settings, inbox, pool, types, guard).watch(stop), name=f"inbox {inbox.id}")
        group.create_task(_sweep(pool, storage, stop), name="sweep")


class _Inbox:
    def __init__(
        self, settings: Settings, inbox: InboxSettings, pool: asyncpg.Pool, types: TypeRegistry, guard: _Room
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._pool = pool
        self._types = types
        self._guard = guard
        self._match, self._ignore = re.compile(inbox.match), re.compile(inbox.ignore)
        self._since = parse_instant(inbox.since)

    async def watch(self, stop: asyncio.Event) -> None:
        """Look, queue, pause; a look that failed is told and tried again, ever later."""
        source = await open_source(self._inbox, self._settings)
        try:
            while not stop.is_set():
                pause_s = await self._look(source)
                await self._dispatch_until(asyncio.get_running_loop().time() + pause_s, stop)
        finally:
            await source.close()

    async def _look(self, source: Source) -> float:
        """One look; returns the seconds until the next."""
        try:
            fresh = await self._remember(source)
        except (RefsysError, *DATABASE_ERRORS) as error:
            return await self._failed(error)
        except Exception as error:  # a defect of ours must not end the other inboxes
            log.exception("inbox.defect", inbox=self._inbox.id)
            return await self._failed(error)
        if fresh:
            log.info("inbox.found", inbox=self._inbox.id, new=fresh)
        return self._inbox.poll_s

    async def _remember(self, source: Source) -> int:
        """Enter what is offered, piece by piece; the cursor moves in the same transaction, as far as is safe."""
        async with self._pool.acquire() as connection:
            cursor = await store.open_inbox(connection, self._inbox.id)
        fresh, progress = 0, _Progress(cursor, datetime.now(UTC) + _AHEAD)
        async for findings in source.look(Memory(cursor)):
            offers = findings.offers
            rated = [self._rate(offer, cursor) for offer in offers]
            for offer in progress.take(offers):
                log.warning("inbox.from_the_future", inbox=self._inbox.id, offer=offer.name, at=offer.published_at)
            async with self._pool.acquire() as connection, connection.transaction():
                fresh += await store.enter(connection, self._inbox.id, rated)
                await store.look_succeeded(connection, self._inbox.id, progress.safe)
            await self._dispatch()
        async with self._pool.acquire() as connection:
            await store.look_succeeded(connection, self._inbox.id, progress.newest)
        return fresh

    async def _failed(self, error: BaseException) -> float:
        problem = str(error) or type(error).__name__
        failures = 1
        with contextlib.suppress(*DATABASE_ERRORS):
            async with self._pool.acquire() as connection:
                await store.open_inbox(connection, self._inbox.id)
                failures = await store.look_failed(connection, self._inbox.id, problem[:2000])
        asked = error.retry_after_s if isinstance(error, Transient) and error.retry_after_s else 0.0
        patience = min(self._inbox.poll_s * 2.0 ** min(failures, 20), max(_PATIENCE_S, self._inbox.poll_s))
        pause_s = max(jittered(patience), asked)
        log.warning("inbox.failed", inbox=self._inbox.id, problem=problem, failures=failures, pause_s=round(pause_s, 1))
        return pause_s

    def _rate(self, offer: Offer, cursor: datetime | None) -> tuple[Offer, str, int, str]:
        """An offer, its product's name, its priority, and why it is left alone ("" = it is wanted)."""
        name = canonical_name(offer.name)
        try:
            check_name(name)
        except HostileInput:
            # printable, and still no product's name: its step will say so
            return offer, ascii(name)[:250], steps.PRIORITY_NORMAL, self._unwanted(offer, offer.name[:2])
        found = next(self._types.matching(name), None)
        published = offer.published_at
        backlog = published is not None and published < (cursor or datetime.now(UTC)) - _BACKLOG
        if found is None:
            priority = steps.priority(backlog=backlog)
        else:
            priority = self._types.priority(found, found.named_timeliness, backlog=backlog)
        return offer, name, priority, self._unwanted(offer, name[:2] if found is None else found.mission)

    def _unwanted(self, offer: Offer, mission: str) -> str:
        if self._ignore.fullmatch(offer.name):
            return "its name matches `ignore`"
        if not self._match.fullmatch(offer.name):
            return "its name does not match `match`"
        if self._inbox.mission and mission not in ("", self._inbox.mission):
            return f"it is not of mission {self._inbox.mission}"
        if offer.published_at is not None and offer.published_at <= self._since:
            return "it was published before `since`"
        return ""

    async def _dispatch_until(self, deadline: float, stop: asyncio.Event) -> None:
        """Queue what waits as room comes, until the next look is due."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            waits = False
            try:
                waits = await self._dispatch()
            except DATABASE_ERRORS as error:
                log.warning("inbox.database_lost", inbox=self._inbox.id, error=str(error))
            left_s = deadline - loop.time()
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left_s, _DISPATCH_S) if waits else left_s)

    async def _dispatch(self) -> bool:
        """Queue offers up to the cap; returns whether others wait."""
        async with self._pool.acquire() as connection:
            if not await store.has_waiting(connection, self._inbox.id):
                return False
            if await self._guard.is_open() and await self._has_room(connection):
                await store.dispatch(connection, self._inbox.id, CAP // 2)
                return await store.has_waiting(connection, self._inbox.id)
        return True

    async def _has_room(self, connection: asyncpg.Connection) -> bool:
        """Whether neither our own stage nor those that follow it have enough to do."""
        caps = {FETCH + self._inbox.id: CAP // 2, **DOWNSTREAM}
        return all([await has_room(connection, stage, cap) for stage, cap in caps.items()])


class _Progress:
    """How far a look has come in the station's clock.

    `safe` is where the next look may begin if this one fails: with pages in order it follows them, one page behind,
    since only the next one shows the order; where a station sorts otherwise, older offers may still come, and it
    stays. Dates beyond `limit` move nothing: one product dated
    into the future would hide all that are published until then.
    """

    def __init__(self, cursor: datetime | None, limit: datetime) -> None:
        self.newest = self.safe = cursor
        self._limit = limit
        self._last: datetime | None = None
        self._in_order = True

    def take(self, offers: Sequence[Offer]) -> list[Offer]:
        """Note a page; returns the offers whose dates are beyond the limit."""
        beyond, before = [], self.newest
        for offer in offers:
            date = offer.published_at
            if date is None:
                continue
            if date > self._limit:
                beyond.append(offer)
                continue
            self._in_order = self._in_order and (self._last is None or date >= self._last)
            self._last = date
            self.newest = date if self.newest is None else max(self.newest, date)
        if self._in_order:
            self.safe = before
        return beyond


class _Room:
    """Whether there is room in storage: closes below one share of free bytes, opens above another."""

    def __init__(self, storage: Storage, settings: FetchSettings) -> None:
        self._storage = storage
        self._settings = settings
        self._open = True

    async def is_open(self) -> bool:
        free = await free_share(self._storage)
        if free is None:
            return True
        was_open = self._open
        self._open = free >= (self._settings.pause_below_free if was_open else self._settings.resume_above_free)
        if self._open != was_open:
            log.warning("fetch.resumed" if self._open else "fetch.paused", free_share=round(free, 3))
        return self._open


async def _sweep(pool: asyncpg.Pool, storage: Storage, stop: asyncio.Event) -> None:
    """Delete what attempts left that ended without anybody knowing."""
    while not stop.is_set():
        try:
            await sweep_attempts(pool, storage, datetime.now(UTC) - _ABANDONED)
        except (RefsysError, OSError, *DATABASE_ERRORS) as error:
            log.warning("sweep.failed", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _SWEEP_S)


async def sweep_attempts(pool: asyncpg.Pool, storage: Storage, before: datetime) -> Sequence[str]:
    """Delete the folders of attempts in which nothing was written since `before` and which no content uses.

    Contents there that nobody will describe any more are discarded: their bytes go by steps of their own.
    """
    stale = await asyncio.to_thread(storage.stale, f"{ATTEMPTS}/", before)
    if not stale:
        return []
    async with pool.acquire() as connection:
        used = await used_bases(connection, list(stale))
        async with connection.transaction():
            given_up = await commands.discard_orphans(connection, list(used))
    gone = [base for base in stale if base not in used]
    for base in gone:
        await asyncio.to_thread(storage.delete_prefix, f"{base}/")
    if gone or given_up:
        log.info("sweep.done", attempts=len(gone), products=given_up)
    return gone
