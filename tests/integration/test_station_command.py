"""`refsys station serve`: a process that prints where it is, and ends quietly."""

import contextlib
import ftplib
import os
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from refsys.cli.main import app
from refsys.core.errors import ConfigurationError
from refsys.infra.settings import load_settings
from refsys.simulation.serving import make_station
from refsys.simulation.switches import PROTOCOLS, SWITCHES, Setup, throw
from tests.waiting import wait_until

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
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


@contextlib.contextmanager
def served(*words):
    """A station of the command; yields the first line that it prints, and the inbox that it prints."""
    command = [sys.executable, "-c", "from refsys.cli.main import main; main()", "station", "serve", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline()]
            assert lines[0], process.stderr.read()
            while not lines[-1].startswith("url"):
                lines.append(process.stdout.readline())
            yield lines[0], "".join(lines[lines.index("[[inbox]]\n") :])
            process.send_signal(signal.SIGINT)
            assert (process.wait(30), process.stderr.read()) == (0, "")
        finally:
            process.kill()


PASSES = ("--passes", 1, "--speed", 100, "--channel-bytes", 204_400, "--block-bytes", 61_320)


def test_a_downlink_plays_over_cadip(tmp_path):
    with served("--protocol", "cadip", *PASSES, "--satellite", "S2B", "--fault", "final-first") as (first, inbox):
        url = re.match(r"station at (\S+)   1 passes from (S2B_\d{20})", first)
        config = tmp_path / "refsys.toml"
        config.write_text(inbox)
        assert [(each.type, each.url) for each in load_settings(config, environ={}).inbox] == [("cadip", url[1])]

        def delivered():
            [session] = httpx.get(f"{url[1]}/Sessions?$expand=Files,QualityInfo").json()["value"] or [{}]
            return session if len(session.get("QualityInfo", [])) == 2 else None

        session = wait_until(delivered)
    assert session["SessionId"] == url[2]
    assert [each["BlockNumber"] for each in session["Files"] if each["Channel"] == 1] == [4, 1, 2, 3]
    assert sum(each["Size"] for each in session["Files"]) == 2 * 204_400


@pytest.mark.parametrize("protocol", ["xbip", "edip"])
def test_a_downlink_plays_over_tls(protocol):
    with served("--protocol", protocol, *PASSES, "--tls", CERTIFICATE, "--relay") as (first, _inbox):
        port = httpx.URL(first.split()[2]).port

        def files():
            if protocol == "xbip":
                listing = httpx.request("PROPFIND", f"https://127.0.0.1:{port}/NOMINAL/", verify=False)
                return set(re.findall(r"/ch0\d/(DCS_04_L\d{23}_ch\d_DSIB.xml)<", listing.text))
            with (
                contextlib.suppress(ftplib.error_perm),
                ftplib.FTP_TLS(context=ssl._create_unverified_context(), timeout=5) as client,
            ):
                client.connect("127.0.0.1", port)
                client.login()
                client.prot_p()
                [session] = client.nlst("/NOMINAL/S1A")
                names = [each for n in (1, 2) for each in client.nlst(f"/NOMINAL/S1A/{session}/ch0{n}")]
                return {name for name in names if name.endswith("DSIB.xml")}
            return set()

        wait_until(lambda: len(files()) == 2)


def test_the_products_of_a_folder_over_lta_and_webdav(folder):
    with served(folder, "--protocol", "lta", "--fault", "quota=3") as (first, _inbox):
        assert "   1 products of " in first or "   0 products of " in first
    with served(folder, "--protocol", "xbip") as (first, _inbox):
        assert httpx.get(f"{first.split()[2]}{ORBIT}").content == b"<Earth_Explorer_File/>"


def test_every_fault_is_printed_and_can_be_asked_for():
    result = CliRunner().invoke(app, ["station", "serve", "--list-faults"])
    assert [line.split()[0].partition("=")[0] for line in result.output.splitlines()] == [
        each.name for each in SWITCHES
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_fault_changes_the_station_that_it_is_asked_of(protocol, folder):
    for switch in SWITCHES:
        setup = Setup()
        if protocol not in switch.protocols:
            with pytest.raises(ConfigurationError, match=f"{switch.name}: is a fault of"):
                throw(setup, protocol, switch.name)
            continue
        throw(setup, protocol, switch.name)
        station = make_station(protocol, setup, folder=folder)
        assert setup != Setup()
        assert station.faults.pending == len(setup.script)
        assert all(getattr(station, name) == value for name, value in setup.attributes.items())
        assert all(getattr(station.dialect, name) == value for name, value in setup.dialect.items())


def test_products_are_served_without_the_extra_and_files_say_what_lacks(monkeypatch, folder):
    for name in [name for name in sys.modules if name.startswith("refsys.simulation.files")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyftpdlib.authorizers", None)
    make_station("prip", Setup(), folder=folder)
    make_station("cadip", Setup())
    with pytest.raises(ConfigurationError, match=r"pyftpdlib.* is not installed.*refsys\[demo\]"):
        make_station("edip", Setup())


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
        ([], "--protocol prip needs FOLDER"),
        (["{folder}", "--protocol", "sftp"], "--protocol sftp: is not one of prip, cadip, lta, xbip, edip"),
        (["{folder}", "--protocol", "cadip"], "offers sessions, not FOLDER (use --passes)"),
        (["--protocol", "edip"], "--protocol edip needs --passes"),
        (["{folder}", "--passes", "1"], "--passes is for cadip, xbip and edip, not for prip"),
        (["--protocol", "cadip", "--passes", "1", "--speed", "0"], "--speed is above 0"),
        (["--protocol", "cadip", "--passes", "1", "--block-bytes", "2043"], "at least one CADU, 2044"),
        (["--protocol", "cadip", "--passes", "1", "--satellite", "sentinel"], "--satellite sentinel: is no satellite"),
        (["{folder}", "--relay"], "--relay is for --passes"),
        (["--protocol", "xbip", "--passes", "1", "--implicit"], "--implicit is for --protocol edip with --tls"),
        (["{folder}", "--tls", "{folder}/nowhere.pem"], "nowhere.pem: is no file with a key and a certificate"),
        (["{folder}", "--fault", "rain"], "--fault rain: there is no such fault (--list-faults prints all)"),
        (["{folder}", "--fault", "missing"], "is a fault of cadip, xbip, edip, not of prip"),
        (["{folder}", "--fault", "cut=2"], "--fault cut=2: 2 is no chance between 0 and 1"),
        (["{folder}", "--fault", "slow=x"], "--fault slow=x: 'x' is no number"),
        (["{folder}", "--fault", "no-range=1"], "--fault no-range: takes no value"),
        (
            ["{folder}", "--protocol", "xbip", "--auth", "oauth2", "--user", "u", "--password", "p"],
            "xbip knows no tokens",
        ),
    ],
)
def test_a_wrong_word_is_one_clear_line(folder, words, message):
    result = CliRunner().invoke(app, ["station", "serve", *(word.format(folder=folder) for word in words)])
    assert isinstance(result.exception, ConfigurationError)
    assert message in str(result.exception)
    assert os.linesep not in str(result.exception)
