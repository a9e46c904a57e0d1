"""The HTTP server of one API process: uvicorn, which leaves signals to the role and says when it is up.

What is no request, or never becomes one, is answered as every other error is, and holds neither memory nor connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refsys.distribution.served import STOP_KEY
from refsys.web.errors import bare_answer

log = structlog.get_logger(__name__)

#: Most bytes of a request's first line and headers, and seconds in which they have to come.
HEAD_LIMIT: Final = 128 * 2**10
HEAD_TIMEOUT_S: Final = 30.0
#: Seconds in which a client takes not one byte of an answer, after which its connection is cut.
STALL_S: Final = 60.0
#: Longer than the keep-alive of the usual load balancers (60 s): the client side is to close first.
KEEP_ALIVE_S = 75


async def serve(
    app: Any,
    listening: socket.socket,
    *,
    ready: Callable[[], None],
    stop: asyncio.Event,
    drain_s: float,
    stall_s: float = STALL_S,
    proxies: Sequence[str] = (),
) -> None:
    """Answer requests until `stop`; then no new ones, and `drain_s` for those that are being answered.

    What `proxies` (addresses, networks) say of where a request comes from is believed.
    """
    config = _Config(
        _Ending(app, stop),
        stall_s=stall_s,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        loop="uvloop",
        http=_Protocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(drain_s)),
    )
    server = _Server(config, ready)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    server.should_exit = True
    await serving


class _Ending:
    """Lets answers that have no end of their own know that they have to end now."""

    def __init__(self, app: ASGIApp, stop: asyncio.Event) -> None:
        self._app = app
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, STOP_KEY: self._stop}, receive, send)


class _Config(uvicorn.Config):
    def __init__(self, app: Any, *, stall_s: float, **settings: Any) -> None:
        super().__init__(app, **settings)
        self.stall_s = stall_s


class _Protocol(HttpToolsProtocol):
    """HTTP with an end to how long and how slow the head of a request may be, and to how long an answer may wait."""

    _head_bytes = 0
    _in_body = False
    _timer: asyncio.TimerHandle | None = None
    config: _Config
    _watch: asyncio.TimerHandle | None = None
    _unsent_bytes = -1

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._watch is None:
            self._look_again()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unsent_bytes = -1

    def data_received(self, data: bytes) -> None:
        if self._timer is None and not self._in_body and (self.cycle is None or self.cycle.response_complete):
            self._await_head()
        super().data_received(data)
        if self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT:
                self._refuse(431, f"the first line and the headers of a request have {HEAD_LIMIT} bytes at most")

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP request, or its URL is too long")

    def _look_again(self) -> None:
        self._unsent_bytes = self._count_unsent()
        self._watch = self.loop.call_later(self.config.stall_s, self._look_for_stall)

    def _look_for_stall(self) -> None:
        """Cut who took nothing since the last look: the peer may be gone without a word, or never read again."""
        self._watch = None
        if self._unsent_bytes != -1 and self._unsent_bytes == self._count_unsent():
            log.info("connection.stalled", client=self.client, seconds=self.config.stall_s)
            self.transport.abort()
        elif self.flow.write_paused:
            self._look_again()

    def _count_unsent(self) -> int:
        """Bytes that wait here and in the kernel until the peer says that it has them."""
        connection = self.transport.get_extra_info("socket")
        waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        return int(self.transport.get_write_buffer_size() + struct.unpack("i", waiting)[0])

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._head_bytes:
            self._refuse(408, f"the request is not whole after {HEAD_TIMEOUT_S:.0f} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            log.info("request.refused", client=self.client, status=status, error=message)
            self.transport.write(bare_answer(status, message))
            self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
