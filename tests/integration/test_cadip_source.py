"""What a CADIP station offers is found: at once, whole, once, whatever the station's habits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from refsys.core.errors import RefsysError
from refsys.infra.settings import InboxSettings, ODataSettings, Settings, StationSettings
from refsys.ingestion.model import Memory, Offer, SessionSaid
from refsys.ingestion.protocols import open_source
from refsys.ingestion.protocols.cadip import CadipSource
from refsys.simulation.station import Answer, CadipStation, Twice

SESSION = "S1A_20241114143038056552"
OTHER = "S1C_20241114150000003210"
EDRS = "L20171109175634707000125"


@dataclass
class Clock:
    """The station's clock, or ours in seconds."""

    now: datetime = datetime(2024, 11, 14, 14, 30, tzinfo=UTC)
    ours: float = 0.0

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=7)
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.ours += timedelta(**time).total_seconds()


@dataclass
class Looks:
    """An inbox as far as a source sees one: looks, and what it remembers of them."""

    source: CadipSource
    clock: Clock
    cursor: datetime | None = None
    held: dict[str, Offer] = field(default_factory=dict)
    open: list[tuple[str, bool]] = field(default_factory=list)
    offers: dict[tuple[str, str], Offer] = field(default_factory=dict)
    said: dict[tuple[str, bool], SessionSaid] = field(default_factory=dict)
    is_whole: bool = False

    async def look(self) -> list[Offer]:
        """One look; returns what is new."""
        new, self.is_whole, cursor = [], False, self.cursor
        async for findings in self.source.look(Memory(self.cursor, list(self.held.values()), list(self.open))):
            for offer in findings.offers:
                if (offer.remote_id, offer.version) not in self.offers:
                    self.offers[offer.remote_id, offer.version] = offer
                    new.append(offer)
                (self.held.__setitem__ if offer.held else lambda key, _: self.held.pop(key, None))(
                    offer.remote_id, offer
                )
                assert offer.published_at is not None
                cursor = max(cursor or offer.published_at, offer.published_at)
            self.said |= {(said.session, said.retransfer): said for said in findings.sessions}
            self.is_whole = self.is_whole or findings.is_whole
        self.cursor = cursor
        return new


@contextlib.asynccontextmanager
async def looking(
    station: CadipStation, clock: Clock, *, odata: ODataSettings | None = None, **inbox: Any
) -> AsyncIterator[Looks]:
    settings = Settings(station=(StationSettings(name="SGS_", odata=odata or ODataSettings()),))
    source = await open_source(
        InboxSettings(**{"id": "sgs", "type": "cadip", "url": station.url, "station": "SGS_"} | inbox), settings
    )
    assert isinstance(source, CadipSource)
    source.clock = lambda: clock.ours
    try:
        yield Looks(source, clock)
    finally:
        await source.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def station(clock: Clock) -> AsyncIterator[CadipStation]:
    async with CadipStation(clock=clock) as station:
        yield station


async def test_a_real_session_is_found_with_all_that_the_station_says(
    station: CadipStation, clock: Clock, shared_data: Path
) -> None:
    [real] = json.loads((shared_data / "sessions" / f"{SESSION}.json").read_text())["value"]
    session = station.session(
        SESSION, published_at=instant(real["PublicationDate"]), downlink_stop=instant(real["DownlinkStop"])
    )
    for file in real["Files"]:
        session.publish(
            file["Channel"],
            file["BlockNumber"],
            is_final=file["FinalBlock"],
            announced_bytes=file["Size"],
            published_at=instant(file["PublicationDate"]),
            evicted_at=instant(file["EvictionDate"]),
        )
    for quality in real["QualityInfo"]:
        session.deliver(quality["Channel"], TotalChunks=quality["TotalChunks"], TotalVolume=quality["TotalVolume"])
    async with looking(station, clock) as inbox:
        found = await inbox.look()
    assert len(found) == 38
    assert inbox.is_whole
    expected = {file["Name"]: file for file in real["Files"]}
    for offer in found:
        file = expected[offer.name]
        assert offer.path == f"{SESSION}/{offer.name}"
        assert (offer.size_bytes, offer.published_at) == (file["Size"], instant(file["PublicationDate"]))
        assert offer.evicted_at == instant(file["EvictionDate"])
        assert offer.session is not None
        assert (offer.session.session, offer.session.retransfer) == (SESSION, False)
        assert (offer.session.channel, offer.session.block) == (file["Channel"], file["BlockNumber"])
        assert offer.session.is_final is file["FinalBlock"]
    said = inbox.said[SESSION, False]
    assert (said.channels, said.satellite, said.station_unit, said.orbit) == (2, "S1A", "04", 56552)
    assert {channel: quality["TotalChunks"] for channel, quality in said.quality.items()} == {1: 19, 2: 19}
    assert sum(offer.size_bytes or 0 for offer in found) == sum(each["TotalVolume"] for each in said.quality.values())


DIALECTS: dict[str, dict[str, Any]] = {
    "standard": {},
    "ge and le refused": {"refuses": frozenset({"ge", "le", "in", "contains", "$count"})},
    "capped pages": {"page_limit": 3},
    "no links": {"page_limit": 4, "next_links": False},
    "short pages": {"page_limit": 6, "short_pages": True, "next_links": False},
    "$skip ignored": {"page_limit": 5, "skip_ignored": True, "next_links": False},
    "bare lists and numbers as texts": {"empty_list": True, "text_numbers": True},
    "$expand refused": {"refuses": frozenset({"$expand"})},
}


@pytest.mark.parametrize("habit", DIALECTS)
async def test_no_habit_of_a_station_loses_a_file_during_a_pass(
    station: CadipStation, clock: Clock, habit: str
) -> None:
    station.speak(**DIALECTS[habit])
    chance, found = random.Random(5), []
    session = station.session(SESSION)
    blocks = [(channel, number) for channel in (1, 2) for number in range(1, 9)]
    chance.shuffle(blocks)
    async with looking(station, clock) as inbox:
        while blocks:
            for channel, number in blocks[:3]:
                session.publish(channel, number, is_final=number == 8)
            del blocks[:3]
            clock.pass_by(seconds=10)
            found += await inbox.look()
        assert not await inbox.look()
    assert sorted(offer.name for offer in found) == sorted(block.name for block in session.blocks)
    assert sum(offer.session.is_final is True for offer in found if offer.session) == 2
    assert inbox.said[SESSION, False].channels == 2


async def test_entries_listed_twice_are_one_offer(station: CadipStation, clock: Clock) -> None:
    session = station.session(SESSION)
    session.publish_channel(1, 5)
    station.faults.on_listing(Twice(), times=None)
    async with looking(station, clock, page_size=2) as inbox:
        assert len(await inbox.look()) == 5


async def test_a_file_published_late_with_an_older_date_is_found_within_the_overlap_and_then_by_its_session(
    station: CadipStation, clock: Clock
) -> None:
    session = station.session(SESSION)
    session.publish(1, 2)
    async with looking(station, clock, overlap_s=600) as inbox:
        await inbox.look()
        session.publish(1, 1, published_at=clock.now - timedelta(seconds=500))
        assert [offer.session and offer.session.block for offer in await inbox.look()] == [1]
        inbox.open = [(SESSION, False)]
        await inbox.look()
        late = session.publish(1, 3, published_at=clock.now - timedelta(seconds=900))
        assert not await inbox.look()  # older than the overlap, and the session was asked for just now
        clock.pass_by(seconds=31)
        assert [offer.remote_id for offer in await inbox.look()] == [str(late.id)]


async def test_what_is_said_late_of_an_open_session_is_found_however_old_it_is(
    station: CadipStation, clock: Clock
) -> None:
    session = station.session(SESSION)
    session.publish_channel(1, 3)
    async with looking(station, clock, overlap_s=60) as inbox:
        await inbox.look()
        clock.pass_by(hours=1)
        station.session(OTHER).publish(1, 1)
        await inbox.look()
        session.deliver(1)
        inbox.open = [(SESSION, False)]
        await inbox.look()
        assert inbox.said[SESSION, False].quality[1]["TotalChunks"] == 3


@pytest.mark.parametrize("is_known", [True, False])
async def test_where_expand_is_refused_quality_of_open_sessions_is_asked_for_one_by_one(
    station: CadipStation, clock: Clock, is_known: bool
) -> None:
    session = station.session(SESSION)
    session.publish_channel(1, 3)
    session.deliver(1)
    async with looking(station, clock, odata=ODataSettings(expand=not is_known)) as inbox:
        if not is_known:  # refused for collections only, and nobody has told us
            station.faults.on_listing(Answer(501), name="Sessions")
        inbox.open = [(SESSION, False)]
        await inbox.look()
        assert inbox.said[SESSION, False].quality[1]["TotalVolume"] == sum(block.size_bytes for block in session.blocks)
        asked = [request.path for request in station.journal.requests("entity")]
        assert asked == [f"/odata/v1/Sessions({session.id})"]


async def test_an_empty_file_is_held_and_asked_for_by_its_id_until_there_is_something_in_it(
    station: CadipStation, clock: Clock
) -> None:
    session = station.session(SESSION)
    empty = session.publish(1, 1, written_bytes=0)
    async with looking(station, clock, overlap_s=10) as inbox:
        [offer] = await inbox.look()
        assert (offer.held, offer.size_bytes) == ("it is empty so far", None)
        clock.pass_by(minutes=5)
        session.publish(1, 2)
        await inbox.look()
        clock.pass_by(minutes=5)
        session.grow(empty)
        [offer] = await inbox.look()
        assert (offer.remote_id, offer.held, offer.size_bytes) == (str(empty.id), "", empty.size_bytes)


async def test_a_retransfer_is_another_session_with_files_of_the_same_names(
    station: CadipStation, clock: Clock
) -> None:
    for retransfer in (False, True):
        station.session(SESSION, retransfer=retransfer).publish_channel(1, 2)
    async with looking(station, clock) as inbox:
        found = await inbox.look()
    assert sorted((offer.session.retransfer, offer.session.block) for offer in found if offer.session) == [
        (False, 1), (False, 2), (True, 1), (True, 2),
    ]  # fmt: skip
    assert len({offer.remote_id for offer in found}) == 4
    assert set(inbox.said) == {(SESSION, False), (SESSION, True)}


async def test_an_inbox_of_one_satellite_leaves_the_files_of_others_alone(station: CadipStation, clock: Clock) -> None:
    for name, satellite in ((SESSION, ""), (OTHER, ""), (EDRS, "S1A"), (f"{EDRS[:-1]}6", "S2B")):
        session = station.session(name, satellite=satellite)
        session.publish_channel(1, 2)
    stray = "L20171109175634707000999"  # nobody knows whose: it is not lost
    station.archive.session(stray, satellite="S3A", published_at=datetime(2020, 1, 1, tzinfo=UTC)).publish(1, 1)
    async with looking(station, clock, satellite="S1A") as inbox:
        found = {offer.session.session for offer in await inbox.look() if offer.session}
        assert found == {SESSION, EDRS}
        assert {session for session, _ in inbox.said} == {SESSION, EDRS}
        assert await inbox.source.count(None, clock.now + timedelta(days=1)) == 4
    async with looking(station, clock) as everything:
        await everything.look()
        assert await everything.source.count(None, clock.now + timedelta(days=1)) == 9
        assert len(everything.offers) == 9


async def test_idle_looks_cost_two_requests_and_now_and_then_two_more(station: CadipStation, clock: Clock) -> None:
    station.session(SESSION).publish_channel(1, 5)
    async with looking(station, clock) as inbox:
        await inbox.look()
        station.journal.clear()
        for _ in range(12):
            clock.pass_by(seconds=10)
            await inbox.look()
        assert len(station.journal.listings()) <= 12 * 2 + 2 * 2
        inbox.open = [(f"S1A_2024111414303805{number:04}", False) for number in range(16)]
        station.journal.clear()
        for _ in range(60):
            clock.pass_by(minutes=1)
            await inbox.look()
        of_sessions = [each for each in station.journal.listings() if "SessionId" in unquote(each.query)]
        # in an hour, of sixteen open sessions: after 0, 30, 90, 210, 450, 930 s, and then every ten minutes
        assert len(of_sessions) <= 2 * 11


async def test_a_listing_that_fails_is_an_error_and_what_came_before_counts(
    station: CadipStation, clock: Clock
) -> None:
    station.session(SESSION).publish_channel(1, 6)
    station.speak(page_limit=2, next_links=False)
    station.faults.on_listing(Answer(500), after=2)
    async with looking(station, clock) as inbox:
        with pytest.raises(RefsysError, match="500"):
            await inbox.look()
        assert len(inbox.offers) == 4
        assert inbox.cursor is None
        assert len(await inbox.look()) == 2


async def test_bytes_come_from_any_offset(station: CadipStation, clock: Clock) -> None:
    session = station.session(SESSION)
    block = session.publish(1, 1)
    whole = block.content.open().file.read()
    async with looking(station, clock) as inbox:
        [offer] = await inbox.look()
        [part] = inbox.source.parts(offer)
        assert (part.path, part.size_bytes) == ("", len(whole))

        def read(start: int, stop: int | None) -> bytes:
            stream = inbox.source.open(offer, part, start, stop)
            assert (stream.start, stream.size_bytes) == (start, len(whole))
            found, buffer = bytearray(), memoryview(bytearray(4096))
            while count := stream.readinto(buffer):
                found += buffer[:count]
            stream.close()
            return bytes(found)

        assert await asyncio.to_thread(read, 0, None) == whole
        assert await asyncio.to_thread(read, 5_000, 9_000) == whole[5_000:9_000]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
