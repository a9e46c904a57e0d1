"""`python -m tests.soak.ingestion`: passes, faults, kills and freezes for a while, then the account, file by file."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.soak.ingestion.playing import Plan, Run, play


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.ingestion", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000)
    parser.add_argument("--folder", type=Path, help="keep what was made there")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=max(120, Console().width))
    # pyftpdlib tells of every command where nobody has said otherwise
    logging.basicConfig(level=logging.CRITICAL)
    console.print(f"seed {arguments.seed}, {arguments.minutes:g} minutes")
    plan = Plan(seconds=arguments.minutes * 60, seed=arguments.seed)
    with tempfile.TemporaryDirectory(prefix="refsys-soak-") as temporary:
        folder = arguments.folder or Path(temporary)
        run = asyncio.run(play(plan, folder, lambda text: console.print(f"  {text}", style="dim")))
    _print(console, run)
    sys.exit(bool(run.account.wrong))


def _print(console: Console, run: Run) -> None:
    account = run.account
    blows = ", ".join(f"{number} {what}" for what, number in sorted(run.blows.items()))
    console.print(f"{run.passes} passes, {run.troubles} faults, {blows}")
    columns = ("published", "stored", "from elsewhere", "evicted before")
    table = Table("station", *columns, box=None, header_style="dim")
    for name, counts in account.counts.items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    console.print(table)
    console.print(f"sessions: {dict(account.sessions)}; files in the catalogue: {account.files}, every byte read")
    for sentence in account.wrong:
        console.print(f"[red]wrong[/] {sentence}")
    console.print("[green]everything that the stations had is here, once, with its bytes[/]" * (not account.wrong))


if __name__ == "__main__":
    main()
