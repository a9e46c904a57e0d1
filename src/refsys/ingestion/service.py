"""The steps of ingestion: fetch what an inbox remembers as offered, one stage for each inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from refsys.catalogue import commands
from refsys.core.errors import Gone, NotAsAnnounced, NotYet, Transient, Unreachable
from refsys.core.products import Arrival, canonical_name
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.storage import Storage, StorageFull
from refsys.infra.work import Attempt, AttemptVoid, Stage
from refsys.infra.work.model import judge, pause_before
from refsys.ingestion import sessions, store
from refsys.ingestion.fetching import Bringing, Outcome
from refsys.ingestion.fetching.bringing import ATTEMPTS
from refsys.ingestion.model import FETCH, Remote
from refsys.ingestion.passes import service as passes
from refsys.ingestion.sessions.making import session_stages
from refsys.missions import TypeRegistry

__all__ = ["ATTEMPTS", "free_share", "stages"]

log = structlog.get_logger(__name__)

#: Seconds between two looks at the free space of storage.
_LOOK_S: Final = 1.0
#: Longest pause before what is nobody's fault is tried again, in seconds, unless more was asked for.
_PATIENCE_S: Final = 600.0
#: How often a station has to say that it has a file no more before that is believed, and how much longer than usual
#: the pauses in between are: a gateway that has lost its way says the same.
_GONE_TRIES: Final = 3
_GONE_PAUSE: Final = 30
#: How often a file has to come in another size than announced before that is believed: a proxy's page, an answer that
#: a gateway cut, and a listing that is behind its files look so, too.
_WRONG_TRIES: Final = 3
#: What is nobody's fault: neither the product's nor the step's.
_PASSING: Final = (Unreachable, NotYet, StorageFull, OSError)


def stages(settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> list[Stage]:
    """A stage for each inbox, whose concurrency is that of the inbox over all workers; and what follows from files."""
    stations = Stations(settings, pool)
    fetchers = [
        _Fetcher(settings, inbox, pool, storage, Bringing(inbox, settings, stations, storage, types))
        for inbox in settings.inbox
    ]
    fetching = [
        Stage(
            name=FETCH + fetcher.inbox.id,
            handle=fetcher.handle,
            close=fetcher.bringing.close,
            concurrency=fetcher.inbox.concurrency,
            max_attempts=settings.work.max_attempts,
        )
        for fetcher in fetchers
    ]
    return [*fetching, *session_stages(pool, storage), *passes.stages(pool, storage)]


@dataclass(slots=True)
class _Sorted:
    """Outcomes by what follows from them."""

    brought: list[Outcome] = field(default_factory=list)
    passing: list[Outcome] = field(default_factory=list)
    gone: list[Outcome] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)


@dataclass(slots=True)
class _Fetcher:
    """Fetches for one inbox."""

    settings: Settings
    inbox: InboxSettings
    pool: asyncpg.Pool
    storage: Storage
    bringing: Bringing
    _short: bool = False
    _next_look: float = 0.0

    async def handle(self, attempt: Attempt) -> None:
        """In: {remote_id} or {remote_ids}. Effect: bytes in storage, contents in the catalogue.

        Due next: `product.arrived` for each. One of several that fails gets a step of its own.
        """
        wanted = attempt.payload.get("remote_ids") or [attempt.payload["remote_id"]]
        async with self.pool.acquire() as connection, connection.transaction():
            claimed = await store.claim(connection, [int(each) for each in wanted], attempt.token)
        if not claimed:
            log.info("fetch.obsolete", product=attempt.key, inbox=self.inbox.id)
            return
        if await self._is_short():
            outcomes = [Outcome(remote, "", problem=_full()) for remote in claimed]
        else:
            outcomes = await self._bring(attempt, claimed)
        found = await self._sorted(outcomes)
        if found.failed and len(outcomes) == 1:
            await self._fail(attempt, found.failed[0])
        else:
            await self._settle(attempt, found)

    async def _bring(self, attempt: Attempt, remotes: Sequence[Remote]) -> list[Outcome]:
        try:
            return await self.bringing.bring(attempt, remotes)
        except AttemptVoid:
            raise
        except Exception as error:
            return [Outcome(remote, "", problem=error) for remote in remotes]

    async def _sorted(self, outcomes: Sequence[Outcome]) -> _Sorted:
        found = _Sorted()
        for outcome in outcomes:
            problem = outcome.problem
            if problem is None:
                found.brought.append(outcome)
            elif isinstance(problem, Gone):
                (found.gone if outcome.remote.tries >= _GONE_TRIES else found.passing).append(outcome)
            elif await self._is_passing(outcome):
                found.passing.append(outcome)
            else:
                found.failed.append(outcome)
        return found

    async def _is_passing(self, outcome: Outcome) -> bool:
        """Whether it is nobody's fault, or may not be."""
        problem = outcome.problem
        if isinstance(problem, NotAsAnnounced):
            return outcome.remote.tries < _WRONG_TRIES
        return isinstance(problem, _PASSING) or (isinstance(problem, Transient) and await self._is_short(at_once=True))

    async def _fail(self, attempt: Attempt, outcome: Outcome) -> None:
        """Let the step fail; it is known of the offer where that parks it."""
        problem = outcome.problem
        assert problem is not None
        if judge(problem).permanent or attempt.number >= self.settings.work.max_attempts:
            async with self.pool.acquire() as connection:
                is_ours = await store.set_failed(connection, outcome.remote.id, attempt.token, str(problem))
            if not is_ours:
                # a newer version, or another source, made it obsolete meanwhile: nobody has to look at it
                await self._settle(attempt, _Sorted())
                return
        raise problem

    async def _settle(self, attempt: Attempt, found: _Sorted) -> None:
        """Make the catalogue and the memory know what was brought, and what not, in one transaction."""
        # from here on the catalogue may know the bytes even where an error says otherwise: then the sweeper decides
        held: set[int] = set()
        try:
            async with attempt.commit() as connection:
                held = await store.hold(connection, [outcome.remote.id for outcome in found.brought], attempt.token)
                # rows of offers are held before those of sessions by everybody: what touches them comes first
                await self._put_back(connection, attempt, found)
                await self._enter(connection, [outcome for outcome in found.brought if outcome.remote.id in held])
        except AttemptVoid:
            await self._take_back(found, set())
            raise
        self._tell(found, held)
        await self._take_back(found, held)

    async def _enter(self, connection: asyncpg.Connection, stored: Sequence[Outcome]) -> None:
        arrivals = [(self._arrival(outcome), outcome.remote.priority) for outcome in stored]
        contents = await commands.arrive_many(connection, arrivals)
        ids = [outcome.remote.id for outcome in stored]
        await store.set_stored(connection, dict(zip(ids, contents, strict=True)))
        # sessions in one order, too
        for outcome, content_id in sorted(zip(stored, contents, strict=True), key=_session_name):
            if outcome.remote.offer.session is not None:
                await sessions.note_stored(connection, outcome.remote, content_id)
            elif outcome.recognised is not None:
                await passes.note_stored(
                    connection, outcome.remote.product, outcome.recognised.product_type, content_id
                )

    async def _put_back(self, connection: asyncpg.Connection, attempt: Attempt, found: _Sorted) -> None:
        for outcome in found.passing:
            not_before, problem = await self._not_before(connection, outcome), str(outcome.problem)
            await store.put_back(connection, [outcome.remote.id], attempt.token, not_before=not_before, problem=problem)
        for outcome in found.gone:
            await store.set_expired(connection, outcome.remote.id, attempt.token, str(outcome.problem))
        problems = {outcome.remote.id: str(outcome.problem) for outcome in found.failed}
        await store.set_apart(connection, problems, attempt.token)

    async def _take_back(self, found: _Sorted, held: set[int]) -> None:
        for outcome in found.brought:
            if outcome.remote.id not in held:
                await self.bringing.take_back(outcome)

    def _arrival(self, outcome: Outcome) -> Arrival:
        offer = outcome.remote.offer
        mission = outcome.recognised.mission if outcome.recognised is not None else ""
        return Arrival(
            name=canonical_name(offer.name),
            base=outcome.base,
            files=outcome.files,
            source=self.inbox.id,
            # a station corrects its blocks, by publishing them again or by a retransfer: the newer one counts
            on_change="revise" if offer.session is not None else self.inbox.on_change,
            completeness=self.inbox.completeness,
            available_at=offer.published_at,
            t0_raw=offer.origin_at,
            origin_size_bytes=offer.size_bytes,
            origin_checksums=offer.checksums,
            found_at=outcome.remote.found_at,
            mission=mission or self.inbox.mission or None,
        )

    async def _not_before(self, connection: asyncpg.Connection, outcome: Outcome) -> datetime:
        problem = outcome.problem
        first_s = self.settings.work.backoff_s * (_GONE_PAUSE if isinstance(problem, Gone) else 1)
        asked_s = problem.retry_after_s if isinstance(problem, Transient) else None
        tries = max(1, outcome.remote.tries)
        pause = pause_before(tries, first_s=first_s, limit_s=_PATIENCE_S, retry_after_s=asked_s or 0.0)
        instant: datetime = await connection.fetchval("SELECT clock_timestamp() + $1::interval", pause)
        return instant

    def _tell(self, found: _Sorted, held: set[int]) -> None:
        for outcome in found.brought:
            product, inbox = outcome.remote.product, self.inbox.id
            if outcome.remote.id not in held:
                log.info("fetch.obsolete", product=product, inbox=inbox)
                continue
            size_bytes = sum(entry.size_bytes for entry in outcome.files)
            seconds = round(outcome.seconds, 3)
            log.info(
                "fetch.done", product=product, inbox=inbox, size_bytes=size_bytes, files=len(outcome.files),
                seconds=seconds,
            )  # fmt: skip
        for event, outcomes in (("put_back", found.passing), ("expired", found.gone), ("set_apart", found.failed)):
            for outcome in outcomes:
                write = log.error if event == "expired" else log.warning
                write(
                    f"fetch.{event}", product=outcome.remote.product, inbox=self.inbox.id, why=str(outcome.problem),
                    tries=outcome.remote.tries,
                )  # fmt: skip

    async def _is_short(self, *, at_once: bool = False) -> bool:
        """Whether storage is so full that the inboxes queue nothing more; looked at once a second, or `at_once`."""
        now = asyncio.get_running_loop().time()
        if at_once or now >= self._next_look:
            free = await free_share(self.storage)
            self._short = free is not None and free < self.settings.fetch.pause_below_free
            self._next_look = now + _LOOK_S
        return self._short


async def free_share(storage: Storage) -> float | None:
    """The share of storage that is free, 0 to 1; None where nobody can tell."""
    found = await asyncio.to_thread(storage.free_bytes)
    return None if found is None else found[0] / max(1, found[1])


def _session_name(stored: tuple[Outcome, int]) -> str:
    session = stored[0].remote.offer.session
    return "" if session is None else session.session


def _full() -> StorageFull:
    return StorageFull("storage is nearly full", advice="make room; it is fetched as there is some")
