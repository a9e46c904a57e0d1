"""One large product through `$value`, against nginx serving the same bytes as a file of the same disk.

Both sides have two processes and the bytes in the system's cache; the clients are the same program.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import httpx
from blake3 import blake3
from isal import isal_zlib
from rich.console import Console
from rich.table import Table

from benchmarks import nginx
from benchmarks.processes import cpu_seconds
from benchmarks.reader import read
from refsys.catalogue import commands, store
from refsys.core.products import Arrival, Description, FileEntry
from refsys.distribution import service
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import create_pool
from refsys.infra.settings import DownloadSettings, HttpSettings, Settings
from refsys.infra.storage import Storage, open_storage
from refsys.infra.work import Runner
from refsys.missions import TypeRegistry, load_types
from refsys.runtime.supervisor import Supervisor, running_system

NAME: Final = "S1A_IW_SLC__1SDV_20240901T050000_20240901T050025_055480_06C4A1_1A2B.SAFE"
START: Final = datetime(2024, 9, 1, 5, 0, 0, tzinfo=UTC)
PROCESSES: Final = 2
#: clients → the ratio that is wanted
GOALS: Final = {1: 0.5, 8: 0.7}
_PIECE: Final = 2**24


@dataclass(slots=True)
class Side:
    """One of the two servers: where it has the bytes, and what it has spent."""

    name: str
    url: str
    cpu_seconds: Callable[[], float]
    speeds: list[float] = field(default_factory=list)
    cpu_per_gb: list[float] = field(default_factory=list)

    async def measure(self, clients: int) -> None:
        before = self.cpu_seconds()
        reading = await read(self.url, clients)
        gigabytes = reading.size_bytes / 1e9
        self.speeds.append(gigabytes / reading.seconds)
        self.cpu_per_gb.append((self.cpu_seconds() - before) / gigabytes)


async def run(folder: Path, size_bytes: int, rounds: int) -> None:
    settings = Settings(
        state_dir=folder / "state", http=HttpSettings(processes=PROCESSES), download=DownloadSettings(per_user=0)
    )
    console = Console()
    async with running_system(settings, roles=("api",)) as system:
        product_id = await publish(system, open_storage(settings), load_types(), size_bytes, console)
        ours = f"{system.url}/odata/v1/Products({product_id})/$value"
        await asyncio.to_thread(copy, ours, folder / "www" / "package.zip")
        pids = [pid for name, pid in system.pids().items() if name.startswith("api")]
        with nginx.serving(folder / "www", folder / "nginx", workers=PROCESSES) as peer:
            table = Table(title=f"$value against nginx: {size_bytes / 2**30:g} GiB, medians of {rounds} rounds")
            for column in (
                "clients",
                "nginx GB/s",
                "refsys GB/s",
                "ratio",
                "goal",
                "nginx CPU s/GB",
                "refsys CPU s/GB",
            ):
                table.add_column(column, justify="right")
            for clients, goal in GOALS.items():
                sides = (
                    Side("nginx", f"{peer.url}/package.zip", peer.cpu_seconds),
                    Side("refsys", ours, lambda: cpu_seconds(pids)),
                )
                for _ in range(rounds):
                    for side in sides:
                        await side.measure(clients)
                theirs_gbs, ours_gbs = (statistics.median(side.speeds) for side in sides)
                costs = [f"{statistics.median(side.cpu_per_gb):.2f}" for side in sides]
                ratio = ours_gbs / theirs_gbs
                table.add_row(str(clients), f"{theirs_gbs:.2f}", f"{ours_gbs:.2f}", f"{ratio:.2f}", f"{goal:g}", *costs)
    console.print(table)


async def publish(system: Supervisor, storage: Storage, types: TypeRegistry, size_bytes: int, console: Console) -> UUID:
    """A product of one large file: written, described by hand, then packaged and published by the real steps."""
    entry = await asyncio.to_thread(write, storage, "attempts/benchmark", size_bytes)
    pool = await create_pool(system.dsn)
    async with pool.acquire() as connection, connection.transaction():
        arrival = Arrival(name=NAME, base="attempts/benchmark", files=(entry,), source="benchmark")
        content = await store.fetch_content(connection, await commands.arrive(connection, arrival, priority=50))
        assert content is not None
        described = await commands.describe(
            connection, content, types.recognise(NAME), Description(START, START, None, {}), priority=50
        )
    stop = asyncio.Event()
    runner = Runner(pool, system.dsn, service.stages(pool, storage, types), system.settings.work, "benchmark")
    started = time.perf_counter()
    running = asyncio.create_task(runner.run(stop))
    while not await is_published(pool, described.product_id):
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - started
    stop.set()
    await running
    await pool.close()
    md5_s = await asyncio.to_thread(time_md5, size_bytes)
    console.print(
        f"verified, packaged and published in {seconds:.2f} s; MD5 of as many bytes in memory alone: {md5_s:.2f} s"
    )
    return described.product_id


async def is_published(pool: asyncpg.Pool, product_id: UUID) -> bool:
    state = await pool.fetchval("SELECT state FROM catalogue.product WHERE id = $1", product_id)
    return bool(state == "published")


def write(storage: Storage, base: str, size_bytes: int) -> FileEntry:
    path = f"{NAME}/measurement/s1a-iw1-slc-vv.tiff"
    crc, digest = 0, blake3()
    with storage.batch() as batch, batch.create(f"{base}/{path}") as writer:
        for offset in range(0, size_bytes, _PIECE):
            data = os.urandom(min(_PIECE, size_bytes - offset))
            crc = isal_zlib.crc32(data, crc)
            digest.update(data)
            writer.write(data)
    return FileEntry(path, size_bytes, crc32=crc, blake3=digest.digest())


def copy(url: str, target: Path) -> None:
    """The package as nginx is to serve it."""
    target.parent.mkdir()
    with target.open("wb") as file, httpx.stream("GET", url, timeout=60) as response:
        response.raise_for_status()
        digest = hashlib.md5()
        for data in response.iter_bytes(_PIECE):
            digest.update(data)
            file.write(data)
        assert response.headers["etag"] == f'"{digest.hexdigest()}"'
        file.flush()
        os.fsync(file.fileno())


def time_md5(size_bytes: int) -> float:
    data, digest = bytes(_PIECE), hashlib.md5()
    started = time.perf_counter()
    for _ in range(0, size_bytes, _PIECE):
        digest.update(data)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.download", description=__doc__)
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the product")
    parser.add_argument("--rounds", type=int, default=5, help="rounds, each side in turn")
    parser.add_argument(
        "--folder", type=Path, help="where to work: the disk that is measured (default: a temporary folder)"
    )
    arguments = parser.parse_args()
    nginx.program()
    configure_logs(level="warning", process="benchmark")
    with tempfile.TemporaryDirectory(prefix="refsys-bench-", dir=arguments.folder) as folder:
        asyncio.run(run(Path(folder), arguments.size_mib * 2**20, arguments.rounds))


if __name__ == "__main__":
    main()
