"""PostgreSQL: pools and migrations. Which server it is, `refsys.runtime` decides."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import asyncpg
import orjson

from refsys.core.errors import ConfigurationError

_MIGRATION = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_MIGRATION_LOCK = 0x7265_6673_7973_0001  # 'refsys' + 1


def _encode(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()


async def prepare_connection(connection: asyncpg.Connection) -> None:
    """Make a connection speak the house's types: jsonb ⇄ Python values."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode, decoder=orjson.loads)
    await connection.set_type_codec("json", schema="pg_catalog", encoder=_encode, decoder=orjson.loads)


async def create_pool(dsn: str, *, max_size: int = 10, application: str = "refsys") -> asyncpg.Pool:
    """Open a pool of prepared connections, all in UTC."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        init=prepare_connection,
        server_settings={"timezone": "UTC", "application_name": application},
    )


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: `number` is global, `package` owns it."""

    number: int
    name: str
    package: str
    sql: str


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
            migration = Migration(int(match[1]), match[2], package, entry.read_text("utf-8"))
            if migration.number in found:
                raise ConfigurationError(
                    f"migration number {migration.number} is used by {found[migration.number].package} and {package}"
                )
            found[migration.number] = migration
    return [found[number] for number in sorted(found)]


async def schema_version(connection: asyncpg.Connection) -> int:
    """Highest applied migration; 0 for an empty database."""
    if await connection.fetchval("SELECT to_regclass('public.refsys_migration')") is None:
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(number), 0) FROM public.refsys_migration"))


async def migrate(dsn: str, packages: Iterable[str]) -> list[Migration]:
    """Apply what is missing, each migration in its own transaction, under one lock. Returns what was applied."""
    migrations = find_migrations(packages)
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS public.refsys_migration (
                number int PRIMARY KEY,
                name text NOT NULL,
                package text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        )
        done = {row["number"] for row in await connection.fetch("SELECT number FROM public.refsys_migration")}
        applied = []
        for migration in migrations:
            if migration.number in done:
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO public.refsys_migration (number, name, package) VALUES ($1, $2, $3)",
                    migration.number,
                    migration.name,
                    migration.package,
                )
            applied.append(migration)
        return applied
    finally:
        await connection.close()


async def require_schema(connection: asyncpg.Connection, packages: Iterable[str]) -> None:
    """Raise ConfigurationError unless the database has exactly the migrations that this code knows, or newer ones.

    Release N works on schema N−1 (expand, deploy, contract), hence one missing migration would be tolerable only
    where the release says so; today every migration is required.
    """
    needed = max((m.number for m in find_migrations(packages)), default=0)
    present = await schema_version(connection)
    if present < needed:
        raise ConfigurationError(
            f"the database has schema {present}, this release needs {needed}", advice="run `refsys migrate`"
        )
