"""The steps of ingestion: fetch what an inbox remembers as offered, one stage for each inbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import asyncpg
import structlog

from refsys.catalogue import commands
from refsys.core.errors import Permanent, RefsysError, Transient
from refsys.core.products import Arrival, FileEntry, canonical_name
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.infra.work import Attempt, Stage
from refsys.ingestion import store
from refsys.ingestion.archives import Limits
from refsys.ingestion.model import FETCH, Place, Remote, Source
from refsys.ingestion.protocols import open_source
from refsys.missions import Recognised, TypeRegistry

log = structlog.get_logger(__name__)

#: Where attempts keep what they have brought, until packaging moves it to its published place.
ATTEMPTS = "attempts"

#: Seconds between two looks at the free space of storage.
_LOOK_S: Final = 1.0


def stages(settings: Settings, pool: asyncpg.Pool, storage: Storage, types: TypeRegistry) -> list[Stage]:
    """A stage for each inbox; its concurrency is that of the inbox over all workers."""
    fetchers = [_Fetcher(settings, inbox, pool, storage, types) for inbox in settings.inbox]
    return [
        Stage(
            name=FETCH + fetcher.inbox.id,
            handle=fetcher.handle,
            close=fetcher.close,
            concurrency=fetcher.inbox.concurrency,
        )
        for fetcher in fetchers
    ]


@dataclass(slots=True)
class _Fetcher:
    """Fetches for one inbox; its source is opened with the first step and shared by all."""

    settings: Settings
    inbox: InboxSettings
    pool: asyncpg.Pool
    storage: Storage
    types: TypeRegistry
    _source: Source | None = None
    _short: bool = False
    _next_look: float = 0.0
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def handle(self, attempt: Attempt) -> None:
        """In: {remote_id}. Effect: the bytes in storage and a content in the catalogue. Due next: `product.arrived`."""
        async with self.pool.acquire() as connection:
            remote = await store.fetch_remote(connection, int(attempt.payload["remote_id"]))
        if remote is None:
            raise Permanent(f"offer {attempt.payload['remote_id']} of inbox {self.inbox.id} is not known")
        if remote.state != "queued":
            log.info("fetch.obsolete", product=remote.offer.name, inbox=self.inbox.id, state=remote.state)
            return
        recognised = self.types.recognise(canonical_name(remote.offer.name))
        if await self._is_short():
            await self._put_back(attempt, remote)
            return
        place = Place(self.storage, f"{ATTEMPTS}/{attempt.token}", self._limits(), _abandoned_by(attempt))
        started = asyncio.get_running_loop().time()
        try:
            files = await (await self._opened()).bring(remote, recognised, place)
        except Exception as error:
            await self._take_back(place.base)
            if isinstance(error, Transient) and await self._is_short(at_once=True):
                await self._put_back(attempt, remote)
                return
            raise
        # from here on the catalogue may know the bytes even where an error says otherwise: then the sweeper decides
        if not await self._enter(attempt, remote, recognised, place.base, files):
            log.info("fetch.obsolete", product=recognised.name, inbox=self.inbox.id, state="superseded")
            await self._take_back(place.base)
            return
        log.info(
            "fetch.done",
            product=recognised.name,
            inbox=self.inbox.id,
            size_bytes=sum(entry.size_bytes for entry in files),
            files=len(files),
            seconds=round(asyncio.get_running_loop().time() - started, 3),
        )

    async def close(self) -> None:
        """Called when the worker ends."""
        if self._source is not None:
            await self._source.close()
            self._source = None

    async def _enter(
        self, attempt: Attempt, remote: Remote, recognised: Recognised, base: str, files: Sequence[FileEntry]
    ) -> bool:
        """Make the catalogue know it; False where a newer offer of the name came meanwhile."""
        offer = remote.offer
        arrival = Arrival(
            name=recognised.name,
            base=base,
            files=tuple(files),
            source=self.inbox.id,
            on_change=self.inbox.on_change,
            completeness=self.inbox.completeness,
            available_at=offer.published_at,
            t0_raw=offer.origin_at,
            origin_size_bytes=offer.size_bytes,
            origin_checksums=offer.checksums,
            found_at=remote.found_at,
            mission=recognised.mission or self.inbox.mission or None,
        )
        async with attempt.commit() as connection:
            wanted = await store.is_wanted(connection, remote.id)
            if wanted:
                content_id = await commands.arrive(connection, arrival, priority=remote.priority)
                await store.set_stored(connection, remote.id, content_id)
        return wanted

    async def _take_back(self, base: str) -> None:
        """What an attempt leaves that came to nothing; what cannot be deleted now is swept later."""
        with contextlib.suppress(RefsysError, OSError):
            await asyncio.to_thread(self.storage.delete_prefix, f"{base}/")

    async def _is_short(self, *, at_once: bool = False) -> bool:
        """Whether storage is so full that the inboxes queue nothing more; looked at once a second, or `at_once`."""
        now = asyncio.get_running_loop().time()
        if at_once or now >= self._next_look:
            free = await free_share(self.storage)
            self._short = free is not None and free < self.settings.fetch.pause_below_free
            self._next_look = now + _LOOK_S
        return self._short

    async def _put_back(self, attempt: Attempt, remote: Remote) -> None:
        """Let the offer wait in its inbox, which queues it again as there is room: a full disk is nobody's failure."""
        async with attempt.commit() as connection:
            await store.set_waiting(connection, remote.id)
        log.warning("fetch.put_back", product=attempt.key, inbox=self.inbox.id, why="storage is nearly full")

    def _limits(self) -> Limits:
        fetch = self.settings.fetch
        return Limits(fetch.max_product_bytes, fetch.max_members, fetch.max_ratio)

    async def _opened(self) -> Source:
        async with self._opening:
            if self._source is None:
                self._source = await open_source(self.inbox, self.settings)
            return self._source


async def free_share(storage: Storage) -> float | None:
    """The share of storage that is free, 0 to 1; None where nobody can tell."""
    found = await asyncio.to_thread(storage.free_bytes)
    return None if found is None else found[0] / max(1, found[1])


def _abandoned_by(attempt: Attempt) -> Callable[[], None]:
    def check() -> None:
        if attempt.lost:
            raise attempt.void()

    return check
