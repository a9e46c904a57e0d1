"""Start the system with products of three missions, let each client use it, and print a table.

    python -m tests.clients [CLIENT …]

Exit code 1 where anything failed; what the clients said is below .venv/clients/said.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.table import Table

from refsys.core.passwords import hash_password
from refsys.simulation.samples import make_samples
from tests.up import INBOX, System, await_up, started
from tests.waiting import wait_until

PROJECT = Path(__file__).parent.parent.parent
PYTHON = PROJECT / ".venv/clients/bin/python"
SAID = PROJECT / ".venv/clients/said"
GUIDE = PROJECT / "docs/how-to/use-with-eodag-cdsetool-pystac.md"
USER, PASSWORD = "anna", "a long enough & secret+word"
#: Products from the start; those behind them come when a client watches, one for each (its place in a turn of nine).
PRODUCTS, TURN = 36, 9
WATCHED = {"eodag": 0, "sentineleof": 2, "cdsetool": 4, "pystac-client": 6}
CLIENTS = ("eodag", "cdsetool", "sentineleof", "pystac-client", "stac-api-validator")
CLIENT_S = 900
AUTH = f"""
[auth]
anonymous = "search"
[[auth.user]]
name = "{USER}"
password = "{hash_password(PASSWORD)}"
"""


@dataclass(frozen=True, slots=True)
class Told:
    client: str
    action: str
    ok: bool
    detail: str


def main() -> int:
    wanted = sys.argv[1:] or [*CLIENTS, "guide"]
    shutil.rmtree(SAID, ignore_errors=True)
    SAID.mkdir(parents=True)
    told: list[Told] = []
    with tempfile.TemporaryDirectory(prefix="refsys-clients-") as name:
        folder = Path(name)
        samples = make_samples(folder / "samples", count=PRODUCTS + TURN)
        (folder / "inbox").mkdir()
        for sample in samples[:PRODUCTS]:
            sample.rename(folder / "inbox" / sample.name)
        with started(folder / "state", config=AUTH + INBOX.format(folder=folder / "inbox")) as system:
            await_up(system)
            await_products(system, PRODUCTS)
            offers = {client: samples[PRODUCTS + place] for client, place in WATCHED.items()}
            for client in wanted:
                runs = guide_snippets(folder) if client == "guide" else {client: [f"tests.clients.{module(client)}"]}
                for label, words in runs.items():
                    told += run(label, words, system, folder, offers)
            told.append(told_nowhere(folder))
    return report(told)


def module(client: str) -> str:
    return f"with_{client.replace('-', '_')}"


def await_products(system: System, count: int) -> None:
    def are_published() -> bool:
        answer = httpx.get(f"{system.run.url}/odata/v1/Products/$count", timeout=20)
        return answer.status_code == 200 and int(re.sub(r"\D", "", answer.text) or 0) >= count

    wait_until(are_published, 180, f"{count} products are published; parked: {system.steps('parked'):.0f}")


def run(client: str, words: list[str], system: System, folder: Path, offers: dict[str, Path]) -> list[Told]:
    """Run a client's program, give it what it watches for, and collect what it tells."""
    work = folder / "work" / client
    work.mkdir(parents=True)
    arguments = [system.run.url, USER, PASSWORD, str(work)]
    program = [str(PYTHON), *(words if words[0].endswith(".py") else ["-m", *words]), *arguments]
    told: list[Told] = []
    with (SAID / f"{client}.txt").open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            ["timeout", str(CLIENT_S), *program],
            stdout=subprocess.PIPE,
            stderr=said,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=PROJECT,
            env=environment(work),
        )
        assert process.stdout is not None
        for line in process.stdout:
            said.write(line)
            said.flush()
            message = json.loads(line) if line.startswith("{") else {}
            if "offer" in message:
                offer(offers[message["offer"]], folder)
            elif "action" in message:
                told.append(Told(client, message["action"], message["ok"], message["detail"]))
                print(f"{client:20} {message['action']:34} {'ok' if message['ok'] else 'FAILED'}", flush=True)
        code = process.wait()
    if code or not told:
        told.append(Told(client, "run", code == 0, f"exit code {code}" if code else ""))
    return told


def offer(product: Path, folder: Path) -> None:
    if product.exists():
        product.rename(folder / "inbox" / product.name)


def environment(work: Path) -> dict[str, str]:
    """Of its own: no settings of ours, a home of its own, no lists fetched from elsewhere."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("REFSYS_", "PG", "EODAG"))}
    nothing = {"EODAG_EXT_COLLECTIONS_CFG_FILE": "", "EODAG_EXT_PRODUCT_TYPES_CFG_FILE": ""}
    return {**kept, **nothing, "HOME": str(work), "EODAG_CFG_DIR": str(work / "config"), "NO_PROXY": "127.0.0.1"}


def guide_snippets(folder: Path) -> dict[str, list[str]]:
    """The Python blocks of the guide, each a program, with the address, name and password of this run in it."""
    found: dict[str, list[str]] = {}
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL), 1):
        path = folder / f"guide-{number}.py"
        path.write_text(code, "utf-8")
        found[f"guide, snippet {number}"] = ["tests.clients.snippet", str(path)]
    return found


def told_nowhere(folder: Path) -> Told:
    """Whether a token or the password stands in any log of the system."""
    logs = [*(folder / "state/logs").iterdir(), folder / "state.out", folder / "state.err"]
    secret = re.compile(rf"eyJ[\w-]+\.[\w-]+\.[\w-]+|{re.escape(PASSWORD)}|{re.escape(quote(PASSWORD))}")
    guilty = [path.name for path in logs if secret.search(path.read_text("utf-8"))]
    return Told("system", "no token in its logs", not guilty, ", ".join(guilty) or f"{len(logs)} files")


def report(told: list[Told]) -> int:
    table = Table("client", "action", "", "what", title="Clients against the running system")
    for each in told:
        table.add_row(each.client, each.action, "ok" if each.ok else "[red]FAILED[/]", each.detail.replace("[", "\\["))
    Console(width=200 if not sys.stdout.isatty() else None).print(table)
    failed = sum(not each.ok for each in told)
    print(f"{len(told) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
