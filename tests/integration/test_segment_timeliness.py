"""Sentinel-1 level 0 gets its timeliness by the memory map that was valid when it was sensed."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from refsys.catalogue import commands, rules, service, store
from refsys.catalogue.audit import Deed
from refsys.catalogue.model import Product
from refsys.core import steps
from refsys.infra.storage import Storage
from refsys.missions import load_types
from tests.level0_manifests import manifest, memory_map
from tests.stored_products import Contents, arrival_of
from tests.waiting import wait_for
from tests.working import running

TYPES = load_types()
SEGMENT = "S1A_IW_RAW__0SVH_20200120T124746_20200120T125111_030884_038B5E_9470.SAFE"
GPS = "S1A_GP_RAW__0____20200120T124746_20200120T125111_030884_038B5E_9470.SAFE"
OLD = "S1A_OPER_AUX_OBMEMC_PDMC_20140201T000000.xml"
NEW = "S1A_OPER_AUX_OBMEMC_PDMC_20200101T000000.xml"
LATER = "S1A_OPER_AUX_OBMEMC_PDMC_20210101T000000.xml"
OTHER = "S1B_OPER_AUX_OBMEMC_PDMC_20200101T000000.xml"


@pytest.fixture
def described(dsn: str, pool: asyncpg.Pool, storage: Storage):
    """Let products arrive, one after the other, and describe them as the system does."""

    async def describe(name: str, contents: Contents) -> Product:
        async with pool.acquire() as connection, connection.transaction():
            arrival = arrival_of(storage, contents, name, completeness="record")
            await commands.arrive(connection, arrival, priority=steps.PRIORITY_BACKLOG)

        async def look() -> Product | None:
            async with pool.acquire() as connection:
                return await store.fetch_current(connection, name)

        async with running(dsn, pool, *service.stages(pool, storage, TYPES)):
            return await wait_for(look, 20, f"{name} is described")

    return describe


async def priority_of(pool: asyncpg.Pool, name: str) -> int:
    return await pool.fetchval(
        "SELECT priority FROM work.event WHERE key = $1 AND event = $2", name, steps.PRODUCT_DESCRIBED
    )


async def test_the_newest_memory_map_of_its_satellite_that_covers_sensing_decides(described, pool):
    await described(OLD, {"": memory_map({22: "Standard", 37: "Standard"})})
    await described(NEW, {"": memory_map({22: "NRT", 37: "RFC"}, start="2020-01-01T00:00:00")})
    await described(LATER, {"": memory_map({22: "Emergency", 37: "RFC"}, start="2021-01-01T00:00:00")})
    await described(OTHER, {"": memory_map({22: "Emergency", 37: "RFC"}, start="2020-01-01T00:00:00")})
    segment = await described(SEGMENT, {"manifest.safe": manifest(stores=(22, 37))})
    assert (segment.attributes["timeliness"], segment.timeliness, segment.problems) == ("NRT", "S1_NRT", ())
    assert segment.attributes["packetStoreID"] == ["22", "37"]
    assert await priority_of(pool, SEGMENT) == steps.onwards(steps.PRIORITY_NRT)


async def test_without_a_memory_map_the_tables_decide_and_the_product_says_so(described, pool):
    await described(OTHER, {"": memory_map({22: "RFC", 37: "RFC"}, start="2014-01-01T00:00:00")})
    segment = await described(SEGMENT, {"manifest.safe": manifest(stores=(22, 37))})
    assert (segment.attributes["timeliness"], segment.timeliness) == ("PT", "S1_PT")
    assert [problem.partition(":")[0] for problem in segment.problems] == ["no AUX_OBMEMC covers its sensing"]


async def test_a_banned_memory_map_is_not_taken(described, pool):
    await described(OLD, {"": memory_map({22: "RFC"})})
    await described(NEW, {"": memory_map({22: "NRT"}, start="2020-01-01T00:00:00")})
    async with pool.acquire() as connection, connection.transaction():
        await rules.add(connection, rules.Kind.BAN, rules.About(name=NEW), Deed("ada", "it was wrong"))
    segment = await described(SEGMENT, {"manifest.safe": manifest(stores=(22,))})
    assert (segment.timeliness, segment.problems) == ("S1_FAST24", ())


async def test_an_unknown_store_is_told_and_a_product_without_stores_has_no_timeliness(described):
    await described(OLD, {"": memory_map({22: "NRT"})})
    segment = await described(SEGMENT, {"manifest.safe": manifest(stores=(23,))})
    assert segment.timeliness == "S1_FAST24"
    assert segment.problems == ("packet store '23' is unknown; its timeliness is taken for FAST24",)
    slice_name = SEGMENT.replace("9470", "9471")
    without = await described(slice_name, {"manifest.safe": manifest(consolidation="SLICE")})
    assert (without.timeliness, without.problems) == ("", ())
    assert "timeliness" not in without.attributes


async def test_gps_is_urgent_without_any_memory_map(described, pool):
    gps = await described(GPS, {"manifest.safe": manifest(sar=False, footprint="")})
    assert (gps.attributes["timeliness"], gps.timeliness, gps.problems) == ("NRT", "S1_SESSION", ())
    assert await priority_of(pool, GPS) == steps.onwards(steps.PRIORITY_HIGHEST)


async def test_the_real_memory_map_says_the_real_segment_is_near_real_time(described, shared_data: Path):
    await described(OLD, {"": (shared_data / "auxiliary" / OLD).read_bytes()})
    content = (shared_data / "sentinel-1" / SEGMENT / "manifest.safe").read_bytes()
    segment = await described(SEGMENT, {"manifest.safe": content})
    assert (segment.attributes["timeliness"], segment.timeliness) == ("NRT", "S1_NRT")
