"""The embedded PostgreSQL: made whole, started, settled after any end, and nobody's permissions changed."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.runtime.embedded import EmbeddedPostgres, dsn_of, processes_of
from refsys.runtime.pginstall import choose_account, find_installation


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder below one that nobody but its owner may enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    yield closed / "postgresql"
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    for left in processes_of(closed / "postgresql" / "data"):
        left.kill()


async def ask(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_a_fresh_database_is_migrated(pool: asyncpg.Pool) -> None:
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 0


async def test_it_listens_on_no_network_and_on_a_private_socket(postgres_server: EmbeddedPostgres) -> None:
    assert await ask(postgres_server.dsn, "SHOW listen_addresses") == ""
    socket_folder = Path((postgres_server.folder / "socket").read_text().strip())
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((socket_folder / ".s.PGSQL.5432").stat().st_mode) == 0o700


async def test_whatever_an_earlier_start_left_is_settled_by_the_next(folder: Path) -> None:
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "half").touch()  # a first start that was cut
    first = server(folder)
    await ask(first.start(), "CREATE TABLE kept AS SELECT 1 AS one")
    assert not (folder / "data.new").exists()

    second = server(folder)  # the first one's supervisor was killed: its server still runs
    assert await ask(second.start(), "SELECT one FROM kept") == 1
    assert first.process is not None
    first.process.wait()
    log = (folder / "postgresql.log").read_text()
    assert "received fast shutdown request" in log
    assert "not properly shut down" not in log

    assert second.process is not None
    second.process.kill()  # the server itself is killed, and its pid now belongs to somebody else
    second.process.wait()
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    pid_file.write_text("".join([f"{os.getpid()}\n", *lines[1:]]))
    third = server(folder)
    assert await ask(third.start(), "SELECT one FROM kept") == 1

    assert third.process is not None
    third.process.send_signal(signal.SIGSTOP)  # one that does not hear
    fourth = server(folder)
    fourth.settle(timeout_s=0.2)
    assert processes_of(folder / "data") == []
    third.process.wait()
    assert await ask(fourth.start(), "SELECT one FROM kept") == 1

    socket_folder = Path((folder / "socket").read_text().strip())
    fourth.stop()
    assert not pid_file.exists()
    assert not socket_folder.exists()
    with pytest.raises(RefsysError, match=r"no PostgreSQL is running here .*refsys up"):
        dsn_of(folder)


def server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, durable=False)


def test_a_server_that_does_not_start_shows_the_end_of_its_log(folder: Path) -> None:
    wrong = EmbeddedPostgres(folder, durable=False, options={"shared_buffers": "none of that"})
    with pytest.raises(
        RefsysError, match=r'(?s)PostgreSQL did not start:.*invalid value for parameter "shared_buffers"'
    ):
        wrong.start()


@pytest.mark.parametrize(
    ("version", "message"), [("9", r"was made by PostgreSQL 9; .*pg_dump"), (None, "is not a PostgreSQL data folder")]
)
def test_a_folder_of_another_version_is_left_alone(folder: Path, version: str | None, message: str) -> None:
    (folder / "data").mkdir(parents=True)
    if version is not None:
        (folder / "data" / "PG_VERSION").write_text(version)
    before = sorted((folder / "data").iterdir())
    with pytest.raises(ConfigurationError, match=message):
        server(folder).start()
    assert sorted((folder / "data").iterdir()) == before


def test_programs_that_their_user_cannot_reach_are_copied_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root with the project below /root: PostgreSQL's user cannot enter there. An ordinary user needs no copy."""
    account = choose_account()
    real = find_installation(choose_account()).bin.parents[1]
    tmp_path.chmod(0o700)
    for name in (real.name, f"{real.name}.libs"):
        if real.with_name(name).exists():
            (tmp_path / name).symlink_to(real.with_name(name))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = find_installation(account)
    if not account.is_other:
        assert found.bin.is_relative_to(tmp_path)
        return
    copy = found.bin.parents[2]
    try:
        assert not found.bin.is_relative_to(tmp_path)
        assert find_installation(account) == found, "the copy is made once"
        (found.bin / "postgres").unlink()  # as cleaners of temporary folders do
        assert find_installation(account) == found
        assert (found.bin / "postgres").stat().st_size == (real / found.bin.parent.name / "bin/postgres").stat().st_size
        assert list(copy.parent.glob(f"{copy.name}*")) == [copy]
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(copy)
