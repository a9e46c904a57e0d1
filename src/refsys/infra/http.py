"""HTTP to stations: authenticated requests whose failures say what an operator can do.

Credentials go to the station's own origin only, whatever it links or redirects to, and stand in no error, even where
the station repeats them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, quote_plus

import aiohttp
import orjson
from yarl import URL

from refsys.core.errors import Gone, Overloaded, Permanent, RefsysError, Transient
from refsys.infra.settings import AuthSettings
from refsys.infra.settings_text import MASK
from refsys.infra.tokens import Token, Tokens, read_token

#: Most redirects that are followed.
_REDIRECTS: Final = 5
#: How long an answer of JSON may take to come, in read timeouts: one that drips in never counts as silent.
_PATIENCE: Final = 10
#: Most of an answer that is read to say what was wrong, of a JSON answer, and of a token, in bytes.
_EXCERPT: Final = 2_000
_JSON_LIMIT: Final = 64 * 2**20
_TOKEN_LIMIT: Final = 2**20
_PIECE: Final = 256 * 2**10
#: Longest patience that a peer can ask for, in seconds.
_RETRY_AFTER_LIMIT_S: Final = 86_400.0
#: Tokens that are kept out of errors; a station may repeat one that is no longer in use.
_TOKENS_KNOWN: Final = 16

#: What a cut, silent or refused connection raises.
CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError, EOFError)


class StationClient:
    """One station, asked by many tasks. `station` names it in errors, `url` says where it is.

    Use it as an asynchronous context manager. Timeouts: seconds to connect, and seconds of silence.
    """

    def __init__(
        self,
        station: str,
        auth: AuthSettings,
        *,
        url: str,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
        verify_tls: bool = True,
        connections: int = 16,
    ) -> None:
        self.station = station
        self._auth = auth
        self._origin = URL(url).origin()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._patience_s = connect_timeout_s + _PATIENCE * read_timeout_s
        self._verify_tls = verify_tls
        self._connections = connections
        self._session: aiohttp.ClientSession
        self._tokens = Tokens(self._grant)
        self._known: deque[str] = deque(maxlen=_TOKENS_KNOWN)

    async def __aenter__(self) -> StationClient:
        tls: ssl.SSLContext | bool = ssl.create_default_context() if self._verify_tls else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=self._connections),
            timeout=self._timeout,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_PIECE,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._tokens.close()
        await self._session.close()

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer (2xx, or 416 where a range was asked for), redirects followed.

        Raises Gone, Overloaded, Transient or Permanent as the status says; CONNECTION_ERRORS are the caller's, who
        knows whether it can go on where it stopped.
        """
        response = await self._answer(self._target(url, "links"), dict(headers or {}))
        try:
            if response.status >= 300 and not (response.status == 416 and "Range" in (headers or {})):
                raise await self._refusal(response)
            yield response
        finally:
            # what was not read cannot be read past: the connection ends with it
            response.close() if not response.content.at_eof() else response.release()

    async def get_json(self, url: str) -> Any:
        """The JSON at a URL. Raises Transient where the answer is something else, or the connection fails."""
        try:
            async with asyncio.timeout(self._patience_s):
                async with self.get(url, {"Accept": "application/json", "OData-Version": "4.0"}) as response:
                    body = await _read(response, _JSON_LIMIT)
        except _TooLong as error:
            raise Transient(
                f"answered {_shown(response.url)} with {error}",
                subject=self.station,
                advice="set the inbox's page_size lower, or ask the station what it sends",
            ) from error
        except CONNECTION_ERRORS as error:
            raise self._unreachable(error) from error
        try:
            return orjson.loads(body)
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise Transient(
                f"answered {_shown(response.url)} with {self._excerpt(kind)} that is not JSON: {self._excerpt(body)}",
                subject=self.station,
                advice="is the inbox's url the OData root, and no login page or proxy in between?",
            ) from error

    async def _answer(self, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
        renewed = False
        for _ in range(_REDIRECTS + 1):
            ours = url.origin() == self._origin
            token = await self._tokens.current() if ours and self._auth.kind == "oauth2" else None
            credentials = self._credentials(token) if ours else {}
            response = await self._session.get(url, headers={**headers, **credentials}, allow_redirects=False)
            if response.status == 401 and token is not None and not renewed:
                renewed = True
                response.release()
                await self._tokens.replace(token)
                continue
            if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                response.release()
                url = self._target(response.headers["Location"], "redirects", url)
                continue
            return response
        raise Transient(f"redirects more than {_REDIRECTS} times, last to {_shown(url)}", subject=self.station)

    def _target(self, text: str, how: str, base: URL | None = None) -> URL:
        """Where a link or redirect leads; what is escaped in it stays as it is, for it may be signed."""
        try:
            target = URL(text, encoded=text.isascii() and text.isprintable() and " " not in text)
            target = (base.join(target) if base is not None else target).with_user(None)
            target.origin()
            (target.raw_host or "").encode("idna")  # as the resolver will
        except ValueError as error:
            raise Permanent(f"{how} to {ascii(text)[:200]}, which is no URL", subject=self.station) from error
        if target.scheme not in ("http", "https"):
            raise Permanent(f"{how} to {target.scheme}:, which is not HTTP", subject=self.station)
        return target

    def _credentials(self, token: Token | None) -> dict[str, str]:
        if token is not None:
            name = self._auth.token_header
            return {name: f"Bearer {token.access}" if name == "Authorization" else token.access}
        if self._auth.kind == "basic":
            return {"Authorization": aiohttp.encode_basic_auth(self._auth.user, self._auth.password.get_secret_value())}
        return {}

    async def _grant(self, before: Token | None) -> Token:
        """Ask the token endpoint (RFC 6749 4.3, 6). Whatever it answers, no product is to blame: raises Transient."""
        if before is not None:
            form = {"grant_type": "refresh_token", "refresh_token": before.refresh}
        else:
            password = self._auth.password.get_secret_value()
            form = {"grant_type": "password", "username": self._auth.user, "password": password}
        if self._auth.client_id:
            form["client_id"] = self._auth.client_id
        if secret := self._auth.client_secret.get_secret_value():
            form["client_secret"] = secret
        subject = f"token endpoint of {self.station}"
        try:
            async with (
                asyncio.timeout(self._patience_s),
                self._session.post(self._auth.token_url, data=form, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    refusal = await self._refusal(response)
                    raise Transient(
                        refusal.message,
                        subject=subject,
                        advice="check token_url, user, password and client_id in the inbox's auth",
                        retry_after_s=refusal.retry_after_s if isinstance(refusal, Transient) else None,
                    )
                token = read_token(await _read(response, _TOKEN_LIMIT), before)
        except CONNECTION_ERRORS as error:
            raise self._unreachable(error, subject) from error
        except ValueError as error:
            raise Transient(f"answers with {error}", subject=subject, advice="is token_url right?") from error
        self._known += [token.access, token.refresh]
        return token

    async def _refusal(self, response: aiohttp.ClientResponse) -> RefsysError:
        """What a status means."""
        excerpt = ""
        with contextlib.suppress(*CONNECTION_ERRORS):
            excerpt = self._excerpt(await response.content.read(_EXCERPT))
        status, subject = response.status, self.station
        told = f"answered {status} {self._excerpt(response.reason or '')}".rstrip() + f" to {_shown(response.url)}"
        told += f": {excerpt}" if excerpt else ""
        patience_s = retry_after(response.headers.get("Retry-After"))
        if status in (401, 403):
            return Transient(told, subject=subject, advice=self._advice_on_credentials(response.url))
        if status in (404, 410):
            return Gone(told, subject=subject, advice="was it removed there, or is the inbox's url wrong?")
        if status == 429 or (status == 503 and patience_s is not None):
            return Overloaded(told, subject=subject, advice="it is asked again later", retry_after_s=patience_s)
        if status >= 500 or status in (408, 425):
            return Transient(told, subject=subject, advice="it is asked again", retry_after_s=patience_s)
        return Permanent(told, subject=subject, advice="what we asked for is not understood there; see the answer")

    def _advice_on_credentials(self, asked: URL) -> str:
        if self._auth.kind == "none":
            return "it wants credentials: set the inbox's auth"
        if asked.origin() != self._origin:
            return f"credentials go to {self._origin} only: should the inbox's url begin with {asked.origin()}?"
        return "check user, password and kind in the inbox's auth"

    def _unreachable(self, error: BaseException, subject: str = "") -> Transient:
        subject = subject or self.station
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            advice = "install the authority that signed it on this machine, or set the inbox's verify_tls to false"
            return Transient(f"has a certificate that cannot be trusted: {why}", subject=subject, advice=advice)
        told = str(error) or ("no whole answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        if isinstance(error, aiohttp.ClientConnectorError):
            reason = error.os_error
            why = (
                reason.strerror
                if isinstance(reason, socket.gaierror) or not reason.errno
                else os.strerror(reason.errno)
            )
            told = f"{why} ({error.host}:{error.port})"
        return Transient(f"cannot be reached: {self._excerpt(told)}", subject=subject, advice="it is asked again")

    def _excerpt(self, answer: bytes | str) -> str:
        """The beginning of what a station says, fit to be shown: printable, in one line, no secret of ours in it."""
        text = answer if isinstance(answer, str) else answer.decode("utf-8", "replace")
        for secret in self._secrets():
            text = text.replace(secret, MASK)
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))[:200]

    def _secrets(self) -> list[str]:
        """What must be in no error, in the forms in which it travels; the longest first."""
        password, secret = self._auth.password.get_secret_value(), self._auth.client_secret.get_secret_value()
        basic = self._credentials(None).get("Authorization", "").removeprefix("Basic ")
        plain = {text for text in (password, secret, basic, *self._known) if text}
        travelling = {form(text) for text in plain for form in (str, quote, quote_plus, _in_json)}
        return sorted(travelling, key=len, reverse=True)


class _TooLong(ValueError):
    """More bytes than are read."""


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    if (response.content_length or 0) > limit:
        raise _TooLong(f"{response.content_length} bytes, more than {limit}")
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > limit:
            raise _TooLong(f"more than {limit} bytes")
    return bytes(body)


def retry_after(text: str | None) -> float | None:
    """Seconds, from either form of Retry-After (RFC 9110 10.2.3), a day at most; None where it says nothing."""
    if not text:
        return None
    seconds: float | None = None
    if re.fullmatch(r"\s*\d{1,12}(\.\d*)?\s*", text, re.ASCII):
        seconds = float(text)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        instant = parsedate_to_datetime(text)
        seconds = (instant.replace(tzinfo=instant.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return None if seconds is None else min(max(0.0, seconds), _RETRY_AFTER_LIMIT_S)


def _in_json(text: str) -> str:
    return orjson.dumps(text).decode()[1:-1]


def _shown(url: URL) -> str:
    """A URL without what may be secret in it."""
    return str(url.with_query(None).with_user(None).with_password(None))[:300]
