"""The command line: global options wherever they stand, what `refsys config check` looks at."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from refsys.cli.context import GLOBAL, global_first
from refsys.cli.main import app


@pytest.fixture
def refsys():
    def run(*words):
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(word) for word in words])
        return result.output + str(result.exception or "")

    return run


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("up", "up"),
        ("-c a.toml up", "-c a.toml up"),
        ("up --config a.toml --port 1", "--config a.toml up --port 1"),
        ("config check --set http.port=1 --set=log.keep=2", "--set http.port=1 --set=log.keep=2 config check"),
        ("product show NAME --state s --json", "--state s product show NAME --json"),
        ("product show -- --config", "product show -- --config"),
        ("up --config", "up --config"),
    ],
)
def test_global_options_may_stand_behind_the_command(given, understood):
    assert global_first(given.split()) == understood.split()


def test_no_command_gives_a_global_option_another_meaning():
    def options(command, name):
        for parameter in command.params:
            yield from ((name, option) for option in parameter.opts)
        for child, member in getattr(command, "commands", {}).items():
            yield from options(member, f"{name} {child}")

    own = {(name, option) for name, option in options(get_command(app), "refsys") if option in GLOBAL}
    # the demo's means the same, and has a default of its own
    assert {name for name, _ in own} == {"refsys", "refsys demo"}
    assert {option for name, option in own if name == "refsys demo"} == {"--state", "-s"}


def test_config_check_takes_the_file_on_either_side(refsys, tmp_path):
    config = tmp_path / "refsys.toml"
    config.write_text('[[inbox]]\nid = "a"\ntype = "folder"\nurl = "in"\n')
    for words in (("--config", config, "config", "check"), ("config", "check", "--config", config)):
        assert f"{config}: the settings are right (1 inbox, " in refsys(*words)


def test_config_check_looks_into_the_type_tables_too(refsys, tmp_path):
    table = tmp_path / "types.yaml"
    table.write_text("types:\n  - id: mine\n    levl: AUX\n")
    told = refsys("config", "check", "--set", f'type_tables=["{table}"]')
    assert "row 'mine'" in told
    assert "unknown key 'levl'; nearest: 'level'" in told
