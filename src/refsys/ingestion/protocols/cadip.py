"""CADIP: acquisition sessions, their files and quality information (spec/ingestion 5, 20 no. 2 to 6, 14).

Files are asked for in one query for the whole station. Sessions are asked for by their dates now and then and when
files of unknown ones appear; those that are open by their ids, ever less often, together with their files: a file that
is published late with an older date is found so.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from refsys.core.errors import Overloaded, Permanent, RefsysError, Unreachable
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations.client import StationClient
from refsys.ingestion.model import Findings, Memory, Offer, SessionFile, SessionSaid
from refsys.ingestion.protocols.odatasource import ODataSource, Pace, log
from refsys.ingestion.protocols.odatavalues import (
    Entry,
    boolean_of,
    checksums_of,
    evicted_at,
    id_literal,
    instant_or_none,
    number_of,
    plain,
    read_instant,
    size_of,
    text_literal,
    text_of,
    version_of,
)
from refsys.ingestion.sessions import session_file_of
from refsys.ingestion.sessions.names import DSIB, is_session, satellite_of

#: Seconds between two looks at Sessions as long as the files show no new one, and until an open one is asked for again.
_SESSIONS_S: Final = 60.0
_OPEN_S: Final = 30.0
#: Sessions that are remembered in memory, lest a station of endless ones fills it.
_REMEMBERED: Final = 10_000
#: What names of files have room for (spec/ingestion 6.1).
_CHANNELS: Final = range(1, 10)
_BLOCKS: Final = range(1, 100_000)
#: Fields of a session that have a place of their own.
_FIELDS: Final = frozenset(
    (
        "SessionId", "Retransfer", "Satellite", "NumChannels", "StationUnitId", "DownlinkOrbit", "PublicationDate",
        "PlannedDataStart", "PlannedDataStop", "DownlinkStart", "DownlinkStop", "QualityInfo", "Files",
    )
)  # fmt: skip


class CadipSource(ODataSource):
    """The sessions and files of one station, or with `inbox.satellite` those of one satellite."""

    entity_set = "Files"

    def __init__(self, inbox: InboxSettings, client: StationClient, settings: Settings) -> None:
        super().__init__(inbox, client, settings)
        #: What the station says of which satellite a session is, where its id does not tell.
        self._satellites: dict[str, str] = {}
        self._known: set[str] = set()
        self._differing: set[str] = set()
        self._sessions_due = self.clock()
        self._open_pace: Pace[str] = Pace(_OPEN_S)
        self._expands = self.root.profile.expand

    async def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """Files, then sessions, both from the cursor less the overlap on; then what is open or held."""
        start, held, is_whole = self.start(memory.cursor), {offer.remote_id for offer in memory.held}, True
        new: set[str] = set()
        async for page in self.root.listed("Files", start):
            offers = self.understood(page, self._offer)
            held.difference_update(offer.remote_id for offer in offers)
            is_whole = is_whole and len(offers) == len(page)
            ours = await self._ours(offers)
            new |= {offer.session.session for offer in ours if offer.session is not None} - self._known
            yield Findings(ours)
        if new or self.clock() >= self._sessions_due:
            async for page in self._sessions(lambda expand: self.root.listed("Sessions", start, expand=expand)):
                yield Findings(sessions=await self._said(page, ()))
            self._sessions_due = self.clock() + _SESSIONS_S
            self._known |= new
        async for findings in self._open_again({session for session, _ in memory.open_sessions}):
            yield findings
        async for page in self.held_again(held):
            yield Findings(await self._ours(self.understood(page, self._offer)))
        if memory.cursor is None and is_whole:
            yield Findings(is_whole=True)

    async def count(self, start: datetime | None, stop: datetime) -> int | None:
        """Of one satellite, files are counted one by one: stations cannot choose them so."""
        if not self.inbox.satellite:
            return await super().count(start, stop)
        number = 0
        async for page in self.root.listed("Files", start or self.since):
            offers = self.understood(page, self._offer)
            number += sum(1 for offer in await self._ours(offers) if offer.published_at and offer.published_at < stop)
        return number

    async def _open_again(self, sessions: Collection[str]) -> AsyncIterator[Findings]:
        terms = [f"SessionId eq {text_literal(each)}" for each in self._open_pace.due(sessions, self.clock())]
        async for page in self._sessions(lambda expand: self.root.chosen("Sessions", terms, expand=expand)):
            yield Findings(sessions=await self._said(page, sessions))
        async for page in self.root.chosen("Files", terms):
            yield Findings(await self._ours(self.understood(page, self._offer)))

    async def _sessions(self, ask: Callable[[str], AsyncIterator[list[Entry]]]) -> AsyncIterator[list[Entry]]:
        """Pages of Sessions, with QualityInfo in them unless the station answers (400, 501) only without."""
        refused: RefsysError | None = None
        if self._expands:
            try:
                async for page in ask("QualityInfo"):
                    yield page
                return
            except Overloaded:
                raise
            except (Permanent, Unreachable) as error:
                refused = error
        async for page in ask(""):
            yield page
        if refused is not None:
            self._expands = False
            log.warning("look.expand_refused", inbox=self.inbox.id, problem=str(refused))

    async def _said(self, page: Iterable[Entry], open_sessions: Collection[str]) -> list[SessionSaid]:
        """What a page of Sessions says; without $expand, quality information of open ones is asked for one by one."""
        found: list[SessionSaid] = []
        for entry, said in self.understood(list(page), lambda entry: (entry, session_of(entry))):
            self._note(said)
            if not self._is_ours(said.session, said.satellite):
                continue
            if "QualityInfo" not in entry and said.session in open_sessions and "Id" in entry:
                path = f"Sessions({id_literal(str(entry['Id']))})"
                whole = await self.root.entry(path, **{"$expand": "QualityInfo"})
                said = replace(said, quality=quality_of(whole.get("QualityInfo")))
            found.append(said)
        return found

    def _note(self, said: SessionSaid) -> None:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
            self._satellites.clear()
        self._known.add(said.session)
        self._satellites[said.session] = said.satellite

    async def _ours(self, offers: list[Offer]) -> list[Offer]:
        """Those of the inbox's satellite; where nobody can tell, a file is ours rather than lost."""
        if not self.inbox.satellite:
            return offers
        named = {offer.session.session for offer in offers if offer.session is not None}
        unknown = [each for each in sorted(named) if not satellite_of(each) and each not in self._satellites]
        self._satellites |= dict.fromkeys(unknown, "")
        async for page in self.root.chosen("Sessions", [f"SessionId eq {text_literal(each)}" for each in unknown]):
            for said in self.understood(page, session_of):
                self._note(said)
        return [
            offer
            for offer in offers
            if offer.session is None
            or self._is_ours(offer.session.session, self._satellites.get(offer.session.session))
        ]

    def _is_ours(self, session: str, satellite: str | None) -> bool:
        said = satellite_of(session) or satellite
        return not self.inbox.satellite or not said or said == self.inbox.satellite

    def _offer(self, entry: Entry) -> Offer:
        offer, differs = offer_of(entry)
        if differs and offer.session is not None and offer.session.session not in self._differing:
            if len(self._differing) < _REMEMBERED:
                self._differing.add(offer.session.session)
            log.warning("look.name_and_record_differ", inbox=self.inbox.id, file=offer.name, record=differs)
        return offer


def offer_of(entry: Entry) -> tuple[Offer, str]:
    """A file as CADIP describes it, and what of its session its record tells otherwise than its name ("" = nothing).

    The record stands. Raises ValueError or KeyError where it lacks id, name or publication date.
    """
    name, published_at = text_of(entry["Name"]), read_instant(entry["PublicationDate"])
    size_bytes, checksums = size_of(entry.get("Size")), checksums_of(entry.get("Checksum"))
    session, differs = _session_file(entry, name)
    offer = Offer(
        remote_id=text_of(entry["Id"]),
        version=version_of(entry["PublicationDate"], size_bytes, checksums),
        name=name,
        size_bytes=size_bytes or None,
        published_at=published_at,
        origin_at=published_at,
        checksums=checksums,
        evicted_at=evicted_at(entry, published_at),
        path=f"{text_of(entry.get('SessionId') or (session.session if session else 'unknown'))}/{name}",
        held="it is empty so far" if size_bytes == 0 else "",
        session=session,
    )
    return offer, differs


def session_of(entry: Entry) -> SessionSaid:
    """A session as CADIP describes it. Raises ValueError or KeyError where it lacks an id."""
    session = text_of(entry["SessionId"]).upper()
    return SessionSaid(
        session=session,
        retransfer=boolean_of(entry.get("Retransfer")) or False,
        satellite=plain(entry.get("Satellite")) or satellite_of(session),
        channels=number_of(entry.get("NumChannels")) or None,
        station_unit=plain(entry.get("StationUnitId")),
        orbit=number_of(entry.get("DownlinkOrbit")),
        published_at=instant_or_none(entry.get("PublicationDate")),
        planned_start=instant_or_none(entry.get("PlannedDataStart")),
        planned_stop=instant_or_none(entry.get("PlannedDataStop")),
        downlink_start=instant_or_none(entry.get("DownlinkStart")),
        downlink_stop=instant_or_none(entry.get("DownlinkStop")),
        quality=quality_of(entry.get("QualityInfo")),
        facts=_scalars(entry, _FIELDS),
    )


def quality_of(found: Any) -> dict[int, Mapping[str, Any]]:
    """QualityInfo by channel; a record whose channel is no channel is left out."""
    records = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    return {
        channel: _scalars(record, ())
        for record in records
        if (channel := number_of(record.get("Channel"), _CHANNELS)) is not None
    }


def _session_file(entry: Entry, name: str) -> tuple[SessionFile | None, str]:
    """Of which session it is, by its record and its name, and what the record tells otherwise."""
    retransfer = boolean_of(entry.get("Retransfer")) or False
    block, channel = number_of(entry.get("BlockNumber"), _BLOCKS), number_of(entry.get("Channel"), _CHANNELS)
    is_final, session = boolean_of(entry.get("FinalBlock")), plain(entry.get("SessionId")).upper()
    named = session_file_of(name, retransfer=retransfer, block=block, is_final=is_final)
    if named is None:
        if not is_session(session) or block is None or channel is None:
            return None, ""
        return SessionFile(session, retransfer, channel, block, is_final), ""
    recorded = SessionFile(
        session=session if is_session(session) else named.session,
        retransfer=retransfer,
        channel=channel or named.channel,
        block=block if block is not None and named.block != DSIB else named.block,
        is_final=None if named.block == DSIB else is_final,
    )
    pairs = {
        "session": (named.session, recorded.session),
        "channel": (named.channel, recorded.channel),
        "block": (named.block, recorded.block),
    }
    return recorded, ", ".join(f"{what} {ours}" for what, (theirs, ours) in pairs.items() if theirs != ours)


def _scalars(entry: Entry, without: Collection[str]) -> dict[str, Any]:
    """The fields of an entity that hold single values a database can hold."""
    return {
        plain(name): plain(value) if isinstance(value, str) else value
        for name, value in entry.items()
        if name not in without and not re.match("@|.*@odata", name) and isinstance(value, str | int | float | None)
    }
