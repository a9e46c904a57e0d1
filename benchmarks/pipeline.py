"""The whole pipeline against a bare loop: 1,000 products of 200 kB, their bytes from nginx, both sides in one run.

The products are Sentinel-1's, which refsys packages deflated; the bare loop only stores what it unpacked.
Throughput: products per second from the first listing to the last publication, with PostgreSQL, storage and everything
else as `refsys up` has it (fsync and all), against `benchmarks.bareloop` with as many processes and threads.
Latency: at half of that rate, from one stage's commit to the next stage's start.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
from rich.console import Console
from rich.table import Table

from benchmarks import nginx
from benchmarks.processes import cpu_seconds
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import connected
from refsys.infra.settings import InboxSettings, Settings, WorkSettings
from refsys.runtime.supervisor import Supervisor, running_system
from refsys.simulation.samples import make_many

PROCESSES: Final = 2
THREADS: Final = 8
SIZE_BYTES: Final = 200_000
#: Times that of the bare loop that are allowed.
GOAL: Final = 3.0
HOP_GOAL_MS: Final = 10.0
ROOT: Final = "/odata/v1"
_DEADLINE_S: Final = 600.0
_TICK_S: Final = 0.1

# the listing is a file, whatever is asked; its second page is empty
_LOCATIONS: Final = """
location = /odata/v1/Products {
    default_type application/json;
    if ($args ~ "skip=") { return 200 '{"value":[]}'; }
    rewrite ^ /listing.json break;
}
location ~ "^/odata/v1/Products\\((?<id>[0-9a-f-]+)\\)/.value$" { rewrite ^ /$id.zip break; }
"""
_HOPS: Final = """
SELECT stage, extract(epoch FROM started_at - created_at)::float8 * 1000 AS hop_ms FROM work.history
 WHERE stage IN ('catalogue.describe', 'distribution.package', 'distribution.publish')
"""
_WAYS: Final = """
SELECT extract(epoch FROM p.published_at - c.found_at)::float8 * 1000 AS way_ms
  FROM catalogue.product p JOIN catalogue.content c ON c.id = p.content_id
"""


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    cpu_seconds: float


class Offers:
    """Archives on disk, and the listing that nginx answers with."""

    def __init__(self, folder: Path, count: int) -> None:
        self.www = folder / "www"
        self.www.mkdir()
        self.entries = [self._pack(path) for path in make_many(folder / "products", count, size_bytes=SIZE_BYTES)]
        shutil.rmtree(folder / "products")
        self.list([])

    def list(self, entries: list[dict[str, Any]]) -> None:
        """Let the listing name these products."""
        new = self.www / "listing.new"
        new.write_text(json.dumps({"value": entries}))
        new.replace(self.www / "listing.json")

    def _pack(self, product: Path) -> dict[str, Any]:
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, product.name))
        archive = self.www / f"{identity}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
            for path in sorted(product.rglob("*")):
                if path.is_file():
                    packed.write(path, path.relative_to(product.parent))
        digest = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
        return {
            "Id": identity,
            "Name": f"{product.name}.zip",
            "ContentLength": archive.stat().st_size,
            "Checksum": [{"Algorithm": "MD5", "Value": digest}],
        }

    def dated(self, first: int, last: int, begin: datetime) -> list[dict[str, Any]]:
        """Entries with publication dates a millisecond apart."""
        return [
            {**entry, "PublicationDate": f"{begin + timedelta(milliseconds=first + index):%Y-%m-%dT%H:%M:%S.%fZ}"}
            for index, entry in enumerate(self.entries[first:last])
        ]


def run_bare(offers: Offers, peer: nginx.Nginx, folder: Path) -> Run:
    """The same products through as many processes and threads that do nothing else."""
    paths = [f"{ROOT}/Products({entry['Id']})/$value" for entry in offers.entries]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    running = []
    for number in range(PROCESSES):
        words = [sys.executable, "-m", "benchmarks.bareloop", str(peer.port), str(THREADS), str(folder)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write("\n".join(paths[number::PROCESSES]))
        process.stdin.close()
        running.append(process)
    for process in running:
        if process.wait() != 0:
            sys.exit("the bare loop failed")
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


async def run_system(offers: Offers, peer: nginx.Nginx, folder: Path) -> Run:
    """From the moment at which the station lists everything to the last publication."""
    offers.list([])
    async with running_system(_settings(peer, folder)) as system, connected(system.dsn) as connection:
        await _first_look(connection)
        before, started = _cpu(system), time.perf_counter()
        offers.list(offers.dated(0, len(offers.entries), datetime.now(UTC) - timedelta(hours=1)))
        await _published(connection, len(offers.entries))
        return Run(time.perf_counter() - started, _cpu(system) - before)


async def run_paced(
    offers: Offers, peer: nginx.Nginx, folder: Path, per_second: float
) -> tuple[list[float], list[float]]:
    """Products at an even pace; returns the hops between stages and the ways from found to published, in ms."""
    offers.list([])
    begin = datetime.now(UTC) - timedelta(hours=1)
    window = int(3 * per_second) + 1
    async with running_system(_settings(peer, folder)) as system, connected(system.dsn) as connection:
        await _first_look(connection)
        started = time.perf_counter()
        listed = 0
        while listed < len(offers.entries):
            listed = min(len(offers.entries), int((time.perf_counter() - started) * per_second))
            offers.list(offers.dated(max(0, listed - window), listed, begin))
            await asyncio.sleep(_TICK_S)
        await _published(connection, len(offers.entries))
        hops = [row["hop_ms"] for row in await connection.fetch(_HOPS)]
        return hops, [row["way_ms"] for row in await connection.fetch(_WAYS)]


def _settings(peer: nginx.Nginx, folder: Path) -> Settings:
    inbox = InboxSettings(
        id="benchmark", type="prip", url=peer.url + ROOT, poll_s=_TICK_S, concurrency=PROCESSES * THREADS
    )
    return Settings(state_dir=folder, inbox=(inbox,), work=WorkSettings(processes=PROCESSES, concurrency=THREADS))


def _cpu(system: Supervisor) -> float:
    return cpu_seconds([pid for name, pid in system.pids().items() if name != "supervisor"])


async def _first_look(connection: asyncpg.Connection) -> None:
    while not await connection.fetchval("SELECT count(*) FROM ingestion.inbox WHERE succeeded_at IS NOT NULL"):
        await asyncio.sleep(0.02)


async def _published(connection: asyncpg.Connection, count: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while await connection.fetchval("SELECT count(*) FROM catalogue.change") < count:
        if time.monotonic() > deadline:
            sys.exit(f"not everything was published after {_DEADLINE_S:.0f} s")
        await asyncio.sleep(0.02)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def measure(folder: Path, count: int, rounds: int, console: Console) -> None:
    console.print(f"making {count} products of {SIZE_BYTES // 1000} kB …")
    offers = await asyncio.to_thread(Offers, folder, count)
    bare: list[Run] = []
    ours: list[Run] = []
    with nginx.serving(offers.www, folder / "nginx", more=_LOCATIONS) as peer:
        for number in range(rounds):
            bare.append(await asyncio.to_thread(run_bare, offers, peer, folder / f"bare-{number}"))
            await asyncio.to_thread(os.sync)
            ours.append(await run_system(offers, peer, folder / f"state-{number}"))
            await asyncio.to_thread(shutil.rmtree, folder / f"bare-{number}")
            await asyncio.to_thread(os.sync)
            console.print(f"round {number + 1}: bare loop {bare[-1].seconds:.2f} s, refsys {ours[-1].seconds:.2f} s")
        rate = count / statistics.median(run.seconds for run in ours)
        hops, ways = await run_paced(offers, peer, folder / "paced", rate / 2)
    console.print(_throughput_table(count, bare, ours))
    console.print(
        f"latency at {rate / 2:.0f} products/s: from one stage's commit to the next stage's start "
        f"p50 {_percentile(hops, 0.5):.1f} ms (goal under {HOP_GOAL_MS:g}), p99 {_percentile(hops, 0.99):.1f} ms; "
        f"from found to published p50 {_percentile(ways, 0.5):.0f} ms, p99 {_percentile(ways, 0.99):.0f} ms"
    )


def _throughput_table(count: int, bare: list[Run], ours: list[Run]) -> Table:
    table = Table(
        title=f"{count} products, {PROCESSES} processes of {THREADS} threads each, medians of {len(ours)} rounds"
    )
    for column in ("", "seconds", "products/s", "CPU seconds", "CPU ms a product", "times the bare loop"):
        table.add_column(column, justify="right")
    seconds = [statistics.median(run.seconds for run in runs) for runs in (bare, ours)]
    for name, runs, took in (("bare loop", bare, seconds[0]), ("refsys", ours, seconds[1])):
        cpu = statistics.median(run.cpu_seconds for run in runs)
        ratio = f"{took / seconds[0]:.2f} (goal at most {GOAL:g})" if runs is ours else "1"
        table.add_row(name, f"{took:.2f}", f"{count / took:.1f}", f"{cpu:.1f}", f"{1000 * cpu / count:.1f}", ratio)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="refsys-benchmark-") as folder:
        asyncio.run(measure(Path(folder), arguments.products, arguments.rounds, Console()))


if __name__ == "__main__":
    main()
