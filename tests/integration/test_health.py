"""`/health/live` and `/health/ready`: true to what can be served, quick whatever hangs, well again by themselves."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from refsys.infra import telemetry
from refsys.infra.postgres import create_pool
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.infra.telemetry import Health, Look
from refsys.missions import load_types
from refsys.web.app import create_app
from tests.proxy import Proxy, proxied
from tests.waiting import wait_for
from tests.web import Answered, asked, served

TYPES = load_types()
ALL_WELL = {"database": "ok", "schema": "ok", "storage": "ok"}


@pytest.fixture
async def way(dsn: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    async with proxied(dsn, tmp_path) as way:
        yield way


@pytest.fixture
async def pool_by_the_way(way: Proxy) -> AsyncIterator[asyncpg.Pool]:
    pool = await create_pool(way.dsn)
    yield pool
    pool.terminate()


@pytest.fixture
async def port(pool_by_the_way: asyncpg.Pool, storage: Storage, settings: Settings) -> AsyncIterator[int]:
    app = create_app(pool=pool_by_the_way, storage=storage, types=TYPES, settings=settings)
    async with served(app) as port:
        yield port


async def ready(port: int, status: int) -> dict[str, str]:
    answer = await asked(port, "/health/ready")
    assert answer.status == status, answer.body
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json["status"] == ("ok" if status == 200 else "not ready")
    checks: dict[str, str] = answer.json["checks"]
    return checks


async def is_alive(port: int) -> bool:
    answer: Answered = await asked(port, "/health/live")
    return answer.status == 200 and answer.json["status"] == "ok"


async def test_a_system_that_is_well_is_ready(port: int) -> None:
    assert await ready(port, 200) == ALL_WELL
    assert await is_alive(port)


async def test_without_its_database_it_lives_and_is_not_ready_and_comes_back(port: int, way: Proxy) -> None:
    await way.cut()
    checks = await ready(port, 503)
    assert checks["database"] != "ok"
    assert (checks["schema"], checks["storage"]) == ("not looked at", "ok")
    assert await is_alive(port)
    await way.open()

    async def is_back() -> bool:
        return (await asked(port, "/health/ready")).status == 200

    await wait_for(is_back)


async def test_a_database_that_says_nothing_is_not_waited_for(
    port: int, way: Proxy, pool_by_the_way: asyncpg.Pool, storage: Storage
) -> None:
    way.block()
    health = Health(pool_by_the_way, storage, timeout_s=0.1)
    async with asyncio.timeout(10):
        found = [await health.ready() for _ in range(5)][-1]
    assert pool_by_the_way.get_idle_size() == pool_by_the_way.get_size() - 1
    assert found.checks == {"database": "does not answer in time", "schema": "not looked at", "storage": "ok"}
    assert await is_alive(port)
    await way.open()


async def test_a_schema_that_is_missing_is_told_with_what_to_do(port: int, pool: asyncpg.Pool) -> None:
    await pool.execute("ALTER TABLE public.refsys_migration RENAME TO put_aside")
    checks = await ready(port, 503)
    assert checks == ALL_WELL | {"schema": "the database has no schema yet (run `refsys migrate`)"}
    await pool.execute("ALTER TABLE public.put_aside RENAME TO refsys_migration")
    assert await ready(port, 200) == ALL_WELL


async def test_a_schema_that_is_too_new_is_told_with_what_to_do(port: int, pool: asyncpg.Pool) -> None:
    await pool.execute(
        "INSERT INTO public.refsys_migration (number, name, package, contracts) VALUES (9000, 'x', 'y', 8999)"
    )
    assert "changed by a newer release (migration 9000_x)" in (await ready(port, 503))["schema"]
    assert await is_alive(port)


async def test_without_its_storage_it_lives_and_is_not_ready_and_comes_back(port: int, settings: Settings) -> None:
    folder = settings.state_dir / "storage"
    shutil.move(folder, folder.with_name("away"))
    checks = await ready(port, 503)
    assert "No such file or directory" in checks["storage"]
    assert (checks["database"], checks["schema"]) == ("ok", "ok")
    assert await is_alive(port)
    shutil.move(folder.with_name("away"), folder)
    assert await ready(port, 200) == ALL_WELL


async def test_a_storage_that_hangs_is_not_waited_for_and_holds_one_thread(
    pool: asyncpg.Pool, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, looks = threading.Event(), []

    def stat(key: str) -> Any:
        looks.append(key)
        hangs.wait()

    monkeypatch.setattr(storage, "stat", stat)
    health = Health(pool, storage, timeout_s=0.05)
    try:
        for _ in range(5):
            assert (await health.ready()).checks["storage"] == "does not answer in time"
    finally:
        hangs.set()
    assert len(looks) == 1

    async def is_back() -> bool:
        return (await health.ready()).is_ready

    await wait_for(is_back)


async def test_a_look_that_fails_when_nobody_waits_any_more_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    fails, failed = asyncio.Event(), asyncio.Event()

    async def look() -> None:
        await fails.wait()
        failed.set()
        raise OSError("it is gone")

    looking = Look(look)
    with pytest.raises(TimeoutError):
        await looking(0.05)
    fails.set()
    await failed.wait()
    with pytest.raises(OSError, match="it is gone"):
        await looking(5)
    assert "never retrieved" not in caplog.text


def test_the_timeout_of_probes_is_shorter_than_a_clusters_patience() -> None:
    assert telemetry.CHECK_TIMEOUT_S < 10
