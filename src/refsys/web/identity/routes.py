"""Tokens over HTTP in the shape of the hub's realm (Keycloak): discovery, keys, and the token endpoint (RFC 6749)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.distribution.served import Served
from refsys.web.identity import sessions
from refsys.web.identity.authentication import TOKEN_LIMIT, Authenticator
from refsys.web.identity.gate import client_address
from refsys.web.identity.limits import TooManyGuesses
from refsys.web.identity.tokens import ACCESS_S, Claims, InvalidToken
from refsys.web.identity.users import LIMIT

log = structlog.get_logger(__name__)

#: Where these routes are mounted: the hub's realm.
ROOT: Final = "/auth/realms/CDSE"
_ENDPOINT: Final = "/protocol/openid-connect"
_BODY_LIMIT: Final = 2 * TOKEN_LIMIT
_FIELDS: Final = 32
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _OAuthError(Exception):
    """An error of RFC 6749 (5.2), with the statuses that the hub gives them."""

    def __init__(self, code: str, told: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(told)
        self.code = code
        self.status = status
        self.headers = headers or {}


def routes(served: Served, authenticator: Authenticator) -> list[Route]:
    """What is mounted under ROOT."""
    realm = _Realm(served, authenticator)
    return [
        Route("/.well-known/openid-configuration", realm.configuration),
        Route(f"{_ENDPOINT}/certs", realm.keys),
        Route(f"{_ENDPOINT}/token", realm.token, methods=["POST"]),
    ]


class _Realm:
    def __init__(self, served: Served, authenticator: Authenticator) -> None:
        self._served = served
        self._authenticator = authenticator

    async def configuration(self, request: Request) -> Response:
        """What OpenID Connect Discovery (3) asks for; there is no page to sign in at, and so no endpoint for it."""
        issuer = self._issuer(request)
        return _json(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}{_ENDPOINT}/auth",
                "token_endpoint": f"{issuer}{_ENDPOINT}/token",
                "jwks_uri": f"{issuer}{_ENDPOINT}/certs",
                "grant_types_supported": ["password", "refresh_token"],
                "response_types_supported": ["token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["none"],
            }
        )

    async def keys(self, request: Request) -> Response:
        return _json((await self._authenticator.signer()).keys)

    async def token(self, request: Request) -> Response:
        try:
            form = await _form(request)
            kind = form.get("grant_type", "")
            if kind == "password":
                return await self._by_password(request, form)
            if kind == "refresh_token":
                return await self._by_refresh(request, form)
            raise _OAuthError("unsupported_grant_type", "grant_type is password or refresh_token")
        except _OAuthError as error:
            body = {"error": error.code, "error_description": str(error)}
            return _json(body, error.status, error.headers)

    async def _by_password(self, request: Request, form: dict[str, str]) -> Response:
        name, password = form.get("username", ""), form.get("password", "")
        if not name or not password:
            raise _OAuthError("invalid_request", "username and password are needed")
        if max(len(name), len(password)) > LIMIT:
            raise _OAuthError("invalid_grant", "Invalid user credentials", 401)
        address = client_address(request.scope)
        users = self._authenticator.users
        # a name that nobody has may be a password in the wrong field
        shown = name if name in users else "(unknown)"
        try:
            principal = await users.check(name, password, address)
        except TooManyGuesses as error:
            log.warning("token.refused", user=shown, client=address, error="too many guesses")
            raise _OAuthError("slow_down", str(error), 429, {"Retry-After": str(error.retry_after_s)}) from None
        if principal is None:
            log.warning("token.refused", user=shown, client=address, error="wrong name or password")
            raise _OAuthError("invalid_grant", "Invalid user credentials", 401)
        signer = await self._authenticator.signer()
        async with self._served.connection() as (connection, _):
            session = await sessions.start(connection, name)
        log.info("token.given", user=name, client=address, session=str(session))
        claims = Claims(name, session, signer.mark(users.kept_password(name)), 0.0, turn=1)
        return await self._answer(request, form, claims, sessions.REFRESH_S)

    async def _by_refresh(self, request: Request, form: dict[str, str]) -> Response:
        signer, users = await self._authenticator.signer(), self._authenticator.users
        try:
            before = signer.read_refresh(form.get("refresh_token", "")[:TOKEN_LIMIT])
        except InvalidToken:
            raise _OAuthError("invalid_grant", "Invalid refresh token") from None
        if before.user not in users or before.mark != signer.mark(users.kept_password(before.user)):
            raise _OAuthError("invalid_grant", "Invalid refresh token")
        async with self._served.connection() as (connection, _):
            renewed = await sessions.renew(connection, before.session, before.user, before.turn)
        if renewed is None:
            log.warning("token.refused", user=before.user, session=str(before.session), error="used or ended")
            raise _OAuthError("invalid_grant", "Token is not active")
        turn, left_s = renewed
        return await self._answer(request, form, Claims(before.user, before.session, before.mark, 0.0, turn), left_s)

    async def _answer(self, request: Request, form: dict[str, str], claims: Claims, refresh_s: float) -> Response:
        signer = await self._authenticator.signer()
        issuer, now = self._issuer(request), time.time()
        access_s = min(ACCESS_S, refresh_s)
        client = form.get("client_id", "")[:100] or "cdse-public"
        access = replace(claims, expires_at=now + access_s)
        refresh = replace(claims, expires_at=now + refresh_s)
        return _json(
            {
                "access_token": signer.access_token(access, issuer=issuer, client=client),
                "expires_in": int(access_s),
                "refresh_expires_in": int(refresh_s),
                "refresh_token": signer.refresh_token(refresh, issuer=issuer),
                "token_type": "Bearer",
                "not-before-policy": 0,
                "session_state": str(claims.session),
                "scope": "profile",
            }
        )

    def _issuer(self, request: Request) -> str:
        return f"{self._served.base_url(request)}{ROOT}"


async def _form(request: Request) -> dict[str, str]:
    """The fields of the body; of one that comes twice the last."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _OAuthError("invalid_request", "send a form: Content-Type: application/x-www-form-urlencoded")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_LIMIT:
            raise _OAuthError("invalid_request", f"a form has {_BODY_LIMIT} bytes at most", 413)
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS))
    except ValueError:
        raise _OAuthError("invalid_request", "the form cannot be read") from None


def _json(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, {**_NO_STORE, **(headers or {})}, media_type="application/json")
