"""Subscriptions over HTTP, below the CDSE root: the hub's calls and answers (standards 2.2), Replay and Events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.catalogue import feed
from refsys.core.principals import principal_of
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.served import Served
from refsys.distribution.subscriptions import store
from refsys.distribution.subscriptions.events import Streams
from refsys.distribution.subscriptions.model import (
    CANCELLED,
    NOTIFICATION_CONTEXT,
    OPERATOR,
    PAUSED,
    RUNNING,
    USER,
    Subscription,
    entity,
    parse_wanted,
)
from refsys.distribution.subscriptions.rendering import render
from refsys.distribution.subscriptions.requests import (
    ChangeBody,
    CreateBody,
    InvalidBody,
    ReplayBody,
    UnknownSubscription,
    ack_position,
    key_of,
    read_body,
    replay_position,
    top_of,
)
from refsys.distribution.subscriptions.sending import check_endpoint

log = structlog.get_logger(__name__)

_HEADERS: Final = {"Cache-Control": "no-store"}


def routes(served: Served, streams: Streams | None = None) -> list[Route]:
    """What is added to the CDSE root. `streams`: others than the usual ones."""
    on = _Subscriptions(served, streams or Streams(served))
    one = "/Subscriptions({key})"
    return [
        Route("/Subscriptions", on.create, methods=["POST"]),
        Route("/Subscriptions/Info", on.list, methods=["GET"]),
        Route(one, on.show, methods=["GET"]),
        Route(one, on.change, methods=["PATCH"]),
        Route(one, on.delete, methods=["DELETE"]),
        Route(f"{one}/Read", on.read, methods=["GET"]),
        Route(f"{one}/Ack", on.acknowledge, methods=["POST"]),
        Route(f"{one}/Replay", on.replay, methods=["POST"]),
        Route(f"{one}/Events", on.events, methods=["GET"]),
    ]


class _Subscriptions:
    def __init__(self, served: Served, streams: Streams) -> None:
        self._served = served
        self._settings = served.settings.subscriptions
        self._streams = streams

    async def create(self, request: Request) -> Response:
        body = await read_body(request, CreateBody)
        owner = principal_of(request.scope).name
        filter_text = body.filter_text or ""
        parse_wanted(filter_text, body.events, self._served.types)
        endpoint = body.endpoint or None
        if endpoint is not None:
            check_endpoint(endpoint, private=self._settings.private_endpoints)
        elif body.names_access:
            raise _no_endpoint()
        access = body.access()
        async with self._transaction() as connection:
            total, running = await store.count(connection, owner)
            self._check_limits(total + 1, running + (body.status == RUNNING))
            made = await store.insert(
                connection,
                owner=owner,
                status=body.status,
                events=sorted(set(body.events)),
                filter_text=filter_text,
                stage_order=body.stage_order,
                endpoint=endpoint,
            )
            await store.set_access(connection, made.id, access)
        log.info("subscription.made", subscription=str(made.id), owner=owner, pushes=endpoint is not None)
        return _json(self._entity(made, made.position), 201)

    async def list(self, request: Request) -> Response:
        async with self._served.connection() as (connection, _):
            found = await store.owned(connection, principal_of(request.scope).name)
            last = await feed.last_position(connection)
        return _json([self._entity(subscription, last) for subscription in found])

    async def show(self, request: Request) -> Response:
        async with self._served.connection() as (connection, _):
            return await self._answer(connection, await self._owned(connection, request))

    async def change(self, request: Request) -> Response:
        body = await read_body(request, ChangeBody)
        async with self._transaction() as connection:
            if body.status == RUNNING:
                _, running = await store.count(connection, principal_of(request.scope).name)
            found = await self._taken(connection, request)
            if found.endpoint is None and (body.endpoint is not None or body.names_access):
                raise _no_endpoint()
            if body.endpoint is not None:
                check_endpoint(body.endpoint, private=self._settings.private_endpoints)
                await store.set_endpoint(connection, found.id, body.endpoint)
            if body.names_access:
                access = body.access(await store.fetch_access(connection, found.id))
                await store.set_access(connection, found.id, access)
            if body.status == CANCELLED:
                await store.delete(connection, found.id)
            elif body.status == RUNNING:
                if found.paused_by == OPERATOR:
                    raise ODataError(f"the subscription was paused by an operator: {found.pause_reason}", status=403)
                if found.status != RUNNING:
                    self._check_limits(0, running + 1)
                await store.run(connection, found.id)
            elif body.status == PAUSED and found.status != PAUSED:
                await store.pause(connection, found.id, USER)
            if body.status != CANCELLED:
                return await self._answer(connection, await self._owned(connection, request))
        log.info("subscription.cancelled", subscription=str(found.id), owner=found.owner)
        return _json(self._entity(found, found.position) | {"Status": CANCELLED})

    async def delete(self, request: Request) -> Response:
        async with self._transaction() as connection:
            found = await self._taken(connection, request)
            await store.delete(connection, found.id)
        log.info("subscription.cancelled", subscription=str(found.id), owner=found.owner)
        return Response(status_code=204, headers=_HEADERS)

    async def read(self, request: Request) -> Response:
        top = top_of(request)
        async with self._served.connection() as (connection, budget):
            found = await self._owned(connection, request)
            waiting = await store.queue(connection, found.id, top)
            base_url = self._served.base_url(request)
            bodies = await render(connection, waiting, self._served.types, base_url=base_url, budget=budget)
        return Response(b"[%s]" % b",".join(bodies), headers=_HEADERS, media_type="application/json")

    async def acknowledge(self, request: Request) -> Response:
        position = ack_position(request, key_of(request))
        async with self._transaction() as connection:
            found = await self._taken(connection, request)
            if position > found.position:
                raise ODataError("this AckId is of a notification that was not made yet")
            number, left = await store.acknowledge(connection, found.id, position)
        return _json(
            {
                "@odata.context": NOTIFICATION_CONTEXT,
                "AckMessagesNum": number,
                "CurrentQueueLength": left,
                "MaxQueueLength": self._settings.queue_length,
            }
        )

    async def replay(self, request: Request) -> Response:
        body = await read_body(request, ReplayBody)
        async with self._transaction() as connection:
            found = await self._taken(connection, request)
            position = await replay_position(connection, body.start, found.id)
            await store.rewind(connection, found.id, position)
            return await self._answer(connection, await self._owned(connection, request))

    async def events(self, request: Request) -> Response:
        async with self._served.connection() as (connection, _):
            found = await self._owned(connection, request)
        return self._streams.open(request, found)

    async def _owned(self, connection: asyncpg.Connection, request: Request) -> Subscription:
        """The subscription of the path, if it is the user's. Raises UnknownSubscription."""
        return _if_owned(request, await store.fetch(connection, key_of(request)))

    async def _taken(self, connection: asyncpg.Connection, request: Request) -> Subscription:
        """The same, locked until the transaction ends."""
        return _if_owned(request, await store.take(connection, key_of(request)))

    async def _answer(self, connection: asyncpg.Connection, subscription: Subscription) -> Response:
        return _json(self._entity(subscription, await feed.last_position(connection)))

    def _entity(self, subscription: Subscription, last_position: int) -> dict[str, Any]:
        return entity(subscription, last_position=last_position, queue_length=self._settings.queue_length)

    def _check_limits(self, total: int, running: int) -> None:
        for number, most, what in (
            (total, self._settings.per_user, "subscriptions"),
            (running, self._settings.running_per_user, "running subscriptions"),
        ):
            if number > most:
                raise ODataError(f"a user has at most {most} {what}; cancel or pause one", status=403)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._served.connection() as (connection, _), connection.transaction():
            yield connection


def _if_owned(request: Request, found: Subscription | None) -> Subscription:
    if found is None or found.owner != principal_of(request.scope).name:
        raise UnknownSubscription(key_of(request))
    return found


def _no_endpoint() -> InvalidBody:
    told = "without NotificationEndpoint it is a PULL subscription, which has neither endpoint nor credentials"
    return InvalidBody(("value_error", ("NotificationEndpoint",), told))


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, _HEADERS, media_type="application/json")
