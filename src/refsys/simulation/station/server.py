"""What every simulated station over HTTP is: a context manager around a server on a loopback port."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import uvicorn
import uvloop

from refsys.core.errors import ConfigurationError
from refsys.core.hosts import host_in_url
from refsys.simulation.station.answers import ROOT, Desk, Refusal
from refsys.simulation.station.app import GRANTS, StationApp
from refsys.simulation.station.auth import Auth, Gate
from refsys.simulation.station.dialect import Dialect
from refsys.simulation.station.faults import Faults
from refsys.simulation.station.journal import Journal
from refsys.simulation.station.metadata import edmx
from refsys.simulation.station.query import EntitySet


class HttpStation:
    """Answers about entity sets over OData.

    `async with` serves in the caller's event loop, `with` in a thread of its own; both may be entered again, with the
    same port and the same offers. What changes what is offered may be called from any thread, running or not. `faults`
    is its script of misbehaviour, `journal` what it was asked, `dialect` how its OData differs from the standard.

    With `other_host` (an address such as 127.0.0.2) it listens there too, for redirects. `certificate` is a PEM file
    with key and certificate: https.
    """

    def __init__(
        self,
        sets: Sequence[EntitySet[Any]],
        *,
        host: str,
        port: int,
        other_host: str,
        auth: Auth,
        certificate: Path | None,
        dialect: Dialect,
    ) -> None:
        self.faults = Faults()
        self.journal = Journal()
        self.auth = auth
        self._host = host
        self._port = port
        self._other_host = other_host
        self._other_port = 0
        self.certificate = certificate
        self._gate = Gate(auth)
        self._desk = Desk({each.name: each for each in sets}, edmx(sets), dialect)
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._leave: Callable[[], object] | None = None

    @property
    def base_url(self) -> str:
        """scheme://host:port"""
        return self._base(self._host, self._port)

    @property
    def elsewhere(self) -> str:
        """The same of `other_host`; empty where there is none."""
        return self._base(self._other_host, self._other_port) if self._other_host else ""

    @property
    def url(self) -> str:
        """The OData root, as an inbox wants it."""
        return self.base_url + ROOT

    @property
    def token_url(self) -> str:
        return self.base_url + GRANTS

    @property
    def dialect(self) -> Dialect:
        return self._desk.dialect

    def speak(self, **changes: Any) -> None:
        """Change fields of the dialect from now on."""
        self._desk.dialect = replace(self._desk.dialect, **changes)

    def look(self) -> None:
        """See what changed, as every listing does first. Blocks."""

    def may_download(self, row: Any) -> None:
        """Raises Refusal where the bytes cannot be had now."""

    def act(self, row: Any, action: str, form: bytes) -> dict[str, Any]:
        """Do what is asked of a row."""
        raise Refusal(405, f"{action}: nothing can be changed here", {"Allow": "GET, HEAD"})

    def expire_tokens(self, *, refresh_tokens: bool = False) -> None:
        """Let every access token given out so far expire now; refresh tokens too, if wanted."""
        self._gate.expire(refresh_tokens=refresh_tokens)

    async def __aenter__(self) -> Self:
        listening = [_listen(self._host, self._port)]
        self._port = listening[0].getsockname()[1]
        if self._other_host:
            listening.append(_listen(self._other_host, self._other_port))
            self._other_port = listening[1].getsockname()[1]
        self._desk.stopping = asyncio.Event()
        app = StationApp(self._desk, self, self._gate, self.faults, self.journal)
        self._server = _Server(app, self.certificate)
        self._serving = asyncio.create_task(self._server.serve(sockets=listening))
        await self._server.up.wait()
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        assert self._serving is not None
        self._desk.stopping.set()
        self._server.leave.set()
        try:
            await self._serving
        finally:
            self._close()

    def __enter__(self) -> Self:
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=[started], name="station", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._leave is not None
        assert self._thread is not None
        self._leave()
        self._thread.join()

    def _run(self, started: concurrent.futures.Future[None]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._stay(started))

    async def _stay(self, started: concurrent.futures.Future[None]) -> None:
        leave, loop = asyncio.Event(), asyncio.get_running_loop()
        self._leave = lambda: loop.call_soon_threadsafe(leave.set)
        try:
            await self.__aenter__()
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        await leave.wait()
        await self.__aexit__()

    def _close(self) -> None:
        """Let go what only a running station needs."""

    def _base(self, host: str, port: int) -> str:
        if not port:
            raise ConfigurationError("the station has no address before it was started")
        return f"{'https' if self.certificate else 'http'}://{host_in_url(host)}:{port}"


class _Server(uvicorn.Server):
    """Leaves signals to whoever embeds it; sets `up` when it listens and stops at once when `leave` is set."""

    def __init__(self, app: StationApp, certificate: Path | None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=certificate,
                ssl_keyfile=certificate,
            )
        )
        self.up = asyncio.Event()
        self.leave = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        while not self.leave.is_set():
            await self.on_tick(0)  # writes the Date header anew
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leave.wait(), 1.0)


def _listen(host: str, port: int) -> socket.socket:
    """Raises ConfigurationError naming the port."""
    try:
        listening = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
        # inherited; asyncio sets it only on sockets that were made with their protocol: each answer took 40 ms more
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ConfigurationError(
            f"the station cannot listen on {host} port {port}: {reason}",
            advice="name another port, or 0 for a free one",
        ) from error
