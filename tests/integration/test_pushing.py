"""Notifications sent to endpoints of users: in order, until they are taken, whatever the endpoint or a worker does."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
from aiohttp import web

from refsys.distribution.subscriptions import sending, service
from refsys.infra.settings import Settings, SubscriptionSettings
from tests.publishers import numbered
from tests.stored_products import TYPES
from tests.subscribing import (
    BASE_URL,
    QUICK,
    Receiver,
    match,
    positions,
    publish,
    push,
    pusher,
    receiving,
    subscribe,
    subscriber,
)
from tests.waiting import wait_for

CERTIFICATE: Final = Path(__file__).parent.parent / "self_signed.pem"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"subscriptions": QUICK})


@pytest.fixture
async def client(pool: asyncpg.Pool, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with subscriber(pool, settings) as client:
        yield client


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def shown(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(address)).json()
    return found


async def next_attempt_in(pool: asyncpg.Pool) -> float:
    """Seconds."""
    found: float = await pool.fetchval(
        "SELECT extract(epoch FROM next_attempt_at - last_error_at)::float8 FROM distribution.subscription"
    )
    return found


async def run(pool: asyncpg.Pool, stop: asyncio.Event, settings: SubscriptionSettings = QUICK) -> None:
    """What a worker does."""
    await service.run_subscriptions(settings, pool, TYPES, stop, base_url=lambda: BASE_URL, wait_s=0.02)


async def test_notifications_are_posted_in_order_with_the_users_credentials(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    answer = await client.post(
        "Subscriptions",
        json={
            "NotificationEndpoint": receiver.url, "NotificationEpUsername": "me", "NotificationEpPassword": "s3cret",
        },
    )  # fmt: skip
    assert answer.json()["NotificationEndpoint"] == receiver.url
    address = f"Subscriptions({answer.json()['Id']})"
    await publish(pool, *range(30))
    await match(pool)
    await push(pool)
    assert receiver.names == [numbered(number) for number in range(30)]
    assert receiver.taken[0]["value"]["Name"] == numbered(0)
    request = receiver.asked[0]
    assert (request.method, request.path) == ("POST", "/told")
    assert request.headers["Content-Type"] == "application/json"
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"me:s3cret"
    found = await shown(client, address)
    assert (found["CurrentQueueLength"], "LastNotificationDate" in found) == (0, True)
    # other credentials, one by one
    await client.patch(address, json={"NotificationEpPassword": "other"})
    await publish(pool, 30)
    await match(pool)
    await push(pool)
    assert base64.b64decode(receiver.asked[-1].headers["Authorization"].removeprefix("Basic ")) == b"me:other"
    await client.patch(address, json={"NotificationEpUsername": "", "NotificationEpPassword": ""})
    await publish(pool, 31)
    await match(pool)
    await push(pool)
    assert "Authorization" not in receiver.asked[-1].headers


async def test_a_password_is_told_to_nobody(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    password = "pA55word"
    answer = await client.post(
        "Subscriptions", json={"NotificationEndpoint": receiver.url, "NotificationEpPassword": password}
    )
    address = f"Subscriptions({answer.json()['Id']})"
    receiver.refuse(500)
    await publish(pool, 1)
    await match(pool)
    await push(pool)
    told += [answer, await client.get(address), await client.get("Subscriptions/Info")]
    told.append(await client.post("Subscriptions", json={"NotificationEpPassword": [password]}))
    told.append(await client.patch(address, json={"NotificationEpPassword": password, "Status": "?"}))
    assert [answer.status_code for answer in told] == [201, 200, 200, 422, 422]
    assert password not in "".join(answer.text for answer in told) + capsys.readouterr().out


async def test_what_fails_is_tried_again_later_and_later_and_its_user_sees_it(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    address = await subscribe(client, NotificationEndpoint=receiver.url)
    slow = QUICK.model_copy(update={"backoff_s": 100.0, "backoff_limit_s": 300.0})
    receiver.refuse(500, 503, 429)
    await publish(pool, 1, 2)
    await match(pool)
    for attempt, least in enumerate((50, 100, 150), 1):
        await push(pool, slow)
        found = await shown(client, address)
        assert (found["Attempts"], found["Status"]) == (attempt, "running")
        assert least <= await next_attempt_in(pool) <= 2 * least
        assert {"NextAttempt", "LastErrorDate"} <= found.keys()
        await push(pool, slow)
        assert len(receiver.asked) == attempt, "not before its time"
        await pool.execute("UPDATE distribution.subscription SET next_attempt_at = clock_timestamp()")
    assert found["LastError"] == "the endpoint answered 429 Too Many Requests"
    assert "secret" not in str(found), "nothing of what an endpoint says is repeated"
    await push(pool, slow)
    assert receiver.names == [numbered(1), numbered(2)]
    found = await shown(client, address)
    assert ("Attempts" in found, "NextAttempt" in found, found["LastError"][:12]) == (False, False, "the endpoint")


async def test_an_endpoint_may_ask_for_patience(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    await subscribe(client, NotificationEndpoint=receiver.url)
    receiver.refuse(503, **{"Retry-After": "1000"})
    await publish(pool, 1)
    await match(pool)
    await push(pool)
    assert 999 <= await next_attempt_in(pool) <= 1001


async def test_after_long_failure_it_is_paused_with_a_reason_and_goes_on_where_it_stopped(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    address = await subscribe(client, NotificationEndpoint=receiver.url)
    soon = QUICK.model_copy(update={"give_up_s": 3600.0})
    receiver.refuse(500, 500)
    await publish(pool, 1, 2)
    await match(pool)
    await push(pool, soon)
    assert (await shown(client, address))["Status"] == "running"
    await pool.execute(
        "UPDATE distribution.subscription SET next_attempt_at = now(), failing_since = now() - interval '61 minutes'"
    )
    await push(pool, soon)
    found = await shown(client, address)
    assert (found["Status"], found["CurrentQueueLength"]) == ("paused", 2)
    assert "taken nothing for 1.0 h: the endpoint answered 500" in found["StatusReason"]
    await publish(pool, 3)
    found = (await client.patch(address, json={"Status": "running"})).json()
    assert "StatusReason" not in found
    await match(pool)
    await push(pool, soon)
    assert receiver.names == [numbered(1), numbered(2), numbered(3)]


async def test_redirects_are_not_followed(client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver) -> None:
    async with receiving() as other:
        address = await subscribe(client, NotificationEndpoint=receiver.url)
        for status in (301, 302, 307, 308):
            receiver.refuse(status, Location=other.url)
            await publish(pool, status)
            await match(pool)
            await pool.execute("UPDATE distribution.subscription SET next_attempt_at = now()")
            await push(pool)
            assert "redirects are not followed" in (await shown(client, address))["LastError"]
        assert (other.asked, len(receiver.asked)) == ([], 4)


async def test_an_endpoint_that_hangs_or_is_gone_costs_its_time_limit_and_no_other_subscription(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    impatient = QUICK.model_copy(update={"push_timeout_s": 0.3, "backoff_s": 100.0, "backoff_limit_s": 100.0})
    async with receiving() as hanging, receiving() as gone:
        address = await subscribe(client, NotificationEndpoint=hanging.url)
        lost = await subscribe(client, NotificationEndpoint=gone.url)
        unknown = await subscribe(client, NotificationEndpoint="https://nowhere.invalid/")
        await subscribe(client, NotificationEndpoint=receiver.url)
        await publish(pool, 1)
    await match(pool)
    stop = asyncio.Event()
    async with receiving() as hanging:
        await client.patch(address, json={"NotificationEndpoint": hanging.url})
        may_end = hanging.hang()
        working = asyncio.create_task(run(pool, stop, impatient))
        await wait_for(lambda: receiver.names == [numbered(1)])

        async def errors() -> list[str]:
            return [(await shown(client, one)).get("LastError", "") for one in (address, lost, unknown)]

        async def all_failed() -> bool:
            return all(await errors())

        await wait_for(all_failed)
        assert await errors() == [
            "the endpoint did not answer within 0.3 s",
            "the endpoint refuses the connection, or is not reached",
            "the endpoint's name is unknown",
        ]
        may_end.set()
        stop.set()
        await working


async def test_a_worker_that_dies_loses_nothing_and_another_one_goes_on(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    address = await subscribe(client, NotificationEndpoint=receiver.url)
    await publish(pool, 1, 2, 3)
    await match(pool)
    receiver.answers.append(_take)
    may_end = receiver.hang()
    async with pusher(pool) as dying:
        ((key, token),) = await dying.lease(10)
        working = asyncio.create_task(dying.push(key, token, lambda: False))
        await wait_for(lambda: len(receiver.asked) == 2)
        # nobody else sends meanwhile
        assert await dying.lease(10) == []
        # dead: what it would still do does not happen
        await pool.execute("UPDATE distribution.subscription SET lease_until = now()")
        ((_, other),) = await dying.lease(10)
        may_end.set()
        await working
        assert await positions(pool, address) == [2, 3], "it does not say any more what became of it"
        await dying.push(key, other, lambda: False)
    assert receiver.names == [numbered(1), numbered(2), numbered(2), numbered(3)]
    assert await positions(pool, address) == []


async def _take(request: Any) -> Any:
    return web.Response(status=200)


async def test_several_workers_share_and_each_endpoint_gets_everything_in_order(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    stop = asyncio.Event()
    workers = [asyncio.create_task(run(pool, stop)) for _ in range(3)]
    async with receiving() as one, receiving() as two, receiving() as three:
        for receiver in (one, two, three):
            await subscribe(client, NotificationEndpoint=receiver.url)
        two.refuse(500, 500)
        await publish(pool, *range(60))
        await wait_for(lambda: all(len(receiver.taken) >= 60 for receiver in (one, two, three)))
        stop.set()
        await asyncio.gather(*workers)
        assert [receiver.names for receiver in (one, two, three)] == [[numbered(n) for n in range(60)]] * 3


async def test_a_replay_or_another_endpoint_takes_the_word_from_whoever_sends_at_that_moment(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    address = await subscribe(client, NotificationEndpoint=receiver.url)
    await publish(pool, 1, 2)
    await match(pool)
    await push(pool)
    await publish(pool, 3)
    await match(pool)
    may_end = receiver.hang()
    sending_third = asyncio.create_task(push(pool))
    await wait_for(lambda: len(receiver.asked) == 3)
    await client.post(f"{address}/Replay", json={"From": "start"})
    await match(pool)
    may_end.set()
    await sending_third
    assert await positions(pool, address) == [1, 2, 3]
    await push(pool)
    assert receiver.names == [numbered(n) for n in (1, 2, 3, 1, 2, 3)]


async def test_a_pause_stops_what_is_not_under_way(
    client: httpx.AsyncClient, pool: asyncpg.Pool, receiver: Receiver
) -> None:
    address = await subscribe(client, NotificationEndpoint=receiver.url)
    await publish(pool, 1, 2, 3)
    await match(pool)
    may_end = receiver.hang()
    pushing = asyncio.create_task(push(pool))
    await wait_for(lambda: len(receiver.asked) == 1)
    await client.patch(address, json={"Status": "paused"})
    may_end.set()
    await pushing
    await push(pool)
    assert await positions(pool, address) == [2, 3], "what was taken is not sent again"
    await client.patch(address, json={"Status": "running"})
    await push(pool)
    assert receiver.names == [numbered(1), numbered(2), numbered(3)]


PRIVATE = [
    "http://127.0.0.1/", "http://localhost/", "http://10.0.0.1/", "http://169.254.169.254/latest/", "http://[::1]/",
    "http://[::ffff:127.0.0.1]/", "http://[fe80::1]/", "http://[64:ff9b::7f00:1]/", "http://0.0.0.0/", "http://127.1/",
    "http://2130706433/",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
async def test_private_addresses_are_refused_when_they_are_named(
    pool: asyncpg.Pool, settings: Settings, url: str
) -> None:
    public = settings.model_copy(update={"subscriptions": SubscriptionSettings()})
    async with subscriber(pool, public) as client:
        answer = await client.post("Subscriptions", json={"NotificationEndpoint": url})
        assert (answer.status_code, "public internet" in answer.text) == (400, True)


@pytest.mark.parametrize("host", ["0x7f.1", "rebound.test", "both.test"])
async def test_the_address_that_is_connected_to_is_looked_at_whatever_the_name_was_before(
    pool: asyncpg.Pool, receiver: Receiver, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notations of addresses that only the resolver understands, and a name whose address changed."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    real = socket.getaddrinfo
    told = {"rebound.test": ["127.0.0.1"], "both.test": ["::1", "127.0.0.1"]}

    def resolve(name: Any, *args: Any, **options: Any) -> Any:
        return [found for one in told.get(name, [name]) for found in real(one, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    public = QUICK.model_copy(update={"private_endpoints": False})
    url = sending.check_endpoint(f"http://{host}:{port}/", private=False)
    async with sending.Sender(public) as sender:
        with pytest.raises(sending.Transient, match="not on the public internet"):
            await sender.send(url, b"{}", None)
    assert receiver.asked == []
    async with sending.Sender(QUICK) as sender:
        await sender.send(url, b"{}", None)
    assert len(receiver.asked) == 1, "it can be reached where the setting allows it"


async def test_tls_is_verified() -> None:
    """A server with a certificate that nobody signed gets nothing."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read(100))
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server, sending.Sender(QUICK) as sender:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(sending.Transient, match="certificate cannot be trusted"):
            await sender.send(f"https://127.0.0.1:{port}/", b"{}", None)
    assert got == []


async def test_an_answer_without_end_is_an_answer(receiver: Receiver) -> None:
    may_end = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        await may_end.wait()
        return response

    receiver.answers.append(answer)
    async with sending.Sender(QUICK) as sender:
        await sender.send(receiver.url, b"{}", None)
    may_end.set()
