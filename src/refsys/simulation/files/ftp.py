"""EDIP: an FTP server (pyftpdlib) over the folders of an archive; with a certificate FTPS, explicit or implicit."""

from __future__ import annotations

import errno
import io
import logging
import posixpath
import stat
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

from OpenSSL import SSL
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.exceptions import AuthenticationFailed
from pyftpdlib.filesystems import AbstractedFS
from pyftpdlib.handlers import DTPHandler, FTPHandler, TLS_DTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import ThreadedFTPServer

from refsys.simulation.files.base import FileStation
from refsys.simulation.files.tree import Node
from refsys.simulation.station.faults import FTP, Answer, Cut, Fault, Kind, Short, Slow, Stall
from refsys.simulation.station.journal import Request

#: Replies of FTP (RFC 959) for what stations over HTTP say.
_REPLIES: Final = {401: 530, 403: 550, 404: 550, 410: 550, 429: 421, 500: 451, 503: 421}
_LISTINGS: Final = ("LIST", "NLST", "MLSD")
_LOG: Final = logging.getLogger("pyftpdlib")
# without a handler it would print what the journal tells
_LOG.addHandler(logging.NullHandler())
_LOG.setLevel(logging.CRITICAL)


class EdipStation(FileStation):
    """FTP; with a certificate FTPS, `implicit` or by AUTH TLS, which has to come before the login.

    `refuses`: commands that it does not know (vsftpd knows no MLSD and MLST). `session_reuse`: data connections have to
    go on with the TLS session of the control connection (vsftpd's require_ssl_reuse; then TLS is 1.2 at most).
    """

    sense = FTP
    implicit = False
    session_reuse = False
    refuses: frozenset[str] = frozenset()

    @property
    def scheme(self) -> str:
        if self.certificate is None:
            return "ftp"
        return "ftpis" if self.implicit else "ftps"

    def _listen(self, host: str, port: int) -> int:
        self._server = _Server((host, port), self._handler(), ioloop=IOLoop())
        return int(self._server.address[1])

    def _serve(self) -> None:
        while not self.stopping.is_set():
            self._server.serve_forever(timeout=0.05, blocking=False, handle_exit=False)
        self._server.close_all()

    def _stop(self) -> None:
        """`_serve` looks for itself."""

    def _handler(self) -> type[FTPHandler]:
        """The class whose instances are the connections: pyftpdlib keeps settings in classes."""
        settings: dict[str, Any] = {
            "station": self,
            "authorizer": _Authorizer(self),
            "abstracted_fs": _Folders,
            "use_sendfile": False,
            "banner": "station ready",
            "auth_failed_timeout": 0,
        }
        if self.certificate is None:
            base, data = _Handler, _Data
        else:
            base, data = _TlsHandler, _TlsData
            settings |= {"ssl_context": self._tls(), "tls_control_required": True}
        commands = {name: each for name, each in base.proto_cmds.items() if name not in self.refuses}
        return type("Handler", (base,), {**settings, "dtp_handler": data, "proto_cmds": commands})

    def _tls(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(self.certificate))
        context.use_privatekey_file(str(self.certificate))
        context.set_session_id(b"refsys")
        if self.session_reuse:
            context.set_max_proto_version(SSL.TLS1_2_VERSION)
        return context


class _Server(ThreadedFTPServer):
    poll_timeout = 0.1


class _Authorizer(DummyAuthorizer):
    """The one user of the station, or anybody; nobody may change anything."""

    def __init__(self, station: EdipStation) -> None:
        super().__init__()
        self._station = station

    def validate_authentication(self, username: str, password: str, handler: FTPHandler) -> None:
        known = self._station.auth
        if known is not None and (username, password) != (known.user, known.password):
            raise AuthenticationFailed("Login incorrect.")

    def get_home_dir(self, username: str) -> str:
        return "/"

    def has_user(self, username: str) -> bool:
        return True

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:
        return perm in "elr"

    def get_perms(self, username: str) -> str:
        return "elr"

    def get_msg_login(self, username: str) -> str:
        return "Login successful."

    def get_msg_quit(self, username: str) -> str:
        return "Goodbye."


class _Handler(FTPHandler):
    """A control connection."""

    station: EdipStation
    _fault: Fault | None = None
    _request: Request | None = None

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        kind: Kind | None = "listing" if cmd in _LISTINGS else "download" if cmd == "RETR" else None
        if kind is None:
            super().process_command(cmd, *args, **kwargs)
            return
        name = args[0].strip("/")
        request = Request(kind=kind, method=cmd, path=args[0], name=name)
        if cmd == "RETR" and self._restart_position:
            request.range = f"bytes={self._restart_position}-"
        self._request = request
        request.fault = self._fault = self.station.faults.take(kind, name)
        self.station.journal.begin(request)
        if isinstance(self._fault, Answer):
            request.status = _REPLIES.get(self._fault.status, self._fault.status)
            self.respond(f"{request.status} This answer was scripted.")
            self.ended(complete=False)
            if request.status == 421:
                self.close_when_done()
            return
        super().process_command(cmd, *args, **kwargs)
        if self.data_channel is None and self._out_dtp_queue is None:
            self.ended(complete=False)

    def ended(self, *, complete: bool, sent_bytes: int = 0) -> None:
        """The request that was begun last is over."""
        request, self._request = self._request, None
        if request is not None:
            request.complete, request.sent_bytes = complete, sent_bytes
            request.status = 226 if complete else request.status
            self.station.journal.end(request)

    def faulty(self, source: io.BufferedIOBase | Iterator[bytes], at_byte: int = 0) -> _Faulty:
        """What is to be sent, as far as the fault lets it come."""
        return _Faulty(source, self._fault, self.station)

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: str | None = None) -> None:
        """Listings come here as a whole or as an iterator of lines."""
        if cmd in _LISTINGS:
            lines = iter([data]) if isinstance(data, bytes) else data.iterator
            data, isproducer = _Pieces(self.faulty(lines)), True
        super().push_dtp_data(data, isproducer, file, cmd)

    def close(self) -> None:
        self.ended(complete=False)
        super().close()


class _Data(DTPHandler):
    """A data connection. Cut on purpose, it takes the control connection with it."""

    #: The reply at its end, and the function that logs it.
    _resp: tuple[Any, ...]

    def handle_error(self) -> None:
        if isinstance(self.cmd_channel._fault, Cut | Stall):
            control = self.cmd_channel
            self._resp = ()
            # without TLS's farewell: it is cut
            self._error = control._error = True
            self.close()
            control.close()
        else:
            super().handle_error()

    def close(self) -> None:
        if not self._closed:
            self.cmd_channel.ended(complete=self.transfer_finished, sent_bytes=self.get_transmitted_bytes())
        super().close()


class _TlsHandler(_Handler, TLS_FTPHandler):
    def handle(self) -> None:
        if self.station.implicit:
            self.secure_connection(self.ssl_context)
        else:
            super().handle()

    def handle_ssl_established(self) -> None:
        if self.station.implicit:
            _Handler.handle(self)


class _TlsData(_Data, TLS_DTPHandler):
    def handle_ssl_established(self) -> None:
        control = self.cmd_channel
        if control.station.session_reuse and self.socket.master_key() != control.socket.master_key():
            self._resp = ("522 SSL connection failed; session reuse required.", _LOG.debug)
            self.close()


class _Folders(AbstractedFS):
    """The station's tree as pyftpdlib wants a file system. Paths are those of the client: there is no real one."""

    def _node(self, path: str) -> Node:
        node = self.cmd_channel.station.tree.node(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory.", path)
        found: Node = node
        return found

    def ftp2fs(self, ftppath: str) -> str:
        return posixpath.normpath(self.ftpnorm(ftppath))

    def fs2ftp(self, fspath: str) -> str:
        return fspath

    def validpath(self, path: str) -> bool:
        return True

    def realpath(self, path: str) -> str:
        return path

    def open(self, filename: str, mode: str) -> _Faulty:
        node = self._node(filename)
        if node.content is None:
            raise IsADirectoryError(errno.EISDIR, "Is a directory.", filename)
        file: _Faulty = self.cmd_channel.faulty(node.content.open().file)
        file.name = filename
        return file

    def chdir(self, path: str) -> None:
        if not self.isdir(path):
            raise NotADirectoryError(errno.ENOTDIR, "Failed to change directory.", path)
        self.cwd = path

    def listdir(self, path: str) -> list[str]:
        self._node(path)
        members: list[str] = self.cmd_channel.station.tree.members(path)
        return members

    def isfile(self, path: str) -> bool:
        node = self.cmd_channel.station.tree.node(path)
        return node is not None and node.content is not None

    def isdir(self, path: str) -> bool:
        node = self.cmd_channel.station.tree.node(path)
        return node is not None and node.content is None

    def islink(self, path: str) -> bool:
        return False

    def lexists(self, path: str) -> bool:
        return self.cmd_channel.station.tree.node(path) is not None

    def getsize(self, path: str) -> int:
        return self._node(path).size_bytes

    def getmtime(self, path: str) -> float:
        return self._node(path).modified_at.timestamp()

    def stat(self, path: str) -> SimpleNamespace:
        node = self._node(path)
        modified = node.modified_at.timestamp()
        mode = stat.S_IFDIR | 0o755 if node.content is None else stat.S_IFREG | 0o644
        return SimpleNamespace(
            st_mode=mode,
            st_size=node.size_bytes,
            st_mtime=modified,
            st_ctime=modified,
            st_nlink=1,
            st_uid=0,
            st_gid=0,
            st_dev=0,
            st_ino=hash(path) & 0xFFFFFFFF,
        )

    lstat = stat

    def get_user_by_uid(self, uid: int) -> str:
        return "station"

    def get_group_by_gid(self, gid: int) -> str:
        return "station"


class _Faulty:
    """A file, or the lines of a listing, that break off, stall or drip as the fault says."""

    def __init__(self, source: io.BufferedIOBase | Iterator[bytes], fault: Fault | None, station: EdipStation) -> None:
        self._source = source
        self._fault = fault
        self._station = station
        self._left = fault.at_byte if isinstance(fault, Cut | Stall | Short) else None
        self.name = ""
        self.closed = False

    def read(self, size: int) -> bytes:
        """Raises OSError where the connection is to end."""
        match self._fault:
            case Slow(bytes_per_s):
                size = min(size, max(1, bytes_per_s // 10))
                if self._station.stopping.wait(size / bytes_per_s):
                    raise ConnectionAbortedError
            case Stall(_, seconds) if self._left == 0:
                if self._station.stopping.wait(seconds):
                    raise ConnectionAbortedError
                self._left = None
            case Cut() if self._left == 0:
                raise ConnectionAbortedError
        if self._left is not None:
            size = min(size, self._left)
        piece = self._read(size)
        if self._left is not None:
            self._left -= len(piece)
        return piece

    def seek(self, offset: int) -> None:
        assert isinstance(self._source, io.BufferedIOBase)
        self._source.seek(offset)

    def close(self) -> None:
        self.closed = True
        if isinstance(self._source, io.BufferedIOBase):
            self._source.close()

    def _read(self, size: int) -> bytes:
        if isinstance(self._source, io.BufferedIOBase):
            return self._source.read(size)
        return next(self._source, b"")[:size] if size else b""


class _Pieces:
    """The producer of a listing."""

    def __init__(self, lines: _Faulty) -> None:
        self._lines = lines

    def more(self) -> bytes:
        return self._lines.read(2**16)
