"""What an archive has offline is ordered once, waited for, and then fetched; whatever is restarted meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from refsys.core.errors import Gone, NotYet, RefsysError, Transient
from refsys.infra.settings import AuthSettings, InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.stations.client import StationClient
from refsys.ingestion.inboxes import store
from refsys.ingestion.model import Memory, Offer
from refsys.ingestion.protocols.lta import LtaSource
from refsys.simulation.station import LtaStation
from refsys.simulation.station.content import Held

NAME = "S1A_IW_RAW__0SDV_20241114T143038_20241114T143110_056552_06EFAC_3D2A.SAFE.zip"


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@contextlib.asynccontextmanager
async def archive(clock: Clock, *names: str, **options: Any) -> AsyncIterator[LtaStation]:
    async with LtaStation(queue_s=5, order_s=30, clock=clock, **options) as station:
        for name in names or (NAME,):
            station.offer(Held(name.encode() * 100), name=name)
        yield station


@contextlib.asynccontextmanager
async def inbox(station: LtaStation, pool: asyncpg.Pool | None) -> AsyncIterator[LtaSource]:
    """A source as a process opens it; entered again, as another process does."""
    settings = Settings()
    stations = Stations(settings, pool)
    if pool is not None:
        async with pool.acquire() as connection:
            await store.open_inbox(connection, "lta")
    source = await LtaSource.connect(InboxSettings(id="lta", type="lta", url=station.url), settings, stations)
    try:
        yield source
    finally:
        await source.close()
        await stations.close()


async def offers(source: LtaSource) -> list[Offer]:
    return [offer async for findings in source.look(Memory()) for offer in findings.offers]


def read(source: LtaSource, offer: Offer) -> bytes:
    stream = source.open(offer, source.parts(offer)[0])
    found, buffer = bytearray(), memoryview(bytearray(2**16))
    while count := stream.readinto(buffer):
        found += buffer[:count]
    stream.close()
    return bytes(found)


async def test_what_is_offline_is_ordered_once_though_processes_come_and_go(pool: asyncpg.Pool) -> None:
    clock = Clock()
    async with archive(clock) as station:
        for _ in range(4):
            async with inbox(station, pool) as source:
                [offer] = await offers(source)
                with pytest.raises(NotYet, match="it was ordered from the archive") as waits:
                    await source.prepare(offer)
                assert 5 <= (waits.value.retry_after_s or 0) <= 600
            clock.pass_by(7)
        assert len(station.journal.requests("order")) == 1
        clock.pass_by(7)
        async with inbox(station, pool) as source:
            await source.prepare(offer)
            assert await asyncio.to_thread(read, source, offer) == NAME.encode() * 100
        assert len(station.journal.requests("order")) == 1


async def test_what_is_online_is_not_ordered_and_the_archive_keeps_what_it_evicts(pool: asyncpg.Pool) -> None:
    clock = Clock()
    async with archive(clock) as station, inbox(station, pool) as source:
        [offer] = await offers(source)
        assert offer.evicted_at is None
        with pytest.raises(NotYet):
            await source.prepare(offer)
        clock.pass_by(31)
        async with inbox(station, None) as stranger:  # knows of no order
            await stranger.prepare(offer)
        assert len(station.journal.requests("order")) == 1


async def test_what_was_evicted_from_the_disk_before_it_was_fetched_is_ordered_again(pool: asyncpg.Pool) -> None:
    clock = Clock()
    async with archive(clock, online_s=60) as station, inbox(station, pool) as source:
        [offer] = await offers(source)
        for _ in range(2):
            with pytest.raises(NotYet):
                await source.prepare(offer)
            clock.pass_by(31)
            await source.prepare(offer)
            clock.pass_by(100)
        assert len(station.journal.requests("order")) == 2


async def test_an_order_that_fails_is_told_and_placed_again(pool: asyncpg.Pool) -> None:
    clock = Clock()
    async with archive(clock, failing=[NAME[:10]]) as station, inbox(station, pool) as source:
        [offer] = await offers(source)
        with pytest.raises(NotYet):
            await source.prepare(offer)
        clock.pass_by(31)
        with pytest.raises(Transient, match="order of it failed: the product cannot be read"):
            await source.prepare(offer)
        station.failing = ()
        with pytest.raises(NotYet):
            await source.prepare(offer)
        clock.pass_by(31)
        await source.prepare(offer)


async def test_a_quota_of_orders_holds_up_the_next_ones_only(pool: asyncpg.Pool) -> None:
    clock = Clock()
    async with archive(clock, NAME, f"2{NAME}", quota=1) as station, inbox(station, pool) as source:
        first, second = await offers(source)
        with pytest.raises(NotYet, match="was ordered"):
            await source.prepare(first)
        with pytest.raises(NotYet, match=r"no more orders for now: answered 429") as waits:
            await source.prepare(second)
        assert waits.value.retry_after_s == 1
        clock.pass_by(31)
        await source.prepare(first)
        with pytest.raises(NotYet, match="was ordered"):
            await source.prepare(second)


async def test_what_the_archive_has_no_more_is_gone(pool: asyncpg.Pool) -> None:
    async with archive(Clock()) as station, inbox(station, pool) as source:
        [offer] = await offers(source)
        station.withdraw(NAME)
        with pytest.raises(Gone, match="not in the archive any more"):
            await source.prepare(offer)


class Dialect(StationClient):
    """An archive that answers otherwise: GET by the path below the root, POST with `ordered`."""

    def __init__(self, ordered: Any, orders: Any, *, online: Any = False) -> None:
        super().__init__("an archive", AuthSettings(), url="http://127.0.0.1:1")
        self.answers = {"Orders": orders, "Products": {"value": [{"Id": "1", "Online": online}]}}
        self.ordered = ordered
        self.posted: list[tuple[str, Any]] = []

    async def get_json(self, url: str) -> Any:
        answer = self.answers[url.rpartition("/")[2].partition("?")[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def post_json(self, url: str, document: Any) -> Any:
        self.posted.append((url, document))
        return self.ordered


def order(status: str, **fields: Any) -> dict[str, Any]:
    return {"Id": "7", "Status": status} | fields


@pytest.mark.parametrize(
    ("ordered", "orders"),
    [
        (order("queued"), {"value": [order("completed")]}),
        ({"value": order("queued")}, [order("completed")]),
        (order("QUEUED"), order("COMPLETED")),
        (order("in progress"), order("Completed", EvictionDate="9999-12-31T23:59:59Z")),
        ({"Status": "queued"}, order("completed", EvictionDate="no date")),
    ],
)
async def test_the_dialects_of_archives_are_understood(ordered: Any, orders: Any) -> None:
    settings = Settings()
    client = Dialect(ordered, Gone("no such order"))
    source = LtaSource(InboxSettings(id="lta", type="lta", url="http://127.0.0.1:1/odata/v1"), client, settings)
    offer = Offer("1", "v", NAME)
    with pytest.raises(NotYet):
        await source.prepare(offer)
    assert client.posted == [("http://127.0.0.1:1/odata/v1/Products(1)/OData.CSC.Order", {"Priority": 50})]
    client.answers["Orders"] = orders
    await source.prepare(offer)
    assert len(client.posted) == 1


@pytest.mark.parametrize("answer", [None, [], "queued", 5, {"value": None}, {"value": []}])
async def test_what_is_no_order_is_an_error_that_says_so(answer: Any) -> None:
    client = Dialect(answer, [])
    source = LtaSource(InboxSettings(id="lta", type="lta", url="http://127.0.0.1:1/odata/v1"), client, Settings())
    with pytest.raises(RefsysError, match="what is no order"):
        await source.prepare(Offer("1", "v", NAME))
