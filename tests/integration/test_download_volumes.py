"""What users download is counted by day: what was sent, what was linked, what was refused; and can be limited."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import httpx
import orjson
import pytest
from pydantic import SecretStr

from refsys.distribution import slots, volumes
from refsys.distribution.volumes import Volume, Volumes, by_day
from refsys.infra.settings import AccessSettings, Settings, UserSettings
from refsys.infra.telemetry import Metrics
from tests.published import WHOLE, publish, serving
from tests.waiting import wait_for

LONG_AGO = date(2020, 1, 1)
USERS = tuple(UserSettings(name=name, password=SecretStr("right")) for name in ("anna", "ben"))


@pytest.fixture
def signed(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": AccessSettings(user=USERS, anonymous="all")})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


def as_user(name: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:right'.encode()).decode()}"}


async def told(pool: asyncpg.Pool) -> dict[str, Volume]:
    """Of each user the newest day."""
    async with pool.acquire() as connection:
        found = await by_day(connection, since=LONG_AGO, limit=100)
    return {volume.user_name: volume for volume in reversed(found)}


async def test_each_user_is_told_what_was_sent_and_nothing_else(signed, storage, pool, client, monkeypatch) -> None:
    monkeypatch.setattr(slots, "PATIENCE_S", 0.0)
    identity = await publish(pool, storage)
    before = datetime.now(UTC).date()
    async with serving(pool, storage, signed, per_user=1) as server:
        url = server.value(identity)
        await client.get(url)
        await client.get(url, headers=as_user("anna") | {"range": "bytes=0-99"})
        await client.get(url, headers=as_user("anna") | {"range": "bytes=200-"})
        await client.head(url, headers=as_user("anna"))
        await client.get(url, headers=as_user("anna") | {"range": "bytes=99999999-"})
        node = f"{server.url}/odata/v1/Products({identity})/Nodes"
        await client.get(node, headers=as_user("ben"))
        assert (await client.get(url, headers=as_user("ben") | {"if-match": '"x"'})).status_code == 412
    found = await told(pool)
    assert {name: (volume.downloads, volume.bytes) for name, volume in found.items()} == {
        "": (1, len(WHOLE)),
        "anna": (2, len(WHOLE) - 100),
    }
    assert before <= found["anna"].day <= datetime.now(UTC).date()
    assert {(volume.links, volume.linked_bytes, volume.refused) for volume in found.values()} == {(0, 0, 0)}


async def test_a_download_that_goes_on_is_counted_before_it_ends(settings, storage, pool, client, monkeypatch) -> None:
    monkeypatch.setattr(volumes, "WRITE_S", 0.05)
    monkeypatch.setattr(slots, "PATIENCE_S", 0.0)
    identity = await publish(pool, storage, {"measurement/a.tiff": bytes(48 * 2**20)})
    async with serving(pool, storage, settings, per_user=1) as server:
        async with client.stream("GET", server.value(identity)):

            async def is_counted() -> bool:
                found = (await told(pool)).get("")
                return found is not None and 0 < found.bytes < 48 * 2**20 and found.downloads == 1

            await wait_for(is_counted)
            assert (await client.get(server.value(identity))).status_code == 429

        async def is_refused() -> bool:
            return (await told(pool))[""].refused == 1

        await wait_for(is_refused)


async def test_many_processes_add_up_and_nothing_is_lost_while_the_database_is_away(pool: asyncpg.Pool) -> None:
    processes = [Volumes(pool) for _ in range(3)]
    for number, process in enumerate(processes):
        for user in ("anna", "ben"):
            process.of(user).downloads += 1
            process.of(user).bytes += 10**12 + number
        await process.write()
        await process.write()
    found = await told(pool)
    assert {(volume.downloads, volume.bytes) for volume in found.values()} == {(3, 3 * 10**12 + 3)}
    last = processes[0]
    last.of("anna").bytes += 5
    await pool.execute("ALTER TABLE distribution.volume RENAME TO away")
    await last.write()
    last.of("anna").bytes += 2
    await pool.execute("ALTER TABLE distribution.away RENAME TO volume")
    await last.write()
    assert (await told(pool))["anna"].bytes == 3 * 10**12 + 10


async def test_a_user_may_download_so_much_in_thirty_days(signed, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    insert = "INSERT INTO distribution.volume VALUES ($1, $2, 1, $3, 0, $4, 0)"
    today = datetime.now(UTC).date()
    await pool.execute(insert, "anna", today - timedelta(days=28), 600, 400)
    await pool.execute(insert, "ben", today - timedelta(days=30), 9000, 0)
    await pool.execute(insert, "", today, 10**9, 0)
    async with serving(pool, storage, signed, volume_30_days=1000) as server:
        url = server.value(identity)
        refused = await client.get(url, headers=as_user("anna"))
        assert refused.status_code == 429
        assert refused.json()["error"]["message"].startswith("you have downloaded 1000 bytes in 30 days")
        assert int(refused.headers["retry-after"]) > 0
        assert (await client.head(url, headers=as_user("anna"))).status_code == 200
        assert (await client.get(url, headers=as_user("ben"))).content == WHOLE
        assert (await client.get(url)).content == WHOLE
    assert (await told(pool))["anna"].refused == 1


async def test_the_command_and_the_metrics_tell_it(refsys, pool, storage, settings) -> None:
    assert await refsys("downloads") == "nothing was downloaded since then\n"
    process = Volumes(pool)
    for user, size in (("anna", 3_500_000), ("", 7), ("[bold]\x1b", 1)):
        process.of(user).downloads += 2
        process.of(user).bytes += size
        process.of(user).links += 1
        process.of(user).linked_bytes += 100
        process.of(user).refused += 1
    await process.write()
    today = datetime.now(UTC).date()
    shown = await refsys("downloads")
    assert "not signed in" in shown
    assert "[bold]\\x1b" in shown
    lines = [orjson.loads(line) for line in (await refsys("downloads", "--json", "--user", "anna")).splitlines()]
    assert lines == [
        {
            "user_name": "anna", "day": today.isoformat(), "downloads": 2, "bytes": 3_500_000, "links": 1,
            "linked_bytes": 100, "refused": 1,
        }
    ]  # fmt: skip
    await pool.execute("UPDATE distribution.volume SET day = day - 40 WHERE user_name = ''")
    assert "not signed in" not in await refsys("downloads")
    assert "not signed in" in await refsys("downloads", "--since", (today - timedelta(days=41)).isoformat())
    metrics = Metrics(pool, storage, settings.state_dir)
    for expected in (6.0, 8.0):
        text = (await metrics.render()).decode()
        assert f'refsys_downloads_total{{how="sent"}} {expected}' in text
        assert 'refsys_downloads_total{how="linked"} 3.0' in text
        assert 'refsys_download_bytes_total{how="linked"} 300.0' in text
        assert "refsys_downloads_refused_total 3.0" in text
        assert "refsys_downloads_active 0.0" in text
        process.of("anna").downloads += 2
        await process.write()
