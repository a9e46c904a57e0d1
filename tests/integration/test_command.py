"""The command as a whole: help that fits, errors in one line, no import that is not needed, ends as they should be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.main import get_command

from refsys.cli.main import COMMANDS, app
from tests.main_called import Done, caller

REFSYS = [sys.executable, "-m", "refsys"]
#: What takes long to import, and what only commands that do something need.
HEAVY = {
    "asyncpg",
    "aiohttp",
    "rich",
    "orjson",
    "numpy",
    "shapely",
    "lxml",
    "starlette",
    "structlog",
    "uvloop",
}


def environment(**changes: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("REFSYS_")} | changes


def run(*words: str | Path, code: int = 0, **environ: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*REFSYS, *map(str, words)], capture_output=True, text=True, env=environment(**environ), timeout=60
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    return caller(tmp_path, monkeypatch, capsys)


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group of commands, by its words."""
    yield words
    for name, member in getattr(group, "commands", {}).items():
        yield from commands(member, (*words, name))


def test_every_help_fits_eighty_columns_and_cuts_no_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    found = list(commands(get_command(app)))
    assert {("demo",), ("parked", "restart"), ("config", "example")} <= set(found)
    for words in found:
        with pytest.raises(SystemExit) as ended:
            app([*words, "--help"], prog_name="refsys")
        told = capsys.readouterr().out
        assert ended.value.code == 0
        assert told.startswith(f"Usage: {' '.join(['refsys', *words])} ")
        assert all(len(line) <= 80 for line in told.splitlines()), words
        assert "..." not in told.partition("\nCommands:")[2], words


def test_help_lists_the_commands_in_the_order_in_which_people_need_them(call: Callable[..., Done]) -> None:
    lines = call("--help").stdout.partition("\nCommands:\n")[2].splitlines()
    assert tuple(line.split()[0] for line in lines) == COMMANDS


@pytest.mark.parametrize("words", ["--version", "--help", "status --help", "product find --help"])
def test_help_imports_nothing_that_takes_long(words: str) -> None:
    code = (
        "import sys\nfrom refsys.cli.main import main\nsys.argv = ['refsys', *sys.argv[1:]]\n"
        "try:\n    main()\nfinally:\n    print('\\n', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words.split()], capture_output=True, text=True, check=True)
    imported = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert imported & HEAVY == set()
    assert "typer" in imported


def test_the_version_is_that_of_the_project() -> None:
    from importlib.metadata import version

    import refsys

    assert run("--version").stdout == f"refsys {version('refsys')}\n"
    assert refsys.__version__ == version("refsys")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        refsys.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("stats", "Error: No such command 'stats'. Did you mean 'status', 'station'?"),
        ("parked list --sinc 3", "Error: No such option: --sinc (Possible options: --json, --since)"),
        ("product show", "Error: Missing argument 'NAME|ID'."),
        ("product find --limit x", "Error: Invalid value for '--limit'"),
        ("serve foo", "refsys: 'foo' is not a role (one of api, ingest, worker)"),
        ("replay --stage x --since yesterdayish", "refsys: --since 'yesterdayish' is no time (for example 2024-09-01,"),
        ("up --port 99999999", "refsys: http.port: Input should be less than or equal to 65535, not 99999999"),
    ],
)
def test_a_wrong_command_line_is_told_on_stderr_with_what_would_be_right(
    call: Callable[..., Done], words: str, told: str, tmp_path: Path
) -> None:
    done = call(*words.split(), "--state", tmp_path / "state", code=2)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(told)
    assert not (tmp_path / "state").exists()


def test_a_demo_of_no_products_makes_nothing(tmp_path: Path) -> None:
    done = run("demo", "--products", tmp_path / "absent", "--state", tmp_path / "state", code=2)
    assert done.stderr == f"refsys: {tmp_path / 'absent'}: is not a folder (name the folder that holds products)\n"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "words", ["product find", "product show x", "parked list", "parked restart --all", "replay --stage x --since 1h"]
)
def test_without_a_system_it_is_said_how_to_start_one(call: Callable[..., Done], words: str, tmp_path: Path) -> None:
    done = call(*words.split(), "--state", tmp_path, code=1)
    assert done.stderr == (
        f"refsys: {tmp_path}: no system is running in this folder"
        " (start it with `refsys up`, name its folder with --state, or set database_url)\n"
    )


async def test_a_database_without_our_schema_is_told_without_a_traceback(dsn: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA catalogue CASCADE")
    await connection.close()
    done = run("product", "find", "--state", tmp_path, "--set", f"database_url={dsn}", code=1)
    assert done.stderr.startswith('refsys: the database: relation "catalogue.')
    assert done.stderr.endswith("`refsys migrate` brings its schema up to date)\n")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_ends_it_quietly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"database_url=postgresql://a@127.0.0.1:{silent.getsockname()[1]}/b?sslmode=disable"
        process = subprocess.Popen(
            [*REFSYS, "product", "find", "--state", str(tmp_path), "--set", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        connection, _ = silent.accept()
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=30)
        connection.close()
    assert (process.returncode, *told) == (130, "", "")


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*REFSYS, "config", "example"], stdout=writing, stderr=subprocess.PIPE, text=True, env=environment(), timeout=60
    )
    os.close(writing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_terminal_without_our_letters_gets_their_numbers() -> None:
    done = run("config", "check", "--set", "inbox.url=x", code=2, PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")
    assert "(inbox.0.\\u2026)" in done.stderr
