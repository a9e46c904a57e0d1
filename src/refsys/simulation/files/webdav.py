"""XBIP: a WebDAV server (WsgiDAV on cheroot) over the folders of an archive."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter
from wsgidav.dav_error import HTTP_FORBIDDEN, DAVError
from wsgidav.dav_provider import DAVCollection, DAVNonCollection, DAVProvider
from wsgidav.error_printer import ErrorPrinter
from wsgidav.request_resolver import RequestResolver
from wsgidav.wsgidav_app import WsgiDAVApp

from refsys.simulation.files.base import FileStation
from refsys.simulation.files.tree import Node, Tree
from refsys.simulation.station.auth import Gate
from refsys.simulation.station.faults import WEBDAV, Answer, Cut, Fault, Html, Kind, NoRange, Short, Slow, Stall
from refsys.simulation.station.journal import Request

_FINITE: Final = b'<?xml version="1.0" encoding="utf-8"?><D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>'
_PAGE: Final = b"<!DOCTYPE html><html><body>We will be back soon.</body></html>"
#: Where the environment of a request says how many bytes a file is to have.
_SHORT: Final = "refsys.short"
_KINDS: Final[dict[str, Kind]] = {"PROPFIND": "listing", "GET": "download", "HEAD": "download", "OPTIONS": "service"}

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class XbipStation(FileStation):
    """WebDAV over http, with a certificate over https. `infinity` off refuses `Depth: infinity` (RFC 4918, 9.1).

    `absolute` names entries by whole URLs rather than by paths, as some servers do.
    """

    sense = WEBDAV
    infinity = True
    absolute = False

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def _listen(self, host: str, port: int) -> int:
        self._server = _Server((host, port), _Front(self), numthreads=16, timeout=60, shutdown_timeout=1)
        if self.certificate:
            self._server.ssl_adapter = BuiltinSSLAdapter(str(self.certificate), str(self.certificate))
        self._server.expiration_interval = 0.05  # so often it looks whether it is to stop
        self._server.prepare()
        return int(self._server.bind_addr[1])

    def _serve(self) -> None:
        self._server.serve()

    def _stop(self) -> None:
        self._server.stop()


class _Server(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """The journal tells what matters."""

    @staticmethod
    def bind_socket(socket_: socket.socket, bind_addr: tuple[str, int]) -> socket.socket:
        """As cheroot does, but nothing stays open where the port is taken, and it can be taken again at once."""
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            return wsgi.Server.bind_socket(socket_, bind_addr)
        except OSError:
            socket_.close()
            raise


class _Front:
    """Who may ask, the script of faults, and the journal; then WsgiDAV."""

    def __init__(self, station: XbipStation) -> None:
        self._station = station
        self._gate = Gate(station.auth)
        self._dav = WsgiDAVApp(
            {
                "provider_mapping": {"/": _Provider(station.tree)},
                "middleware_stack": [ErrorPrinter, RequestResolver],
                "lock_storage": False,
                "verbose": 0,
                "logging": {"enable": False},
            }
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        headers = {"authorization": environ.get("HTTP_AUTHORIZATION", "")}
        authorised_by = self._gate.admit(headers)
        if authorised_by is None:
            return _plain(start_response, "401 Unauthorized", b"", {"WWW-Authenticate": self._gate.challenge})
        path = unquote(environ["PATH_INFO"])
        request = Request(
            kind=_KINDS.get(environ["REQUEST_METHOD"], "nothing"),
            method=environ["REQUEST_METHOD"],
            path=path,
            name=path.strip("/"),
            range=environ.get("HTTP_RANGE", ""),
            if_range=environ.get("HTTP_IF_RANGE", ""),
            authorised_by=authorised_by,
        )
        request.fault = self._station.faults.take(request.kind, request.name, head=request.method == "HEAD")
        return self._answer(environ, start_response, request)

    def _answer(self, environ: Environ, start_response: StartResponse, request: Request) -> Iterator[bytes]:
        def noted(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            request.status = int(status[:3])
            return start_response(status, headers, *more)

        self._station.journal.begin(request)
        try:
            body = self._body(environ, noted, request.fault)
            for piece in _faulty(body, request.fault, self._station):
                yield piece
                request.sent_bytes += len(piece)
            request.complete = True
        finally:
            self._station.journal.end(request)

    def _body(self, environ: Environ, start_response: StartResponse, fault: Fault | None) -> Iterable[bytes]:
        match fault:
            case Answer(status, retry_after_s):
                headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
                return _plain(start_response, f"{status} Scripted", b"", headers)
            case Html():
                return _plain(start_response, "200 OK", _PAGE, {"Content-Type": "text/html"})
            case NoRange():
                environ.pop("HTTP_RANGE", None)
            case Short(at_byte):
                environ[_SHORT] = at_byte
        if environ["REQUEST_METHOD"] == "PROPFIND":
            if not self._station.infinity and environ.get("HTTP_DEPTH", "infinity").lower() == "infinity":
                return _plain(start_response, "403 Forbidden", _FINITE, {"Content-Type": "application/xml"})
            if self._station.absolute:
                return self._with_whole_urls(environ, start_response)
        return self._dav(environ, start_response)

    def _with_whole_urls(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        answer: list[Any] = []
        body = b"".join(self._dav(environ, lambda *said: answer.extend(said)))
        body = body.replace(b"href>/", b"href>" + self._station.base_url.encode() + b"/")
        headers = [(name, text) for name, text in answer[1] if name.lower() != "content-length"]
        return _plain(start_response, answer[0], body, dict(headers))


def _plain(start_response: StartResponse, status: str, body: bytes, headers: dict[str, str]) -> Iterable[bytes]:
    start_response(status, [*headers.items(), ("Content-Length", str(len(body)))])
    return [body]


def _faulty(body: Iterable[bytes], fault: Fault | None, station: XbipStation) -> Iterator[bytes]:
    """The pieces of a body as far as the fault lets them come. Raises ConnectionAbortedError to end the connection."""
    left = fault.at_byte if isinstance(fault, Cut | Stall) else None
    for piece in body:
        if isinstance(fault, Slow):
            yield from _dripping(piece, fault.bytes_per_s, station)
            continue
        if left is not None and len(piece) >= left:
            yield piece[:left]
            if isinstance(fault, Cut) or station.stopping.wait(fault.seconds if isinstance(fault, Stall) else 0):
                raise ConnectionAbortedError
            piece, left = piece[left:], None
        elif left is not None:
            left -= len(piece)
        yield piece


def _dripping(piece: bytes, bytes_per_s: int, station: XbipStation) -> Iterator[bytes]:
    step = max(1, bytes_per_s // 10)
    for start in range(0, len(piece), step):
        yield piece[start : start + step]
        if station.stopping.wait(step / bytes_per_s):
            raise ConnectionAbortedError


class _Provider(DAVProvider):
    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self._tree = tree

    def is_readonly(self) -> bool:
        return True

    def get_resource_inst(self, path: str, environ: Environ) -> _Folder | _File | None:
        node = self._tree.node(path)
        if node is None:
            return None
        return _Folder(self._tree, node, environ) if node.content is None else _File(node, environ)


class _Folder(DAVCollection):
    def __init__(self, tree: Tree, node: Node, environ: Environ) -> None:
        super().__init__(f"/{node.path}", environ)
        self._tree = tree
        self._node = node

    def get_member_names(self) -> list[str]:
        return self._tree.members(self._node.path)

    def get_member(self, name: str) -> _Folder | _File | None:
        found: _Folder | _File | None = self.provider.get_resource_inst(f"{self._node.path}/{name}", self.environ)
        return found

    def get_last_modified(self) -> float:
        return self._node.modified_at.timestamp()


class _File(DAVNonCollection):
    def __init__(self, node: Node, environ: Environ) -> None:
        super().__init__(f"/{node.path}", environ)
        assert node.content is not None
        self._node = node
        self._content = node.content

    def get_content_length(self) -> int:
        """Listings may lie; what is sent has the length that it has."""
        if self.environ["REQUEST_METHOD"] == "PROPFIND":
            return self._node.size_bytes
        return min(self._content.size_bytes, self.environ.get(_SHORT, self._content.size_bytes))

    def get_content_type(self) -> str:
        return "application/octet-stream"

    def get_creation_date(self) -> float:
        return self._node.modified_at.timestamp()

    def get_last_modified(self) -> float:
        return self._node.modified_at.timestamp()

    def get_etag(self) -> str:
        return f"{quote(self._node.name)}-{int(self._node.modified_at.timestamp()):x}-{self._content.size_bytes:x}"

    def support_etag(self) -> bool:
        return True

    def support_ranges(self) -> bool:
        return True

    def get_content(self) -> Any:
        return self._content.open().file

    def begin_write(self, *, content_type: str | None = None) -> Any:
        raise DAVError(HTTP_FORBIDDEN)
