"""HTTP to stations: authenticated requests whose failures say what an operator can do.

A token is fetched once for all requests of a client, renewed when four fifths of its life are over, and once more where
the station refuses it. Credentials go to the station's own origin only, whatever it redirects to.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from refsys.core.errors import Overloaded, Permanent, RefsysError, Transient
from refsys.infra.settings import AuthSettings

#: Most redirects that are followed.
_REDIRECTS: Final = 5
#: Share of a token's life after which it is renewed.
_RENEW_AT: Final = 0.8
#: Life of a token whose answer does not tell, in seconds.
_TOKEN_LIFE_S: Final = 300.0
#: Most of an answer that is read to say what was wrong, and most of a JSON answer, in bytes.
_EXCERPT: Final = 2_000
_JSON_LIMIT: Final = 64 * 2**20
_PIECE: Final = 256 * 2**10

#: What a cut, silent or refused connection raises.
CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError, EOFError)


class Gone(Permanent):
    """What was asked for is not there (404, 410)."""


class StationClient:
    """One station, asked by many tasks. `station` names it in errors.

    Use it as an asynchronous context manager. Timeouts: seconds to connect, and seconds of silence.
    """

    def __init__(
        self,
        station: str,
        auth: AuthSettings,
        *,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
        verify_tls: bool = True,
        connections: int = 16,
    ) -> None:
        self.station = station
        self._auth = auth
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._verify_tls = verify_tls
        self._connections = connections
        self._session: aiohttp.ClientSession
        self._token: _Token | None = None
        self._renewing = asyncio.Lock()

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
        await self._session.close()

    @contextlib.asynccontextmanager
    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer (2xx, or 416 where a range was asked for), redirects followed.

        Raises Gone, Overloaded, Transient or Permanent as the status says; CONNECTION_ERRORS are the caller's, who
        knows whether it can go on where it stopped.
        """
        response = await self._answer(URL(url, encoded=True), dict(headers or {}))
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
            async with self.get(url, {"Accept": "application/json", "OData-Version": "4.0"}) as response:
                body = await _read(response, _JSON_LIMIT)
        except CONNECTION_ERRORS as error:
            raise self._unreachable(error) from error
        try:
            return orjson.loads(body)
        except ValueError as error:
            kind = response.headers.get("Content-Type", "no content type")
            raise Transient(
                f"answered {_shown(URL(url))} with {kind} that is not JSON: {_excerpt(body)}",
                subject=self.station,
                advice="is the inbox's url the OData root, and no login page or proxy in between?",
            ) from error

    def _unreachable(self, error: BaseException) -> Transient:
        told = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        return Transient(f"cannot be reached: {told}", subject=self.station, advice="it is asked again")

    async def _answer(self, url: URL, headers: dict[str, str]) -> aiohttp.ClientResponse:
        origin, renewed = url.origin(), False
        for _ in range(_REDIRECTS + 1):
            ours = url.origin() == origin
            credentials = await self._credentials() if ours else {}
            response = await self._session.get(url, headers={**headers, **credentials}, allow_redirects=False)
            if response.status == 401 and ours and self._auth.kind == "oauth2" and not renewed:
                renewed = True
                response.release()
                await self._renew(credentials)
                continue
            if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                url = url.join(URL(response.headers["Location"]))
                response.release()
                if url.scheme not in ("http", "https"):
                    raise Permanent(f"redirects to {url.scheme}:, which is not HTTP", subject=self.station)
                continue
            return response
        raise Transient(f"redirects more than {_REDIRECTS} times, last to {_shown(url)}", subject=self.station)

    async def _credentials(self) -> dict[str, str]:
        match self._auth.kind:
            case "basic":
                password = self._auth.password.get_secret_value()
                return {"Authorization": aiohttp.encode_basic_auth(self._auth.user, password)}
            case "oauth2":
                token = self._token
                if token is None or asyncio.get_running_loop().time() > token.renew_at:
                    token = await self._renew({})
                value = token.access
                name = self._auth.token_header
                return {name: f"Bearer {value}" if name == "Authorization" else value}
            case _:
                return {}

    async def _renew(self, refused: Mapping[str, str]) -> _Token:
        """A new token, fetched once for all who wait for it. `refused` are the credentials that were no good."""
        async with self._renewing:
            token, now = self._token, asyncio.get_running_loop().time()
            if token is not None and now < token.renew_at and not any(token.access in v for v in refused.values()):
                return token
            self._token = None
            if token is not None and token.refresh and not refused:
                with contextlib.suppress(RefsysError):
                    self._token = await self._grant(grant_type="refresh_token", refresh_token=token.refresh)
            if self._token is None:
                password = self._auth.password.get_secret_value()
                self._token = await self._grant(grant_type="password", username=self._auth.user, password=password)
            return self._token

    async def _grant(self, **form: str) -> _Token:
        """Ask the token endpoint (RFC 6749 4.3, 6)."""
        if self._auth.client_id:
            form["client_id"] = self._auth.client_id
        if secret := self._auth.client_secret.get_secret_value():
            form["client_secret"] = secret
        subject = f"token endpoint of {self.station}"
        try:
            async with self._session.post(self._auth.token_url, data=form, allow_redirects=False) as response:
                if response.status != 200:
                    raise await self._refusal(response, subject)
                told = orjson.loads(await _read(response, 2**20))
                life_s = float(told.get("expires_in") or _TOKEN_LIFE_S)
                renew_at = asyncio.get_running_loop().time() + _RENEW_AT * life_s
                return _Token(str(told["access_token"]), str(told.get("refresh_token") or ""), renew_at)
        except CONNECTION_ERRORS as error:
            raise Transient(self._unreachable(error).message, subject=subject, advice="it is asked again") from error
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise Transient(f"answers without an access_token: {error!r}", subject=subject) from error

    async def _refusal(self, response: aiohttp.ClientResponse, subject: str = "") -> RefsysError:
        """What a status means."""
        excerpt = ""
        with contextlib.suppress(*CONNECTION_ERRORS):
            excerpt = _excerpt(await response.content.read(_EXCERPT))
        status = response.status
        told = f"answered {status} {response.reason or ''}".rstrip() + f" to {_shown(response.url)}"
        told += f": {excerpt}" if excerpt else ""
        subject = subject or self.station
        patience = _retry_after(response.headers.get("Retry-After"))
        if status in (401, 403):
            return Transient(told, subject=subject, advice="check user, password and kind in the inbox's auth")
        if status in (404, 410):
            return Gone(told, subject=subject, advice="was it removed there, or is the inbox's url wrong?")
        if status == 429 or (status == 503 and patience is not None):
            return Overloaded(told, subject=subject, advice="it is asked again later", retry_after_s=patience)
        if status >= 500 or status in (408, 425):
            return Transient(told, subject=subject, advice="it is asked again", retry_after_s=patience)
        return Permanent(told, subject=subject, advice="what we asked for is not understood there; see the answer")


@dataclass(frozen=True, slots=True)
class _Token:
    """`renew_at`: the loop's time at which another is wanted."""

    access: str
    refresh: str
    renew_at: float


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(_PIECE):
        body += piece
        if len(body) > limit:
            raise aiohttp.ClientPayloadError(f"more than {limit} bytes")
    return bytes(body)


def _retry_after(text: str | None) -> float | None:
    """Seconds, from either form of the header (RFC 9110 10.2.3); None where it says nothing."""
    if not text:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        instant = parsedate_to_datetime(text)
        return max(0.0, (instant.replace(tzinfo=instant.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def _excerpt(body: bytes) -> str:
    return " ".join(body.decode("utf-8", "replace").split())[:200]


def _shown(url: URL) -> str:
    """A URL without what may be secret in it."""
    return str(url.with_query(None).with_user(None).with_password(None))[:300]
