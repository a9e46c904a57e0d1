"""Tokens of our own: JWTs (RFC 7519) signed by ES256 with a key that every API process derives from one secret.

Clients of the hub verify what they are given (EODAG, CDSETool read the realm's keys), so the key has a public half.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

#: Life of an access token in seconds, as at the hub.
ACCESS_S: Final = 600
#: What our tokens are for. The hub's clients look for the first one.
AUDIENCE: Final = ("CLOUDFERRO_PUBLIC", "refsys")
_OURS: Final = AUDIENCE[1]
_ALGORITHM: Final = "ES256"
_CURVE: Final = ec.SECP256R1()
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_NEEDED: Final = ["exp", "iat", "sub", "typ", "sid", "mark"]


class InvalidToken(Exception):
    """A token that is none of ours, has ended, or is of another kind."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. `mark`: of the password with which it was asked for. `turn`: of a refresh token."""

    user: str
    session: UUID
    mark: str
    expires_at: float
    turn: int = 0


class Signer:
    """Makes and reads tokens. `secret`: 32 bytes that all processes share."""

    def __init__(self, secret: bytes) -> None:
        seed = hashlib.sha512(b"refsys ES256 key of tokens\0" + secret).digest()
        self._key = ec.derive_private_key(int.from_bytes(seed) % (_ORDER - 1) + 1, _CURVE)
        self._secret = secret
        numbers = self._key.public_key().public_numbers()
        x, y = (_base64(number.to_bytes(32)) for number in (numbers.x, numbers.y))
        self.key_id = _base64(hashlib.sha256(f"{x}.{y}".encode()).digest()[:16])
        #: The public half, as a set of keys (RFC 7517).
        self.keys = {
            "keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": _ALGORITHM, "kid": self.key_id, "x": x, "y": y}]
        }

    def mark(self, kept_password: str) -> str:
        """Changes with the password: tokens end with it."""
        return _base64(hmac.digest(self._secret, b"mark\0" + kept_password.encode(), "sha256")[:12])

    def access_token(self, claims: Claims, *, issuer: str, client: str) -> str:
        return self._sign({"typ": "Bearer", "aud": list(AUDIENCE), "azp": client}, claims, issuer)

    def refresh_token(self, claims: Claims, *, issuer: str) -> str:
        return self._sign({"typ": "Refresh", "aud": issuer, "turn": claims.turn}, claims, issuer)

    def read_access(self, token: str) -> Claims:
        """Raises InvalidToken."""
        return self._read(token, "Bearer", audience=_OURS)

    def read_refresh(self, token: str) -> Claims:
        """Raises InvalidToken."""
        return self._read(token, "Refresh")

    def _sign(self, kind: dict[str, Any], claims: Claims, issuer: str) -> str:
        common = {
            "iss": issuer,
            "sub": claims.user,
            "preferred_username": claims.user,
            "sid": str(claims.session),
            "session_state": str(claims.session),
            "mark": claims.mark,
            "iat": int(time.time()),
            "exp": int(claims.expires_at),
            "jti": str(uuid4()),
        }
        return jwt.encode({**common, **kind}, self._key, _ALGORITHM, headers={"kid": self.key_id})

    def _read(self, token: str, kind: str, audience: str | None = None) -> Claims:
        options: Any = {"require": _NEEDED, "verify_aud": audience is not None}
        try:
            told = jwt.decode(token, self._key.public_key(), [_ALGORITHM], audience=audience, options=options)
        except jwt.InvalidTokenError as error:
            raise InvalidToken(str(error)) from error
        if told["typ"] != kind:
            raise InvalidToken("it is a token of another kind")
        # signed by us: the types of what is in it are ours
        return Claims(told["sub"], UUID(told["sid"]), told["mark"], float(told["exp"]), told.get("turn", 0))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
