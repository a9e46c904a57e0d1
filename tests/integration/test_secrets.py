"""Secrets of a running system: in no log, no command line, no environment, no answer, no file that others may read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from aiohttp import web
from pydantic import SecretStr

from refsys.infra.settings import (
    AccessSettings,
    AuthSettings,
    HttpSettings,
    InboxSettings,
    LogSettings,
    Settings,
    UserSettings,
)
from refsys.runtime.embedded import USER
from refsys.runtime.supervisor import Supervisor, running_system
from tests.stranger import Stranger, stranger
from tests.waiting import wait_for

SECRETS = (
    "st4t10n-pa55",
    "cl13nt-s3cret",
    "op3rat10ns-token-1234",
    "t0ken-of-access",
    "datab4se-pa55",
    "us3r-pa55",
    "m1styped",
)


@pytest.fixture
async def station() -> AsyncIterator[Stranger]:
    """Gives out a token and refuses it, repeating what it was sent."""
    async with stranger() as station:
        station.answer("/token", body='{"access_token": "t0ken-of-access", "refresh_token": "t0ken-of-access-2"}')
        station.answers["/odata/v1/Products"] = lambda request: web.Response(status=401, text=f"{request.headers}")
        yield station


@pytest.fixture
async def system(settings: Settings, dsn: str, station: Stranger) -> AsyncIterator[Supervisor]:
    auth = AuthSettings(
        kind="oauth2",
        user="anna",
        password=SecretStr("st4t10n-pa55"),
        token_url=f"{station.url}/token",
        client_id="us",
        client_secret=SecretStr("cl13nt-s3cret"),
    )
    inbox = InboxSettings(id="station", type="prip", url=f"{station.url}/odata/v1", auth=auth, poll_s=0.1)
    assert f"{USER}@" in dsn
    changes = {
        "database_url": SecretStr(dsn.replace(f"{USER}@", f"{USER}:datab4se-pa55@")),
        "http": HttpSettings(operations_token=SecretStr("op3rat10ns-token-1234"), processes=1),
        "auth": AccessSettings(anonymous="none", user=(UserSettings(name="ben", password=SecretStr("us3r-pa55")),)),
        "log": LogSettings(level="debug"),
        "inbox": (inbox,),
    }
    async with running_system(settings.model_copy(update=changes)) as system:
        yield system


def everything_told(state_dir: Path, system: Supervisor) -> Iterator[tuple[str, str]]:
    """Files of the state folder that are no data, and what the kernel shows of each process."""
    for path in [state_dir / "run.json", state_dir / "ports.json", *(state_dir / "logs").iterdir()]:
        yield path.name, path.read_text("utf-8")
    for name, pid in system.pids().items():
        if name != "supervisor":
            process = psutil.Process(pid)
            for child in (process, *process.children(recursive=True)):
                yield f"command line of {name}", " ".join(child.cmdline())
                yield f"environment of {name}", str(child.environ())


async def sign_in(client: httpx.AsyncClient) -> dict[str, str]:
    """Tokens by kind, after a password in the place of the name."""
    endpoint = "/auth/realms/CDSE/protocol/openid-connect/token"
    wrong = {"grant_type": "password", "username": "m1styped", "password": "ben"}
    assert (await client.post(endpoint, data=wrong)).status_code == 401
    told = (await client.post(endpoint, data={**wrong, "username": "ben", "password": "us3r-pa55"})).json()
    return {kind: told[kind] for kind in ("access_token", "refresh_token")}


async def use(client: httpx.AsyncClient, token: str) -> str:
    """What comes back where the token is in the query of requests that succeed and fail, and of a long one."""
    told = ""
    for target in ("/odata/v1/Products?$top=1", "/odata/v1/Products?$top=x", "/nothing?a=b", "/stac/search?limit=x"):
        for given in (token, token[:-3]):
            answer = await client.get(f"{target}&token={given}")
            told += answer.text + str(answer.headers)
    long = await client.get(f"/odata/v1/Products?token={token}&$filter={'x' * 60_000}")
    return told + long.text + str(long.headers)


async def test_secrets_are_told_nowhere(system: Supervisor, settings: Settings, pool: asyncpg.Pool) -> None:
    failed = "SELECT failures FROM ingestion.inbox WHERE id = 'station'"
    await wait_for(lambda: pool.fetchval(failed))
    async with httpx.AsyncClient(base_url=system.url) as client:
        refused = await client.get("/operations/v1/parked", headers={"Authorization": "Bearer op3rat10ns-token-1235"})
        allowed = await client.get("/operations/v1/parked", headers={"Authorization": "Bearer op3rat10ns-token-1234"})
        metrics = await client.get("/metrics")
        tokens = await sign_in(client)
        answers = await use(client, tokens["access_token"])
    assert (refused.status_code, allowed.status_code) == (401, 200)
    told = dict(everything_told(settings.state_dir, system))
    told |= {"answers": refused.text + allowed.text + metrics.text + answers}
    secrets = [*SECRETS, *(token.rpartition(".")[2] for token in tokens.values())]
    told |= {"the inbox": await pool.fetchval("SELECT problem FROM ingestion.inbox WHERE id = 'station'")}
    assert {name: secret for name, text in told.items() for secret in secrets if secret in text} == {}
    assert "answered 401" in told["the inbox"]
    assert "inbox.failed" in told["ingest-1.log"]
    assert {"worker-1.log", "api-1.log", "command line of worker-1", "environment of api-1"} <= told.keys()
