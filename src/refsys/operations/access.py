"""Who may use operations over HTTP, until the system knows users.

Without a token: clients on this machine. A proxy on this machine makes everybody look like one, so what shows that it
came through a proxy is refused, and so is a host name that is not this machine's (another site's page whose name was
pointed here). A proxy that says nothing of itself cannot be told from a client: behind one, set the token. With a
token everybody has to have it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from refsys.core.hosts import is_loopback, is_loopback_address
from refsys.operations.errors import NotAllowed, WrongRequest

_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_ADVICE: Final = "ask from the machine itself, or set http.operations_token and send it as a bearer token"
_READING: Final = ("GET", "HEAD")


class Access:
    """Checks requests; `public_url` is the address under which users know the service, if it is another."""

    def __init__(self, *, token: str, public_url: str = "") -> None:
        self._token = _digest(token) if token else b""
        self._public_origin = _origin(public_url)

    def check(self, request: Request) -> None:
        """Raises NotAllowed (401, 403), and WrongRequest (415) for a change that is not sent as JSON."""
        if self._token:
            self._check_token(request)
        else:
            _check_local(request)
        if request.method not in _READING:
            self._check_change(request)

    def _check_token(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(given.strip()), self._token):
            raise NotAllowed("operations need the bearer token of http.operations_token", status=401)

    def _check_change(self, request: Request) -> None:
        """A page of another site can send neither JSON without asking before, nor its own origin as ours."""
        origins = request.headers.getlist("origin")
        ours = {f"{request.url.scheme}://{request.headers.get('host', '')}".lower(), self._public_origin}
        if any(origin.lower() not in ours for origin in origins):
            raise NotAllowed(f"a page of {origins[0][:100]!a} cannot change anything here")
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise WrongRequest(
                "the body has to be JSON", advice="send Content-Type: application/json, at least with {}", status=415
            )


def _check_local(request: Request) -> None:
    client = request.client.host if request.client else ""
    if not is_loopback_address(client):
        raise NotAllowed("operations are for clients on this machine", advice=_ADVICE)
    if passed := [name for name in _FORWARDED if name in request.headers]:
        raise NotAllowed(f"the request came through a proxy ({passed[0]})", advice=_ADVICE)
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _is_local_name(hosts[0]):
        raise NotAllowed("the request is for another host name than localhost or 127.0.0.1", advice=_ADVICE)


def _is_local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""


def _digest(text: str) -> bytes:
    """Of one length, so that comparing takes the same time whatever was sent."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
