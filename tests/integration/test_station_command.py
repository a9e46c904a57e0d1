"""`refsys station serve`: a process that prints where it is, and ends quietly."""

import os
import re
import signal
import subprocess
import sys

import httpx
import pytest
from typer.testing import CliRunner

from refsys.cli.main import app
from refsys.core.errors import ConfigurationError
from refsys.infra.settings import load_settings

ORBIT = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "offers").mkdir()
    (tmp_path / "offers" / ORBIT).write_bytes(b"<Earth_Explorer_File/>")
    return tmp_path / "offers"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_prints_an_inbox_and_ends_quietly(folder, tmp_path, number):
    words = ["station", "serve", str(folder), "--auth", "oauth2", "--user", 'us"er', "--password", "pass\\wörd"]
    command = [sys.executable, "-c", "from refsys.cli.main import main; main()", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            url = re.match(r"station at (\S+) ", first)[1]
            assert httpx.get(f"{url}/Products").status_code == 401
            process.send_signal(number)
            printed, errors = process.stdout.read(), process.stderr.read()
            process.wait(30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    config = tmp_path / "refsys.toml"
    config.write_text(printed[printed.index("[[inbox]]") :])
    [inbox] = load_settings(config, environ={}).inbox
    assert (inbox.type, inbox.url) == ("prip", url)
    assert (inbox.auth.kind, inbox.auth.user) == ("oauth2", 'us"er')
    assert inbox.auth.password.get_secret_value() == "pass\\wörd"
    assert inbox.auth.token_url == url.replace("/odata/v1", "/oauth2/token")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}/nowhere"], "nowhere: is not a folder"),
        (["{folder}", "--port", "70000"], "--port 70000 is no port"),
        (["{folder}", "--auth", "digest"], "--auth digest: is not one of none, basic, oauth2"),
        (["{folder}", "--auth", "basic", "--user", "u"], "--auth basic needs --user and --password"),
        (["{folder}", "--user", "u"], "need --auth basic or --auth oauth2"),
        (["{folder}", "--archive", "rar"], "--archive rar: is not one of zip, tar, tgz"),
        (["{folder}", "--archive", "tar", "--deflate"], "--deflate is for --archive zip"),
        (["{folder}", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_a_wrong_word_is_one_clear_line(folder, words, message):
    result = CliRunner().invoke(app, ["station", "serve", *(word.format(folder=folder) for word in words)])
    assert isinstance(result.exception, ConfigurationError)
    assert message in str(result.exception)
    assert os.linesep not in str(result.exception)
