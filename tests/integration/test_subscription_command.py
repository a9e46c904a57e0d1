"""`refsys subscription …` and the metrics: what operators see of subscriptions, and what they do to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import orjson
import pytest

from refsys.infra.settings import Settings
from refsys.infra.telemetry import Metrics
from tests.subscribing import QUICK, match, positions, publish, push, receiving, subscribe, subscriber

Call = Callable[..., Awaitable[str]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"subscriptions": QUICK})


async def test_failing_ones_come_first_and_operators_stop_and_start_them(
    refsys: Call, pool: asyncpg.Pool, settings: Settings
) -> None:
    assert "nobody has subscribed" in await refsys("subscription", "list")
    async with subscriber(pool, settings) as client, receiving() as receiver:
        pull = await subscribe(client, FilterParam="contains(Name,'GRD')")
        pushed = await subscribe(client, NotificationEndpoint=receiver.url, NotificationEpPassword="s3cret")
        await publish(pool, 1, 2)
        await match(pool)
        receiver.refuse(500)
        await push(pool)
        pull_id, push_id = pull[14:50], pushed[14:50]
        lines = [orjson.loads(line) for line in (await refsys("subscription", "list", "--json")).splitlines()]
        assert [line["id"] for line in lines] == [push_id, pull_id]
        assert (lines[0]["attempts"], lines[0]["queued"], lines[0]["behind"]) == (1, 2, 0)
        told = await refsys("subscription", "list", "--limit", 1)
        assert "failing, 1×" in told
        assert "answered 500" in told
        assert "1 of 2" in told
        told = await refsys("subscription", "show", push_id)
        assert "the endpoint answered 500" in told
        assert receiver.url in told
        assert "s3cret" not in told + await refsys("subscription", "show", push_id, "--json")
        assert "contains(Name,'GRD')" in await refsys("subscription", "show", pull_id)
        assert "paused" in await refsys("subscription", "pause", pull_id, "--reason", "too much")
        assert (await client.get(pull)).json()["StatusReason"] == "too much"
        assert (await client.patch(pull, json={"Status": "running"})).status_code == 403
        await publish(pool, 3)
        assert "running" in await refsys("subscription", "resume", pull_id)
        await match(pool)
        assert await positions(pool, pull) == [1, 2, 3]
        assert "cancelled" in await refsys("subscription", "cancel", pull_id)
        assert (await client.get(pull)).status_code == 404
    assert "there is no such subscription" in await refsys("subscription", "cancel", pull_id, code=1)
    assert "is no id" in await refsys("subscription", "show", "x", code=1)
    assert "say why" in await refsys("subscription", "pause", push_id, "--reason", " ", code=1)


async def test_metrics_move_with_subscriptions(pool: asyncpg.Pool, settings: Settings) -> None:
    metrics = Metrics(pool)

    async def values() -> dict[str, float]:
        lines = (await metrics.render()).decode().splitlines()
        wanted = ("refsys_subscriptions", "refsys_notifications", "refsys_push")
        return {line.split()[0]: float(line.split()[1]) for line in lines if line.startswith(wanted)}

    before = await values()
    assert set(before.values()) == {0.0}
    async with subscriber(pool, settings) as client, receiving() as receiver:
        await subscribe(client)
        await subscribe(client, Status="paused")
        await subscribe(client, NotificationEndpoint=receiver.url)
        await publish(pool, 1, 2, 3)
        assert (await values())["refsys_subscriptions_behind"] == 3
        await match(pool)
        receiver.refuse(500)
        await push(pool)
        await pool.execute(
            "UPDATE distribution.subscription SET failing_since = now() - interval '1 h' WHERE attempts = 1"
        )
        found = await values()
        assert 3600 <= found.pop("refsys_push_failing_seconds") < 3700
        changed: dict[str, Any] = {name: value for name, value in found.items() if value}
        assert changed == {
            'refsys_subscriptions{kind="pull",status="running"}': 1,
            'refsys_subscriptions{kind="pull",status="paused"}': 1,
            'refsys_subscriptions{kind="push",status="running"}': 1,
            'refsys_notifications_waiting{kind="pull",status="running"}': 3,
            'refsys_notifications_waiting{kind="push",status="running"}': 3,
            "refsys_subscriptions_failing": 1,
        }
