"""Who may ask: anybody, HTTP Basic, or OAuth2 with tokens that expire (RFC 6749, 4.3 and 6)."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

TokenHeader = Literal["Authorization", "OAUTH2-ACCESS-TOKEN"]


@dataclass(frozen=True, slots=True)
class Basic:
    user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """`client_id` and `client_secret`, if set, are asked for in the form or as HTTP Basic; `scope`, if set, too.

    `header` is the one header in which tokens are accepted; None = either. Lifetimes in seconds.
    """

    user: str
    password: str
    client_id: str = ""
    client_secret: str = ""
    scope: str = ""
    header: TokenHeader | None = None
    expires_s: float = 1200.0
    refresh_expires_s: float = 3600.0


Auth = Basic | OAuth2 | None


class TokenError(Exception):
    """A token is refused: status and error code (RFC 6749, 5.2; 401 for wrong users, as Keycloak answers)."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": code, "error_description": description}


class Gate:
    """Decides about requests, and gives out tokens. Every method may be called from any thread."""

    def __init__(self, auth: Auth, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._auth = auth
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._access: dict[str, float] = {}
        self._refresh: dict[str, float] = {}

    @property
    def challenge(self) -> str:
        """WWW-Authenticate of a 401."""
        return f'{"Basic" if isinstance(self._auth, Basic) else "Bearer"} realm="station"'

    def admit(self, headers: Mapping[str, str]) -> str | None:
        """The header that authorises the request; empty where none is needed, None where it is refused."""
        match self._auth:
            case None:
                return ""
            case Basic(user, password):
                return "Authorization" if _basic(headers) == (user, password) else None
            case OAuth2():
                return self._admit_token(headers, self._auth)

    def expire(self, *, refresh_tokens: bool = False) -> None:
        """Every access token given out so far has expired; refresh tokens too, if wanted."""
        with self._lock:
            self._access.clear()
            if refresh_tokens:
                self._refresh.clear()

    def grant(self, form: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        """Answer the token endpoint's form; raises TokenError."""
        auth = self._auth
        if not isinstance(auth, OAuth2):
            raise TokenError(400, "unsupported_grant_type", "this station gives out no tokens")
        _check_client(auth, form, headers)
        match form.get("grant_type"):
            case "password":
                given = (form.get("username", ""), form.get("password", ""))
                if not _same(given, (auth.user, auth.password)):
                    raise TokenError(401, "invalid_grant", "Invalid user credentials")
                if auth.scope and auth.scope not in form.get("scope", "").split():
                    raise TokenError(400, "invalid_scope", f"scope {auth.scope} has to be asked for")
            case "refresh_token":
                self._use_refresh_token(form.get("refresh_token", ""))
            case other:
                raise TokenError(
                    400, "unsupported_grant_type", f"grant_type {other!r} is not password or refresh_token"
                )
        return self._tokens(auth)

    def _admit_token(self, headers: Mapping[str, str], auth: OAuth2) -> str | None:
        scheme, _blank, bearer = headers.get("authorization", "").partition(" ")
        offered = {
            "Authorization": bearer if scheme.lower() == "bearer" else "",
            "OAUTH2-ACCESS-TOKEN": headers.get("oauth2-access-token", ""),
        }
        for header, token in offered.items():
            if header == (auth.header or header) and self._access.get(token, 0.0) > self._monotonic():
                return header
        return None

    def _use_refresh_token(self, token: str) -> None:
        """A refresh token is good once."""
        with self._lock:
            expires_at = self._refresh.pop(token, 0.0)
        if expires_at <= self._monotonic():
            raise TokenError(400, "invalid_grant", "Token is not active")

    def _tokens(self, auth: OAuth2) -> dict[str, Any]:
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        now = self._monotonic()
        with self._lock:
            self._access[access] = now + auth.expires_s
            self._refresh[refresh] = now + auth.refresh_expires_s
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": _whole(auth.expires_s),
            "refresh_token": refresh,
            "refresh_expires_in": _whole(auth.refresh_expires_s),
            "scope": auth.scope,
        }


def _check_client(auth: OAuth2, form: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """RFC 6749, 2.3.1: in the Authorization header (form-encoded before base64) or in the form."""
    if not auth.client_id:
        return
    in_header = _basic(headers)
    given = (
        (form.get("client_id", ""), form.get("client_secret", ""))
        if in_header is None
        else (unquote_plus(in_header[0]), unquote_plus(in_header[1]))
    )
    if not _same(given, (auth.client_id, auth.client_secret)):
        raise TokenError(401, "invalid_client", "Invalid client or Invalid client credentials")


def _basic(headers: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password of HTTP Basic (RFC 7617)."""
    scheme, _blank, coded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _colon, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return user, password


def _same(given: tuple[str, str], expected: tuple[str, str]) -> bool:
    return all(hmac.compare_digest(one.encode(), other.encode()) for one, other in zip(given, expected, strict=True))


def _whole(seconds: float) -> int:
    """expires_in is a whole number; never longer than the truth."""
    return int(seconds)
