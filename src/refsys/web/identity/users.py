"""Local users: names and passwords of the settings."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from refsys.core.errors import Transient
from refsys.core.passwords import PasswordHash, hash_password, is_hash, read_hash
from refsys.core.principals import Principal, Right
from refsys.infra.settings import UserSettings
from refsys.web.identity.limits import Guesses

#: Longest name and password that are looked at.
LIMIT: Final = 1024
#: Passwords that are checked at the same time, and that may wait for it.
_AT_ONCE: Final = 2
_WAITING: Final = 32


class LocalUsers:
    """Checks passwords, slowly on purpose, beside the event loop."""

    def __init__(self, users: Sequence[UserSettings], guesses: Guesses | None = None) -> None:
        self._kept = {user.name: user.password.get_secret_value() for user in users}
        self._principals = {
            user.name: Principal(user.name, frozenset(Right(right) for right in user.rights)) for user in users
        }
        hashes = [read_hash(kept) for kept in self._kept.values() if is_hash(kept)]
        # whom nobody knows takes as long as those whom somebody does
        self._nobody = hash_password("", n=hashes[0].n, r=hashes[0].r, p=hashes[0].p) if hashes else None
        self._guesses = guesses or Guesses()
        self._checking = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[bytes, asyncio.Task[Principal | None]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def principal(self, name: str) -> Principal | None:
        return self._principals.get(name)

    def kept_password(self, name: str) -> str:
        """As the settings have it, a hash or not: what a token's mark is made of."""
        return self._kept.get(name, "")

    async def check(self, name: str, password: str, address: str) -> Principal | None:
        """The user, or None. Raises TooManyGuesses, and Transient where too many wait already.

        The same guess, made several times at once, is one.
        """
        guess = _digest(f"{name}\0{password}")
        if guess not in self._running:
            self._guesses.check(name, address)
            if len(self._running) >= _WAITING:
                raise Transient("too many passwords are being checked", advice="try again in a moment", retry_after_s=2)
            self._guesses.failed(name, address)
            self._running[guess] = asyncio.create_task(self._look(name, password, address))
            self._running[guess].add_done_callback(lambda _: self._running.pop(guess))
        # one who gives up waiting does not end it for the others
        return await asyncio.shield(self._running[guess])

    async def _look(self, name: str, password: str, address: str) -> Principal | None:
        async with self._checking:
            is_right = await self._is_right(name, password)
        if not is_right:
            return None
        self._guesses.succeeded(name, address)
        return self._principals[name]

    async def _is_right(self, name: str, password: str) -> bool:
        kept = self._kept.get(name)
        if kept is not None and not is_hash(kept):
            return hmac.compare_digest(_digest(password), _digest(kept))
        known: PasswordHash | None = read_hash(kept) if kept is not None else self._nobody
        if known is None:
            return False
        return await asyncio.to_thread(known.matches, password) and kept is not None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
