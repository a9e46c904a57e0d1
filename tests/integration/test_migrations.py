"""Migrations: applied once, in order, and what a release does on an older or newer schema."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from refsys.core.errors import ConfigurationError, RefsysError, Transient
from refsys.infra.postgres import await_schema, connect, find_migrations, migrate, require_schema
from refsys.runtime.wiring import MIGRATED_PACKAGES

Release = Callable[[str, dict[str, str]], str]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Make a package of these migrations, importable in this test."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, files: dict[str, str]) -> str:
        folder = tmp_path / name / "migrations"
        folder.mkdir(parents=True)
        (tmp_path / name / "__init__.py").touch()
        for file, sql in files.items():
            (folder / file).write_text(sql)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return make


async def test_every_migration_is_applied_once(dsn: str) -> None:
    assert await migrate(dsn, MIGRATED_PACKAGES) == []
    connection = await connect(dsn)
    applied = await connection.fetch("SELECT number FROM public.refsys_migration ORDER BY number")
    await require_schema(connection, MIGRATED_PACKAGES)
    await connection.close()
    assert [row["number"] for row in applied] == [m.number for m in find_migrations(MIGRATED_PACKAGES)]


async def test_two_migrators_at_once_do_it_once(dsn: str, release: Release) -> None:
    package = release("r1", {"9001_one.sql": "CREATE TABLE one ()", "9002_two.sql": "CREATE TABLE two ()"})
    both = await asyncio.gather(migrate(dsn, [package]), migrate(dsn, [package]))
    assert sorted(len(applied) for applied in both) == [0, 2]


async def test_a_failed_migration_is_named_and_leaves_nothing(dsn: str, release: Release) -> None:
    package = release("r1", {"9001_one.sql": "CREATE TABLE one (); SELECT 1/0"})
    with pytest.raises(RefsysError, match="migration 9001_one of r1: failed and was rolled back: division by zero"):
        await migrate(dsn, [package])
    connection = await connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('one')") is None
    await connection.close()


async def test_a_release_works_without_a_migration_that_expands(dsn: str, release: Release) -> None:
    package = release("r1", {"9001_one.sql": "-- expands\nCREATE TABLE one ()"})
    await await_schema(dsn, [package], timeout_s=0)


async def test_a_release_waits_for_the_migrations_it_needs(dsn: str, release: Release) -> None:
    package = release("r1", {"9001_one.sql": "CREATE TABLE one ()"})
    with pytest.raises(Transient, match=r"lacks 1 migrations, first migration 9001_one.*refsys migrate"):
        await await_schema(dsn, [package], timeout_s=0)
    waiting = asyncio.create_task(await_schema(dsn, [package], timeout_s=30))
    await migrate(dsn, [package])
    await waiting


async def test_an_old_release_works_after_an_expansion_and_refuses_after_the_contraction(
    dsn: str, release: Release
) -> None:
    old = release("old", {"9001_one.sql": "CREATE TABLE one ()"})
    new = release("new", {"9001_one.sql": "", "9002_two.sql": "-- expands\nALTER TABLE one ADD b int"})
    newest = release("newest", {"9003_three.sql": "-- contracts 9002\nALTER TABLE one DROP a"})
    await migrate(dsn, [old])
    await migrate(dsn, [new])
    await await_schema(dsn, [old], timeout_s=0)
    connection = await connect(dsn)
    await connection.execute("ALTER TABLE one ADD a int")
    await connection.close()
    await migrate(dsn, [new, newest])
    await await_schema(dsn, [new], timeout_s=0)
    with pytest.raises(ConfigurationError, match=r"changed by a newer release .*9003_three.* \(install that release\)"):
        await await_schema(dsn, [old], timeout_s=60)


async def test_an_empty_database_is_said_to_be_empty(dsn: str, postgres_server: object) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE public.refsys_migration")
    with pytest.raises(Transient, match="no schema yet"):
        await require_schema(connection, MIGRATED_PACKAGES)
    await connection.close()


async def test_a_database_that_refuses_or_is_absent_is_told_without_password(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match=r"database nowhere at a local socket: refuses us.*check database_url"):
        await connect(re.sub("@/[a-z0-9_]+", "@/nowhere", dsn))
    with pytest.raises(Transient, match=r"database d at 127.0.0.1: does not answer") as caught:
        await connect("postgresql://u:hunter2@127.0.0.1:1/d")
    assert "hunter2" not in str(caught.value)
