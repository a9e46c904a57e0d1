"""FTP and FTPS (RFC 959, 2228, 3659, 4217) for threads: control connections that are kept, listings, streams.

Connections are passive, and data come from the host that was asked, whatever its answer to PASV says. With TLS the data
connection takes up the session of the control connection, which servers may insist on.
"""

from __future__ import annotations

import contextlib
import ftplib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from refsys.core.errors import Gone, Permanent, RefsysError, Transient, Unreachable
from refsys.infra.settings_text import MASK
from refsys.ingestion.protocols.ftplistings import FtpListing, read_list, read_mlsd, read_moment

#: What a cut, silent, refused or garbled connection raises.
CONNECTION_ERRORS: Final = (OSError, EOFError, ValueError, ftplib.Error)
#: Longest line of a listing, and most bytes of it, for one folder.
_LINE_LIMIT: Final = 8192
_LISTING_LIMIT: Final = 64 * 2**20
_PIECE: Final = 256 * 2**10
#: How long one folder's listing may take to come, in read timeouts: one that drips in never counts as silent.
_PATIENCE: Final = 10
#: Seconds after which a connection that nobody uses is closed.
IDLE_S: Final = 4.0
#: Seconds for which a connection is believed to live without being asked.
_FRESH_S: Final = 1.0
_UNKNOWN: Final = ("500", "501", "502", "504")


Security = Literal["none", "explicit", "implicit"]


@dataclass(frozen=True, slots=True)
class FtpServer:
    """Where and how to sign in. `security` is none, explicit (AUTH TLS) or implicit; timeouts in seconds."""

    station: str
    host: str
    port: int
    security: Security
    user: str
    password: str
    verify_tls: bool = True
    encrypt_data: bool = True
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    connections: int = 4


class FtpClient:
    """One server, asked by many threads with at most `connections` connections.

    `on_idle` is called, by any thread, where a connection is kept that nobody uses: `prune` closes it some time later.
    """

    def __init__(self, server: FtpServer, on_idle: Callable[[], None] = lambda: None) -> None:
        self.server = server
        self._on_idle = on_idle
        self._room = threading.BoundedSemaphore(server.connections)
        self._lock = threading.Lock()
        self._idle: list[tuple[_Control, float]] = []
        self._has_rest = True

    def list(self, path: str) -> FtpListing:
        """What lies in a folder; `path` "" is where one is after signing in.

        Raises Gone where it is not there, Unreachable or Transient where the listing is not whole.
        """
        with self._control(path) as control:
            if path:
                control.cwd(path)
            if control.has_mlsd:
                try:
                    return read_mlsd(self._lines(control, "MLSD"))
                except ftplib.error_perm as error:
                    if not str(error).startswith(_UNKNOWN):
                        raise
                    control.has_mlsd = False
            return read_list(self._lines(control, "LIST"), datetime.now(UTC))

    def start_folder(self) -> str:
        """The folder in which one is after signing in."""
        with self._control("the folder after signing in") as control:
            return control.home

    def open(self, path: str, start: int = 0, tag: str = "") -> FtpStream:
        """Raises Gone, Unreachable, Transient or Permanent."""
        with self._errors(path):
            control = self._take()
            try:
                control.voidcmd("TYPE I")
                size, moment = control.facts(path)
                found = "" if size is None and not moment else f"{size}/{moment}"
                start = start if self._has_rest and tag in ("", found) else 0
                start, connection = self._retrieve(control, path, start)
            except BaseException:
                self._drop(control)
                raise
            return FtpStream(self, control, connection, path=path, start=start, size_bytes=size, tag=found)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for control, _ in idle:
            control.close()

    def prune(self) -> bool:
        """Close connections that nobody used for IDLE_S; returns whether others are left."""
        limit = time.monotonic() - IDLE_S
        with self._lock:
            old = [control for control, since in self._idle if since <= limit]
            self._idle = [each for each in self._idle if each[1] > limit]
            is_left = bool(self._idle)
        for control in old:
            control.close()
        return is_left

    def ignores_rest(self) -> None:
        """It sent a file from its beginning, whatever was asked: from now on it is not asked to resume."""
        self._has_rest = False

    def give_back(self, control: _Control, *, is_sound: bool) -> None:
        """A stream has ended."""
        if not is_sound:
            self._drop(control)
            return
        with self._lock:
            self._idle.append((control, time.monotonic()))
        self._room.release()
        self._on_idle()

    def _retrieve(self, control: _Control, path: str, start: int) -> tuple[int, socket.socket]:
        try:
            return start, control.ntransfercmd(f"RETR {path}", start or None)[0]
        except ftplib.error_perm as error:
            if not start or not str(error).startswith(_UNKNOWN):
                raise
            self._has_rest = False
            return 0, control.ntransfercmd(f"RETR {path}")[0]

    def _lines(self, control: _Control, command: str) -> Iterator[str]:
        """The lines of a listing; all of them are there, or an error is raised."""
        control.voidcmd("TYPE A")
        return iter(_read_lines(control, command, time.monotonic() + _PATIENCE * self.server.read_timeout_s))

    @contextlib.contextmanager
    def _control(self, path: str) -> Iterator[_Control]:
        with self._errors(path):
            control = self._take()
            try:
                yield control
            except ftplib.error_perm as error:
                self.give_back(control, is_sound=not str(error).startswith("421"))
                raise
            except BaseException:
                self._drop(control)
                raise
            self.give_back(control, is_sound=True)

    def _take(self) -> _Control:
        self._room.acquire()
        try:
            while True:
                with self._lock:
                    control, since = self._idle.pop() if self._idle else (None, 0.0)
                if control is None:
                    return sign_in(self.server)
                if control.lives(time.monotonic() - since):
                    return control
                control.close()
        except BaseException:
            self._room.release()
            raise

    def _drop(self, control: _Control) -> None:
        control.close()
        self._room.release()

    @contextlib.contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except CONNECTION_ERRORS as error:
            raise self.error(error, path) from error

    def error(self, error: BaseException, path: str) -> RefsysError:
        """What a failure means, as one of ours."""
        station = self.server.station
        told = self._excerpt(str(error) or type(error).__name__)
        code = told[:3]
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(
                f"has a certificate that cannot be trusted: {error.verify_message}",
                subject=station,
                advice="install the authority that signed it on this machine, or set the inbox's verify_tls to false",
            )
        if isinstance(error, ftplib.Error):
            if code == "530":
                advice = "check user, password and kind in the inbox's auth"
                return Unreachable(f"refused to let us in: {told}", subject=station, advice=advice)
            if code == "421":
                advice = "it may have too many connections: lower the connections of its [[station]]"
                return Unreachable(f"closed the connection: {told}", subject=station, advice=advice)
            if code == "522":
                advice = "it wants data connections otherwise: set the inbox's encrypt_data"
                return Transient(f"refused {path!a}: {told}", subject=station, advice=advice)
            if code == "550":
                return Gone(
                    f"answered {told} to {path!a}",
                    subject=station,
                    advice="was it removed there, or is the inbox's url wrong?",
                )
            if isinstance(error, ftplib.error_perm):
                advice = "what we asked for is not understood there; see the answer"
                return Permanent(f"answered {told} to {path!a}", subject=station, advice=advice)
            return Transient(f"answered {told} to {path!a}", subject=station, advice="it is asked again")
        if isinstance(error, ValueError):
            return Permanent(f"cannot be asked for {path!a}: {told}", subject=station, advice="look at that name there")
        if isinstance(error, TimeoutError):
            told = "no answer in time"
        return Unreachable(
            f"cannot be reached: {told} ({self.server.host}:{self.server.port})",
            subject=station,
            advice="it is asked again",
        )

    def _excerpt(self, text: str) -> str:
        """The beginning of what a server says, in one printable line, without our password."""
        if self.server.password:
            text = text.replace(self.server.password, MASK)
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))[:200]


class FtpStream:
    """A file on its way. It has ended as it should only where the server says so after the last byte."""

    def __init__(
        self,
        client: FtpClient,
        control: _Control,
        connection: socket.socket,
        *,
        path: str,
        start: int,
        size_bytes: int | None,
        tag: str,
    ) -> None:
        self.start = start
        self.size_bytes = size_bytes
        self.tag = tag
        self._client = client
        self._control = control
        self._connection = connection
        self._path = path
        self._received = start
        self._lock = threading.Lock()
        self._state: Literal["open", "ended", "closed"] = "open"

    def readinto(self, buffer: memoryview, /) -> int:
        if self._state == "ended":
            return 0
        count = self._connection.recv_into(buffer)
        if self._state == "closed":
            raise OSError(f"the stream of {self._path!a} is closed")
        if not count:
            self._end()
            return 0
        self._received += count
        if self.start and self.size_bytes is not None and self._received > self.size_bytes:
            self._client.ignores_rest()
            raise OSError(f"{self._path!a} came from its beginning, though byte {self.start} was asked for")
        return count

    def close(self) -> None:
        with self._lock:
            if self._state != "open":
                return
            self._state = "closed"
        # not by SSLSocket: a thread that reads from it would go on in plain text
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
        self._connection.close()
        self._client.give_back(self._control, is_sound=False)

    def _end(self) -> None:
        """The server closed the data connection: what does it say?"""
        with self._lock:
            if self._state != "open":
                return
            self._connection.close()
            try:
                self._control.voidresp()
                if self.size_bytes is not None and self._received < self.size_bytes:
                    raise OSError(f"{self._path!a} ended at byte {self._received} of {self.size_bytes}")
            except (EOFError, ValueError, ftplib.Error, OSError) as error:
                self._state = "closed"
                self._client.give_back(self._control, is_sound=False)
                raise OSError(str(self._client.error(error, self._path))) from error
            self._state = "ended"
            self._client.give_back(self._control, is_sound=True)


class _Control(ftplib.FTP_TLS):
    """A control connection. `home` is where it is after signing in, `features` the commands that FEAT names."""

    has_mlsd = False
    home = "/"
    features: Collection[str] = ()

    def __init__(self, server: FtpServer) -> None:
        context = ssl.create_default_context()
        if not server.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        super().__init__(timeout=server.connect_timeout_s, context=context, encoding="utf-8")
        self._server = server
        self._has_facts = {"SIZE": True, "MDTM": True}

    def open(self) -> None:
        """Connect and sign in."""
        server = self._server
        if server.security == "implicit":
            self._connect_with_tls()
        else:
            self.connect(server.host, server.port)
        assert self.sock is not None
        self.login(server.user or "anonymous", server.password, secure=server.security != "none")
        self.timeout = server.read_timeout_s
        self.sock.settimeout(server.read_timeout_s)
        if server.security != "none":
            if server.encrypt_data:
                self.prot_p()
            else:
                self.prot_c()
        self.features = self._features()
        self.has_mlsd = "MLST" in self.features or "MLSD" in self.features
        if "UTF8" in self.features:
            with contextlib.suppress(ftplib.error_perm):
                self.sendcmd("OPTS UTF8 ON")
        with contextlib.suppress(ftplib.error_perm):
            self.home = self.pwd() or "/"

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = super(ftplib.FTP_TLS, self).ntransfercmd(cmd, rest)
        if self._server.security == "none" or not self._server.encrypt_data:
            return connection, size
        try:
            control = self.sock
            assert isinstance(control, ssl.SSLSocket)
            return self.context.wrap_socket(connection, server_hostname=self.host, session=control.session), size
        except BaseException:
            connection.close()
            raise

    def facts(self, path: str) -> tuple[int | None, str]:
        """Size and time of change, as far as the server tells them. Raises error_perm where it says 550."""
        size, moment = self._fact("SIZE", path), ""
        with contextlib.suppress(ftplib.error_perm):  # some refuse it for files that they send
            moment = self._fact("MDTM", path)
        is_size = re.fullmatch(r"[0-9]{1,18}", size) is not None
        return int(size) if is_size else None, moment if read_moment(moment) else ""

    def lives(self, idle_s: float) -> bool:
        """Whether it can be used again after so long."""
        if idle_s < _FRESH_S:
            return True
        try:
            self.voidcmd("NOOP")
        except CONNECTION_ERRORS:
            return False
        return True

    def _fact(self, command: str, path: str) -> str:
        if not self._has_facts[command]:
            return ""
        try:
            return self.sendcmd(f"{command} {path}")[4:].strip()
        except ftplib.error_perm as error:
            if not str(error).startswith(_UNKNOWN):
                raise
            self._has_facts[command] = False
            return ""

    def _features(self) -> set[str]:
        try:
            answer = self.sendcmd("FEAT")
        except ftplib.error_perm:
            return set()
        return {words[0].upper() for line in answer.splitlines() if (words := line.split())}

    def _connect_with_tls(self) -> None:
        """TLS from the first byte on, before the server's greeting."""
        server = self._server
        self.host, self.port = server.host, server.port
        connection = socket.create_connection((server.host, server.port), server.connect_timeout_s)
        self.af = connection.family
        try:
            self.sock = self.context.wrap_socket(connection, server_hostname=server.host)
        except BaseException:
            connection.close()
            raise
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()


def sign_in(server: FtpServer) -> _Control:
    """A control connection. Raises CONNECTION_ERRORS, which `FtpClient.error` explains."""
    control = _Control(server)
    try:
        control.open()
    except BaseException:
        control.close()
        raise
    return control


def _read_lines(control: _Control, command: str, deadline: float) -> list[str]:
    """Raises EOFError, OSError or ftplib.Error where they do not come whole."""
    lines: list[str] = []
    rest, count = b"", 0
    connection: Any = control.ntransfercmd(command)[0]
    with contextlib.closing(connection):
        while piece := connection.recv(_PIECE):
            count += len(piece)
            if time.monotonic() > deadline:
                raise TimeoutError("the listing does not end")
            *whole, rest = (rest + piece).split(b"\n")
            lines += [_text(line) for line in whole]
            if len(rest) > _LINE_LIMIT or count > _LISTING_LIMIT:
                raise OSError("a listing without end")
    control.voidresp()
    return [*lines, _text(rest)] if rest else lines


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "surrogateescape")
