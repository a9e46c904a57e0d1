"""A simulated AUXIP/PRIP station: a context manager around an HTTP server on a loopback port."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

import uvicorn
import uvloop

from refsys.core.errors import ConfigurationError
from refsys.core.hosts import host_in_url
from refsys.simulation.station.answers import ROOT, Desk
from refsys.simulation.station.app import GRANTS, StationApp
from refsys.simulation.station.auth import Auth, Gate
from refsys.simulation.station.faults import Faults
from refsys.simulation.station.folder import FolderWatch, announced_name
from refsys.simulation.station.journal import Journal
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import ALGORITHMS, ArchiveKind, Package, Packer
from refsys.simulation.station.shelf import Shelf, utc_now


class Station:
    """Offers products over OData, from a folder that it watches and from `offer`.

    `async with` serves in the caller's event loop, `with` in a thread of its own; both may be entered again, with the
    same port and the same products. `offer` and its like may be called from any thread, running or not. `faults` is
    its script of misbehaviour, `journal` what it was asked.

    Folders are delivered as archives of the kind `archive`, made in `cache` (temporary by default) when first needed;
    files and archives as they lie. `page_limit` bounds a page whatever `$top` says; `next_links` off is a station
    whose pages one has to count. Products of the folder that changed less than `settle_s` ago wait. `clock` is the
    station's own.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        auth: Auth = None,
        archive: ArchiveKind = "zip",
        deflate: bool = False,
        cache: Path | None = None,
        algorithms: Sequence[str] = ("MD5",),
        page_limit: int = 1000,
        next_links: bool = True,
        settle_s: float = 0.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if unknown := set(algorithms) - ALGORITHMS.keys():
            raise ConfigurationError(
                f"{', '.join(sorted(unknown))}: no such checksum", advice=f"one of {', '.join(ALGORITHMS)}"
            )
        if folder is not None and not folder.is_dir():
            raise ConfigurationError("is not a folder", subject=str(folder), advice="name the folder to offer")
        self.faults = Faults()
        self.journal = Journal()
        self.auth = auth
        self._host = host
        self._port = port
        self._archive: ArchiveKind = archive
        self._page_limit = page_limit
        self._next_links = next_links
        self._gate = Gate(auth)
        self._shelf = Shelf(clock)
        self._packer = Packer(cache, archive, deflate=deflate, algorithms=algorithms)
        self._watch = (
            None
            if folder is None
            else FolderWatch(folder, archive, settle_s=settle_s, offer=self._shelve, withdraw=self.withdraw)
        )
        self._desk: Desk | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._leave: Callable[[], object] | None = None

    @property
    def base_url(self) -> str:
        """scheme://host:port"""
        if not self._port:
            raise ConfigurationError("the station has no address before it was started")
        return f"http://{host_in_url(self._host)}:{self._port}"

    @property
    def url(self) -> str:
        """The OData root, as an inbox wants it."""
        return self.base_url + ROOT

    @property
    def token_url(self) -> str:
        return self.base_url + GRANTS

    def offer(
        self,
        path: Path,
        *,
        name: str | None = None,
        published_at: datetime | None = None,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Offered:
        """Offer a folder or file where it lies. By default `name` is what a PRIP calls it (`X.SAFE.zip`), and it is
        published now. `size_bytes` and `checksums` (algorithm → value) are announced in place of the true ones.
        """
        if not path.exists():
            raise ConfigurationError("is not there to be offered", subject=str(path))
        return self._shelve(
            announced_name(path, self._archive) if name is None else name,
            path,
            published_at=published_at,
            size_bytes=size_bytes,
            checksums=checksums,
        )

    def replace(self, name: str, path: Path, *, quietly: bool = False) -> Offered:
        """Other bytes under an offered name: with a new id and date, or `quietly` with the old ones."""
        before = self._shelf.named(name)
        if not quietly:
            return self._shelve(name, path)
        offered = self._shelf.change_quietly(name, path)
        self._packer.forget(before)
        return offered

    def withdraw(self, name: str) -> None:
        """Offer it no more, as after its eviction."""
        self._packer.forget(self._shelf.take_away(name))

    def offered(self) -> list[Offered]:
        """What is offered, in the order in which it was offered; of the folder, what was seen at the last request."""
        return self._shelf.offered()

    def look(self) -> None:
        """See what changed in the folder, as every listing does first. Blocks."""
        if self._watch is not None:
            self._watch.refresh()

    def package(self, name: str) -> Package:
        """What is delivered for an offered name: path, true size and checksums. Blocks while it is made."""
        return self._packer.package(self._shelf.named(name))

    def expire_tokens(self, *, refresh_tokens: bool = False) -> None:
        """Let every access token given out so far expire now; refresh tokens too, if wanted."""
        self._gate.expire(refresh_tokens=refresh_tokens)

    async def __aenter__(self) -> Self:
        listening = _listen(self._host, self._port)
        self._port = listening.getsockname()[1]
        self._desk = Desk(
            shelf=self._shelf,
            packer=self._packer,
            watch=self._watch,
            page_limit=self._page_limit,
            next_links=self._next_links,
        )
        self._server = _Server(StationApp(self._desk, self._gate, self.faults, self.journal))
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        await self._server.up.wait()
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._desk is not None
        assert self._server is not None
        assert self._serving is not None
        self._desk.stopping.set()
        self._server.leave.set()
        try:
            await self._serving
        finally:
            self._packer.close()

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

    def _shelve(
        self,
        name: str,
        path: Path,
        *,
        published_at: datetime | None = None,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> Offered:
        offered, before = self._shelf.put(
            name, path, published_at=published_at, size_bytes=size_bytes, checksums=checksums
        )
        if before is not None:
            self._packer.forget(before)
        return offered


class _Server(uvicorn.Server):
    """Leaves signals to whoever embeds it; sets `up` when it listens and stops at once when `leave` is set."""

    def __init__(self, app: StationApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
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
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ConfigurationError(
            f"the station cannot listen on {host} port {port}: {reason}",
            advice="name another port, or 0 for a free one",
        ) from error
