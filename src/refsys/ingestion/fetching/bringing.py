"""The offers of a step into storage, in threads; all of them become durable in one round."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry, canonical_name
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.storage import OpenBatch, Storage
from refsys.infra.work import Attempt
from refsys.ingestion.archives import Limits
from refsys.ingestion.fetching.incoming import Connections, Line
from refsys.ingestion.fetching.leash import Leash
from refsys.ingestion.fetching.placing import Placing, Room
from refsys.ingestion.model import Remote, Source
from refsys.ingestion.protocols import open_source
from refsys.missions import Recognised, TypeRegistry

#: Where attempts keep what they have brought, until packaging moves it to its published place.
ATTEMPTS: Final = "attempts"


@dataclass(slots=True)
class Outcome:
    """What became of an offer: its files lie verified and durable under `base`, or there is a `problem`."""

    remote: Remote
    base: str
    recognised: Recognised | None = None
    files: tuple[FileEntry, ...] = ()
    problem: Exception | None = None
    seconds: float = 0.0


class Bringing:
    """Brings offers of one inbox. Its source is opened with the first of them and shared by all.

    So many files at the same time as the inbox's concurrency says, whatever number of steps they come in.
    """

    def __init__(
        self, inbox: InboxSettings, settings: Settings, stations: Stations, storage: Storage, types: TypeRegistry
    ) -> None:
        self._inbox = inbox
        self._settings = settings
        self._stations = stations
        self._storage = storage
        self._types = types
        connections = max(1, settings.station_of(inbox).connections // settings.work.processes)
        self._connections = Connections(connections)
        self._steps = ThreadPoolExecutor(inbox.concurrency, thread_name_prefix=f"fetch {inbox.id}")
        self._files = ThreadPoolExecutor(inbox.concurrency, thread_name_prefix=f"file {inbox.id}")
        self._ranges = ThreadPoolExecutor(connections, thread_name_prefix=f"range {inbox.id}")
        self._line: Line | None = None
        self._opening = asyncio.Lock()

    async def bring(self, attempt: Attempt, remotes: Sequence[Remote]) -> list[Outcome]:
        """Bring these offers; one that cannot be brought does not hold up the others.

        Raises AttemptVoid where the attempt is, and what opening the source raises.
        """
        line = await self._opened()
        outcomes = [Outcome(remote, f"{ATTEMPTS}/{attempt.token}-{number}") for number, remote in enumerate(remotes)]
        await asyncio.gather(*(self._prepare(line.source, outcome) for outcome in outcomes))
        leash = Leash(_asking(attempt))
        ready = [outcome for outcome in outcomes if outcome.problem is None]
        running = asyncio.wrap_future(self._steps.submit(self._bring_all, line, leash, ready))
        try:
            await running
        except asyncio.CancelledError:
            leash.close()
            raise
        return outcomes

    async def take_back(self, outcome: Outcome) -> None:
        """Delete what nobody wants any more; what cannot be deleted now is swept later."""
        with contextlib.suppress(RefsysError, OSError):
            await asyncio.to_thread(self._storage.delete_prefix, f"{outcome.base}/")

    async def close(self) -> None:
        """Called when the worker ends: what still runs was let go before, and who waits for a connection gives up."""
        await self._stations.close()
        for threads in (self._steps, self._files, self._ranges):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        if self._line is not None:
            await self._line.source.close()
            self._line = None

    async def _opened(self) -> Line:
        async with self._opening:
            if self._line is None:
                fetch = self._settings.fetch
                source = await open_source(self._inbox, self._settings, self._stations)
                self._line = Line(source, self._connections, self._ranges, fetch.window, fetch.range_bytes)
            return self._line

    async def _prepare(self, source: Source, outcome: Outcome) -> None:
        offer = outcome.remote.offer
        try:
            outcome.recognised = self._types.recognise(canonical_name(offer.name))
            await source.prepare(offer)
        except Exception as error:
            outcome.problem = error

    def _bring_all(self, line: Line, leash: Leash, outcomes: Sequence[Outcome]) -> None:
        try:
            with self._storage.batch() as batch:
                rest = iter(outcomes)  # shared by the threads: each takes the next one that nobody has

                def bring_some() -> None:
                    for outcome in rest:
                        self._bring_one(line, leash, batch, outcome)

                hands = min(len(outcomes), self._inbox.concurrency)
                wait([self._files.submit(bring_some) for _ in range(hands)])
                leash.check()
        except BaseException as error:
            for outcome in outcomes:
                with contextlib.suppress(RefsysError, OSError):
                    self._storage.delete_prefix(f"{outcome.base}/")
            leash.check()
            if not isinstance(error, RefsysError | OSError):
                raise
            for outcome in outcomes:
                outcome.problem = outcome.problem or error

    def _bring_one(self, line: Line, leash: Leash, batch: OpenBatch, outcome: Outcome) -> None:
        assert outcome.recognised is not None
        fetch, offer = self._settings.fetch, outcome.remote.offer
        limits = Limits(fetch.max_product_bytes, fetch.max_members, fetch.max_ratio)
        started = time.monotonic()
        try:
            leash.check()
            outcome.files = Placing(
                line=line,
                room=Room(self._storage, batch, limits, self._settings.state_dir / "scratch"),
                offer=offer,
                recognised=outcome.recognised,
                base=outcome.base,
                identity=f"{self._inbox.id}/{offer.remote_id}/{offer.version}",
                leash=leash,
            ).run()
        except Exception as error:
            outcome.problem = error
        outcome.seconds = time.monotonic() - started


def _asking(attempt: Attempt) -> Callable[[], None]:
    def ask() -> None:
        if attempt.lost:
            raise attempt.void()

    return ask
