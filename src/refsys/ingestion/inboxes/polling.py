"""One inbox: looks, queues as there is room, pauses; what fails is told and tried again, ever later."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog

from refsys.core.errors import RefsysError, Transient
from refsys.core.times import parse_instant
from refsys.infra.jitter import jittered
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.storage import Storage
from refsys.infra.work import has_room
from refsys.ingestion import sessions
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.entering import Look, learn
from refsys.ingestion.inboxes.progress import Progress
from refsys.ingestion.inboxes.rating import Judged, Rater
from refsys.ingestion.inboxes.reconciling import AHEAD, is_due, reconcile
from refsys.ingestion.model import Source
from refsys.ingestion.protocols import open_source
from refsys.ingestion.service import free_share
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Files of an inbox that are queued or being fetched, above which its offers wait in the inbox's own memory.
CAP: Final = 1024
#: Files of at most so many bytes come up to so many in one step.
GROUP_FILES: Final = 64
GROUP_BYTES: Final = 2**20
#: The stages that what is fetched goes to, and how much of their work makes fetching pause.
DOWNSTREAM: Final = {"catalogue.describe": 1000, "distribution.package": 1000, "distribution.publish": 1000}
#: Seconds between two looks whether there is room for what waits, and whether something waits.
_DISPATCH_S: Final = 0.25
_IDLE_S: Final = 2.0
#: Longest pause after looks that failed, in seconds.
_PATIENCE_S: Final = 600.0
#: Offers that are judged anew in one transaction.
_PIECE: Final = 2_000


class Inbox:
    """The inbox of one section of the settings."""

    def __init__(
        self,
        settings: Settings,
        inbox: InboxSettings,
        pool: asyncpg.Pool,
        types: TypeRegistry,
        room: Room,
        stations: Stations,
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._pool = pool
        self._room = room
        self._stations = stations
        self._rater = Rater(inbox, types)
        self._started_at = datetime.now(UTC)
        self._rules_hold = False

    async def watch(self, stop: asyncio.Event) -> None:
        """Look and queue until `stop`."""
        source: Source | None = None
        try:
            while not stop.is_set():
                try:
                    source = source or await open_source(self._inbox, self._settings, self._stations)
                    await self._turn(source)
                    pause_s = self._inbox.poll_s
                except (RefsysError, *DATABASE_ERRORS) as error:
                    pause_s = await self._failed(error)
                except Exception as error:  # a defect of ours must not end the other inboxes
                    log.exception("inbox.defect", inbox=self._inbox.id)
                    pause_s = await self._failed(error)
                await self._dispatch_until(asyncio.get_running_loop().time() + pause_s, stop)
        finally:
            if source is not None:
                await source.close()

    async def _turn(self, source: Source) -> None:
        """One look, or the nightly comparison; nothing while the inbox is paused."""
        async with self._pool.acquire() as connection:
            opened = await store.open_inbox(connection, self._inbox.id)
        if not self._rules_hold:
            await self._apply_rules(opened.rules)
        if opened.paused_at is not None:
            return
        if opened.back_to is None and is_due(self._inbox.id, opened.reconciled_at, self._started_at, datetime.now(UTC)):
            await reconcile(self._pool, source, self._rater)
            return
        look = Look(self._pool, self._rater)
        memory = await look.begin()
        progress = Progress(memory.cursor, datetime.now(UTC) + AHEAD)
        async for findings in source.look(memory):
            for offer in progress.take(findings.offers):
                log.warning("inbox.from_the_future", inbox=self._inbox.id, offer=offer.name, at=offer.published_at)
            await look.take(findings, progress.safe)
            await self._dispatch()
        await look.finish(progress.newest)
        if look.fresh:
            log.info("inbox.found", inbox=self._inbox.id, new=look.fresh)

    async def _apply_rules(self, before: dict[str, Any] | None) -> None:
        """Where the settings changed: judge anew what was left alone or waits; look back where `since` went back."""
        rules = dict(self._rater.rules)
        back_to = None
        if before is not None and before != rules:
            changed = await self._judge_anew()
            log.info("inbox.judged_anew", inbox=self._inbox.id, changed=changed)
            since = parse_instant(self._inbox.since)
            if since < parse_instant(before["since"]):
                back_to = since
        if before != rules:
            async with self._pool.acquire() as connection:
                await store.set_rules(connection, self._inbox.id, rules, back_to=back_to)
        self._rules_hold = True

    async def _judge_anew(self) -> int:
        self._rater.facts.clear()
        changed, after = 0, 0
        while True:
            async with self._pool.acquire() as connection, connection.transaction():
                await store.lock_inbox(connection, self._inbox.id)
                rows = await store.judged_before(connection, self._inbox.id, after, _PIECE)
                if not rows:
                    return changed
                offers = [remote.offer for remote, _ in rows]
                await learn(connection, self._rater, offers, decides_anew=True)
                verdicts: list[tuple[int, Judged]] = []
                for remote, why in rows:
                    judged = self._rater.judge(remote.offer, None)
                    if (judged.state, judged.why) != (remote.state, why):
                        verdicts.append((remote.id, judged))
                if verdicts:
                    await store.rejudge(connection, self._inbox.id, verdicts)
                    wanted = [each.offer for _, each in verdicts if each.state == "waiting" and each.offer.session]
                    await sessions.note_offers(connection, self._inbox.id, wanted)
            changed += len(verdicts)
            after = rows[-1][0].id

    async def _failed(self, error: BaseException) -> float:
        """Tell it; returns the seconds until the next look."""
        problem = str(error) or type(error).__name__
        failures = 1
        with contextlib.suppress(*DATABASE_ERRORS):
            async with self._pool.acquire() as connection:
                await store.open_inbox(connection, self._inbox.id)
                failures = await store.look_failed(connection, self._inbox.id, problem)
        asked = error.retry_after_s if isinstance(error, Transient) and error.retry_after_s else 0.0
        patience = min(self._inbox.poll_s * 2.0 ** min(failures, 20), max(_PATIENCE_S, self._inbox.poll_s))
        pause_s = max(jittered(patience), asked)
        log.warning("inbox.failed", inbox=self._inbox.id, problem=problem, failures=failures, pause_s=round(pause_s, 1))
        return pause_s

    async def _dispatch_until(self, deadline: float, stop: asyncio.Event) -> None:
        """Queue what waits as room comes, until the next look is due."""
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            waits = False
            try:
                waits = await self._dispatch()
            except (RefsysError, *DATABASE_ERRORS) as error:
                log.warning("inbox.not_dispatched", inbox=self._inbox.id, error=str(error))
            left_s = deadline - loop.time()
            if left_s <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(left_s, _DISPATCH_S if waits else _IDLE_S))

    async def _dispatch(self) -> bool:
        """Queue offers up to the cap; returns whether others wait.

        Where storage is nearly full, or what follows has enough to do, only those that the station deletes soon.
        """
        async with self._pool.acquire() as connection:
            if not await store.has_waiting(connection, self._inbox.id):
                return False
            most = CAP - await store.outstanding(connection, self._inbox.id)
            if most < CAP // 2:
                return True
            is_open = await self._room.is_open()
            has_rest = all([await has_room(connection, stage, cap) for stage, cap in DOWNSTREAM.items()])
            async with connection.transaction():
                await store.dispatch(
                    connection,
                    self._inbox.id,
                    most,
                    guard=timedelta(hours=self._settings.fetch.eviction_guard_h),
                    near_only=not (is_open and has_rest),
                    group_files=GROUP_FILES,
                    group_bytes=GROUP_BYTES,
                )
            return await store.has_waiting(connection, self._inbox.id)


class Room:
    """Whether there is room in storage: closes below one share of free bytes, opens above another."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._storage = storage
        self._settings = settings.fetch
        self._open = True

    async def is_open(self) -> bool:
        """Raises what the storage raises."""
        free = await free_share(self._storage)
        if free is None:
            return True
        was_open = self._open
        self._open = free >= (self._settings.pause_below_free if was_open else self._settings.resume_above_free)
        if self._open != was_open:
            log.warning("fetch.resumed" if self._open else "fetch.paused", free_share=round(free, 3))
        return self._open
