"""HTTP to stations: authenticated requests whose failures say what an operator can do.

Two ways: `ask`, `get` and `get_json` for the event loop (listings, orders), and `open_stream` for threads, which read
files straight into their buffers. Credentials go to the station's own origin, and to the hosts that its settings allow,
whatever it links or redirects to, and stand in no error, even where the station repeats them.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from refsys.core.errors import NotYet, RefsysError, Transient, Unreachable
from refsys.infra.settings import AuthSettings, InboxSettings, Settings, StationSettings
from refsys.infra.stations import Station, Stations
from refsys.infra.stations import wire as station_wire
from refsys.infra.stations.answers import CONNECTION_ERRORS, Answers, basic_of_client, retry_after, shown
from refsys.infra.stations.errands import Errand
from refsys.infra.stations.streams import HttpStream, Span, span_of
from refsys.infra.stations.tokens import Token, Tokens, read_token
from refsys.infra.stations.wire import Wire, Wires, host_of

__all__ = ["CONNECTION_ERRORS", "HttpStream", "StationClient", "client_of", "retry_after"]

#: How long an answer of JSON may take to come, in read timeouts: one that drips in never counts as silent.
_PATIENCE: Final = 10
#: Most of an answer that is read to say what was wrong, of a JSON answer, and of a token, in bytes.
_EXCERPT: Final = 2_000
_JSON_LIMIT: Final = 64 * 2**20
_TOKEN_LIMIT: Final = 2**20
_PIECE: Final = 256 * 2**10
#: Most of a redirect's body that is read to keep the connection, in bytes.
_PASSED_OVER: Final = 64 * 2**10
#: Most redirects of a request for a token.
_TOKEN_REDIRECTS: Final = 3
#: What is raised on a kept connection that the station has ended meanwhile.
_ENDED: Final = (ConnectionError, http.client.BadStatusLine, ssl.SSLError)


class StationClient:
    """One station, asked by many tasks and threads. `station` names it in errors, `url` says where it is.

    Use it as an asynchronous context manager. Timeouts: seconds to connect, and seconds of silence. `shared` is what it
    shares with the other inboxes of the station; without, it is alone, with so many connections.
    """

    def __init__(
        self,
        station: str,
        auth: AuthSettings,
        *,
        url: str,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
        least_bytes_per_s: int = 0,
        verify_tls: bool = True,
        connections: int = 16,
        shared: Station | None = None,
    ) -> None:
        self.station = station
        self._auth = auth
        self._shared = shared
        limits = shared.settings if shared is not None else StationSettings(name=station, connections=connections)
        self._limits = limits
        self._answers = Answers(station, auth, URL(url).origin(), limits.redirect_hosts)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=read_timeout_s)
        self._patience_s = connect_timeout_s + _PATIENCE * read_timeout_s
        self._tls = _tls_context(verify_tls)
        self._wires = Wires(
            tls=self._tls,
            proxy=limits.proxy,
            connect_timeout_s=connect_timeout_s,
            silence_s=read_timeout_s,
            patience_s=self._patience_s,
            least_bytes_per_s=least_bytes_per_s,
        )
        self._pruning: asyncio.TimerHandle | None = None
        self._line: Station
        self._session: aiohttp.ClientSession
        self._loop: asyncio.AbstractEventLoop
        self._tokens = Tokens(self._grant)

    async def __aenter__(self) -> StationClient:
        self._loop = asyncio.get_running_loop()
        self._line = self._shared or Station(self._limits)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=self._limits.connections),
            timeout=self._timeout,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_PIECE,
        )
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
        self._wires.close()
        await self._tokens.close()
        await self._session.close()
        if self._shared is None:
            await self._line.close()

    @contextlib.asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        follow: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A successful answer (2xx, or 416 where a range was asked for), redirects followed unless `follow` is False.

        Raises Gone, Overloaded, Unreachable, Transient or Permanent as the status says, NotYet where no more can be
        posted for now; CONNECTION_ERRORS are the caller's, who knows whether it can go on where it stopped.
        """
        errand = Errand(self._answers, self._auth, method, url, headers or {})
        async with self._line.listing():
            with self._line.breaker.passing():
                async with asyncio.timeout(self._patience_s):
                    response = await self._answer(errand, body, follow)
                try:
                    is_redirect = not follow and "Location" in response.headers
                    is_expected = is_redirect or (response.status == 416 and "Range" in (headers or {}))
                    if response.status >= 300 and not is_expected:
                        refusal = await self._refusal(response)
                        if method == "POST" and response.status == 429:
                            # a quota of what was posted says nothing of the station
                            patience_s = retry_after(response.headers.get("Retry-After"))
                            raise NotYet(refusal.message, subject=self.station, retry_after_s=patience_s) from refusal
                        raise refusal
                    yield response
                finally:
                    # what was not read cannot be read past: the connection ends with it
                    response.close() if not response.content.at_eof() else response.release()

    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """`ask` with GET."""
        return self.ask("GET", url, headers)

    def unreachable(self, error: BaseException) -> Unreachable:
        """What one of CONNECTION_ERRORS means that was raised while an answer of `ask` was read."""
        return self._answers.unreachable(error)

    async def get_json(self, url: str) -> Any:
        """The JSON at a URL. Raises Transient where the answer is something else, or the connection fails."""
        return await self._json("GET", url, None)

    async def post_json(self, url: str, document: Any) -> Any:
        """The JSON that answers a JSON document; raises as `get_json` does."""
        return await self._json("POST", url, orjson.dumps(document))

    async def _json(self, method: str, url: str, document: bytes | None) -> Any:
        headers = {"Accept": "application/json", "OData-Version": "4.0"}
        if document is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self.ask(method, url, headers, document) as response:
                async with asyncio.timeout(self._patience_s):
                    body = await _read(response, _JSON_LIMIT)
        except _TooLong as error:
            raise Transient(
                f"answered {shown(response.url)} with {error}",
                subject=self.station,
                advice="set the inbox's page_size lower, or ask the station what it sends",
            ) from error
        except CONNECTION_ERRORS as error:
            raise self._answers.unreachable(error) from error
        try:
            return orjson.loads(body)
        except ValueError as error:
            kind, excerpt = response.headers.get("Content-Type", "no content type"), self._answers.excerpt
            raise Transient(
                f"answered {shown(response.url)} with {excerpt(kind)} that is not JSON: {excerpt(body)}",
                subject=self.station,
                advice="is the inbox's url the OData root, and no login page or proxy in between?",
            ) from error

    def open_stream(self, url: str, start: int = 0, stop: int | None = None, tag: str = "") -> HttpStream:
        """The bytes at a URL from `start` to `stop` (exclusive; None = the end), for a thread; blocks until they begin.

        With a `tag` (of an earlier stream of the same URL), what comes from `start` on is of that content. Where that
        cannot be had (other content, no ranges understood), the stream's `start` is 0. Raises Gone, Overloaded,
        Unreachable, Transient or Permanent as the status says, Unreachable where the connection fails. Threads only,
        while the event loop runs elsewhere, which brings the tokens.
        """
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": aiohttp.http.SERVER_SOFTWARE}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
            if tag:
                headers["If-Range"] = tag
        errand = Errand(self._answers, self._auth, "GET", url, headers)
        held = self._line.take()
        try:
            with self._line.breaker.passing():
                answer, wire, span = self._begin(errand, start, stop, tag)
        except BaseException:
            self._line.free(held)
            raise

        def release(is_usable: bool) -> None:
            if is_usable:
                self._release(errand.url, wire)
            self._line.free(held)

        if span is None:
            # a part of something else than was asked for: then everything
            wire.hang_up()
            release(False)
            return self.open_stream(url)
        return HttpStream(answer, wire, span, throttle=self._line.throttle, release=release)

    def _begin(
        self, errand: Errand, start: int, stop: int | None, tag: str
    ) -> tuple[http.client.HTTPResponse, Wire, Span | None]:
        try:
            answer, wire = self._answer_on_wire(errand)
            is_ranged = bool(start) or stop is not None
            if answer.status == 200 or (is_ranged and answer.status in (206, 416)):
                return answer, wire, span_of(answer, start, stop, tag)
            raise self._refusal_on_wire(errand.url, answer, wire)
        except (*CONNECTION_ERRORS, ValueError) as error:
            raise self._answers.unreachable(error) from error

    async def _answer(self, errand: Errand, body: bytes | None, follow: bool) -> aiohttp.ClientResponse:
        while True:
            headers = errand.headers(await self._token(errand.refused) if errand.wants_token else None)
            response = await self._session.request(
                errand.method,
                errand.url,
                headers=headers,
                data=body if errand.keeps_body else None,
                allow_redirects=False,
                proxy=self._limits.proxy or None,
            )
            try:
                goes_on = errand.goes_on(response.status, response.headers.get("Location") if follow else None)
            except RefsysError:
                response.close()
                raise
            if not goes_on:
                return response
            response.release()

    def _answer_on_wire(self, errand: Errand) -> tuple[http.client.HTTPResponse, Wire]:
        while True:
            token = self._token_for_thread(errand.refused) if errand.wants_token else None
            url = errand.url
            answer, wire = self._exchange(url, errand.headers(token))
            try:
                if not errand.goes_on(answer.status, answer.headers.get("Location")):
                    return answer, wire
                if answer.will_close or answer.length is None or answer.length > _PASSED_OVER:
                    wire.hang_up()
                else:
                    wire.be_patient()
                    answer.read()
                    self._release(url, wire)
            except BaseException:
                wire.hang_up()
                raise

    def _exchange(self, url: URL, headers: Mapping[str, str]) -> tuple[http.client.HTTPResponse, Wire]:
        """One request and the head of its answer; a kept connection that has ended meanwhile is replaced once."""
        port = "" if url.is_default_port() else f":{url.port}"
        headers = {"Host": f"{host_of(url)}{port}", **headers}
        wire = self._wires.take(url)
        while True:
            is_kept = wire.answers > 0
            try:
                wire.send("GET", self._wires.target(url), headers)
                return wire.response("GET"), wire
            except BaseException as error:
                wire.hang_up()
                if not (is_kept and isinstance(error, _ENDED)):
                    raise
            wire = self._wires.take(url, fresh=True)

    def _release(self, url: URL, wire: Wire) -> None:
        self._wires.give_back(url, wire)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the client with it
            self._loop.call_soon_threadsafe(self._prune_later)

    def _prune_later(self) -> None:
        if self._pruning is None:
            self._pruning = self._loop.call_later(1.25 * station_wire.IDLE_S, self._prune)

    def _prune(self) -> None:
        self._pruning = None
        if self._wires.prune():
            self._prune_later()

    async def _token(self, refused: Token | None) -> Token:
        return await (self._tokens.current() if refused is None else self._tokens.replace(refused))

    def _token_for_thread(self, refused: Token | None) -> Token:
        coming = asyncio.run_coroutine_threadsafe(self._token(refused), self._loop)
        try:
            return coming.result(2 * self._patience_s)
        except BaseException:
            coming.cancel()
            raise

    async def _grant(self, before: Token | None) -> Token:
        """Ask the token endpoint (RFC 6749 4.3, 4.4, 6). Whatever it answers, no product is to blame: Unreachable."""
        subject = f"token endpoint of {self.station}"
        request = {"data": self._token_form(before), "headers": self._token_headers()}
        try:
            async with asyncio.timeout(self._patience_s), self._token_answer(request) as response:
                if response.status != 200:
                    refusal = await self._refusal(response)
                    raise Unreachable(
                        refusal.message,
                        subject=subject,
                        advice="check token_url, grant, user, password and client_id in the inbox's auth",
                        retry_after_s=refusal.retry_after_s if isinstance(refusal, Transient) else None,
                    )
                token = read_token(await _read(response, _TOKEN_LIMIT), before)
        except CONNECTION_ERRORS as error:
            raise self._answers.unreachable(error, subject) from error
        except ValueError as error:
            raise Unreachable(f"answers with {error}", subject=subject, advice="is token_url right?") from error
        self._answers.learn(token.access, token.refresh)
        return token

    @contextlib.asynccontextmanager
    async def _token_answer(self, request: Mapping[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Redirects that keep the form are followed to where our credentials may go."""
        url = URL(self._auth.token_url)
        allowed = Answers(self.station, self._auth, url.origin(), self._limits.redirect_hosts)
        for left in reversed(range(_TOKEN_REDIRECTS + 1)):
            response = await self._session.post(url, **request, allow_redirects=False, proxy=self._limits.proxy or None)
            async with response:
                location = response.headers.get("Location", "")
                target = url.join(URL(location)) if location and response.status in (307, 308) else url
                if not left or target == url or not allowed.gets_credentials(target):
                    yield response
                    return
                url = target

    def _token_form(self, before: Token | None) -> dict[str, str]:
        auth = self._auth
        if before is not None:
            form = {"grant_type": "refresh_token", "refresh_token": before.refresh}
        elif auth.grant == "password":
            form = {"grant_type": "password", "username": auth.user, "password": auth.password.get_secret_value()}
        else:
            form = {"grant_type": "client_credentials"}
        if auth.client_auth == "body":
            form |= {"client_id": auth.client_id, "client_secret": auth.client_secret.get_secret_value()}
        form["scope"] = auth.scope
        return {name: text for name, text in form.items() if text}

    def _token_headers(self) -> dict[str, str]:
        headers = {header.name: header.value.get_secret_value() for header in self._auth.header}
        if self._auth.client_auth == "basic":
            headers["Authorization"] = f"Basic {basic_of_client(self._auth)}"
        return headers

    async def _refusal(self, response: aiohttp.ClientResponse) -> RefsysError:
        excerpt = b""
        with contextlib.suppress(*CONNECTION_ERRORS):
            excerpt = await response.content.read(_EXCERPT)
        patience = response.headers.get("Retry-After")
        return self._answers.refusal(response.status, response.reason or "", response.url, patience, excerpt)

    def _refusal_on_wire(self, url: URL, answer: http.client.HTTPResponse, wire: Wire) -> RefsysError:
        excerpt = b""
        with contextlib.suppress(*CONNECTION_ERRORS):
            excerpt = answer.read1(_EXCERPT)
        wire.hang_up()
        return self._answers.refusal(answer.status, answer.reason, url, answer.headers.get("Retry-After"), excerpt)


def client_of(inbox: InboxSettings, settings: Settings, stations: Stations) -> StationClient:
    """A client with an inbox's credentials, within the limits of its station. In the event loop."""
    shared = stations.of(inbox)
    return StationClient(
        shared.name,
        inbox.auth,
        url=inbox.url,
        connect_timeout_s=settings.fetch.connect_timeout_s,
        read_timeout_s=settings.fetch.read_timeout_s,
        least_bytes_per_s=settings.fetch.least_bytes_per_s,
        verify_tls=inbox.verify_tls,
        shared=shared,
    )


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


def _tls_context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
