"""The gate before all roots: who asks is found out, and refused here, not in the routes.

Credentials end here. A token in the query is taken out of it, so that nothing behind the gate can repeat it in a link,
an error or a log.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote_plus

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from refsys.core.errors import RefsysError
from refsys.core.principals import SCOPE_KEY, Principal, Right
from refsys.distribution.links import PARAMETER as LINK
from refsys.infra.settings import Settings
from refsys.web.identity.authentication import Authenticator
from refsys.web.identity.limits import TooManyGuesses
from refsys.web.identity.rules import anonymous_rights, needed_right
from refsys.web.identity.tokens import InvalidToken

log = structlog.get_logger(__name__)

#: The query parameter that may carry a token: links that a client only opens cannot have a header.
PARAMETER: Final = "token"
_DOING: Final = {Right.SEARCH: "to search", Right.DOWNLOAD: "to download", Right.SUBSCRIBE: "to subscribe"}


class Refused(RefsysError):
    """Who asks may not: 401 (nobody knows who), 403 (known, without the right), 429 (too many guesses), 400."""

    def __init__(self, message: str, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Gate:
    """Puts the Principal into the scope, or raises Refused."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, settings: Settings) -> None:
        self._app = app
        self._authenticator = authenticator
        self._anonymous = Principal("", anonymous_rights(settings))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            right = needed_right(scope["path"])
            query, given = _without(PARAMETER, scope["query_string"])
            query, links = _without(LINK, query)
            scope = {**scope, "query_string": query}
            if right is not None:
                if right is Right.DOWNLOAD and links:
                    principal = await self._linked(scope, links)
                else:
                    principal = await self._principal(scope, given)
                self._check(principal, right)
                scope[SCOPE_KEY] = principal
        await self._app(scope, receive, send)

    def _check(self, principal: Principal, right: Right) -> None:
        if right in principal.rights or right in self._anonymous.rights:
            return
        if principal.is_anonymous:
            raise Refused(
                f"sign in {_DOING[right]}: a bearer token is needed", 401, {"WWW-Authenticate": 'Bearer realm="refsys"'}
            )
        challenge = f'Bearer realm="refsys", error="insufficient_scope", scope="{right}"'
        raise Refused(f"this user has no right {_DOING[right]}", 403, {"WWW-Authenticate": challenge})

    async def _linked(self, scope: Scope, links: list[str]) -> Principal:
        """A link counts more than a token beside it, which may have ended long ago."""
        try:
            return await self._authenticator.link(links[0], scope["path"])
        except InvalidToken as error:
            log.info("request.unknown_user", path=scope["path"][:200], scheme=LINK, error=str(error))
            raise _challenged(error, LINK) from None

    async def _principal(self, scope: Scope, given: list[str]) -> Principal:
        scheme, credentials = _authorization(scope)
        if not scheme and given:
            scheme, credentials = "bearer", given[0]
            if len(given) > 1:
                raise Refused(f"{PARAMETER} is given more than once", 400)
        if not scheme:
            return self._anonymous
        try:
            if scheme == "bearer":
                return await self._authenticator.bearer(credentials)
            if scheme == "basic":
                return await self._authenticator.basic(credentials, client_address(scope))
        except InvalidToken as error:
            what = "token" if scheme == "bearer" else "user"
            log.info("request.unknown_user", path=scope["path"][:200], scheme=scheme, error=str(error))
            raise _challenged(error, what) from None
        except TooManyGuesses as error:
            raise Refused(str(error), 429, {"Retry-After": str(error.retry_after_s)}) from None
        challenge = 'Bearer realm="refsys", error="invalid_request"'
        raise Refused("Authorization is Bearer, or Basic", 401, {"WWW-Authenticate": challenge})


def _challenged(error: InvalidToken, what: str) -> Refused:
    challenge = 'Bearer realm="refsys", error="invalid_token"'
    return Refused(f"the {what} is not accepted: {error}", 401, {"WWW-Authenticate": challenge})


def client_address(scope: Any) -> str:
    """Where a request comes from, as far as this server sees."""
    return scope["client"][0] if scope.get("client") else ""


def _authorization(scope: Scope) -> tuple[str, str]:
    """Scheme, in lower case, and credentials; two empty texts where there are none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").strip().partition(" ")
            return scheme.lower(), credentials.strip()
    return "", ""


def _without(parameter: str, query: bytes) -> tuple[bytes, list[str]]:
    """The query without these parameters, however their name is written, and their values."""
    if not query:
        return query, []
    kept: list[bytes] = []
    given: list[str] = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == parameter.encode() or (b"%" in name and unquote_plus(name.decode("latin-1")) == parameter):
            given.append(unquote_plus(value.decode("latin-1")))
        else:
            kept.append(part)
    return (b"&".join(kept), given) if given else (query, given)
