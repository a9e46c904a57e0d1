"""Access tokens of a station (RFC 6749): one for all requests, renewed before it ends or once it is refused."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import orjson

from refsys.core.errors import RefsysError

#: Share of a token's life after which it is renewed.
_RENEW_AT: Final = 0.8
#: Life of a token whose answer does not tell a usable one, in seconds.
_LIFE_S: Final = 300.0
#: What a header can carry.
_CARRIED: Final = re.compile(r"[!-~]+")

#: Ask the token endpoint: the old token to refresh, or None to ask with the password.
Grant = Callable[["Token | None"], Awaitable["Token"]]


@dataclass(frozen=True, slots=True)
class Token:
    """`renew_at`: the loop's time at which another is wanted."""

    access: str
    refresh: str
    renew_at: float


def read_token(body: bytes, before: Token | None) -> Token:
    """The answer of a token endpoint (RFC 6749 5.1); a refresh token that it does not name stays as it was.

    Raises ValueError saying what is missing, never what is there.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("no JSON") from None
    access = told.get("access_token") if isinstance(told, dict) else None
    if not isinstance(access, str) or not _CARRIED.fullmatch(access):
        raise ValueError("no access_token that a header can carry")
    refresh = told.get("refresh_token")
    if not isinstance(refresh, str) or not refresh:
        refresh = before.refresh if before else ""
    life_s = _LIFE_S
    with contextlib.suppress(TypeError, ValueError):
        life_s = float(told.get("expires_in"))
    if not (math.isfinite(life_s) and life_s > 0):
        life_s = _LIFE_S
    return Token(access, refresh, asyncio.get_running_loop().time() + _RENEW_AT * life_s)


class Tokens:
    """Whoever comes while a token is on its way gets that one, or its error: a station is asked once, not by each."""

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._token: Token | None = None
        self._coming: asyncio.Task[Token] | None = None

    async def current(self) -> Token:
        """A token that is good for a while yet. Raises what the token endpoint's refusal means."""
        token = self._token
        if token is not None and asyncio.get_running_loop().time() < token.renew_at:
            return token
        return await self._next(token)

    async def replace(self, refused: Token) -> Token:
        """Another token than the one that the station refused."""
        return await self._next(None) if self._token is refused else await self.current()

    async def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])

    async def _next(self, before: Token | None) -> Token:
        if self._coming is None:
            self._coming = asyncio.create_task(self._fetch(before))
            self._coming.add_done_callback(self._came)
        # one who gives up waiting does not end it for the others
        return await asyncio.shield(self._coming)

    async def _fetch(self, before: Token | None) -> Token:
        self._token = None
        if before is not None and before.refresh:
            with contextlib.suppress(RefsysError):
                return await self._grant(before)
        return await self._grant(None)

    def _came(self, task: asyncio.Task[Token]) -> None:
        self._coming = None
        if not task.cancelled() and task.exception() is None:
            self._token = task.result()
