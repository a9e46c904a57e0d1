"""`refsys config check | show | example`, with files and an environment as people have them."""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from refsys.core.passwords import read_hash
from tests.main_called import Done, caller

SECRETS = ("hunter2", "s3cr3t-k3y", "st4t10n-pa55", "cl13nt-s3cret", "op3rat10ns-token-1234")
EVERYTHING = """
database_url = "postgresql://anna:hunter2@db.example/facts"
storage_url = "s3://bucket/prefix"
state_dir = "state"
[s3]
access_key_id = "key"
secret_access_key = "s3cr3t-k3y"
[http]
port = 1001
operations_token = "op3rat10ns-token-1234"
[work]
concurrency = 3
[[inbox]]
id = "station"
type = "prip"
url = "https://station.example/odata/v1"
[inbox.auth]
kind = "oauth2"
user = "anna"
password = "st4t10n-pa55"
token_url = "https://station.example/token"
client_id = "us"
client_secret = "cl13nt-s3cret"
"""

Run = Callable[..., Done]


@pytest.fixture
def refsys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return caller(tmp_path, monkeypatch, capsys)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = tmp_path / "refsys.toml"
    config.write_text(EVERYTHING)
    return config


def test_show_says_everything_and_no_secret(refsys: Run, config: Path) -> None:
    shown = refsys("config", "show", "-c", config).stdout
    assert not [secret for secret in SECRETS if secret in shown]
    told = tomllib.loads(shown)
    assert (
        told["database_url"] == told["inbox"][0]["auth"]["password"] == told["http"]["operations_token"] == "********"
    )
    assert (told["http"]["port"], told["inbox"][0]["auth"]["user"]) == (1001, "anna")
    assert told["state_dir"] == str(config.parent / "state")


def test_show_without_secrets_can_be_used_as_a_file(refsys: Run, tmp_path: Path) -> None:
    shown = refsys("config", "show", "--set", "work.concurrency=5").stdout
    (tmp_path / "copy.toml").write_text(shown)
    assert refsys("config", "show", "-c", "copy.toml").stdout == shown


def test_check_says_what_was_looked_at(refsys: Run, config: Path) -> None:
    told = refsys("config", "check", "-c", config).stdout
    assert told.startswith(f"{config}: the settings are right (1 inbox, ")
    assert told.endswith(f" product types, state in {config.parent / 'state'})\n")
    assert refsys("config", "check").stdout.startswith("defaults and environment: the settings are right (0 inboxes, ")
    assert refsys("config", "check", REFSYS_CONFIG=str(config)).stdout == told


def test_check_says_everything_wrong_at_once_and_no_secret(refsys: Run, config: Path) -> None:
    config.write_text(
        EVERYTHING.replace("port = 1001", 'prot = 1001\nprocesses = "many"')
        .replace('database_url = "postgresql://', 'database_url = "mysql://')
        .replace('access_key_id = "key"\n', "")
    )
    done = refsys("config", "check", "-c", config, code=2, REFSYS_WORK__LEASE="3")
    assert done.stdout == ""
    first, *problems = done.stderr.splitlines()
    assert first == "refsys: the settings are wrong:"
    assert {problem.strip() for problem in problems} == {
        f"{config}: database_url: begins with postgresql://",
        f"{config}: s3: access_key_id and secret_access_key come together or not at all",
        f"{config}: http.prot: is not a setting; the nearest is http.port",
        f"{config}: http.processes: Input should be a valid integer, unable to parse string as an integer, not 'many'",
        "REFSYS_WORK__LEASE: work.lease: is not a setting; the nearest is work.lease_s",
    }
    assert not [secret for secret in SECRETS if secret in done.stderr]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "http.prot=1"], "refsys: --set http.prot: is not a setting; the nearest is http.port"),
        (["--set", "http"], "refsys: --set http: is not NAME=VALUE (for example --set http.port=8080)"),
        (["--set", "inbox.url=x"], "refsys: --set inbox.url: inbox is a list: name an entry (inbox.0.…), or write all"),
        (["-c", "absent.toml"], "refsys: absent.toml: cannot be read: No such file or directory"),
        (["-c", "."], "refsys: .: cannot be read: Is a directory"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(refsys: Run, words: list[str], told: str) -> None:
    done = refsys("config", "check", *words, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1


def test_flag_outranks_environment_outranks_file_outranks_default(refsys: Run, config: Path) -> None:
    def port(*words: str, **environ: str) -> int:
        found: int = tomllib.loads(refsys("config", "show", *words, **environ).stdout)["http"]["port"]
        return found

    assert port() == 0
    assert port("-c", str(config)) == 1001
    assert port("-c", str(config), REFSYS_HTTP__PORT="1002") == 1002
    assert port("-c", str(config), "--set", "http.port=1003", REFSYS_HTTP__PORT="1002") == 1003


def test_secrets_come_from_files_and_stay_secret(refsys: Run, config: Path, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "url").write_text("postgresql://anna:hunter2@db.example/facts\n")
    (tmp_path / "secrets" / "token").write_text("op3rat10ns-token-1234\n")
    config.write_text('database_url_file = "secrets/url"\n[http]\noperations_token_file = "secrets/token"\n')
    told = tomllib.loads(refsys("config", "show", "-c", config).stdout)
    assert told["database_url"] == told["http"]["operations_token"] == "********"
    status = refsys("status", "-c", config, "--set", "database_url=postgresql://anna:hunter2@127.0.0.1:1/facts", code=1)
    assert "hunter2" not in status.stdout + status.stderr
    wrong = refsys("config", "check", "-c", config, code=2, REFSYS_DATABASE_URL_FILE="secrets/absent")
    assert wrong.stderr.startswith("refsys: REFSYS_DATABASE_URL_FILE: the secret cannot be read: ")


def test_the_example_is_a_file_that_loads_and_means_the_defaults(refsys: Run, tmp_path: Path) -> None:
    example = refsys("config", "example").stdout
    (tmp_path / "example.toml").write_text(example)
    refsys("config", "check", "-c", "example.toml")
    assert refsys("config", "show", "-c", "example.toml").stdout == refsys("config", "show").stdout
    (tmp_path / "all.toml").write_text(re.sub(r"(?m)^#(\S)", r"\1", example))
    told = tomllib.loads(refsys("config", "show", "-c", "all.toml").stdout)
    assert [inbox["id"] for inbox in told["inbox"]] == ["my-inbox"]


def test_check_tells_what_is_weak_and_that_it_is_right_all_the_same(refsys: Run, config: Path) -> None:
    users = '[auth]\nanonymous = "all"\n[[auth.user]]\nname = "anna"\npassword = "short"\n'
    config.write_text(EVERYTHING.replace("port = 1001", 'port = 1001\nhost = "0.0.0.0"') + users)
    told = refsys("config", "check", "-c", config).stderr
    assert [line for line in told.splitlines() if not line.startswith("weak: ")] == []
    for weak in ("the password is in clear", "fewer than 12", "anonymous is all", "travel in clear"):
        assert weak in told
    assert "short" not in told.replace("shorter", "")
    alone = refsys("config", "check", "--set", "http.host=0.0.0.0").stderr
    assert "nobody can sign in" in alone
    assert refsys("config", "check").stderr == ""


def test_a_hash_of_a_password_can_stand_in_the_settings(
    refsys: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough secret\n"))
    kept = refsys("user", "hash").stdout.strip()
    assert read_hash(kept).matches("a long enough secret")
    config.write_text(f'[[auth.user]]\nname = "anna"\npassword = "{kept}"\n')
    assert refsys("config", "check", "-c", config).stderr == ""
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "1 to 1024 characters" in refsys("user", "hash", code=2).stderr
