"""The frame of the sources that speak OData: what they have in common beyond the listing."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, Generic, Self, TypeVar

import structlog

from refsys.core.times import parse_instant
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.stations.client import StationClient, client_of
from refsys.ingestion.model import Offer, Part, Stream
from refsys.ingestion.protocols.odata import ODataRoot
from refsys.ingestion.protocols.odatavalues import Entry, id_literal

log = structlog.get_logger(__name__)

T = TypeVar("T")
K = TypeVar("K")

#: Longest pause until what is open or held is asked for again, in seconds.
_REST_S: Final = 600.0
#: Most things that are told of one source, lest a station of nonsense fills the log.
_TOLD: Final = 1_000


class ODataSource:
    """What the sources have in common whose offers are media entities of `entity_set`."""

    has_ranges = True
    entity_set = ""

    def __init__(self, inbox: InboxSettings, client: StationClient, settings: Settings) -> None:
        self.inbox = inbox
        self.client = client
        self.settings = settings
        self.root = ODataRoot(client, inbox, settings.station_of(inbox).odata)
        self.since = parse_instant(inbox.since)
        self.clock: Callable[[], float] = time.monotonic
        self._held_pace: Pace[str] = Pace(inbox.poll_s)
        self._told: set[str] = set()

    @classmethod
    async def connect(cls, inbox: InboxSettings, settings: Settings, stations: Stations) -> Self:
        client = client_of(inbox, settings, stations)
        await client.__aenter__()
        return cls(inbox, client, settings)

    async def prepare(self, offer: Offer) -> None:
        return None

    def parts(self, offer: Offer) -> Sequence[Part]:
        return [Part("", offer.size_bytes, offer.version)]

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        return self.client.open_stream(self.media(offer), start, stop, tag)

    async def count(self, start: datetime | None, stop: datetime) -> int | None:
        return await self.root.count(self.entity_set, start, stop)

    async def close(self) -> None:
        await self.client.__aexit__()

    def start(self, cursor: datetime | None) -> datetime:
        """Where a look begins, in the station's clock (spec/ingestion 20 no. 2)."""
        return self.since if cursor is None else max(self.since, cursor - timedelta(seconds=self.inbox.overlap_s))

    async def held_again(self, remote_ids: Collection[str]) -> AsyncIterator[list[Entry]]:
        """What is held and was not listed now, by its id."""
        key = self.root.profile.product_id
        due = sorted(self._held_pace.due(remote_ids, self.clock()))
        async for page in self.root.chosen(self.entity_set, [f"{key} eq {id_literal(each)}" for each in due]):
            yield page

    def media(self, offer: Offer) -> str:
        """The URL of an offer's bytes."""
        return self.root.url(f"{self.entity_set}({id_literal(offer.remote_id)})/$value")

    def understood(self, entries: Sequence[Entry], read: Callable[[Entry], T]) -> list[T]:
        """What can be understood of a page; what cannot is told once, and the others still count."""
        found = []
        for entry in entries:
            try:
                found.append(read(entry))
            except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
                self._tell(f"{entry!r:.200}", repr(error))
        return found

    def _tell(self, entry: str, problem: str) -> None:
        if entry not in self._told and len(self._told) < _TOLD:
            self._told.add(entry)
            log.warning("look.entry_ignored", inbox=self.inbox.id, entry=entry, problem=problem)


class Pace(Generic[K]):
    """When what is asked for again and again is due: at once, after `pause_s`, then ever less often."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._planned: dict[K, tuple[float, float]] = {}

    def due(self, wanted: Collection[K], now: float) -> list[K]:
        """Which of what is wanted is due at `now` (monotonic, seconds); what is no longer wanted is forgotten."""
        self._planned = {key: self._planned.get(key, (now, self._pause_s)) for key in wanted}
        due = [key for key, (at, _) in self._planned.items() if at <= now]
        for key in due:
            _, pause_s = self._planned[key]
            self._planned[key] = (now + pause_s, min(2 * pause_s, _REST_S))
        return due
