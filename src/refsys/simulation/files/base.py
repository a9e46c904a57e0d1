"""What stations that offer files have in common."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from refsys.core.errors import ConfigurationError
from refsys.core.hosts import host_in_url
from refsys.simulation.files.tree import Layout, Tree
from refsys.simulation.station.auth import Basic
from refsys.simulation.station.content import Content
from refsys.simulation.station.faults import Faults, Sense
from refsys.simulation.station.journal import Journal
from refsys.simulation.station.sessions import Archive, Session
from refsys.simulation.station.shelf import utc_now


class FileStation(ABC):
    """Serves the folders of an archive from a thread of its own.

    Used as `with` or `async with`; may be entered again, with the same port and the same files. `faults` is its script
    of misbehaviour, `journal` what it was asked: names are paths. `certificate`: a PEM file with key and certificate.
    `prefix`, `layout`: see `Tree`. `retention`: what is older is evicted; None = nothing is.
    """

    #: Whether a pass that plays here publishes DSIBs.
    delivers_dsib = True
    #: What such a station can do wrong.
    sense: Sense

    def __init__(
        self,
        archive: Archive | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        auth: Basic | None = None,
        certificate: Path | None = None,
        layout: Layout = "cgs",
        prefix: str = "",
        retention: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.archive = Archive(retention=retention, clock=clock) if archive is None else archive
        self.tree = Tree(self.archive, layout=layout, prefix=prefix)
        self.faults = Faults(self.sense)
        self.journal = Journal()
        self.auth = auth
        self.certificate = certificate
        #: Ends what is stalled when the station stops.
        self.stopping = threading.Event()
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None

    def session(self, session_id: str, **said: Any) -> Session:
        """Publish a session: `Archive.session`."""
        return self.archive.session(session_id, **said)

    def put(self, path: str, content: Content, *, size_bytes: int | None = None) -> None:
        """Offer a file of no session: `Tree.put`."""
        self.tree.put(path, content, size_bytes=size_bytes)

    @property
    @abstractmethod
    def scheme(self) -> str:
        """Of its URLs, as an inbox wants them."""

    @property
    def base_url(self) -> str:
        """scheme://host:port"""
        if not self._port:
            raise ConfigurationError("the station has no address before it was started")
        return f"{self.scheme}://{host_in_url(self._host)}:{self._port}"

    @property
    def url(self) -> str:
        """The folder of nominal sessions, as an inbox wants it."""
        return f"{self.base_url}/NOMINAL/"

    @property
    def retransfer_url(self) -> str:
        return f"{self.base_url}/RETRANSFER/"

    @property
    def port(self) -> int:
        """0 before it was started."""
        return self._port

    def __enter__(self) -> Self:
        self.stopping.clear()
        try:
            self._port = self._listen(self._host, self._port)
        except OSError as error:
            raise ConfigurationError(
                f"the station cannot listen on {self._host} port {self._port}: {error.strerror or error}",
                advice="name another port, or 0 for a free one",
            ) from error
        self._thread = threading.Thread(target=self._serve, name="station", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._thread is not None
        self.stopping.set()
        self._stop()
        self._thread.join()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(self.__exit__)

    @abstractmethod
    def _listen(self, host: str, port: int) -> int:
        """Listen, and return the port. Raises OSError."""

    @abstractmethod
    def _serve(self) -> None:
        """Serve until stopped; runs in the thread."""

    @abstractmethod
    def _stop(self) -> None:
        """Make `_serve` return."""
