"""WebDAV and FTP stations: what is listed, held, read and resumed, and what happens when they do not behave."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from refsys.core.errors import Gone, Transient, Unreachable
from refsys.infra.settings import AuthSettings, FetchSettings
from refsys.infra.stations import limits
from refsys.ingestion.model import Offer, Source
from refsys.simulation.files import EdipStation, FileStation, XbipStation
from refsys.simulation.station import Answer, Basic, Cut, Held, Html, NoRange, Slow, Stall
from tests.file_drops import FETCH, begin, drained, look, opened, read, until_cut
from tests.waiting import wait_for

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
BYTES = random.Random(1).randbytes(300_000)
ODD = [
    "S1A/a b.raw",
    "S1A/100%41.raw",
    "S1A/ünïcödé.raw",
    "S1A/a+b&c;d=e,f@g#h?i.raw",
    "S1A/.hidden",
    "S1A/<tag>'\".raw",
]


class Clock:
    """A station's clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 14, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, seconds: float = 60) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., FileStation]


@pytest.fixture
def make(kind: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A station of this kind; its certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    def made(**options: Any) -> FileStation:
        certificate = CERTIFICATE if kind in ("xbip over https", "ftps", "ftpis") else None
        station: FileStation
        if kind.startswith("xbip"):
            station = XbipStation(clock=clock, certificate=certificate, **options)
        else:
            station = EdipStation(clock=clock, certificate=certificate, **options)
            station.implicit = kind == "ftpis"
            station.session_reuse = kind == "ftps"
            if kind == "ftp by LIST":
                station.refuses = frozenset({"MLSD", "MLST"})
        return station

    return made


@pytest.fixture
def station(make: Make) -> Iterator[FileStation]:
    with make() as station:
        yield station


def inbox(station: FileStation, **changes: Any) -> dict[str, Any]:
    return {"type": "xbip" if isinstance(station, XbipStation) else "edip", "url": station.url, **changes}


every = pytest.mark.parametrize("kind", ["xbip", "xbip over https", "ftp", "ftp by LIST", "ftps", "ftpis"])
both = pytest.mark.parametrize("kind", ["xbip", "ftp"])


async def only(source: Source) -> Offer:
    """The one offer of a look."""
    (offer,) = (await look(source))[0].values()
    return offer


@every
async def test_sessions_are_offered_with_what_their_names_tell(station: FileStation, clock: Clock) -> None:
    session = station.session("S1A_20241114143038056552")
    for channel in (1, 2):
        session.publish_channel(channel, blocks=3, size_bytes=20_440)
        clock.go()
        session.publish_dsib(channel)
    async with opened(**inbox(station, evicted_after_days=7)) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert len(found) == 8
        assert [offer.published_at for offer in found.values()] == sorted(
            offer.published_at for offer in found.values() if offer.published_at
        )
        name = "DCS_04_S1A_20241114143038056552_ch2_DSDB_00003.raw"
        block = found[f"S1A/DCS_04_S1A_20241114143038056552_dat/ch_2/{name}"]
        assert (block.name, block.remote_id, block.size_bytes, block.held) == (name, block.path, 20_440, "")
        assert block.session is not None
        assert (block.session.session, block.session.channel, block.session.block) == ("S1A_20241114143038056552", 2, 3)
        assert block.published_at is not None
        assert abs(block.published_at - (clock.now - timedelta(minutes=1))) < timedelta(minutes=1)
        assert block.evicted_at == block.published_at + timedelta(days=7)
        contents = {file.name: file.content.open().file.read() for file in station.archive.blocks()}
        for offer in found.values():
            assert await read(source, offer) == contents[offer.name]
        again, _ = await look(source)
        assert again == found


@both
async def test_a_folder_of_retransfers_says_so(station: FileStation) -> None:
    station.session("S1A_20241114143038056552", retransfer=True).publish_channel(1, blocks=1)
    async with opened(**inbox(station, url=station.retransfer_url, retransfer=True)) as source:
        offer = await only(source)
    assert offer.session is not None
    assert offer.session.retransfer


@every
async def test_names_and_bytes_come_through_as_they_are(station: FileStation) -> None:
    contents = {path: random.Random(path).randbytes(5000) for path in ODD}
    for path, data in contents.items():
        station.put(f"NOMINAL/{path}", Held(data))
    async with opened(**inbox(station)) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert found.keys() == contents.keys()
        for path, offer in found.items():
            assert await read(source, offer) == contents[path]


@every
async def test_reading_goes_on_where_it_stopped(station: FileStation) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    async with opened(**inbox(station)) as source:
        offer = await only(source)
        first = await begin(source, offer)
        assert (first.start, first.size_bytes) == (0, len(BYTES))
        assert drained(first) == BYTES
        for start in (1, 150_000, len(BYTES) - 1):
            more = await begin(source, offer, start=start, tag=first.tag)
            assert (more.start, more.tag, more.size_bytes) == (start, first.tag, len(BYTES))
            assert drained(more) == BYTES[start:]


@every
async def test_another_file_under_the_name_begins_at_its_beginning(station: FileStation, clock: Clock) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    async with opened(**inbox(station)) as source:
        before = await only(source)
        first = await begin(source, before)
        assert drained(first) == BYTES
        clock.go(86_400)
        station.put("NOMINAL/S1A/a.raw", Held(BYTES[::-1]))
        assert (await only(source)).version != before.version
        stream = await begin(source, before, start=1000, tag=first.tag)
        assert stream.start == 0
        assert drained(stream) == BYTES[::-1]
        station.put("NOMINAL/S1A/a.raw", Held(BYTES[:-1]))
        with pytest.raises(Transient, match="changed since it was listed"):
            await begin(source, before)


@pytest.mark.parametrize("kind", ["xbip", "xbip over https", "ftp", "ftps"])
async def test_a_cut_transfer_is_told_and_resumed(station: FileStation) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    station.faults.on_download(Cut(100_000))
    async with opened(**inbox(station)) as source:
        offer = await only(source)
        stream = await begin(source, offer)
        came = await asyncio.to_thread(until_cut, stream)
        assert 0 < len(came) <= 100_000
        assert came == BYTES[: len(came)]
        assert await read(source, offer, start=len(came), tag=stream.tag) == BYTES[len(came) :]


@both
async def test_a_server_without_ranges_sends_all(make: Make) -> None:
    with make() as station:
        station.put("NOMINAL/S1A/a.raw", Held(BYTES))
        if isinstance(station, EdipStation):
            station.refuses = frozenset({"REST"})
            station.__exit__()
            station.__enter__()
        else:
            station.faults.on_download(NoRange(), times=None)
        async with opened(**inbox(station)) as source:
            stream = await begin(source, await only(source), start=1000)
            assert stream.start == 0
            assert drained(stream) == BYTES


@both
async def test_what_is_gone_is_told_as_gone(station: FileStation) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    async with opened(**inbox(station)) as source:
        offer = await only(source)
        station.tree.remove("NOMINAL/S1A/a.raw")
        with pytest.raises(Gone):
            await begin(source, offer)
        assert await look(source) == ({}, True)


@both
async def test_a_station_that_drips_does_not_hold_us_for_ever(
    station: FileStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RATE_WINDOW_S", 0.2)
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    fetch = FETCH.model_copy(update={"least_bytes_per_s": 100_000})
    async with opened(fetch, **inbox(station)) as source:
        offer = await only(source)
        station.faults.on_download(Slow(5_000))
        with pytest.raises(OSError, match="100000 a second are the least"):
            await read(source, offer)


@both
async def test_a_reader_that_waits_is_woken(station: FileStation) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    station.faults.on_download(Stall(100_000))
    async with opened(**inbox(station)) as source:
        stream = await begin(source, await only(source))
        reading = asyncio.create_task(asyncio.to_thread(drained, stream))
        await wait_for(lambda: station.journal.requests("download"))
        stream.close()
        with pytest.raises(OSError):
            await reading


@both
async def test_what_grows_or_is_empty_is_held(station: FileStation, clock: Clock) -> None:
    station.put("NOMINAL/S1A/whole.raw", Held(BYTES))
    station.put("NOMINAL/S1A/growing.raw", Held(BYTES[:1000]))
    station.put("NOMINAL/S1A/empty.raw", Held(b""))
    async with opened(**inbox(station, stable_s=0.05)) as source:

        async def takeable() -> set[str]:
            return {path for path, offer in (await look(source))[0].items() if not offer.held}

        assert await takeable() == set()
        station.put("NOMINAL/S1A/growing.raw", Held(BYTES[:2000]))
        await wait_for(takeable)
        found, is_whole = await look(source)
        assert is_whole
        assert found["S1A/empty.raw"].held == "it is empty"
        clock.go()
        for path in ("growing", "empty"):
            station.put(f"NOMINAL/S1A/{path}.raw", Held(BYTES))
        held = {path for path, offer in (await look(source))[0].items() if "stood still" in offer.held}
        assert held == {"S1A/growing.raw", "S1A/empty.raw"}

        async def is_all_taken() -> bool:
            return await takeable() == found.keys()

        await wait_for(is_all_taken)


@both
async def test_what_a_dsib_lists_need_not_stand_still(station: FileStation) -> None:
    session = station.session("S1A_20241114143038056552")
    session.publish_channel(1, blocks=3)
    session.publish_channel(2, blocks=3)
    session.publish_dsib(1)
    async with opened(**inbox(station, stable_s=3600)) as source:
        found, _ = await look(source)
    taken = [offer.session.channel for offer in found.values() if offer.session and not offer.held]
    assert sorted(taken) == [1, 1, 1, 1]
    assert len(found) == 7


@both
async def test_folders_can_be_the_products(station: FileStation, clock: Clock) -> None:
    name = "S3A_SR_1_CA1LAX_20000101T000000_20991231T235959_20151214T120000___________________MPC_O_AL_001.SEN3"
    station.put(f"NOMINAL/{name}/xfdumanifest.xml", Held(b"<a/>"))
    station.put(f"NOMINAL/{name}/deep er/data.nc", Held(BYTES))
    station.put("NOMINAL/single.EOF", Held(b"<b/>"))
    async with opened(**inbox(station, directories=True)) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert found.keys() == {name, "single.EOF"}
        product = found[name]
        assert product.size_bytes == len(BYTES) + 4
        parts = await asyncio.to_thread(source.parts, product)
        assert {part.path for part in parts} == {"xfdumanifest.xml", "deep er/data.nc"}
        for part in parts:
            assert len(await read(source, product, part)) == part.size_bytes
        clock.go()
        station.put(f"NOMINAL/{name}/late.nc", Held(BYTES))
        with pytest.raises(Transient, match="changed since it was listed"):
            await asyncio.to_thread(source.parts, product)
        assert (await look(source))[0][name].version != product.version
        (part,) = source.parts(found["single.EOF"])
        assert (part.path, part.size_bytes) == ("", 4)


FAULTS = [Answer(500), Answer(503), Answer(429), Cut(30), Stall(30), Stall(0)]


@pytest.mark.parametrize(
    ("kind", "fault"),
    [(kind, fault) for kind in ("xbip", "ftp") for fault in FAULTS] + [("xbip", Html())],
    ids=lambda given: given if isinstance(given, str) else str(given).partition(", ")[0],
)
async def test_a_listing_that_fails_is_no_listing(fault: Any, station: FileStation) -> None:
    station.put("NOMINAL/S1A/a.raw", Held(BYTES))
    station.put("NOMINAL/S2A/b.raw", Held(BYTES))
    # where folders are listed one by one, the first listing has succeeded by then
    after = 1 if isinstance(station, EdipStation) else 0
    station.faults.on_listing(fault, times=None, after=after)
    async with opened(FetchSettings(read_timeout_s=0.5), **inbox(station)) as source:
        with pytest.raises(Transient) as caught:
            await look(source)
        assert str(caught.value).startswith("Svalbard: ")
        station.faults.clear()
    async with opened(**inbox(station)) as source:
        found, is_whole = await look(source)
        assert is_whole
        assert len(found) == 2


@every
async def test_wrong_credentials_are_told_and_not_shown(make: Make) -> None:
    def auth(password: str) -> AuthSettings:
        return AuthSettings(kind="basic", user="anna", password=SecretStr(password))

    with make(auth=Basic(user="anna", password="r1ght ü")) as station:
        station.put("NOMINAL/S1A/a.raw", Held(BYTES))
        async with opened(**inbox(station, auth=auth("wr0ng"))) as source:
            with pytest.raises(Unreachable, match="check user, password") as caught:
                await look(source)
        assert "wr0ng" not in str(caught.value)
        async with opened(**inbox(station, auth=auth("r1ght ü"))) as source:
            assert await read(source, await only(source)) == BYTES


@pytest.mark.parametrize("kind", ["xbip over https", "ftps", "ftpis"])
async def test_a_certificate_has_to_be_trusted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with make() as station:
        station.put("NOMINAL/S1A/a.raw", Held(BYTES))
        async with opened(**inbox(station)) as source:
            with pytest.raises(Unreachable, match="certificate that cannot be trusted"):
                await look(source)
        async with opened(**inbox(station, verify_tls=False)) as source:
            assert await read(source, await only(source)) == BYTES


@both
async def test_a_station_that_is_not_there_is_told(station: FileStation) -> None:
    station.__exit__()
    async with opened(**inbox(station)) as source:
        with pytest.raises(Unreachable, match=r"cannot be reached|did not list"):
            await look(source)
    station.__enter__()


@both
async def test_an_inbox_that_is_not_there_is_told(station: FileStation) -> None:
    async with opened(**inbox(station, url=f"{station.base_url}/NOWHERE/")) as source:
        with pytest.raises(Gone, match="url"):
            await look(source)
