"""`refsys demo`, as the README tells people to run it: what it says is true, and nothing is left when it ends."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from refsys.cli.demonstration.comparison import differences
from refsys.cli.demonstration.offers import find_offers
from refsys.missions import load_types
from refsys.runtime.embedded import processes_of
from refsys.runtime.services import postgres_folder
from tests.bad_products import bad, make_products, spoiled
from tests.curl import run_curl
from tests.up import REFSYS, START_S, are_gone, environment, started
from tests.waiting import wait_until

SAMPLES = 9


@dataclass(frozen=True, slots=True)
class Ended:
    """A demo that ran to its end."""

    state: Path
    code: int
    output: str

    def line_of(self, name: str, beginning: str) -> str:
        """The one line that begins so and names the product."""
        (line,) = (line for line in self.output.splitlines() if line.startswith(beginning) and name in line)
        return line

    @property
    def published(self) -> set[str]:
        """Names in its final table: the lines that end in a time, a size and seconds."""
        row = re.compile(r"(\S+) +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+ [kMG]?B +\d+\.\d\d *")
        return {match[1] for match in map(row.fullmatch, self.output.splitlines()) if match}


def run_demo(state: Path, *words: str | Path) -> Ended:
    """Run it with --once; nothing of it may be left."""
    command = [*REFSYS, "demo", "--once", "--state", str(state), *map(str, words)]
    settings = environment() | {"REFSYS_HTTP__PROCESSES": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=110, check=False, cwd=state.parent, env=settings
    )
    assert done.stderr == ""
    assert processes_of(postgres_folder(state) / "data") == []
    return Ended(state, done.returncode, done.stdout)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """`refsys demo --once` in a fresh folder."""
    return run_demo(tmp_path_factory.mktemp("demo") / "state")


def test_its_own_products_are_published_and_come_back_byte_for_byte(first: Ended) -> None:
    assert first.code == 0, first.output
    names = {path.name for path in (first.state / "samples").iterdir()}
    assert len(names) == SAMPLES
    assert first.published == names
    assert {name[:2] for name in names} == {"S1", "S2", "S3"}
    assert f"{SAMPLES} of {SAMPLES} downloaded again, byte for byte what was offered" in first.output
    for name in names:
        told = [line for line in first.output.splitlines() if name in line and " s  " in line[:12]]
        assert "published" in told[-1]


def test_it_stays_up_with_the_link_and_the_curl_line_that_it_shows_until_ctrl_c(first: Ended, tmp_path: Path) -> None:
    with started(first.state, command=("demo",)) as demo:
        wait_until(lambda: demo.process.poll() is not None or "Ctrl-C stops" in demo.output, START_S)
        assert demo.process.poll() is None, demo.output + demo.errors
        tree = demo.tree()
        link, curl = (line_after(word, demo.output) for word in ("OData", "download"))
        listed = httpx.get(link).json()["value"]
        assert len(listed) == SAMPLES
        assert {"Name", "ContentDate", "Attributes"} <= listed[0].keys()
        assert run_curl(curl, tmp_path) == b""
        (package,) = tmp_path.iterdir()
        assert differences(first.state / "samples" / package.stem, package) == []

        refused_is_told_and_harms_nothing(first, demo.process.pid)

        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0
        assert demo.errors == ""
        assert demo.output.splitlines()[-1] == "stopping …"
        assert are_gone(tree)


def refused_is_told_and_harms_nothing(first: Ended, holder: int) -> None:
    """Two demos on one folder: the second says who has it, and leaves the first one's products alone."""
    before = {path: path.stat().st_mtime_ns for path in sorted((first.state / "samples").rglob("*"))}
    command = [*REFSYS, "demo", "--once", "--state", str(first.state)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 1
    assert f"is in use by refsys, process {holder}, since 20" in done.stderr
    assert "use that one, stop it, or give another folder with --state" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in sorted((first.state / "samples").rglob("*"))} == before


def line_after(word: str, output: str) -> str:
    (line,) = (line for line in output.splitlines() if line.startswith(f"{word} "))
    return line.removeprefix(word).strip()


def test_a_product_that_cannot_be_published_fails_it_until_it_is_mended(first: Ended, tmp_path: Path) -> None:
    """On a folder where other products were published before: a further run knows its own from theirs."""
    good, mended = make_products(tmp_path / "sound", 2)
    offered = tmp_path / "offered"
    shutil.copytree(good, offered / good.name)
    broken = spoiled(bad("footprint of three points"), mended, offered)
    (offered / "README").write_text("no product")
    done = run_demo(first.state, "--products", offered)
    assert done.code == 1
    assert done.published == {good.name}
    assert done.line_of(broken.name, "parked (not expected)")
    assert "has 3 points where 4, or 5 with the first repeated, are required" in done.output
    assert "1 of 1 downloaded again" in done.output

    shutil.rmtree(broken.path)
    shutil.copytree(mended, broken.path)
    done = run_demo(first.state, "--products", offered)
    assert done.code == 0, done.output
    assert done.published == {good.name, mended.name}
    assert "2 of 2 downloaded again" in done.output


def test_real_products_are_published_where_their_type_is_known_and_else_parked(first: Ended, shared_data: Path) -> None:
    offers = find_offers(shared_data, load_types())
    known = {offer.name for offer in offers if offer.is_known}
    unknown = {offer.name for offer in offers if not offer.is_known}
    done = run_demo(first.state, "--products", shared_data)
    assert done.code == 0, done.output
    assert len(known) > 40
    assert done.published == known
    assert f"{len(known)} of {len(known)} downloaded again, byte for byte what was offered" in done.output
    for name in unknown:
        assert done.line_of(name, "parked (its type is unknown, as expected)")
    assert "completeness = 'record'" in done.output


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, "is not a folder (name the folder that holds products)"),
        (lambda folder: folder.mkdir(), "holds no product (products are folders ending in .SAFE"),
    ],
    ids=["no folder", "an empty folder"],
)
def test_a_folder_without_products_is_refused_before_anything_is_started(
    make: Callable[[Path], None], told: str, tmp_path: Path
) -> None:
    make(tmp_path / "products")
    state = tmp_path / "state"
    command = [*REFSYS, "demo", "--once", "--state", str(state), "--products", str(tmp_path / "products")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())
    assert done.returncode == 2
    assert told in done.stderr
    assert not (state / "postgresql").exists()
