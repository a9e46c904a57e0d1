"""Server-sent events: a client that comes back with the id of its last event misses nothing and sees nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from refsys.infra.settings import Settings, SubscriptionSettings
from tests.publishers import numbered
from tests.subscribing import Stream, announce, application, following, match, publish, subscribe
from tests.waiting import wait_for
from tests.web import served

#: Looks of a stream follow each other soon.
WAIT_S = 0.02


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"subscriptions": SubscriptionSettings(streams_per_user=2)})


@contextlib.asynccontextmanager
async def client(pool: asyncpg.Pool, settings: Settings, **times: float) -> AsyncIterator[httpx.AsyncClient]:
    """Of a real server."""
    app = application(pool, settings, **{"wait_s": WAIT_S, **times})
    async with served(app) as port:
        base = f"http://127.0.0.1:{port}/odata/v1/"
        async with httpx.AsyncClient(base_url=base, headers={"X-User": "ann"}, timeout=20) as found:
            yield found


async def test_events_come_as_they_happen_and_go_on_behind_the_last_one(pool: asyncpg.Pool, settings: Settings) -> None:
    async with client(pool, settings) as asking:
        address = await subscribe(asking)
        await publish(pool, *range(25))
        async with following(asking, address) as stream:
            await wait_for(lambda: len(stream.events) == 25)
            await publish(pool, 25)
            await wait_for(lambda: len(stream.events) == 26)
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["cache-control"] == "no-store"
        assert stream.names == [numbered(number) for number in range(26)]
        assert stream.ids == [event["AckId"] for event in stream.events]
        assert stream.events[0]["value"]["Name"] == numbered(0)
        async with following(asking, address, last=stream.ids[9]) as again:
            await wait_for(lambda: len(again.events) == 16)
        assert again.names == stream.names[10:]
        # the queue is another reader of the same feed
        await match(pool)
        waiting = (await asking.get(f"{address}/Read?$top=20")).json()
        assert [told["AckId"] for told in waiting] == stream.ids[:20]
        await asking.post(f"{address}/Ack?$ackid={stream.ids[24]}")
        async with following(asking, address) as rest:
            await wait_for(lambda: rest.events)
        assert rest.names == [numbered(25)]
        assert (await asking.get(f"{address}/Events", headers={"Last-Event-ID": "x"})).status_code == 400


async def test_signs_of_life_tell_how_far_the_feed_was_looked_through(pool: asyncpg.Pool, settings: Settings) -> None:
    async with client(pool, settings, heartbeat_s=0.05) as asking:
        address = await subscribe(asking, SubscriptionEvent=["deleted"])
        ids = await publish(pool, *range(5))
        async with following(asking, address) as stream:
            await wait_for(lambda: stream.ids and stream.comments > 3)
        assert stream.events == []
        assert len(stream.ids) == 1
        await announce(pool, "withdrawn", *ids[:2])
        async with following(asking, address, last=stream.ids[0]) as again:
            await wait_for(lambda: len(again.events) == 2)
        assert [event["SubscriptionEvent"] for event in again.events] == ["deleted", "deleted"]


async def test_a_stream_waits_with_its_subscription_and_ends_with_it(pool: asyncpg.Pool, settings: Settings) -> None:
    async with client(pool, settings, heartbeat_s=0.05) as asking:
        address = await subscribe(asking)
        async with following(asking, address) as stream:
            await asking.patch(address, json={"Status": "paused"})
            await publish(pool, 1)
            seen = stream.comments
            await wait_for(lambda: stream.comments > seen + 2)
            assert stream.events == []
            await asking.patch(address, json={"Status": "running"})
            await wait_for(lambda: stream.events)
            await asking.delete(address)
            await wait_for(lambda: stream.is_over)


async def test_streams_are_counted_and_a_client_that_goes_away_frees_its_place(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    async with client(pool, settings) as asking:
        address = await subscribe(asking)
        async with following(asking, address):
            async with following(asking, address):
                refused = await asking.get(f"{address}/Events")
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")

            async def one_is_free() -> bool:
                async with following(asking, address) as third:
                    return third.status == 200

            await wait_for(one_is_free)
        assert (await asking.head(f"{address}/Events")).status_code == 200


async def test_a_stream_ends_when_its_process_shall(pool: asyncpg.Pool, settings: Settings) -> None:
    stream = Stream()
    async with httpx.AsyncClient(timeout=20) as asking:
        async with served(application(pool, settings, wait_s=60.0)) as port:
            root = f"http://127.0.0.1:{port}/odata/v1"
            made = await asking.post(f"{root}/Subscriptions", json={})
            address = f"{root}/Subscriptions({made.json()['Id']})/Events"
            response = await asking.send(asking.build_request("GET", address), stream=True)
            reading = asyncio.create_task(stream.read(response))
            await wait_for(lambda: stream.status)
        await reading
    assert stream.is_over, "the answer is whole: nobody cut it"


async def test_a_stream_ends_after_its_time(pool: asyncpg.Pool, settings: Settings) -> None:
    async with client(pool, settings, life_s=0.1) as asking:
        address = await subscribe(asking)
        async with following(asking, address) as stream:
            await wait_for(lambda: stream.is_over)
