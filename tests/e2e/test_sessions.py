"""A pass from a simulated station to production: blocks out of order, the final one first, DSIBs made, a retransfer."""

from __future__ import annotations

import asyncpg

from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.ingestion.sessions.dsib import dsib_name, read_dsib
from refsys.simulation.files import XbipStation
from refsys.simulation.station import CADU_BYTES, CadipStation
from tests.pipeline import running_pipeline
from tests.sessions import NAME, blocks_of, session_of, told
from tests.waiting import wait_for


async def test_a_pass_reaches_production_whole(
    dsn: str, pool: asyncpg.Pool, storage: Storage, settings: Settings
) -> None:
    async with CadipStation() as station:
        inbox = InboxSettings(id="sgs", type="cadip", url=station.url, poll_s=0.1)
        async with running_pipeline(settings, [inbox], pool=pool, dsn=dsn, storage=storage) as pipeline:
            session = station.session(NAME)
            for channel in (1, 2):
                session.publish(channel, 3, size_bytes=CADU_BYTES, is_final=True)
                session.publish(channel, 1, size_bytes=2 * CADU_BYTES)

            async def has_begun() -> bool:
                return await pool.fetchval("SELECT count(*) FROM ingestion.session_file WHERE content_id > 0") == 4

            await wait_for(has_begun, 30, "four blocks are stored")
            assert (await session_of(pool)).state == "receiving"
            for channel in (1, 2):
                session.publish(channel, 2, size_bytes=2 * CADU_BYTES)
                session.deliver(channel)
            dsibs = [dsib_name(NAME, channel, "04") for channel in (1, 2)]
            products = await pipeline.published(*dsibs)
            assert [row["t0_raw"] is not None for row in products] == [True, True]
            await pipeline.idle()
            again = station.session(NAME, retransfer=True)
            again.publish_channel(1, 3)

            async def is_repeated() -> bool:
                return (
                    await pool.fetchval(
                        "SELECT count(*) FROM ingestion.session WHERE retransfer AND state = 'receiving'"
                    )
                    == 1
                )

            await wait_for(is_repeated, 30, "the retransfer is being received")
            await pipeline.idle()
            assert await pipeline.parked_steps() == []
    blocks = await blocks_of(pool)
    assert (blocks.is_complete, len(blocks.blocks)) == (True, 6)
    for block in blocks.blocks:
        assert storage.stat(f"{block.base}/{block.name}") is not None
    base = await pool.fetchval("SELECT base FROM catalogue.content WHERE id = $1", products[0]["content_id"])
    said = read_dsib(storage.read(f"{base}/{dsibs[0]}"), name=dsibs[0])
    assert len(said.names) == 3
    assert [each for each in await told(pool) if each[0] != "session.channel_complete"] == [
        ("session.begun", NAME, 0),
        ("session.complete", NAME, 1),
        ("session.begun", f"{NAME} retransfer", 0),
    ]


async def test_two_stations_give_one_session(
    dsn: str, pool: asyncpg.Pool, storage: Storage, settings: Settings
) -> None:
    """One tells blocks and totals over CADIP and lacks a block; the other has all files, and delivers DSIBs."""
    async with CadipStation() as cadip, XbipStation() as xbip:
        for station, lacks in ((cadip, 2), (xbip, None)):
            session = station.session(NAME)
            for channel in (1, 2):
                for number in (1, 2, 3):
                    if (channel, number) != (1, lacks):
                        session.publish(channel, number, size_bytes=3 * CADU_BYTES, is_final=number == 3)
                if station is xbip:
                    session.publish_dsib(channel)
        inboxes = [
            InboxSettings(id="cadip", type="cadip", url=cadip.url, poll_s=0.1),
            InboxSettings(id="xbip", type="xbip", url=xbip.url, poll_s=0.1, stable_s=0.1),
        ]
        async with running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage) as pipeline:

            async def is_whole() -> bool:
                known = await pool.fetchval("SELECT count(*) FROM ingestion.session")
                session = await session_of(pool) if known else None
                return (
                    session is not None
                    and session.state == "complete"
                    and [each.dsib for each in session.channels] == ["station"] * 2
                )

            await wait_for(is_whole, 30, "the session is complete, with the station's DSIBs")
            await pipeline.published(*(dsib_name(NAME, channel, "04") for channel in (1, 2)))
            await pipeline.idle()
            assert await pipeline.parked_steps() == []
    session = await session_of(pool)
    assert (session.state, session.inboxes, session.problems) == ("complete", ("cadip", "xbip"), ())
    assert [(each.stored, each.dsib) for each in session.channels] == [(3, "station"), (3, "station")]
    assert await told(pool, "session.complete") == [("session.complete", NAME, 1)]


async def test_a_stations_dsib_is_a_revision_of_the_published_one_that_was_made(
    dsn: str, pool: asyncpg.Pool, storage: Storage, settings: Settings
) -> None:
    name = dsib_name(NAME, 1, "04")
    async with CadipStation() as cadip, XbipStation() as xbip:
        inboxes = [
            InboxSettings(id="cadip", type="cadip", url=cadip.url, poll_s=0.1),
            InboxSettings(id="xbip", type="xbip", url=xbip.url, poll_s=0.1, stable_s=0.1, on_change="park"),
        ]
        async with running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage) as pipeline:
            cadip.session(NAME).publish_channel(1, 3)
            [made] = await pipeline.published(name)
            late = xbip.session(NAME)
            late.publish_channel(1, 3)
            late.publish_dsib(1)

            async def is_revised() -> bool:
                [product] = await pipeline.published(name)
                return product["revision"] > made["revision"]

            await wait_for(is_revised, 30, "the station's DSIB is published")
            await pipeline.idle()
            assert await pipeline.parked_steps() == []
    assert [each.dsib for each in (await session_of(pool)).channels] == ["station"]
