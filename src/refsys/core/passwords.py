"""Passwords as they are kept: `scrypt$N$r$p$SALT$KEY` (RFC 7914; salt and key in URL-safe base64)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Final

_PREFIX: Final = "scrypt$"
_KEY_BYTES: Final = 32
#: Most memory that checking one password may take, in bytes, and most work (N · r · p).
_MEMORY_LIMIT: Final = 256 * 2**20
_WORK_LIMIT: Final = 2**22


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """`n`, `r`, `p`: cost, block size and parallelism of scrypt."""

    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def __str__(self) -> str:
        salt, key = (base64.urlsafe_b64encode(part).decode() for part in (self.salt, self.key))
        return f"{_PREFIX}{self.n}${self.r}${self.p}${salt}${key}"

    def matches(self, password: str) -> bool:
        """Takes a tenth of a second or more, and as long for a wrong password as for the right one."""
        return hmac.compare_digest(_derive(password, self.salt, self.n, self.r, self.p), self.key)


def hash_password(password: str, *, n: int = 2**15, r: int = 8, p: int = 3) -> PasswordHash:
    """A hash with a salt of its own; the default cost is OWASP's advice for scrypt with 32 MiB."""
    salt = os.urandom(16)
    return PasswordHash(n, r, p, salt, _derive(password, salt, n, r, p))


def is_hash(text: str) -> bool:
    """Whether a text is meant as a hash, not as the password itself."""
    return text.startswith(_PREFIX)


def read_hash(text: str) -> PasswordHash:
    """Raises ValueError, which does not repeat the text."""
    wrong = ValueError("is no hash as `refsys user hash` writes it (scrypt$N$r$p$SALT$KEY)")
    parts = text.removeprefix(_PREFIX).split("$")
    if len(parts) != 5:
        raise wrong
    try:
        n, r, p = (int(part) for part in parts[:3])
        salt, key = (base64.b64decode(part, altchars=b"-_", validate=True) for part in parts[3:])
    except (ValueError, binascii.Error):
        raise wrong from None
    is_costed = n >= 2 and n & (n - 1) == 0 and r >= 1 and p >= 1
    if not is_costed or n * r * p > _WORK_LIMIT or 128 * n * r > _MEMORY_LIMIT // 2 or len(salt) < 8:
        raise wrong
    if len(key) != _KEY_BYTES:
        raise wrong
    return PasswordHash(n, r, p, salt, key)


def _derive(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    given = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(given, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_LIMIT, dklen=_KEY_BYTES)
