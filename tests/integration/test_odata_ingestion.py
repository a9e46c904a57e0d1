"""CADIP and long-term archives through inbox, fetcher and catalogue: what they offer arrives, each file once."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

from refsys.infra.settings import InboxSettings, Settings
from refsys.simulation.samples import make_many
from refsys.simulation.station import Answer, CadipStation, LtaStation, Twice
from tests.integration.test_inboxes import files_in
from tests.pipeline import running_pipeline
from tests.waiting import wait_for

SESSION = "S1A_20241114143038056552"


async def test_a_session_arrives_whole_from_a_station_with_bad_habits(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Any
) -> None:
    async with CadipStation() as station:
        station.speak(page_limit=4, next_links=False, refuses=frozenset({"ge", "le", "in"}), empty_list=True)
        station.faults.on_listing(Twice(), times=3)
        station.faults.on_listing(Answer(500), after=5)
        station.faults.on_listing(Answer(429, retry_after_s=1), after=9)
        session = station.session(SESSION)
        # the final block first, one that is empty at first, the others out of order
        last = session.publish(2, 5, is_final=True)
        growing = session.publish(1, 2, written_bytes=0)
        inbox = InboxSettings(id="sgs", type="cadip", url=station.url, poll_s=0.2, station="SGS_")
        async with running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline:
            await wait_for(lambda: _states(pool, last.name, {"stored": 1}), 30)
            await wait_for(lambda: _states(pool, growing.name, {"seen": 1}), 30)
            session.grow(growing)
            for channel, number in ((2, 4), (1, 1), (2, 1), (1, 3), (2, 3), (2, 2), (1, 4), (1, 5)):
                session.publish(channel, number, is_final=(channel, number) == (1, 5))
            for channel in (1, 2):
                session.deliver(channel)
            await wait_for(lambda: _stored(pool, 10), 40)
            rows = await pool.fetch("SELECT * FROM ingestion.remote WHERE state = 'stored' ORDER BY name")
            assert [row["name"] for row in rows] == sorted(session.md5s())
            assert {(row["channel"], row["block"]) for row in rows} == {(c, n) for c in (1, 2) for n in range(1, 6)}
            assert Counter(row["is_final"] for row in rows) == {True: 2, False: 8}
            products = await pipeline.published(*session.md5s())
            files = {row["name"]: await files_in(pipeline, row) for row in products}
            found = {name: hashlib.md5(b"".join(each.values())).hexdigest() for name, each in files.items()}
            assert found == session.md5s()


async def test_what_an_archive_has_offline_is_ordered_and_published(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Any, tmp_path: Path
) -> None:
    products = sorted(make_many(tmp_path / "made", 3, size_bytes=60_000))
    async with LtaStation(queue_s=0.3, order_s=1.0, quota=2) as station:
        for product in products:
            station.offer(product)
        inbox = InboxSettings(id="archive", type="lta", url=station.url, poll_s=0.2)
        async with running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline:
            await pipeline.published(*(product.name for product in products), timeout_s=60)
        ordered = [request for request in station.journal.requests("order") if request.status < 300]
        assert len(ordered) == 3
        assert {len(station.journal.downloads(product.name)) for product in products} == {1}
    assert await pool.fetchval("SELECT count(*) FROM ingestion.archive_order") == 3


async def _states(pool: asyncpg.Pool, name: str, wanted: dict[str, int]) -> bool:
    rows = await pool.fetch("SELECT state FROM ingestion.remote WHERE name = $1", name)
    return Counter(row["state"] for row in rows) == wanted


async def _stored(pool: asyncpg.Pool, count: int) -> bool:
    return bool(await pool.fetchval("SELECT count(*) = $1 FROM ingestion.remote WHERE state = 'stored'", count))
