"""From what a request carries to a principal: bearer tokens, ours or the provider's, and Basic for local users."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from typing import Any, Final

import jwt

from refsys.core.principals import Principal, Right
from refsys.distribution.links import read_link
from refsys.distribution.paging import InvalidToken as InvalidLink
from refsys.distribution.secrets import LINKS, TOKENS
from refsys.distribution.served import Served
from refsys.web.identity.provider import Provider
from refsys.web.identity.tokens import InvalidToken, Signer
from refsys.web.identity.users import LIMIT, LocalUsers

#: Longest token, in characters.
TOKEN_LIMIT: Final = 16_384
#: How long what was verified is believed, in seconds, and how many are remembered.
_BELIEVED_S: Final = 300.0
_REMEMBERED: Final = 10_000


class Authenticator:
    """Verifies credentials; what was verified is remembered for a while, under a digest."""

    def __init__(self, served: Served) -> None:
        auth = served.settings.auth
        self.users = LocalUsers(auth.user)
        self._served = served
        self._provider = Provider(auth.oidc) if auth.oidc.issuer else None
        self._signer: Signer | None = None
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    async def signer(self) -> Signer:
        """The maker of our own tokens. Raises TooCostly or Transient where the database does not give its key."""
        if self._signer is None:
            async with self._served.connection() as (connection, _):
                self._signer = Signer(await self._served.secret(TOKENS, connection))
        return self._signer

    async def bearer(self, token: str) -> Principal:
        """Whose token it is. Raises InvalidToken; Transient where that cannot be found out at the moment."""
        if len(token) > TOKEN_LIMIT:
            raise InvalidToken("it is too long")
        digest = _digest("bearer", token)
        if (known := self._recall(digest)) is not None:
            return known
        principal, until = await self._read(token)
        self._remember(digest, principal, until)
        return principal

    async def link(self, text: str, path: str) -> Principal:
        """As whom a link of ours (distribution/links.py) lets download what lies at a path. Raises InvalidToken."""
        async with self._served.connection() as (connection, _):
            secret = await self._served.secret(LINKS, connection)
        try:
            return Principal(read_link(secret, text, path), frozenset({Right.DOWNLOAD}))
        except InvalidLink as error:
            raise InvalidToken(str(error)) from error

    async def basic(self, credentials: str, address: str) -> Principal:
        """Whose name and password these are. Raises InvalidToken; TooManyGuesses."""
        digest = _digest("basic", credentials)
        if (known := self._recall(digest)) is not None:
            return known
        try:
            name, colon, password = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidToken("it is no name and password") from error
        principal = None
        if colon and len(name) <= LIMIT and len(password) <= LIMIT:
            principal = await self.users.check(name, password, address)
        if principal is None:
            raise InvalidToken("the name or the password is wrong")
        self._remember(digest, principal, time.time() + _BELIEVED_S)
        return principal

    async def _read(self, token: str) -> tuple[Principal, float]:
        try:
            header: dict[str, Any] = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise InvalidToken("it is no token") from error
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise InvalidToken("it does not name its key")
        signer = await self.signer()
        if key_id == signer.key_id:
            claims = signer.read_access(token)
            user = self.users.principal(claims.user)
            if user is None or claims.mark != signer.mark(self.users.kept_password(claims.user)):
                raise InvalidToken("its user is not known any more, or has another password")
            return user, claims.expires_at
        if self._provider is None:
            raise InvalidToken("it is not one of this service")
        principal, until = await self._provider.read(token, key_id)
        if principal.name in self.users:
            raise InvalidToken("its user has the name of a local user")
        return principal, until

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._known.get(digest)
        if known is None or known[1] <= time.time():
            return None
        return known[0]

    def _remember(self, digest: bytes, principal: Principal, until: float) -> None:
        self._known[digest] = (principal, min(until, time.time() + _BELIEVED_S))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _digest(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind} {text}".encode("utf-8", "surrogatepass")).digest()
