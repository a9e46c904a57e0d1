"""Connections to stations for threads: sockets with a bound on silence, on dripping and on waiting for an answer."""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from yarl import URL

from refsys.infra.stations.answers import CannotConnect
from refsys.infra.stations.limits import LeastRate

#: Seconds after which a connection that nobody uses is closed: sooner than stations do it.
IDLE_S: Final = 4.0


class Wire:
    """One connection, used by one thread at a time; `hang_up` may be called by any, and wakes the one that reads.

    `patience_s` is what one answer's beginning may take, `silence_s` what may pass without a byte; `least_bytes_per_s`
    is measured over the time that is spent waiting, so a reader that is slow itself does no harm.
    """

    def __init__(self, sock: socket.socket, *, silence_s: float, patience_s: float, least_bytes_per_s: int) -> None:
        self._socket = sock
        self._silence_s = silence_s
        self._patience_s = patience_s
        self._rate = LeastRate(least_bytes_per_s)
        self._reading = threading.Lock()
        self._is_over = False
        self._deadline = 0.0
        self.idle_since = 0.0
        self.answers = 0
        sock.settimeout(silence_s)

    def send(self, method: str, target: str, headers: Mapping[str, str]) -> None:
        """Send a request without body. Raises ValueError for what would be more than a header."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header has a line break in it")
        self.be_patient()
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def response(self, method: str) -> http.client.HTTPResponse:
        """The answer's head. Raises OSError and http.client.HTTPException."""
        # of a socket, it wants `makefile` alone
        answer = http.client.HTTPResponse(cast(socket.socket, self), method=method)
        answer.begin()
        self.answers += 1
        return answer

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self))

    def be_patient(self) -> None:
        """From now on `patience_s` may pass until `receive` gives up, whatever drips in."""
        self._deadline = time.monotonic() + self._patience_s

    def receive(self, buffer: memoryview) -> int:
        """What has come, at most the buffer; 0 at the end. Raises OSError."""
        with self._reading:
            self._check()
            begun = time.monotonic()
            if begun > self._deadline:
                raise TimeoutError("no whole answer in time")
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                raise TimeoutError(f"nothing came for {self._silence_s:g} s") from None
            finally:
                if self._is_over:
                    self._socket.close()
            self._check()
        self._rate.note(count, time.monotonic() - begun)
        return count

    def is_usable(self) -> bool:
        """Whether an idle connection is still one, with nothing on it that nobody asked for."""
        if self._is_over or time.monotonic() - self.idle_since > IDLE_S:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)
        return not poll.poll(0)

    def hang_up(self) -> None:
        """End it. Who reads gets an OSError, and closes the socket: a number that is free again may be another's."""
        self._is_over = True
        with contextlib.suppress(OSError):  # the peer may have been quicker
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        if self._reading.acquire(blocking=False):
            try:
                self._socket.close()
            finally:
                self._reading.release()

    def _check(self) -> None:
        if self._is_over:
            raise ConnectionAbortedError("it was closed on our side")


class _Raw(io.RawIOBase):
    """A wire as the reader of responses wants it; closing it leaves the connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._wire.receive(buffer)


class Wires:
    """The connections of one client, by origin: those in use are their users', idle ones are kept for a moment."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext,
        proxy: str,
        connect_timeout_s: float,
        silence_s: float,
        patience_s: float,
        least_bytes_per_s: int,
    ) -> None:
        self._tls = tls
        self._proxy = URL(proxy) if proxy else None
        self._connect_timeout_s = connect_timeout_s
        self._limits: dict[str, Any] = {
            "silence_s": silence_s,
            "patience_s": patience_s,
            "least_bytes_per_s": least_bytes_per_s,
        }
        self._lock = threading.Lock()
        self._idle: dict[URL, list[Wire]] = {}
        self._is_closed = False

    def take(self, url: URL, *, fresh: bool = False) -> Wire:
        """A connection to the origin of a URL; `fresh`: a new one. Raises OSError."""
        origin = url.origin()
        while not fresh:
            with self._lock:
                idle = self._idle.get(origin)
                wire = idle.pop() if idle else None
            if wire is None:
                break
            if wire.is_usable():
                return wire
            wire.hang_up()
        return Wire(self._connect(origin), **self._limits)

    def give_back(self, url: URL, wire: Wire) -> None:
        """A connection whose last answer was read to its end."""
        wire.idle_since = time.monotonic()
        with self._lock:
            if not self._is_closed:
                self._idle.setdefault(url.origin(), []).append(wire)
                return
        wire.hang_up()

    def prune(self) -> bool:
        """Close what is idle for too long; returns whether something is left that is idle."""
        limit = time.monotonic() - IDLE_S
        with self._lock:
            old = [wire for wires in self._idle.values() for wire in wires if wire.idle_since < limit]
            self._idle = {
                origin: kept for origin, wires in self._idle.items() if (kept := [w for w in wires if w not in old])
            }
            remain = bool(self._idle)
        for wire in old:
            wire.hang_up()
        return remain

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            idle = [wire for wires in self._idle.values() for wire in wires]
            self._idle.clear()
        for wire in idle:
            wire.hang_up()

    def target(self, url: URL) -> str:
        """What the first line of a request names."""
        return str(url.with_fragment(None)) if self._is_proxied(url) else url.raw_path_qs

    def _is_proxied(self, url: URL) -> bool:
        """Whether a proxy passes single requests on: TLS goes through a tunnel instead."""
        return self._proxy is not None and url.scheme == "http"

    def _connect(self, origin: URL) -> socket.socket:
        peer = self._proxy or origin
        assert peer.raw_host is not None  # `Errand.aim` saw to it
        try:
            sock = socket.create_connection((peer.raw_host, peer.port or 80), self._connect_timeout_s)
        except OSError as error:
            raise CannotConnect(f"{peer.host}:{peer.port}", error) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "https":
                if self._proxy is not None:
                    self._tunnel(sock, origin)
                sock = self._tls.wrap_socket(sock, server_hostname=origin.raw_host)
        except BaseException:
            sock.close()
            raise
        return sock

    def _tunnel(self, sock: socket.socket, origin: URL) -> None:
        """Through the proxy (RFC 9110 9.3.6)."""
        where = f"{host_of(origin)}:{origin.port}"
        wire = Wire(sock, **self._limits)
        wire.send("CONNECT", where, {"Host": where})
        answer = wire.response("CONNECT")
        if answer.status != 200:
            raise ConnectionError(f"the proxy {self._proxy} answered {answer.status} {answer.reason} to CONNECT")
        sock.settimeout(self._connect_timeout_s)


def host_of(url: URL) -> str:
    """A URL's host as a header names it."""
    host = url.raw_host or ""
    return f"[{host}]" if ":" in host else host
