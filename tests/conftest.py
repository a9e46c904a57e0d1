"""One set of servers per run, a database per test."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from refsys.infra.postgres import create_pool, migrate
from refsys.infra.settings import Settings
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.wiring import MIGRATED_PACKAGES

PROJECT = Path(__file__).parent.parent
TEMPLATE = "refsys_template"

# A shell that starts us in the background has us and our children ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
_numbers = itertools.count(1)

# A command that runs in this process sets up the logs, as it does at a process's start: loggers that remember it could
# not be listened to any more (structlog.testing.capture_logs).
_configure = structlog.configure


def _configure_for_now(*arguments: Any, **settings: Any) -> None:
    _configure(*arguments, **{**settings, "cache_logger_on_first_use": False})


structlog.configure = _configure_for_now


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run outside the test's event loop."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


def database(dsn: str, name: str) -> str:
    """The same server's address with another database."""
    return dsn.replace("@/refsys?", f"@/{name}?")


@pytest.fixture(autouse=True)
def logs_as_they_come() -> None:
    """What another test said of logs, as their level, is forgotten."""
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """An embedded PostgreSQL 18 without fsync."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False, options={"shared_buffers": "128MB"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def template(postgres_server: EmbeddedPostgres) -> str:
    """The name of a migrated database to clone."""
    _run(_make_template(postgres_server.dsn))
    return TEMPLATE


async def _make_template(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    finally:
        await connection.close()
    await migrate(database(dsn, TEMPLATE), MIGRATED_PACKAGES)


@pytest.fixture
async def dsn(postgres_server: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres_server.dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        yield database(postgres_server.dsn, name)
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool on the test's database."""
    pool = await create_pool(dsn)
    yield pool
    pool.terminate()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, with the state in the test's folder."""
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def refsys(dsn: str, tmp_path: Path) -> Callable[..., Awaitable[str]]:
    """Run the command in a thread, as it has an event loop of its own; with a failure's text where it has to fail."""
    from typer.testing import CliRunner

    from refsys.cli.main import app

    async def run(*words: Any, code: int = 0, columns: int = 200) -> str:
        arguments = ["--state", str(tmp_path), "--set", f"database_url={dsn}", *map(str, words)]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": str(columns)}).invoke, app, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output if code == 0 else result.output + str(result.exception)

    return run


@pytest.fixture
def storage(settings: Settings) -> Any:
    """Local storage in the test's folder."""
    from refsys.infra.storage import open_storage

    return open_storage(settings)


@pytest.fixture(scope="session")
def s3_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real S3 gateway (see tests/s3_gateway.py)."""
    from tests import s3_gateway

    with s3_gateway.run(tmp_path_factory.mktemp("s3")) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real products, measurement files emptied: `../shared/data` beside the project, or REFSYS_SHARED."""
    folder = Path(os.environ.get("REFSYS_SHARED", PROJECT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"the real products are not here ({folder}); set REFSYS_SHARED to the folder that holds data/")
    return folder
