"""Subscribers before a test's database: changes in the feed, users who ask, and endpoints that take, refuse or hang."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
from aiohttp import web
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Mount, Router

from refsys.catalogue import commands
from refsys.core.principals import SCOPE_KEY, Principal, Right
from refsys.distribution.served import Served
from refsys.distribution.subscriptions import routes
from refsys.distribution.subscriptions.events import Streams
from refsys.distribution.subscriptions.matching import Matcher
from refsys.distribution.subscriptions.pushing import Pusher
from refsys.distribution.subscriptions.sending import Sender
from refsys.infra.settings import Settings, SubscriptionSettings
from refsys.infra.storage import open_storage
from refsys.web import errors
from tests.publishers import make_packaged, numbered
from tests.stored_products import TYPES
from tests.waiting import wait_for

BASE_URL = "http://hub.test"
#: Failing pushes are tried again at once, and receivers are on this machine.
QUICK = SubscriptionSettings(backoff_s=0.01, backoff_limit_s=0.02, push_timeout_s=5.0, private_endpoints=True)


async def publish(pool: asyncpg.Pool, *numbers: int) -> list[UUID]:
    """Products that become visible one after the other."""
    found = []
    async with pool.acquire() as connection:
        for number in numbers:
            key, content = await make_packaged(connection, numbered(number))
            assert await commands.publish(connection, key, content)
            found.append(key)
    return found


async def announce(pool: asyncpg.Pool, what: str, *ids: UUID) -> None:
    await pool.fetch("SELECT * FROM catalogue.announce($1, $2, 'Corrupted product')", ids, what)


async def match(pool: asyncpg.Pool, settings: SubscriptionSettings = QUICK) -> None:
    """Look through the feed until there is nothing to do."""
    matcher = Matcher(TYPES, settings)
    async with pool.acquire() as connection:
        while await matcher.match(connection):
            pass


@contextlib.asynccontextmanager
async def pusher(pool: asyncpg.Pool, settings: SubscriptionSettings = QUICK) -> AsyncIterator[Pusher]:
    async with Sender(settings) as sender:
        yield Pusher(pool, TYPES, settings, sender, lambda: BASE_URL)


async def push(pool: asyncpg.Pool, settings: SubscriptionSettings = QUICK) -> None:
    """One turn for each subscription that may send now."""
    async with pusher(pool, settings) as found:
        for key, token in await found.lease(100):
            await found.push(key, token, lambda: False)


def application(pool: asyncpg.Pool, settings: Settings, **times: float) -> Any:
    """The routes of subscriptions alone; the header X-User says who asks. `times` are those of streams."""
    served = Served(pool, open_storage(settings), TYPES, settings)
    router = Router([Mount("/odata/v1", routes=routes.routes(served, Streams(served, **times)))])

    async def named(scope: Any, receive: Any, send: Any) -> None:
        user = dict(scope["headers"]).get(b"x-user", b"").decode()
        # routes raise their errors where they find themselves in an application
        await router({**scope, SCOPE_KEY: Principal(user, frozenset(Right)), "app": router}, receive, send)

    return ExceptionMiddleware(named, handlers=errors.handlers())


@contextlib.asynccontextmanager
async def subscriber(pool: asyncpg.Pool, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client below the root, user `ann` unless a request says otherwise."""
    transport = httpx.ASGITransport(application(pool, settings), raise_app_exceptions=False)
    headers = {"X-User": "ann"}
    async with httpx.AsyncClient(transport=transport, base_url=f"{BASE_URL}/odata/v1/", headers=headers) as client:
        yield client


async def subscribe(client: httpx.AsyncClient, **members: Any) -> str:
    """The address of a new subscription, below the root."""
    answer = await client.post("Subscriptions", json=members)
    assert answer.status_code == 201, answer.text
    return f"Subscriptions({answer.json()['Id']})"


async def positions(pool: asyncpg.Pool, address: str) -> list[int]:
    """Of the notifications that wait."""
    sql = "SELECT position FROM distribution.notification WHERE subscription_id = $1 ORDER BY position"
    return [row["position"] for row in await pool.fetch(sql, UUID(address[14:50]))]


@dataclass
class Receiver:
    """An endpoint. `answers` are what it does next, in this order; then it takes everything."""

    url: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [told["ProductName"] for told in self.taken]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        told = orjson.loads(await request.read())
        if self.answers:
            answer = await self.answers.pop(0)(request)
            if answer.status >= 300:
                return answer
        self.taken.append(told)
        return web.Response(status=204)

    def refuse(self, *statuses: int, **headers: str) -> None:
        """Answer with these next."""

        async def answer(request: web.Request, status: int) -> web.Response:
            return web.Response(status=status, headers=headers, text="the secret of the inner network")

        for status in statuses:
            self.answers.append(lambda request, status=status: answer(request, status))

    def hang(self) -> asyncio.Event:
        """Take the next one only when the event is set."""
        may_end = asyncio.Event()

        async def answer(request: web.Request) -> web.Response:
            await may_end.wait()
            return web.Response(status=204)

        self.answers.append(answer)
        return may_end


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver behind a real server on this machine."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    try:
        yield receiver
    finally:
        await runner.cleanup()


class Stream:
    """What a client of events has got."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: httpx.Headers = httpx.Headers()
        self.events: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.comments = 0
        self.is_over = False

    @property
    def names(self) -> list[str]:
        return [event["ProductName"] for event in self.events]

    async def read(self, response: httpx.Response) -> None:
        self.status, self.headers = response.status_code, response.headers
        async for line in response.aiter_lines():
            name, _, text = line.partition(": ")
            if name == "data":
                self.events.append(orjson.loads(text))
            elif name == "id":
                self.ids.append(text)
            elif not name and text:
                self.comments += 1
        self.is_over = True


@contextlib.asynccontextmanager
async def following(client: httpx.AsyncClient, address: str, last: str = "") -> AsyncIterator[Stream]:
    """A stream for the time of the block."""
    stream = Stream()
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", f"{address}/Events", headers=headers) as response:
        reading = asyncio.create_task(stream.read(response))
        await wait_for(lambda: stream.status)
        try:
            yield stream
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
