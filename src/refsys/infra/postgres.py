"""PostgreSQL: connections, pools and migrations. Which server it is, `refsys.runtime` decides.

A migration is `<package>/migrations/NNNN_name.sql`, applied once, in a transaction of its own, by `refsys up` and
`refsys migrate`. Its first lines may say how it fits in "expand, deploy, contract":

    -- expands           the code that brings it also works without it (release N runs on schema N−1)
    -- contracts NNNN    afterwards, code that does not know migration NNNN cannot work any more
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import orjson
import structlog

from refsys.core.errors import ConfigurationError, RefsysError, Transient

log = structlog.get_logger(__name__)

LEAST_SERVER_VERSION: Final = 15

#: Packages with migrations, in the order of their floors (by name: nothing of them is imported here).
MIGRATED_PACKAGES: Final = (
    "refsys.infra",
    "refsys.catalogue",
    "refsys.ingestion",
    "refsys.distribution",
    "refsys.web",
)

#: What a lost or unwilling database raises. InternalClientError: a server that ends a connection just when a query is
#: on its way to it puts asyncpg's protocol out of step.
DATABASE_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

_MIGRATION = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_EXPANDS = re.compile(r"^-- expands\b", re.MULTILINE)
_CONTRACTS = re.compile(r"^-- contracts (\d{4})\b", re.MULTILINE)
_MIGRATION_LOCK = 0x7265_6673_7973_0001  # 'refsys' + 1
_RECORD = "INSERT INTO public.refsys_migration (number, name, package, contracts) VALUES ($1, $2, $3, $4)"
_PASSING = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    OSError,
    TimeoutError,
)
_WAIT_S = 0.5
# what comes before the text in jsonb's binary form (jsonb_send of PostgreSQL's utils/adt/jsonb.c)
_JSONB_VERSION = b"\x01"


def _encode(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + _encode(value)


def _decode_jsonb(data: bytes) -> Any:
    return orjson.loads(data[len(_JSONB_VERSION) :])


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Make a connection speak the house's types: jsonb ⇄ Python values; in binary, which COPY asks for."""
    for name, encoder, decoder in (("jsonb", _encode_jsonb, _decode_jsonb), ("json", _encode, orjson.loads)):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary")


_PLAN_ANEW: Final = "SET plan_cache_mode = force_custom_plan"


async def create_pool(
    dsn: str, *, max_size: int = 10, application: str = "refsys", plans_anew: bool = False
) -> asyncpg.Pool:
    """Open a pool of prepared connections, all in UTC. Raises Transient or ConfigurationError as `connect` does.

    `plans_anew`: each query is planned for its own values. For searches: a plan for any values, which PostgreSQL comes
    to prefer after five of a kind, takes what is common for rare.
    """

    async def prepare(connection: asyncpg.Connection) -> None:
        await prepare_connection(connection)
        if plans_anew:
            await connection.execute(_PLAN_ANEW)

    async def give_back(connection: asyncpg.Connection) -> None:
        # only where it is needed: sessions keep nothing beyond a transaction, and asking costs a query each time
        if connection.is_in_transaction():
            await connection.reset()
            if plans_anew:
                await connection.execute(_PLAN_ANEW)

    with _told(dsn):
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=max_size,
            init=prepare,
            reset=give_back,
            server_settings={"timezone": "UTC", "application_name": application},
        )


async def connect(dsn: str, *, application: str = "refsys") -> asyncpg.Connection:
    """One prepared connection.

    Raises Transient where the server does not answer (yet), ConfigurationError where it refuses us.
    """
    with _told(dsn):
        connection = await asyncpg.connect(
            dsn, server_settings={"timezone": "UTC", "application_name": application}, timeout=20
        )
        await prepare_connection(connection)
        return connection


@contextlib.asynccontextmanager
async def connected(dsn: str, *, application: str = "refsys") -> AsyncIterator[asyncpg.Connection]:
    """`connect`, and close at the end."""
    connection = await connect(dsn, application=application)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.contextmanager
def _told(dsn: str) -> Iterator[None]:
    """Say where it was and what to do; never the password."""
    parts = urlsplit(dsn)
    where = f"database {parts.path.lstrip('/') or 'postgres'} at {parts.hostname or 'a local socket'}"
    try:
        yield
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise ConfigurationError(f"refuses us: {error}", subject=where, advice="check database_url") from error
    except _PASSING as error:
        raise Transient(f"does not answer: {error or type(error).__name__}", subject=where) from error


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: `number` is global, `package` owns it.

    `expands`: this code works without it. `contracts`: afterwards only code that knows that number works; 0 = any.
    """

    number: int
    name: str
    package: str
    sql: str
    expands: bool = False
    contracts: int = 0

    def __str__(self) -> str:
        return f"migration {self.number:04d}_{self.name} of {self.package}"


def find_migrations(packages: Iterable[str]) -> list[Migration]:
    """Collect `<package>/migrations/NNNN_name.sql`, by number. Raises ConfigurationError on a double number."""
    found: dict[int, Migration] = {}
    for package in packages:
        folder = resources.files(package) / "migrations"
        if not folder.is_dir():
            continue
        for entry in folder.iterdir():
            match = _MIGRATION.fullmatch(entry.name)
            if match is None:
                continue
            sql = entry.read_text("utf-8")
            contracts = _CONTRACTS.search(sql)
            migration = Migration(
                int(match[1]), match[2], package, sql, bool(_EXPANDS.search(sql)), int(contracts[1]) if contracts else 0
            )
            if migration.number in found:
                raise ConfigurationError(
                    f"migration number {migration.number} is used by {found[migration.number].package} and {package}"
                )
            found[migration.number] = migration
    return [found[number] for number in sorted(found)]


async def migrate(dsn: str, packages: Iterable[str]) -> list[Migration]:
    """Apply what is missing, each migration in its own transaction, under one lock. Returns what was applied.

    Raises ConfigurationError where the server is too old or the schema too new, RefsysError naming a failed migration.
    """
    migrations = find_migrations(packages)
    async with connected(dsn, application="refsys migrate") as connection:
        version = connection.get_server_version().major
        if version < LEAST_SERVER_VERSION:
            raise ConfigurationError(f"PostgreSQL {version} is too old; {LEAST_SERVER_VERSION} or newer is needed")
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS public.refsys_migration (
                number int PRIMARY KEY,
                name text NOT NULL,
                package text NOT NULL,
                contracts int NOT NULL DEFAULT 0,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        )
        missing = await _compare(connection, migrations)
        for migration in missing:
            try:
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        _RECORD, migration.number, migration.name, migration.package, migration.contracts
                    )
            except asyncpg.PostgresError as error:
                raise RefsysError(f"failed and was rolled back: {error}", subject=str(migration)) from error
            log.info("migration.applied", number=migration.number, name=migration.name, package=migration.package)
        return missing


async def require_schema(connection: asyncpg.Connection, packages: Iterable[str]) -> None:
    """Raise Transient where the database lacks migrations that this code needs, ConfigurationError where it is too new.

    Migrations that say they expand may be missing; migrations of newer releases may be there unless they contract.
    """
    if await connection.fetchval("SELECT to_regclass('public.refsys_migration')") is None:
        raise Transient("the database has no schema yet", advice="run `refsys migrate`")
    needed = [migration for migration in await _compare(connection, find_migrations(packages)) if not migration.expands]
    if needed:
        raise Transient(
            f"the database lacks {len(needed)} migrations, first {needed[0]}", advice="run `refsys migrate`"
        )


async def await_schema(dsn: str, packages: Sequence[str], timeout_s: float) -> None:
    """Wait until the database answers and has the schema that this code needs (roles start before `refsys migrate`).

    Raises what `connect` or `require_schema` said last, once `timeout_s` have passed; ConfigurationError at once.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    told = ""
    while True:
        try:
            async with connected(dsn) as connection:
                return await require_schema(connection, packages)
        except Transient as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            if str(error) != told:
                told = str(error)
                log.warning("schema.waiting", error=told, timeout_s=timeout_s)
        await asyncio.sleep(_WAIT_S)


async def _compare(connection: asyncpg.Connection, migrations: Sequence[Migration]) -> list[Migration]:
    """Migrations that the database lacks. Raises ConfigurationError where a newer release's contract shut us out."""
    known = {migration.number for migration in migrations}
    rows = await connection.fetch("SELECT number, name, contracts FROM public.refsys_migration ORDER BY number")
    for row in rows:
        if row["number"] not in known and row["contracts"] and row["contracts"] not in known:
            raise ConfigurationError(
                f"the database was changed by a newer release (migration {row['number']:04d}_{row['name']}) "
                "in a way that this one cannot work with",
                advice="install that release",
            )
    applied = {row["number"] for row in rows}
    return [migration for migration in migrations if migration.number not in applied]
