"""Searches and items by id: refsys against stac-fastapi-pgstac, the same products on both sides, driven by wrk.

Both on Debian's PostgreSQL 15 with the same settings, two API processes each. What counts is CPU time a request, that
of the database included. The floor is what the bytes alone cost: reading the documents from PostgreSQL by their ids,
and sending as many bytes by the same HTTP server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import debian, ours_serving, stac_peer
from benchmarks.measures import wide_console
from benchmarks.processes import cpu_seconds
from benchmarks.search_data import copy_over, fill, keep_current, present
from benchmarks.search_queries import Query, counts, queries
from benchmarks.stac_peer import make_peer
from benchmarks.wrk import Load, drive
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import connected, migrate
from refsys.missions import load_types
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.wiring import MIGRATED_PACKAGES

PROCESSES: Final = stac_peer.WORKERS
CLIENTS: Final = (1, 8)
#: Bytes on disk for each product, both sides and the journals of the servers.
BYTES: Final = 40_000
#: Requests whose answers are compared before anything is measured.
COMPARED: Final = 3
_STAC: Final = "/stac"
_ODATA: Final = "/odata/v1"
_IDS: Final = "SELECT id FROM catalogue.product WHERE name = ANY($1::text[])"
_SUFFIXES: Final = ("", ".SAFE", ".SEN3")


@dataclass(frozen=True, slots=True)
class Side:
    """Who is asked: `root` stands before the paths, `cpu_seconds` is that of its API and its database together."""

    name: str
    port: int
    root: str
    cpu_seconds: Callable[[], float]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=120) as answer:
            return json.loads(answer.read())

    def paths(self, query: Query) -> list[str]:
        """The query's paths here; where it asks for a later page, these are found by following the links."""
        return [self._walk(self.root + path, query.depth) for path in query.paths]

    def _walk(self, path: str, pages: int) -> str:
        for _ in range(pages):
            links = self.get(path)["links"]
            parts = urlsplit(next(link["href"] for link in links if link["rel"] == "next"))
            path = f"{parts.path}?{parts.query}"
        return path


def compare(query: Query, one: Side, other: Side, console: Console) -> tuple[list[str], list[str]]:
    """The paths of both sides, whose answers are looked at first: a benchmark of different answers measures nothing."""
    paths = one.paths(query), other.paths(query)
    for mine, theirs in list(zip(*paths, strict=True))[:COMPARED]:
        found, wanted = _ids(one.get(mine)), _ids(other.get(theirs))
        if sorted(found) != sorted(wanted):
            differing = len(set(found) ^ set(wanted))
            console.print(f"{query.name}: {differing} of {len(wanted)} items differ\n{mine}\n{theirs}", style="red")
    return paths


def _ids(answer: Any) -> list[str]:
    return [feature["id"] for feature in answer.get("features", [answer])]


@dataclass(frozen=True, slots=True)
class Compared:
    """One query by so many clients: ours, and the peer's or, for what only we are asked, none."""

    query: Query
    clients: int
    ours: Load
    peer: Load | None


def measure(
    asked: Sequence[Query], ours: Side, peer: Side | None, seconds: float, folder: Path, console: Console
) -> list[Compared]:
    found = []
    for query in asked:
        mine, theirs = compare(query, ours, peer, console) if peer else (ours.paths(query), [])
        for clients in CLIENTS:
            loads = []
            for side, paths in ((ours, mine), (peer, theirs)):
                if side is None:
                    continue
                drive(side.port, paths, side.cpu_seconds, clients=clients, seconds=1, folder=folder)
                loads.append(drive(side.port, paths, side.cpu_seconds, clients=clients, seconds=seconds, folder=folder))
            found.append(Compared(query, clients, loads[0], loads[1] if peer else None))
        console.print(f"{query.name}: done")
    return found


def table(title: str, rows: Sequence[Compared], floors: dict[str, float]) -> Table:
    """`n`: clients; times in ms; `CPU`: ms of a request, or s of a thousand; `×`: the ratio of both, and the goal."""
    shown = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("", no_wrap=True)
    names = ("n", "kB", "req/s", "p50", "p95", "CPU", "peer req/s", "p50", "p95", "CPU", "× (goal)", "floor")
    for name in names:
        shown.add_column(name, justify="right", no_wrap=name != "peer req/s")
    for row in rows:
        ours, peer = row.ours, row.peer
        theirs = ("", "", "", "", "")
        if peer is not None:
            goal = f" ({row.query.goal:g})" if row.query.goal else ""
            ratio = f"{peer.cpu_ms / ours.cpu_ms:.1f}{goal}"
            theirs = (f"{peer.rate:.1f}", f"{peer.p50_ms:.1f}", f"{peer.p95_ms:.1f}", f"{peer.cpu_ms:.2f}", ratio)
        floor = floors.get(row.query.name)
        shown.add_row(
            row.query.name,
            str(row.clients),
            f"{ours.bytes / ours.requests / 1000:.0f}",
            f"{ours.rate:.1f}",
            f"{ours.p50_ms:.1f}",
            f"{ours.p95_ms:.1f}",
            f"{ours.cpu_ms:.2f}",
            *theirs,
            "" if floor is None else f"{floor:.2f} ({floor / ours.cpu_ms:.0%})",
        )
    return shown


async def floors(
    dsn: str, asked: Sequence[Query], ours: Side, server_cpu: Callable[[], float], folder: Path
) -> dict[str, float]:
    """CPU milliseconds of a request whose answer is known: of each query's first answer, by eight clients."""
    answers = []
    async with connected(dsn) as connection:
        for query in asked:
            found = _ids(ours.get(ours.paths(replace(query, paths=query.paths[:1]))[0]))
            names = [name + suffix for name in found for suffix in _SUFFIXES]
            answers.append([str(row["id"]) for row in await connection.fetch(_IDS, names)])
    taken = {}
    with ours_serving.serving_floor(dsn, folder, PROCESSES, answers) as api:
        for number, query in enumerate(asked):
            load = drive(
                api.port,
                [f"/{number}"],
                lambda: api.cpu_seconds() + server_cpu(),
                clients=CLIENTS[-1],
                seconds=2,
                folder=folder,
            )
            taken[query.name] = load.cpu_ms
    return taken


async def run(folder: Path, items: int, seconds: float, newer: bool, only: str, console: Console) -> None:
    types = load_types()
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(debian.running(folder / "ours", keep=True))
        theirs = stack.enter_context(debian.running(folder / "peer", keep=True))
        dsn = ours.dsn("postgres")
        await migrate(dsn, MIGRATED_PACKAGES)
        peer = await make_peer(theirs)
        await fill(dsn, peer, types, items, folder, console)
        await peer.index()
        await keep_current(dsn, types)
        count = await present(dsn)
        asked = [query for query in await queries(dsn, count) if only in query.name]
        counted = [query for query in counts() if only in query.name]
        serving = stack.enter_context(ours_serving.serving(dsn, folder / "api", PROCESSES))
        api = stack.enter_context(stac_peer.serving(peer, folder))
        mine = Side("refsys", serving.port, _STAC, lambda: serving.cpu_seconds() + ours.cpu_seconds())
        other = Side("stac-fastapi-pgstac", api.port, "", lambda: cpu_seconds([api.pid]) + theirs.cpu_seconds())
        console.print(f"{count:,} products on both sides")
        found = await asyncio.to_thread(measure, asked, mine, other, seconds, folder, console)
        least = await floors(dsn, asked, mine, ours.cpu_seconds, folder)
        console.print(table(f"refsys and {other.name}, PostgreSQL 15, {count:,} products", found, least))
        odata = replace(mine, root=_ODATA)
        told = await asyncio.to_thread(measure, counted, odata, None, seconds, folder, console)
        console.print(table("counts: goals are 10 ms of all, else 100 ms or an estimate that is labelled", told, {}))
        if newer:
            await _on_newer(dsn, folder, asked, seconds, console)


async def _on_newer(dsn: str, folder: Path, asked: Sequence[Query], seconds: float, console: Console) -> None:
    """The same on the embedded PostgreSQL."""
    embedded = EmbeddedPostgres(folder / "newer", options=debian.SETTINGS)
    await asyncio.to_thread(embedded.start)
    try:
        assert embedded.process is not None
        pid = embedded.process.pid
        await migrate(embedded.dsn, MIGRATED_PACKAGES)
        if not await present(embedded.dsn):
            await copy_over(dsn, embedded.dsn, folder)
        with ours_serving.serving(embedded.dsn, folder / "newer-api", PROCESSES) as serving:
            side = Side("refsys", serving.port, _STAC, lambda: serving.cpu_seconds() + cpu_seconds([pid]))
            found = await asyncio.to_thread(measure, asked, side, None, seconds, folder, console)
        console.print(table("refsys on the embedded PostgreSQL 18", found, {}))
    finally:
        await asyncio.to_thread(embedded.stop)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument(
        "--items", type=int, default=1_000_000, help="products on each side, in whole tens of thousands"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--folder", type=Path, help="keep the databases here, and use them again; default: nowhere")
    parser.add_argument("--only", default="", metavar="TEXT", help="queries whose names have this in them")
    parser.add_argument("--newer", action="store_true", help="refsys once more, on the embedded PostgreSQL 18")
    arguments = parser.parse_args()
    configure_logs(level="error")
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="refsys-search-")))
        folder.mkdir(parents=True, exist_ok=True)
        # PostgreSQL may run as another user, who has to get to its folder
        folder.chmod(0o711)
        if not (folder / "ours").exists() and shutil.disk_usage(folder).free < arguments.items * BYTES:
            sys.exit(f"{folder} needs {arguments.items * BYTES / 1e9:.0f} GB")
        asyncio.run(
            run(folder.absolute(), arguments.items, arguments.seconds, arguments.newer, arguments.only, wide_console())
        )


if __name__ == "__main__":
    main()
