"""What the README tells people to do, from the settings to the download, on a running system."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import httpx

from refsys.cli.demonstration.comparison import differences
from tests.bad_products import bad, make_products, spoiled
from tests.conftest import PROJECT
from tests.curl import run_curl
from tests.up import INBOX, REFSYS, System, are_gone, await_up, environment, started
from tests.waiting import wait_until


def curl_lines() -> list[str]:
    """The README's, continued lines joined."""
    text = (PROJECT / "README.md").read_text("utf-8").replace("\\\n", " ")
    return [line for block in re.findall(r"```\n(.*?)```", text, re.S) for line in block.splitlines() if "curl" in line]


def refsys(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command of the README in a folder; returns what it prints."""
    done = subprocess.run(
        [*REFSYS, *words], capture_output=True, text=True, timeout=60, check=False, cwd=folder, env=environment()
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def is_settled(system: System, published: int, parked: int) -> bool:
    count = httpx.get(f"{system.run.url}/odata/v1/Products/$count").text
    return int(count) == published and system.steps("parked") == parked


def test_the_readme_leads_from_a_folder_to_a_user(tmp_path: Path) -> None:
    good, other = make_products(tmp_path / "products", 2)
    broken = spoiled(bad("million laughs"), other, tmp_path / "broken")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    config = refsys(tmp_path, "config", "example") + INBOX.format(folder=inbox)
    (tmp_path / "refsys.toml").write_text(config)
    refsys(tmp_path, "config", "check", "--config", "refsys.toml")

    with started(tmp_path / ".refsys", config=config) as system:
        await_up(system)
        tree = system.tree()
        shutil.copytree(good, tmp_path / "copy" / good.name).rename(inbox / good.name)
        broken.path.rename(inbox / broken.name)
        wait_until(lambda: is_settled(system, published=1, parked=1), message="one published, one parked")

        assert system.run.url in refsys(tmp_path, "status")
        found = refsys(tmp_path, "product", "find", "--name", "GRDH")
        assert good.name in found.replace("\n", "")
        assert "published" in found
        shown = refsys(tmp_path, "product", "show", good.name)
        identity = re.search(r"^ *id +(\S+)", shown, re.M)
        assert identity is not None
        assert "manifest.safe" in shown
        listed = refsys(tmp_path, "parked", "list", "--json")
        (step,) = re.findall(r'"id":(\d+)', listed)
        assert broken.name in listed
        assert "declares 3 entities" in refsys(tmp_path, "parked", "show", step)

        search, download, stac = curl_lines()
        variables = {"BASE": system.run.url, "ID": identity[1], "NAME": good.name}
        page = json.loads(run_curl(search, tmp_path, variables))
        assert [entry["Name"] for entry in page["value"]] == [good.name]
        narrow = json.loads(run_curl(stac, tmp_path, variables))
        assert (narrow["type"], narrow["numberReturned"]) == ("FeatureCollection", 0)
        wide = stac.partition(" --data")[0]
        assert good.stem in {item["id"] for item in json.loads(run_curl(wide, tmp_path, variables))["features"]}
        run_curl(download, tmp_path, variables)
        package = tmp_path / f"{good.name}.zip"
        assert differences(good, package) == []
        whole = package.read_bytes()
        package.write_bytes(bytes(1000))
        run_curl(download, tmp_path, variables)
        assert package.read_bytes() == bytes(1000) + whole[1000:], "it goes on where it stopped"

        system.process.send_signal(signal.SIGINT)
        assert system.process.wait(60) == 0
        assert are_gone(tree)
        assert "stopped" in refsys(tmp_path, "status", code=3)
