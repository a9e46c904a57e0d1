"""The catalogue against pgstac: items of real size into Debian's PostgreSQL, one by one and in bulk; and extraction.

Both sides have a server of their own with the same settings, durable; the same once more with refsys on the embedded
PostgreSQL 18. Rounds are interleaved, figures are medians, CPU time is told beside the clock's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import debian, extraction, stac_peer
from benchmarks.entering import Ours, commit_ms, make_ours
from benchmarks.items import COLLECTION, make_items
from benchmarks.measures import Run, median_of, wide_console
from benchmarks.processes import cpu_seconds
from benchmarks.stac_peer import Api, make_peer
from refsys.infra.logs import configure_logs
from refsys.missions import load_types
from refsys.runtime.embedded import EmbeddedPostgres

ONE_BY_ONE_GOAL: Final = 3.0
RAW_COPY_GOAL: Final = 0.3
CLIENTS: Final = (1, 4)
#: Items that both sides have before anything is measured.
WARM_UP: Final = 500

_NOTES: Final = """\
One by one: refsys runs the catalogue's real commands (arrive, describe, set_packaged, publish with all its documents,
and the item's text as one more) in four durable transactions a product, with the reads of the stages and the steps that
they make due. The claiming of steps, the bytes themselves and extraction are not in it. `finished`: bulk.enter of one
product and its item's text in one durable transaction, without HTTP. The peer gets the finished item over HTTP and
keeps it in one transaction, by {workers} processes of uvicorn; `create_item` is its SQL function alone.
In bulk: refsys from the items' JSON, as pypgstac; `from entries` leaves the parsing out, as COPY does. COPY gets the
rows that refsys made, in binary and in one transaction, into copies of the tables without foreign keys.
"""


class Rounds:
    """What was measured so far, by side."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Run]] = {}

    def add(self, side: str, run: Run) -> None:
        self._runs.setdefault(side, []).append(run)

    def median(self, side: str) -> Run:
        return median_of(self._runs[side])

    def table(self, title: str, compared: dict[str, tuple[str, float | None]]) -> Table:
        """`compared` names for each side whom it is compared with, and the least ratio that is wanted.

        Ratios above 1 are in favour of the row's side: more products a second, less CPU time for each.
        """
        table = Table(title=title)
        for column in ("", "products/s", "client CPU ms", "server CPU ms", "speed", "CPU"):
            table.add_column(column, justify="right")
        for side in self._runs:
            run = self.median(side)
            ratios = ["", ""]
            if side in compared:
                name, goal = compared[side]
                other = self.median(name)
                wanted = "" if goal is None else f" (goal at least {goal:g})"
                speed, cpu = other.seconds / run.seconds, other.cpu_s / run.cpu_s
                ratios = [f"{speed:.2f} × {name}{wanted}", f"{cpu:.2f} ×"]
            used = (f"{1000 * run.client_cpu_s:.2f}", f"{1000 * run.server_cpu_s:.2f}")
            table.add_row(side, f"{1 / run.seconds:.1f}", *used, *ratios)
        return table


async def measure(folder: Path, items: int, rounds: int, console: Console) -> None:
    types = load_types()
    each = items // 10
    count = WARM_UP + rounds * (2 * items + (2 * len(CLIENTS) + 1) * each)
    console.print(f"making {count} items …")
    texts = list(make_items(count))
    shelf = Shelf(texts)
    console.print(f"items: median {statistics.median(map(len, texts)) / 1000:.1f} kB of JSON")
    singles = {clients: Rounds() for clients in CLIENTS}
    in_bulk = Rounds()
    with contextlib.ExitStack() as stack:
        ours_server = stack.enter_context(debian.running(folder / "ours"))
        peer_server = stack.enter_context(debian.running(folder / "peer"))
        embedded = EmbeddedPostgres(folder / "embedded", options=debian.SETTINGS)
        await asyncio.to_thread(embedded.start)
        stack.callback(embedded.stop)
        assert embedded.process is not None
        pid = embedded.process.pid
        newer = await make_ours(embedded.dsn, lambda: cpu_seconds([pid]), types)
        ours = await make_ours(ours_server.dsn("postgres"), ours_server.cpu_seconds, types)
        await ours.prepare_raw()
        peer = await make_peer(peer_server)
        await peer.add_collections([COLLECTION])
        console.print(
            f"a durable commit of one row takes {await commit_ms(ours.dsn):.1f} ms here, "
            f"on the peer's server {await commit_ms(peer.dsn):.1f} ms"
        )
        warm_up = shelf.take(WARM_UP)
        await asyncio.to_thread(peer.load, warm_up, folder)
        for side in (ours, newer):
            await side.in_bulk(warm_up)
        with stac_peer.serving(peer, folder) as api:
            for number in range(rounds):
                await _singles(singles, ours, newer, api, shelf, each)
                await _bulk(in_bulk, ours, newer, api, shelf, items, folder)
                console.print(f"round {number + 1} of {rounds} is done")
            assert await peer.count() == WARM_UP + rounds * (items + 3 * each)
        kept, whole = await peer.sizes()
        console.print(
            f"on disk, all tables and indexes: refsys {await ours.sizes() / 1000:.1f} kB a product, "
            f"pgstac {whole / 1000:.1f} kB an item (median item {kept / 1000:.1f} kB)"
        )
    for clients, figures in singles.items():
        api_name = "stac-fastapi-pgstac"
        goals: dict[str, tuple[str, float | None]] = {
            "refsys": (api_name, ONE_BY_ONE_GOAL),
            "refsys, PostgreSQL 18": (api_name, None),
            "refsys, finished": (api_name, ONE_BY_ONE_GOAL),
        }
        if clients == 1:
            goals["create_item"] = ("refsys", None)
        console.print(figures.table(f"one by one, {clients} client{'s' * (clients > 1)}", goals))
    console.print(
        in_bulk.table(
            f"in bulk, {items} items a round",
            {
                "refsys": ("pypgstac load", None),
                "refsys, PostgreSQL 18": ("pypgstac load", None),
                "refsys, from entries": ("COPY", RAW_COPY_GOAL),
                "COPY without indexes": ("COPY", None),
            },
        )
    )
    share = in_bulk.median("COPY").seconds / in_bulk.median("refsys").seconds
    console.print(f"in bulk from JSON, refsys has {share:.2f} of COPY")
    console.print(_NOTES.format(workers=stac_peer.WORKERS))
    console.print(await asyncio.to_thread(extraction.measure, folder, types, max(rounds, 3)))


class Shelf:
    """Items that nobody has had yet, in no order of time; the first and the last of all are taken first.

    The peer sets limits of dates on its tables, which it widens at a cost, and not soundly where several clients do it
    at once. They are as wide as they will be once the warm-up is loaded.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        first, *between, last = texts
        random.Random(0).shuffle(between)
        self._texts = [first, last, *between]
        self._next = 0

    def take(self, count: int) -> Sequence[bytes]:
        self._next += count
        assert self._next <= len(self._texts)
        return self._texts[self._next - count : self._next]


async def _singles(singles: dict[int, Rounds], ours: Ours, newer: Ours, api: Api, shelf: Shelf, each: int) -> None:
    for clients, figures in singles.items():
        texts = shelf.take(each)
        figures.add("stac-fastapi-pgstac", await asyncio.to_thread(api.post, texts, clients))
        figures.add("refsys", await ours.published(texts, clients))
        figures.add("refsys, PostgreSQL 18", await newer.published(texts, clients))
        texts = shelf.take(each)
        figures.add("refsys, finished", await ours.entered(texts, clients))
    texts = shelf.take(each)
    singles[1].add("create_item", await api.peer.create_items(texts))


async def _bulk(figures: Rounds, ours: Ours, newer: Ours, api: Api, shelf: Shelf, items: int, folder: Path) -> None:
    texts = shelf.take(items)
    figures.add("pypgstac load", await asyncio.to_thread(api.peer.load, texts, folder))
    figures.add("refsys", await ours.in_bulk(texts))
    figures.add("refsys, PostgreSQL 18", await newer.in_bulk(texts))
    before, texts = await ours.last_content(), shelf.take(items)
    figures.add("refsys, from entries", await ours.entries_in_bulk(texts))
    await ours.dump(before, folder)
    figures.add("COPY", await ours.copy_raw(items, "raw", folder))
    figures.add("COPY without indexes", await ours.copy_raw(items, "bare", folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("--items", type=int, default=3000, help="in bulk; one by one a tenth of it")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="refsys-benchmark-") as name:
        folder = Path(name)
        # PostgreSQL may run as another user, who has to get to its folder
        folder.chmod(0o711)
        asyncio.run(measure(folder, arguments.items, arguments.rounds, wide_console()))


if __name__ == "__main__":
    main()
