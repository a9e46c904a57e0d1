"""The change feed as server-sent events (HTML Living Standard 9.2), for one subscription.

A stream is a reader of the feed by itself: the client keeps how far it has come (the id of the last event, which is an
AckId), and the queue stays as it is. So a client that comes back with Last-Event-ID misses nothing and sees nothing
twice, whichever process it comes back to.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from refsys.catalogue import feed
from refsys.core.errors import RefsysError
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.served import STOP_KEY, Served
from refsys.distribution.subscriptions import store
from refsys.distribution.subscriptions.matching import STRIDE, look
from refsys.distribution.subscriptions.model import RUNNING, Subscription, parse_wanted, read_ack_id, write_ack_id
from refsys.distribution.subscriptions.rendering import render
from refsys.infra.postgres import DATABASE_ERRORS

log = structlog.get_logger(__name__)

#: Seconds between two looks at the feed, and between two signs of life.
WAIT_S: Final = 1.0
HEARTBEAT_S: Final = 15.0
#: Seconds after which a stream ends and its client comes back, with a token that is still valid.
LIFE_S: Final = 3600.0
#: Events that are rendered at once.
_RENDERED: Final = 20
#: Milliseconds after which a client comes back.
_RETRY_MS: Final = 3000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_MEDIA_TYPE: Final = "text/event-stream"


class Streams:
    """The streams of one process: so many for each user, and one look at the feed for all of them."""

    def __init__(
        self, served: Served, *, wait_s: float = WAIT_S, heartbeat_s: float = HEARTBEAT_S, life_s: float = LIFE_S
    ) -> None:
        self._served = served
        self._wait_s = wait_s
        self._heartbeat_s = heartbeat_s
        self._life_s = life_s
        self._open: Counter[str] = Counter()
        self._last = 0
        self._looked_at = -wait_s
        self._looking = asyncio.Lock()

    def open(self, request: Request, subscription: Subscription) -> Response:
        """The answer: events behind Last-Event-ID, or behind what was acknowledged. Raises ODataError (400, 429)."""
        if request.method == "HEAD":
            return Response(headers=_HEADERS, media_type=_MEDIA_TYPE)
        last_id = request.headers.get("last-event-id", "")
        after = read_ack_id(last_id, subscription.id) if last_id else subscription.acked
        most = self._served.settings.subscriptions.streams_per_user
        if self._open[subscription.owner] >= most:
            raise ODataError(
                f"you have {most} streams open, and more are not given; close one, or come back later",
                status=429,
                headers={"Retry-After": "30"},
            )
        stop = request.scope.get(STOP_KEY) or asyncio.Event()
        events = self._events(subscription, after, self._served.base_url(request), stop)
        return _Stream(self._open, subscription.owner, events)

    async def _events(
        self, subscription: Subscription, after: int, base_url: str, stop: asyncio.Event
    ) -> AsyncIterator[bytes]:
        begun = told_at = time.monotonic()
        yield f"retry: {_RETRY_MS}\n\n".encode()
        named = after
        while not stop.is_set() and time.monotonic() < begun + self._life_s:
            is_time = time.monotonic() >= told_at + self._heartbeat_s
            try:
                found = await self._look(subscription, after, base_url, is_time)
            except (*DATABASE_ERRORS, RefsysError) as error:
                # the client comes back and is told what is the matter
                log.warning("stream.ended", subscription=str(subscription.id), error=str(error))
                return
            if found is None:
                return
            reached, events = found
            for event in events:
                yield event
            if events:
                named, told_at = reached, time.monotonic()
            elif is_time:
                # where everything was passed over, a client that comes back need not begin where it was
                passed = f"id: {write_ack_id(subscription.id, reached, datetime.now(UTC))}\n" if reached > named else ""
                yield f": alive\n{passed}\n".encode()
                named, told_at = reached, time.monotonic()
            if reached == after:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._wait_s)
            after = reached

    async def _look(
        self, subscription: Subscription, after: int, base_url: str, is_time: bool
    ) -> tuple[int, list[bytes]] | None:
        """How far the feed was looked through and what was found; None where the subscription is gone."""
        last = await self._last_position()
        if last <= after and not is_time:
            return after, []
        async with self._served.connection() as (connection, budget):
            current = await store.fetch(connection, subscription.id)
            if current is None:
                return None
            until = min(last, after + STRIDE)
            if current.status != RUNNING or until <= after:
                return after, []
            wanted = parse_wanted(current.filter_text, current.events, self._served.types)
            now = datetime.now(UTC)
            found = await look(connection, current, wanted, after=after, until=until, limit=_RENDERED, now=now)
            bodies = await render(connection, found, self._served.types, base_url=base_url, budget=budget)
        pairs = zip(found, bodies, strict=True)
        events = [b"id: %s\ndata: %s\n\n" % (told.ack_id.encode(), body) for told, body in pairs]
        return found[-1].position if len(found) == _RENDERED else until, events

    async def _last_position(self) -> int:
        async with self._looking:
            if time.monotonic() >= self._looked_at + self._wait_s:
                async with self._served.connection() as (connection, _):
                    self._last = await feed.last_position(connection)
                self._looked_at = time.monotonic()
        return self._last


class _Stream(StreamingResponse):
    """Gives its place free however it ends."""

    def __init__(self, open_streams: Counter[str], owner: str, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, headers=_HEADERS, media_type=_MEDIA_TYPE)
        self._open = open_streams
        self._owner = owner
        self._open[owner] += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._open[self._owner] -= 1
            if not self._open[self._owner]:
                del self._open[self._owner]
