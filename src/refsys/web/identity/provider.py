"""Access tokens of an OpenID Connect provider: its keys are fetched, kept, and fetched anew when it has others.

Sources: OpenID Connect Discovery 1.0 (4), RFC 7517 (keys), RFC 8725 (what to refuse).
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from refsys.core.errors import Transient
from refsys.core.hosts import is_loopback
from refsys.core.principals import Principal, Right
from refsys.infra.settings import ProviderSettings
from refsys.infra.stations.client import CONNECTION_ERRORS
from refsys.web.identity.tokens import InvalidToken

log = structlog.get_logger(__name__)

#: How long keys are used before they are fetched anew, and least time between two fetches, in seconds.
KEYS_S: Final = 3600.0
PAUSE_S: Final = 30.0
_TIMEOUT_S: Final = 10.0
_LIMIT: Final = 2**20
_MOST_KEYS: Final = 100
_LEAST_RSA_BITS: Final = 2048
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,255}")
_NOT_ACCESS: Final = ("id", "refresh", "logout", "offline")


class Provider:
    """One provider. `clock`: monotonic seconds."""

    def __init__(self, settings: ProviderSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: dict[str, tuple[Any, str]] = {}
        self._fetched_at = self._tried_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def read(self, token: str, key_id: str) -> tuple[Principal, float]:
        """Whose token it is, and until when (seconds since 1970). Raises InvalidToken, and Transient without keys."""
        key, algorithm = await self._key(key_id)
        wanted = self._settings
        try:
            told = jwt.decode(
                token,
                key,
                [algorithm],
                audience=wanted.audience,
                issuer=wanted.issuer,
                leeway=wanted.leeway_s,
                options={"require": ["exp", "iss", "aud", wanted.name_claim]},
            )
        except jwt.InvalidTokenError as error:
            raise InvalidToken(str(error)) from error
        return self._principal(told), float(told["exp"]) + wanted.leeway_s

    def _principal(self, told: Mapping[str, Any]) -> Principal:
        wanted = self._settings
        if str(told.get("typ", "")).lower() in _NOT_ACCESS:
            raise InvalidToken("it is no access token")
        client = told.get("azp", told.get("client_id"))
        if wanted.clients and client not in wanted.clients:
            raise InvalidToken("it was given to another client")
        name = told[wanted.name_claim]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidToken(f"its claim {wanted.name_claim} is no name")
        roles = _roles(told, wanted.roles_claim)
        needed = {
            Right.SEARCH: wanted.search_roles,
            Right.DOWNLOAD: wanted.download_roles,
            Right.SUBSCRIBE: wanted.subscribe_roles,
        }
        return Principal(name, frozenset(right for right, some in needed.items() if not some or roles & set(some)))

    async def _key(self, key_id: str) -> tuple[Any, str]:
        """The key and the one algorithm that it is for. Nobody waits for the provider where the key is known."""
        if key_id not in self._keys:
            await self._refreshed()
        elif self._clock() > self._fetched_at + KEYS_S:
            self._refreshed()
        if not self._keys:
            raise Transient("the provider of tokens does not answer", advice="try again in a moment")
        if key_id not in self._keys:
            raise InvalidToken("no key of the provider signed it")
        return self._keys[key_id]

    def _refreshed(self) -> Awaitable[None]:
        """Keys are being fetched, once for all who wait, and not again before PAUSE_S: anybody can name any key."""
        if (self._fetching is None or self._fetching.done()) and self._clock() > self._tried_at + PAUSE_S:
            self._fetching = asyncio.create_task(self._fetch_keys())
        assert self._fetching is not None  # the first try was never too early
        return asyncio.shield(self._fetching)

    async def _fetch_keys(self) -> None:
        """Old keys stay where there are no new ones."""
        self._tried_at = self._clock()
        issuer = self._settings.issuer
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
                told = await _json(session, issuer.rstrip("/") + "/.well-known/openid-configuration")
                if told.get("issuer") != issuer:
                    raise ValueError("it says that its issuer is another one")
                found = await _json(session, _checked(told.get("jwks_uri")))
            keys = dict(_usable(found.get("keys")))
            if not keys:
                raise ValueError("it has no key for RS256 or ES256")
        except (*CONNECTION_ERRORS, ValueError) as error:
            log.warning("oidc.unreachable", issuer=issuer, error=f"{type(error).__name__}: {error}"[:300])
            return
        self._keys, self._fetched_at = keys, self._clock()
        log.info("oidc.keys", issuer=issuer, keys=len(keys))


async def _json(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, allow_redirects=False, raise_for_status=True) as response:
        body = bytearray()
        async for piece in response.content.iter_chunked(2**16):
            body += piece
            if len(body) > _LIMIT:
                raise ValueError(f"more than {_LIMIT} bytes")
    told = orjson.loads(bytes(body))
    if not isinstance(told, dict):
        raise ValueError("no JSON object")
    return told


def _checked(url: Any) -> str:
    parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise ValueError("its jwks_uri is not https")
    return str(url)


def _usable(keys: Any) -> list[tuple[str, tuple[Any, str]]]:
    """Key id → public key and its algorithm: each key is for one, so a token cannot choose (RFC 8725 3.1)."""
    found = []
    for told in keys[:_MOST_KEYS] if isinstance(keys, list) else ():
        if not isinstance(told, dict) or not isinstance(told.get("kid"), str) or told.get("use", "sig") != "sig":
            continue
        algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(told.get("kty")))
        if algorithm is None or told.get("alg", algorithm) != algorithm:
            continue
        try:
            key = jwt.PyJWK(told, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        is_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _LEAST_RSA_BITS
        if is_rsa or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
            found.append((told["kid"], (key, algorithm)))
    return found


def _roles(told: Mapping[str, Any], path: str) -> set[str]:
    """The list at a dotted path of claims; a text counts as words (as `scope` is written)."""
    value: Any = told
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    words = value.split() if isinstance(value, str) else value
    return {word for word in words if isinstance(word, str)} if isinstance(words, list) else set()
