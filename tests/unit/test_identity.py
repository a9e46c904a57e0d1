"""Who may do what, and which tokens are believed."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from refsys.core.errors import Transient
from refsys.core.passwords import hash_password, read_hash
from refsys.core.principals import Right
from refsys.infra.settings import AccessSettings, HttpSettings, Settings, UserSettings
from refsys.web.identity.limits import PER_ADDRESS, PER_USER, Guesses, TooManyGuesses
from refsys.web.identity.rules import anonymous_rights, needed_right
from refsys.web.identity.tokens import AUDIENCE, Claims, InvalidToken, Signer
from refsys.web.identity.users import LocalUsers

SIGNER = Signer(bytes(range(32)))
ISSUER = "https://hub.example/auth/realms/CDSE"
CHEAP = {"n": 16, "r": 1, "p": 1}


def claims(**other: object) -> Claims:
    return replace(Claims("anna", uuid4(), "mark", time.time() + 60, turn=3), **other)


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/odata/v1/Products", Right.SEARCH),
        ("/odata/v1/Products(1)/Nodes(a)/Nodes(b)", Right.SEARCH),
        ("/odata/v1/Products(1)/$value", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/$value/", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/%24value", Right.DOWNLOAD),
        ("/odata/v1/products(1)/$VALUE", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/$value\n", Right.DOWNLOAD),
        ("/odata/v1/Products(\n1)/$value", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/$zip", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/$link", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/Nodes(Assets(1))/$value", Right.DOWNLOAD),
        ("/odata/v1/Products(1)/Nodes(a)/Nodes(Quicklooks(1)/$value)/$value", Right.DOWNLOAD),
        ("/odata/v1/Assets(1)/$value", Right.SEARCH),
        ("/prip/odata/v1/Products('1')/Quicklooks('a.png')/$value", Right.SEARCH),
        ("/prip/odata/v1/Products('1')/$value", Right.DOWNLOAD),
        ("/odata/v1/Subscriptions", Right.SUBSCRIBE),
        ("/odata/v1/Subscriptions(1)/Ack", Right.SUBSCRIBE),
        ("/odata/v1/Subscriptions/Info", Right.SUBSCRIBE),
        ("/stac/search", Right.SEARCH),
        ("/", Right.SEARCH),
        ("/nothing", Right.SEARCH),
        ("/health/ready", None),
        ("/metrics", None),
        ("/metrics/x", Right.SEARCH),
        ("/auth/realms/CDSE/protocol/openid-connect/token", None),
        ("/operations/v1/parked", None),
        ("/operations", None),
        ("/operationsx", Right.SEARCH),
        ("/odata/v1/health", Right.SEARCH),
        ("//health", Right.SEARCH),
    ],
)
def test_each_path_needs_one_right(path: str, right: Right | None) -> None:
    assert needed_right(path) == right


@pytest.mark.parametrize(
    ("http", "anonymous", "rights"),
    [
        ({}, "auto", set(Right)),
        ({"host": "::1", "public_url": "http://localhost:8080"}, "auto", set(Right)),
        ({"host": "0.0.0.0"}, "auto", {Right.SEARCH}),
        ({"host": ""}, "auto", {Right.SEARCH}),
        ({"public_url": "https://hub.example"}, "auto", {Right.SEARCH}),
        ({"host": "0.0.0.0"}, "all", set(Right)),
        ({}, "none", set()),
    ],
)
def test_who_does_not_sign_in_may_what_the_address_or_the_setting_says(
    http: dict[str, str], anonymous: str, rights: set[Right]
) -> None:
    told = Settings(http=HttpSettings(**http), auth=AccessSettings(anonymous=anonymous))
    assert anonymous_rights(told) == rights


def test_a_hash_is_read_as_it_is_written_and_knows_its_password() -> None:
    kept = str(hash_password("pässword", **CHEAP))
    assert str(read_hash(kept)) == kept
    assert read_hash(kept).matches("pässword")
    assert not read_hash(kept).matches("pässwort")


@pytest.mark.parametrize(
    "text",
    ["scrypt$x$", "scrypt$16$1$1$x$y", "scrypt$15$1$1$MDEyMzQ1Njc=$" + "A" * 43 + "=", "scrypt$1099511627776$8$1$a$b"],
)
def test_a_hash_that_cannot_be_checked_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="is no hash") as caught:
        UserSettings(name="anna", password=SecretStr(text))
    assert text not in str(caught.value)


def test_a_token_is_read_as_it_was_made_and_strangers_can_verify_it() -> None:
    told = claims(expires_at=float(int(time.time()) + 60), turn=0)
    token = SIGNER.access_token(told, issuer=ISSUER, client="cdse-public")
    assert SIGNER.read_access(token) == told
    key = jwt.PyJWKSet.from_dict(SIGNER.keys)[jwt.get_unverified_header(token)["kid"]]
    # as EODAG does
    seen = jwt.decode(token, key.key, ["ES256"], audience=[AUDIENCE[0]], issuer=ISSUER)
    assert (seen["sub"], seen["azp"]) == ("anna", "cdse-public")


def test_each_process_makes_the_same_key_and_another_secret_makes_another() -> None:
    assert Signer(bytes(range(32))).keys == SIGNER.keys
    token = Signer(bytes(32)).access_token(claims(), issuer=ISSUER, client="x")
    with pytest.raises(InvalidToken):
        SIGNER.read_access(token)


def test_a_token_is_for_one_thing_and_for_its_time() -> None:
    access = SIGNER.access_token(claims(), issuer=ISSUER, client="x")
    refresh = SIGNER.refresh_token(claims(), issuer=ISSUER)
    ended = SIGNER.access_token(claims(expires_at=time.time() - 1), issuer=ISSUER, client="x")
    assert SIGNER.read_refresh(refresh).turn == 3
    for read, token in ((SIGNER.read_refresh, access), (SIGNER.read_access, refresh), (SIGNER.read_access, ended)):
        with pytest.raises(InvalidToken):
            read(token)


def test_a_token_without_a_signature_or_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    body = jwt.decode(SIGNER.access_token(claims(), issuer=ISSUER, client="x"), options={"verify_signature": False})
    key = jwt.PyJWKSet.from_dict(SIGNER.keys)[SIGNER.key_id].key
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    unsigned = jwt.encode(body, None, "none", headers={"kid": SIGNER.key_id})
    head, middle, _ = jwt.encode(body, "x" * 32, "HS256", headers={"kid": SIGNER.key_id}).split(".")
    digest = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{middle}".encode(), pem)
    confused = f"{head}.{middle}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
    for token in (unsigned, confused):
        with pytest.raises(InvalidToken):
            SIGNER.read_access(token)


@settings(max_examples=60)
@given(st.data())
def test_a_token_with_any_letter_changed_is_refused(data: st.DataObject) -> None:
    token = SIGNER.access_token(claims(), issuer=ISSUER, client="x")
    head, body, signature = token.split(".")
    part = data.draw(st.sampled_from((head, body, signature[:-1])))
    at = token.index(part) + data.draw(st.integers(0, len(part) - 2))
    letter = data.draw(st.sampled_from("ABCDabcd0123_-").filter(lambda letter: letter != token[at]))
    with pytest.raises(InvalidToken):
        SIGNER.read_access(token[:at] + letter + token[at + 1 :])


def test_guesses_are_counted_by_user_and_address_and_forgotten_after_a_minute() -> None:
    now = [0.0]
    guesses = Guesses(lambda: now[0])
    for _ in range(PER_USER):
        guesses.check("anna", "here")
        guesses.failed("anna", "here")
    with pytest.raises(TooManyGuesses) as caught:
        guesses.check("anna", "here")
    assert caught.value.retry_after_s == 60
    guesses.check("anna", "elsewhere")
    guesses.check("ben", "here")
    now[0] = 61.0
    guesses.check("anna", "here")


def test_guessing_many_names_from_one_address_ends_too() -> None:
    guesses = Guesses(lambda: 0.0)
    for number in range(PER_ADDRESS):
        guesses.check(f"user{number}", "here")
        guesses.failed(f"user{number}", "here")
    with pytest.raises(TooManyGuesses):
        guesses.check("another", "here")


async def test_a_right_password_is_no_guess_and_a_wrong_one_is() -> None:
    users = LocalUsers([UserSettings(name="anna", password=SecretStr(str(hash_password("right", **CHEAP))))])
    for _ in range(3 * PER_USER):
        assert await users.check("anna", "right", "here") is not None
    for number in range(PER_USER):
        assert await users.check("anna", f"wrong {number}", "here") is None
    with pytest.raises(TooManyGuesses):
        await users.check("anna", "right", "here")


async def test_whom_nobody_knows_costs_as_much_as_those_who_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    users = LocalUsers([UserSettings(name="anna", password=SecretStr(str(hash_password("right", **CHEAP))))])
    seen: list[int] = []
    derive = __import__("hashlib").scrypt
    monkeypatch.setattr("hashlib.scrypt", lambda given, **cost: seen.append(cost["n"]) or derive(given, **cost))
    assert await users.check("anna", "wrong", "here") is None
    assert await users.check("ben", "wrong", "here") is None
    assert seen == [CHEAP["n"]] * 2


async def test_more_guesses_at_once_than_can_be_checked_are_sent_away() -> None:
    import asyncio

    users = LocalUsers([UserSettings(name="anna", password=SecretStr(str(hash_password("right", **CHEAP))))])
    guesses = [users.check(f"user{number}", "x", f"address{number}") for number in range(100)]
    found = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(one) for one in found} == {type(None), Transient}
