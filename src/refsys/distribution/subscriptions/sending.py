"""One request to an endpoint that a user named: it may lie, hang, point into our own network, or change its address."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from refsys.core.errors import Overloaded, Transient
from refsys.core.hosts import is_public_address
from refsys.distribution.odata.errors import ODataError
from refsys.infra.settings import SubscriptionSettings
from refsys.infra.stations.client import CONNECTION_ERRORS, retry_after

_URL_LIMIT: Final = 2000
#: So much of an answer is read, so that the connection can be used again; nothing of it is looked at.
_ANSWER_LIMIT: Final = 64 * 2**10
#: Seconds that an answer may go on behind its status.
_LINGER_S: Final = 2.0
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "refsys"}


class _NotPublic(OSError):
    """An address that is not one of the public internet."""


def check_endpoint(url: str, *, private: bool) -> str:
    """The URL of an endpoint, where it can be one. Raises ODataError (400).

    A name is looked up when it is sent to, and the address looked at that is then really connected to.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
        is_url = url.isascii() and url.isprintable() and " " not in url and parts.port != 0 and bool(host)
    except ValueError:
        is_url = False
    if not is_url or parts.scheme not in ("http", "https") or len(url) > _URL_LIMIT:
        raise ODataError(
            f"NotificationEndpoint {url[:100]!a} is no http:// or https:// URL of at most {_URL_LIMIT} ASCII characters"
        )
    if "@" in parts.netloc:
        raise ODataError("a user belongs into NotificationEpUsername and NotificationEpPassword, not into the URL")
    is_address = ":" in host or re.fullmatch(r"[0-9.]+", host)
    if not private and (host == "localhost" or (is_address and not is_public_address(host))):
        raise ODataError(f"NotificationEndpoint: {host!a} is not on the public internet, and nothing is sent there")
    return url


class Sender:
    """POSTs JSON to endpoints. Use it as an asynchronous context manager."""

    def __init__(self, settings: SubscriptionSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Sender:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(),
                limit=self._settings.push_concurrency,
                socket_factory=_any_socket if self._settings.private_endpoints else _public_socket,
            ),
            timeout=aiohttp.ClientTimeout(total=self._settings.push_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._session.close()

    async def send(self, url: str, body: bytes, access: tuple[str, str] | None) -> None:
        """Return when the endpoint has taken it (2xx). Raises Transient or Overloaded, which say what it did instead.

        Nothing that the endpoint answers is repeated, so that nobody can read an inner network through us.
        """
        headers = {} if access is None else {"Authorization": aiohttp.encode_basic_auth(*access)}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                await _finish(response)
                _judge(response)
        except (*CONNECTION_ERRORS, ValueError) as error:
            raise Transient(_told(error, self._settings.push_timeout_s)) from error


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Read a short answer; one that is longer, or does not end, costs its connection, and changes nothing."""
    with contextlib.suppress(*CONNECTION_ERRORS):
        async with asyncio.timeout(_LINGER_S):
            await response.content.readexactly(_ANSWER_LIMIT)
        response.close()


def _judge(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    told = f"the endpoint answered {status}"
    with contextlib.suppress(ValueError):
        told += f" {HTTPStatus(status).phrase}"
    if 300 <= status < 400:
        raise Transient(f"{told}; redirects are not followed: name the address itself")
    asked_s = retry_after(response.headers.get("Retry-After"))
    if asked_s is not None:
        raise Overloaded(told, retry_after_s=asked_s)
    raise Transient(told)


def _public_socket(address: Any) -> socket.socket:
    """What a connection to this address (as getaddrinfo gives it) is made with. Raises _NotPublic.

    It is the last thing before the connection: whatever a name was looked up as before does not matter.
    """
    if not is_public_address(str(address[4][0])):
        raise _NotPublic("the endpoint is not on the public internet, and nothing is sent there")
    return _any_socket(address)


def _any_socket(address: Any) -> socket.socket:
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


def _told(error: BaseException, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the endpoint did not answer within {timeout_s:g} s"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the endpoint's certificate cannot be trusted"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the endpoint's name is unknown"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        return str(cause) if isinstance(cause, _NotPublic) else "the endpoint refuses the connection, or is not reached"
    return "the connection to the endpoint broke, or what it answered is no HTTP"
