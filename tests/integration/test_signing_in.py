"""Signing in, over HTTP: tokens as the hub gives them, what they open, and that they stand nowhere."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import jwt
import pytest
from pydantic import SecretStr

from refsys.core.passwords import hash_password
from refsys.infra.settings import AccessSettings, ProviderSettings, Settings, UserSettings
from refsys.infra.storage import Storage
from refsys.missions import load_types
from refsys.web.app import create_app
from refsys.web.identity import sessions
from refsys.web.identity.limits import PER_USER
from tests.integration.test_oidc import Realm
from tests.stranger import stranger
from tests.waiting import wait_for
from tests.web import asked, served

TYPES = load_types()
REALM = "/auth/realms/CDSE"
TOKEN = f"{REALM}/protocol/openid-connect/token"
VALUE = f"/odata/v1/Products({UUID(int=4)})/$value"
SEARCH = "/odata/v1/Products?$top=1"
KEPT = str(hash_password("right", n=16, r=1, p=1))
USERS = (
    UserSettings(name="anna", password=SecretStr(KEPT)),
    UserSettings(name="ben", password=SecretStr("plain"), rights=("search",)),
)
#: Answers that repeat something of what was asked.
TOLD_PATHS = (
    SEARCH,
    VALUE,
    "/odata/v1/Products?$filter=what",
    "/odata/v1/Products?$top=9999",
    "/prip/odata/v1/Products?$top=1",
    "/stac/search?limit=x",
    "/nothing?a=b",
    "/metrics?a=b",
)
Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def start(pool: asyncpg.Pool, storage: Storage, settings: Settings) -> Start:
    """The application with these settings of [auth], behind a real server."""

    @asynccontextmanager
    async def run(**auth: Any) -> AsyncIterator[httpx.AsyncClient]:
        used = settings.model_copy(update={"auth": AccessSettings(**{"user": USERS, "anonymous": "none", **auth})})
        async with (
            served(create_app(pool=pool, storage=storage, types=TYPES, settings=used)) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client,
        ):
            yield client

    return run


async def sign_in(client: httpx.AsyncClient, user: str = "anna", password: str = "right") -> dict[str, Any]:
    form = {"grant_type": "password", "client_id": "cdse-public", "username": user, "password": password}
    answer = await client.post(TOKEN, data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post(TOKEN, data={"grant_type": "refresh_token", "refresh_token": token})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_password_gives_a_token_as_at_the_hub_and_clients_can_verify_it(start: Start) -> None:
    async with start() as client:
        told = await sign_in(client)
        assert (told["token_type"], told["expires_in"], told["refresh_expires_in"]) == ("Bearer", 600, 3600)
        realm = (await client.get(f"{REALM}/.well-known/openid-configuration")).json()
        assert realm["issuer"] == f"{client.base_url}{REALM}"
        assert realm["token_endpoint"] == f"{realm['issuer']}/protocol/openid-connect/token"
        keys = jwt.PyJWKSet.from_dict((await client.get(realm["jwks_uri"])).json())
        key = keys[jwt.get_unverified_header(told["access_token"])["kid"]]
        read = jwt.decode(
            told["access_token"],
            key,
            realm["id_token_signing_alg_values_supported"],
            audience="CLOUDFERRO_PUBLIC",
            issuer=realm["issuer"],
        )
        assert read["preferred_username"] == "anna"
        assert (await client.get(VALUE, headers=bearer(told["access_token"]))).status_code == 404
        assert (await client.get(VALUE, params={"token": told["access_token"]})).status_code == 404


@pytest.mark.parametrize(
    ("anonymous", "searching", "loading"),
    [("auto", 200, 404), ("all", 200, 404), ("search", 200, 401), ("none", 401, 401)],
)
async def test_who_does_not_sign_in_may_what_the_setting_says(
    start: Start, anonymous: str, searching: int, loading: int
) -> None:
    async with start(anonymous=anonymous) as client:
        assert (await client.get(SEARCH)).status_code == searching
        answer = await client.get(VALUE)
        assert answer.status_code == loading
        assert (await client.head(VALUE)).status_code == loading
        assert (await client.post("/odata/v1/Subscriptions", json={})).status_code != 401 or loading == 401
        if loading == 401:
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="refsys"'
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.json()["error"]["code"] == "Unauthorized"
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert (await client.get(path)).status_code == 200


async def test_each_root_says_in_its_own_shape_who_has_to_sign_in(start: Start) -> None:
    async with start() as client:
        assert set((await client.get("/stac/search")).json()) == {"code", "description"}
        assert set((await client.get("/prip/odata/v1/Products")).json()) == {"error"}


async def test_a_token_without_the_right_is_403_and_one_that_is_not_believed_401(start: Start) -> None:
    async with start() as client:
        token = (await sign_in(client, "ben", "plain"))["access_token"]
        answer = await client.get(VALUE, headers=bearer(token))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
        assert (await client.get(SEARCH, headers=bearer(token))).status_code == 200
    async with start(anonymous="all") as client:
        for wrong in (token[:-6] + "AAAAAA", "x", "a.b.c", "x" * 20_000, "\xff"):
            answer = await client.get(SEARCH, headers=[(b"Authorization", b"Bearer " + wrong.encode("latin-1"))])
            assert answer.status_code == 401, wrong
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
            assert len(wrong) == 1 or wrong not in answer.text
        assert (await client.get(SEARCH, headers={"Authorization": "Digest x"})).status_code == 401
        assert (await client.get(SEARCH + "&token=x")).status_code == 401
        assert (await client.get(SEARCH + "&token=x&token=y")).status_code == 400


async def test_names_and_passwords_are_taken_too_and_looked_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    matches = "refsys.core.passwords.PasswordHash.matches"
    monkeypatch.setattr(matches, lambda self, password: looked.append(password) or password == "right")
    async with start() as client:
        for _ in range(3):
            assert (await client.get(VALUE, auth=("anna", "right"))).status_code == 404
        assert (await client.get(VALUE, auth=("anna", "wrong"))).status_code == 401
        assert looked == ["right", "wrong"]
        for odd in ("Basic !", f"Basic {base64.b64encode(b'anna').decode()}", "Basic /w==", "Basic"):
            assert (await client.get(VALUE, headers={"Authorization": odd})).status_code == 401


async def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_session(start: Start) -> None:
    async with start() as client:
        first = await sign_in(client)
        second = (await refresh(client, first["refresh_token"])).json()
        assert (await client.get(VALUE, headers=bearer(second["access_token"]))).status_code == 404
        third = (await refresh(client, second["refresh_token"])).json()
        stolen = await refresh(client, second["refresh_token"])
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        assert (await refresh(client, third["refresh_token"])).status_code == 400
        # each kind of token is for its own place
        assert (await refresh(client, third["access_token"])).status_code == 400
        assert (await client.get(SEARCH, headers=bearer(third["refresh_token"]))).status_code == 401


async def test_a_session_ends_however_often_it_is_refreshed(start: Start, pool: asyncpg.Pool) -> None:
    async with start() as client:
        token = (await sign_in(client))["refresh_token"]
        await pool.execute("UPDATE web.session SET started_at = clock_timestamp() - make_interval(secs => $1)",
                           sessions.SESSION_S - 100)  # fmt: skip
        told = (await refresh(client, token)).json()
        assert 95 <= told["refresh_expires_in"] <= 100
        assert told["expires_in"] <= 100
        await pool.execute("UPDATE web.session SET ends_at = clock_timestamp()")
        assert (await refresh(client, told["refresh_token"])).status_code == 400
        await sign_in(client)
        assert await pool.fetchval("SELECT count(*) FROM web.session") == 1


async def test_tokens_end_with_their_user_and_password(start: Start) -> None:
    async with start() as client:
        told = await sign_in(client)
    async with start() as client:  # another process, the same settings
        assert (await client.get(SEARCH, headers=bearer(told["access_token"]))).status_code == 200
    changed = UserSettings(name="anna", password=SecretStr("another"))
    for users in ((), (changed,)):
        async with start(user=users) as client:
            assert (await client.get(SEARCH, headers=bearer(told["access_token"]))).status_code == 401
            assert (await refresh(client, told["refresh_token"])).status_code == 400


async def test_a_remembered_token_ends_when_it_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refsys.web.identity.routes.ACCESS_S", 2)
    async with start() as client:
        headers = bearer((await sign_in(client))["access_token"])
        assert (await client.get(SEARCH, headers=headers)).status_code == 200

        async def has_ended() -> bool:
            return (await client.get(SEARCH, headers=headers)).status_code == 401

        await wait_for(has_ended)


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password", "username": "anna", "password": "wrong"}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody", "password": "x"}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "anna", "password": KEPT}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "anna", "password": "x" * 2000}, 401, "invalid_grant"),
        ({"grant_type": "password", "username": "anna"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
        ({"x": "y" * 40_000}, 413, "invalid_request"),
        ({f"x{number}": "" for number in range(50)}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_granted_is_told_as_rfc_6749_says(
    start: Start, form: dict[str, str], status: int, error: str
) -> None:
    async with start() as client:
        answer = await client.post(TOKEN, data=form)
        assert (answer.status_code, answer.json()["error"]) == (status, error)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "access_token" not in answer.text


async def test_a_body_that_is_no_form_is_refused(start: Start) -> None:
    async with start() as client:
        for body, kind in ((b"{}", "application/json"), (b"\xff=\xff", "application/x-www-form-urlencoded")):
            answer = await client.post(TOKEN, content=body, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert (await client.get(TOKEN)).status_code == 405


async def test_guessing_is_stopped_for_a_while_by_whichever_way(start: Start) -> None:
    async with start() as client:
        for number in range(PER_USER):
            assert (await client.get(SEARCH, auth=("anna", f"wrong {number}"))).status_code == 401
        form = {"grant_type": "password", "username": "anna", "password": "right"}
        answers = [await client.post(TOKEN, data=form), await client.get(SEARCH, auth=("anna", "right"))]
        for answer in answers:
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 60
        await sign_in(client, "ben", "plain")


async def test_a_token_in_the_query_comes_back_in_no_answer_and_no_log(
    start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    async with start() as client:
        token = (await sign_in(client))["access_token"]
        wrong = token[:-4] + "AAAA"
        for path in TOLD_PATHS:
            for name in ("token", "%74oken"):
                for given in (token, wrong):
                    answer = await client.get(f"{path}{'&' if '?' in path else '?'}{name}={given}")
                    assert given[-40:] not in answer.text + str(answer.headers), path
                    assert answer.status_code < 500
        raw = await asked(client.base_url.port or 0, f"/odata/v1/Products?token={token}&$top=1&$count=true")
        assert raw.status == 200
        logged = capfd.readouterr()
        assert token.rpartition(".")[2][-40:] not in logged.out + logged.err


async def test_the_provider_s_tokens_open_the_gate_but_not_in_a_local_user_s_name(start: Start) -> None:
    async with stranger() as server:
        realm = Realm(server)
        oidc = ProviderSettings(issuer=realm.issuer, audience="refsys", download_roles=("loader",))
        async with start(oidc=oidc) as client:
            carl = realm.token(sub="carl", realm_access={"roles": ["loader"]})
            assert (await client.get(VALUE, headers=bearer(carl))).status_code == 404
            assert (await client.get(VALUE, headers=bearer(realm.token(sub="dora")))).status_code == 403
            assert (await client.get(SEARCH, headers=bearer(realm.token(sub="anna")))).status_code == 401
            server.answers.clear()
        async with start(oidc=oidc) as client:
            answer = await client.get(SEARCH, headers=bearer(carl))
            assert answer.status_code == 503
            assert "Retry-After" in answer.headers
