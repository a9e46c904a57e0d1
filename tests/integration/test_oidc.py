"""Tokens of an OpenID Connect provider: which are believed, and what its keys cost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from refsys.core.errors import Transient
from refsys.core.principals import Right
from refsys.infra.settings import ProviderSettings
from refsys.web.identity.provider import KEYS_S, PAUSE_S, Provider
from refsys.web.identity.tokens import InvalidToken
from tests.stranger import Stranger, stranger
from tests.waiting import wait_for

RSA = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1())
SECRET = {"kty": "oct", "k": "c2VjcmV0", "kid": "hs"}
CONFIGURATION = "/realm/.well-known/openid-configuration"
KEYS = "/realm/keys"
READ_ALL = frozenset(Right)


def jwk(key: Any, key_id: str, **other: str) -> dict[str, Any]:
    """The public half of a key."""
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": key_id, **other}


class Realm:
    """A provider that gives out keys, and us beside it."""

    def __init__(self, server: Stranger) -> None:
        self.server = server
        self.issuer = f"{server.url}/realm"
        self.now = [0.0]
        self.offer(
            jwk(RSA, "rsa", use="sig"), jwk(CURVE, "curve"), jwk(WEAK, "weak"), jwk(OTHER_CURVE, "other"),
            jwk(RSA, "encrypts", use="enc"), jwk(RSA, "rs512", alg="RS512"), SECRET,
        )  # fmt: skip
        told = {"issuer": self.issuer, "jwks_uri": server.url + KEYS}
        server.answer(CONFIGURATION, body=orjson.dumps(told))

    def offer(self, *keys: dict[str, Any]) -> None:
        self.server.answer(KEYS, body=orjson.dumps({"keys": keys}))

    @property
    def fetches(self) -> int:
        return len(self.server.asked_at(KEYS))

    def provider(self, **other: Any) -> Provider:
        settings = ProviderSettings(issuer=self.issuer, audience="refsys", **other)
        return Provider(settings, clock=lambda: self.now[0])

    def token(self, key: Any = RSA, algorithm: str = "RS256", key_id: str = "rsa", **claims: Any) -> str:
        told = {
            "iss": self.issuer, "aud": ["account", "refsys"], "sub": "anna", "exp": time.time() + 60, "typ": "Bearer",
            "azp": "ui", "realm_access": {"roles": ["user"]}, **claims,
        }  # fmt: skip
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key, algorithm, headers={"kid": key_id})


@pytest.fixture
async def realm() -> AsyncIterator[Realm]:
    async with stranger() as server:
        yield Realm(server)


async def test_tokens_of_both_algorithms_are_believed_and_keys_are_fetched_once(realm: Realm) -> None:
    provider = realm.provider()
    for key, algorithm, key_id in ((RSA, "RS256", "rsa"), (CURVE, "ES256", "curve")):
        principal, until = await provider.read(realm.token(key, algorithm, key_id), key_id)
        assert (principal.name, principal.rights) == ("anna", READ_ALL)
        assert until > time.time() + 60
    assert realm.fetches == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example/realm"},
        {"aud": "account"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 9e9},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"azp": "another"},
        {"azp": None},
    ],
    ids=str,
)
async def test_a_token_for_something_else_is_refused(realm: Realm, claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        await realm.provider(clients=("ui",)).read(realm.token(**claims), "rsa")


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [
        (rsa.generate_private_key(65537, 2048), "RS256", "rsa"),
        (RSA, "RS512", "rsa"),
        (RSA, "RS512", "rs512"),
        (RSA, "RS256", "encrypts"),
        (RSA, "PS256", "rsa"),
        (RSA, "RS256", "curve"),
        (OTHER_CURVE, "ES384", "other"),
        ("secret" * 8, "HS256", "hs"),
        ("secret" * 8, "HS256", "rsa"),
        (None, "none", "rsa"),
    ],
)
async def test_a_token_signed_in_another_way_is_refused(realm: Realm, key: Any, algorithm: str, key_id: str) -> None:
    with pytest.raises(InvalidToken):
        await realm.provider().read(realm.token(key, algorithm, key_id), key_id)


async def test_a_weak_key_is_not_used(realm: Realm) -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = realm.token(WEAK, "RS256", "weak")
    with pytest.raises(InvalidToken, match="no key of the provider"):
        await realm.provider().read(token, "weak")


async def test_clocks_may_differ_a_little(realm: Realm) -> None:
    late, early = realm.token(exp=time.time() - 20), realm.token(nbf=time.time() + 20)
    for token in (late, early):
        assert (await realm.provider().read(token, "rsa"))[0].name == "anna"
        with pytest.raises(InvalidToken):
            await realm.provider(leeway_s=5).read(token, "rsa")


async def test_rights_come_from_roles_where_any_are_asked_for(realm: Realm) -> None:
    provider = realm.provider(
        roles_claim="resource_access.refsys.roles", download_roles=("loader", "all"), subscribe_roles=("all",)
    )
    told = {
        (): {Right.SEARCH},
        ("loader",): {Right.SEARCH, Right.DOWNLOAD},
        ("all",): READ_ALL,
    }
    for roles, rights in told.items():
        token = realm.token(resource_access={"refsys": {"roles": list(roles)}})
        assert (await provider.read(token, "rsa"))[0].rights == rights
    for odd in (None, "loader", {"refsys": ["loader"]}, {"refsys": {"roles": {"loader": 1}}}):
        assert (await provider.read(realm.token(resource_access=odd), "rsa"))[0].rights == {Right.SEARCH}
    words = realm.provider(roles_claim="scope", search_roles=("find",), download_roles=("x",), subscribe_roles=("x",))
    assert (await words.read(realm.token(scope="openid find"), "rsa"))[0].rights == {Right.SEARCH}


async def test_a_new_key_is_fetched_when_a_token_names_it_and_unknown_ones_cost_one_fetch_a_while(realm: Realm) -> None:
    provider = realm.provider()
    await provider.read(realm.token(), "rsa")
    newer = ec.generate_private_key(ec.SECP256R1())
    token = realm.token(newer, "ES256", "newer")
    realm.offer(jwk(newer, "newer"))
    with pytest.raises(InvalidToken):
        await provider.read(token, "newer")
    assert realm.fetches == 1
    realm.now[0] = PAUSE_S + 1
    assert (await provider.read(token, "newer"))[0].name == "anna"
    for number in range(20):
        with pytest.raises(InvalidToken):
            await provider.read(realm.token(newer, "ES256", f"unknown {number}"), f"unknown {number}")
    assert realm.fetches == 2
    with pytest.raises(InvalidToken):  # the old key is not offered any more
        await provider.read(realm.token(), "rsa")


async def test_while_the_provider_is_away_known_keys_go_on_and_without_any_it_is_said(realm: Realm) -> None:
    provider = realm.provider()
    await provider.read(realm.token(), "rsa")
    realm.server.answer(CONFIGURATION, 503)
    realm.now[0] = KEYS_S + 1
    before = len(realm.server.asked)
    assert (await provider.read(realm.token(), "rsa"))[0].name == "anna"

    async def was_asked() -> bool:
        return len(realm.server.asked) > before

    await wait_for(was_asked)
    assert (await provider.read(realm.token(), "rsa"))[0].name == "anna"
    with pytest.raises(Transient, match="does not answer"):
        await realm.provider().read(realm.token(), "rsa")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIGURATION, b"[]"),
        (CONFIGURATION, b"<html>"),
        (CONFIGURATION, b'{"issuer": "https://evil.example", "jwks_uri": "http://127.0.0.1:1/"}'),
        (CONFIGURATION, b'{"issuer": "ISSUER", "jwks_uri": "http://keys.example/"}'),
        (CONFIGURATION, b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}'),
        (CONFIGURATION, b'{"issuer": "ISSUER", "jwks_uri": "http://[::1"}'),
        (CONFIGURATION, b'{"issuer": "ISSUER"}'),
        (KEYS, b'{"keys": 1}'),
        (KEYS, b'{"keys": [1, {}, {"kty": "RSA", "kid": "rsa"}, {"kty": "EC", "kid": "c", "crv": "P-256", "x": 1}]}'),
        (KEYS, b" " * 2_000_000),
    ],
)
async def test_whatever_the_provider_says_nobody_is_let_in_by_it(realm: Realm, path: str, body: bytes) -> None:
    realm.server.answer(path, body=body.replace(b"ISSUER", realm.issuer.encode()))
    with pytest.raises(Transient, match="does not answer"):
        await realm.provider().read(realm.token(), "rsa")
