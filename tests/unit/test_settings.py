"""Settings: precedence, secrets, errors, the example file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from refsys.core.errors import ConfigurationError
from refsys.infra.layers import known_names
from refsys.infra.settings import AuthSettings, Settings, StationSettings, load_settings, settings_from_json
from refsys.infra.settings_text import effective_toml, example_toml, to_json

INBOX = '[[inbox]]\nid = "a"\ntype = "folder"\nurl = "in"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "refsys.toml"


def test_flag_outranks_environment_outranks_file_outranks_default(config: Path) -> None:
    config.write_text("[http]\nport = 1001\n[work]\nconcurrency = 3\nprocesses = 2\n")
    environ = {"REFSYS_HTTP__PORT": "1002", "REFSYS_WORK__CONCURRENCY": "4"}
    settings = load_settings(config, {"http.port": "1003"}, environ)
    assert (settings.http.port, settings.work.concurrency, settings.work.processes) == (1003, 4, 2)
    assert settings.work.max_attempts == Settings().work.max_attempts


def test_the_environment_names_the_file(config: Path) -> None:
    config.write_text("[http]\nport = 1001\n")
    assert load_settings(environ={"REFSYS_CONFIG": str(config)}).http.port == 1001


def test_paths_in_the_file_are_relative_to_the_file(config: Path) -> None:
    config.write_text('state_dir = "state"\ntype_tables = ["tables"]\n' + INBOX)
    settings = load_settings(config, environ={})
    assert settings.state_dir == config.parent / "state"
    assert settings.type_tables == (config.parent / "tables",)
    assert settings.inbox[0].url == str(config.parent / "in")


def test_other_paths_are_relative_to_the_working_directory() -> None:
    assert load_settings(environ={"REFSYS_STATE_DIR": "here"}).state_dir == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("[http]\nprot = 1\n", "http.port"),
        ("[htpp]\nport = 1\n", "http.port"),
        ("port = 1\n", "http.port"),
        ('database = "x"\n', "database_url"),
        (INBOX + "overlap = 1\n", "inbox.N.overlap_s"),
        ("[s3]\nsecret_access_key_fil = 1\n", "s3.secret_access_key_file"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(config: Path, wrong: str, nearest: str) -> None:
    config.write_text(wrong)
    with pytest.raises(ConfigurationError, match=f"refsys.toml: .* is not a setting; the nearest is {nearest}"):
        load_settings(config, environ={})


def test_an_unknown_variable_is_an_error_too() -> None:
    with pytest.raises(ConfigurationError, match=r"REFSYS_HTTP__PROT: http.prot: is not a .* nearest is http.port"):
        load_settings(environ={"REFSYS_HTTP__PROT": "1"})


def test_everything_wrong_is_said_at_once_with_its_source(config: Path) -> None:
    config.write_text("[http]\nport = 99999\n[work]\nlease_s = 0\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ={"REFSYS_WORK__PROCESSES": "many"})
    told = str(caught.value)
    assert re.search(r"refsys.toml: http.port: .*65535, not 99999", told)
    assert re.search(r"refsys.toml: work.lease_s: .*greater than 0", told)
    assert re.search(r"REFSYS_WORK__PROCESSES: work.processes: .*integer.*not 'many'", told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = \n", "refsys.toml: is not TOML"),
        ('storage_url = "ftp://x"\n', "storage_url: is s3://"),
        ('[s3]\nendpoint = "http://h:8333"\n', "s3: endpoint begins with http://; set allow_http = true"),
        ('database_url = "mysql://x"\n', "database_url: begins with postgresql://"),
        (INBOX + INBOX, "two inboxes have the id a"),
        (INBOX + 'match = "("\n', r"inbox\[0\].match: is not a regular expression"),
        (INBOX + 'since = "soon"\n', r"inbox\[0\].since: not an instant"),
        (INBOX + '[inbox.auth]\nkind = "oauth2"\nuser = "u"\n', "kind oauth2 needs token_url"),
        (INBOX.replace('"folder"', '"prip"'), "url of a prip inbox begins with http"),
        ('[[inbox]]\nid = "a"\ntype = "prip"\nurl = "http:///x"\n', "url of a prip inbox lacks a host"),
        ('[[inbox]]\nid = "a"\ntype = "prip"\nurl = "http://h:99999/"\n', "Port out of range"),
        ('[[inbox]]\nid = "a"\ntype = "prip"\nurl = "http://a..b/"\n', "label empty or too long"),
        (INBOX + '[inbox.auth]\nkind = "basic"\nuser = "a:b"\n', "has no colon in it"),
        (INBOX + '[inbox.auth]\nkind = "oauth2"\nuser = "u"\ntoken_url = "x"\n', "token_url begins with http"),
        ('[[inbox]]\ntype = "folder"\nurl = "x"\n', r"inbox\[0\].id: Field required$"),
    ],
)
def test_what_makes_no_sense_is_refused(config: Path, text: str, told: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=told):
        load_settings(config, environ={})


def test_a_file_that_is_missing_is_named(config: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"refsys.toml: cannot be read: No such file"):
        load_settings(config, environ={})


def test_every_secret_can_come_from_a_file(config: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    (tmp_path / "key").write_text("k3y")
    (tmp_path / "pass").write_text("w0rd\n")
    config.write_text(
        'database_url_file = "url"\n[s3]\naccess_key_id = "id"\nsecret_access_key_file = "key"\n'
        + INBOX
        + '[inbox.auth]\nkind = "basic"\nuser = "u"\npassword_file = "pass"\n'
    )
    settings = load_settings(config, environ={})
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"
    assert settings.s3.secret_access_key.get_secret_value() == "k3y"
    assert settings.inbox[0].auth.password.get_secret_value() == "w0rd"


def test_a_secret_file_of_the_environment_outranks_the_secret_of_the_file(config: Path, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://environment")
    config.write_text('database_url = "postgresql://file"\n')
    settings = load_settings(config, environ={"REFSYS_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url.get_secret_value() == "postgresql://environment"


def test_a_secret_said_twice_or_unreadable_is_an_error(config: Path) -> None:
    config.write_text('database_url = "postgresql://x"\ndatabase_url_file = "absent"\n')
    with pytest.raises(ConfigurationError, match=r"(?s)both database_url and database_url_file.*cannot be read"):
        load_settings(config, environ={})


def test_secrets_are_in_no_error(config: Path) -> None:
    config.write_text('database_url = "hunter2"\n' + INBOX + "[inbox.auth]\npassword = 12345678\n")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ={})
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        '[[inbox]]\nid = "a"\ntype = "prip"\nurl = "https://anna:hunter2@station.example/odata"\n',
        INBOX + '[inbox.auth]\nkind = "oauth2"\nuser = "u"\ntoken_url = "https://anna:hunter2@station.example/"\n',
        'storage_url = "s3://anna:hunter2@bucket"\n',
    ],
)
def test_a_password_in_a_url_is_refused_for_it_would_be_shown(config: Path, setting: str) -> None:
    config.write_text(setting)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(config, environ={})
    assert "hunter2" not in str(caught.value)
    assert re.search(r"url", str(caught.value))


def test_a_flag_that_is_wrong_is_named_once(config: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^--set http.prot: is not a setting; the nearest is http.port$"):
        load_settings(None, {"http.prot": "1"}, {})
    with pytest.raises(ConfigurationError, match=r"^http.port: Input should be"):
        load_settings(None, {"http.port": 99999}, {})


def test_secrets_are_masked_when_shown(config: Path) -> None:
    config.write_text('database_url = "postgresql://u:hunter2@h/d"\n' + INBOX + '[inbox.auth]\npassword = "hunter2"\n')
    settings = load_settings(config, environ={})
    shown = effective_toml(settings)
    assert "hunter2" not in shown
    assert "hunter2" not in repr(settings)
    assert tomllib.loads(shown)["database_url"] == "********"
    assert tomllib.loads(shown)["inbox"][0]["auth"]["password"] == "********"


def test_lists_in_the_environment_are_json_and_entries_have_numbers(config: Path) -> None:
    config.write_text(INBOX)
    assert load_settings(config, environ={"REFSYS_INBOX__0__POLL_S": "3"}).inbox[0].poll_s == 3
    one = load_settings(environ={"REFSYS_INBOX": '[{"id": "b", "type": "folder", "url": "/in"}]'})
    assert one.inbox[0].id == "b"
    with pytest.raises(ConfigurationError, match=r"REFSYS_INBOX__POLL_S: inbox is a list: name an entry \(inbox.0.…\)"):
        load_settings(config, environ={"REFSYS_INBOX__POLL_S": "3"})
    with pytest.raises(ConfigurationError, match="REFSYS_INBOX__1__POLL_S: there is no entry 1"):
        load_settings(config, environ={"REFSYS_INBOX__1__POLL_S": "3"})
    with pytest.raises(ConfigurationError, match="REFSYS_TYPE_TABLES: a list or section is written as JSON"):
        load_settings(environ={"REFSYS_TYPE_TABLES": "/tables"})


def test_the_example_loads_and_says_the_defaults(config: Path) -> None:
    config.write_text(example_toml(Settings))
    settings = load_settings(config, environ={})
    assert settings == Settings(state_dir=settings.state_dir)


def test_the_example_uncommented_loads_and_names_everything(config: Path) -> None:
    text = re.sub(r"(?m)^#(\S)", r"\1", example_toml(Settings)).replace('state_dir = ".refsys"', 'state_dir = "x"')
    config.write_text(text)
    settings = load_settings(config, environ={})
    lists = {"inbox": (), "station": (), "auth": settings.auth.model_copy(update={"user": ()})}
    lists["sessions"] = settings.sessions.model_copy(update={"policy": ()})
    assert settings.model_copy(update={**lists, "state_dir": Path(".refsys")}) == Settings()
    assert [inbox.id for inbox in settings.inbox] == ["my-inbox"]
    for name in known_names(Settings):
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", text), name


def test_every_setting_is_described() -> None:
    assert not re.search(r"# None", example_toml(Settings))


def test_a_supervised_process_gets_the_same_settings(config: Path) -> None:
    config.write_text('database_url = "postgresql://u:p@h/d"\n' + INBOX)
    settings = load_settings(config, environ={})
    assert settings_from_json(to_json(settings)) == settings


def secrets_given(tree: Any) -> Any:
    """With a secret in place of each file that holds one."""
    if isinstance(tree, list):
        return [secrets_given(member) for member in tree]
    if not isinstance(tree, dict):
        return tree
    return {name.removesuffix("_file"): secrets_given(value) for name, value in tree.items()}


def test_the_examples_of_how_to_connect_a_station_are_settings() -> None:
    page = (Path(__file__).parent.parent.parent / "docs/how-to/connect-a-station.md").read_text("utf-8")
    blocks = [secrets_given(tomllib.loads(block)) for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)]
    seen = set()
    for block in blocks:
        for kind, value in block.items():
            if isinstance(value, dict):
                AuthSettings.model_validate(value["auth"])
                seen.add("auth")
            else:
                Settings.model_validate({kind: value})
                seen.add(kind)
    assert seen == {"auth", "inbox", "station"}


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        ({"user": "u"}, "token_url"),
        ({"token_url": "https://x/t"}, "user and password"),
        ({"token_url": "https://x/t", "grant": "client_credentials"}, "client_id"),
        ({"token_url": "https://x/t", "user": "u", "client_auth": "basic"}, "client_id"),
        (
            {"token_url": "https://x/t", "user": "u", "client_id": "c", "client_auth": "basic"}
            | {"header": [{"name": "AUTHORIZATION", "value": "x"}]},
            "name it once",
        ),
        ({"token_url": "https://x/t", "user": "u", "header": [{"name": "a:b", "value": "x"}]}, "name"),
        ({"token_url": "https://x/t", "user": "u", "token_header": "a b"}, "token_header"),
    ],
)
def test_a_request_for_a_token_that_cannot_be_meant_is_told(auth: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AuthSettings.model_validate({"kind": "oauth2", **auth})


@pytest.mark.parametrize(
    "station",
    [
        {"redirect_hosts": ["https://x"]},
        {"redirect_hosts": ["x/y"]},
        {"proxy": "https://x:1"},
        {"proxy": "http://u:p@x:1"},
        {"proxy": "x"},
    ],
)
def test_a_station_whose_hosts_cannot_be_meant_is_told(station: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        StationSettings.model_validate({"name": "SGS", **station})
