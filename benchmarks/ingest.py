"""What stations offer, into storage, against curl and rclone; bytes from nginx behind a thin OData front.

(a) a CADIP session in blocks: to local storage against `curl --parallel` into a folder, fsync of each file, then
    `md5sum` as parallel; to an S3 gateway against `rclone copy` of the same files and `md5sum` of them;
(b) many auxiliaries of 20 kB against `curl --parallel`;
(c) a look at a station that lists 100,000 products of which 10 are new.

Both sides get the same number of connections, in one run, in turns. Ours does more: it asks for the listing, remembers
every file, takes MD5, BLAKE3 and CRC-32, and makes the catalogue know each file. What follows in the pipeline is left
out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
from rich.table import Table
from tests import s3_gateway

from benchmarks import front, nginx
from benchmarks.measures import wide_console
from benchmarks.processes import cpu_seconds
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import migrate
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.wiring import MIGRATED_PACKAGES

#: The least share of the peer's speed that is wanted, of (a) and (b); CPU seconds of (c); memory of all.
GOALS: Final = {"local": 0.8, "S3": 0.8, "small": 0.3}
LOOK_GOAL_S: Final = 2.0
MEMORY_GOAL_MB: Final = 300
_SMALL_BYTES: Final = 20_000
_RCLONE: Final = Path(sys.prefix) / "rclone/bin/rclone"


@dataclass(frozen=True, slots=True)
class Run:
    """`cpu_s` of the side itself; `server_cpu_s` of nginx, and on our side of PostgreSQL; of the S3 gateway on both."""

    seconds: float
    cpu_s: float
    server_cpu_s: float
    peak_mb: float = 0.0


@dataclass(slots=True)
class Sides:
    """What both sides took in each round."""

    peer: list[Run] = field(default_factory=list)
    ours: list[Run] = field(default_factory=list)


class Bench:
    """Where everything is, and how many connections each side gets."""

    def __init__(self, folder: Path, parallel: int, rounds: int) -> None:
        self.folder = folder
        self.parallel = parallel
        self.rounds = rounds
        self.console = wide_console()
        self.server = EmbeddedPostgres(folder / "postgres")
        self._numbers = 0

    def database(self) -> str:
        """The address of a fresh, migrated database."""
        self._numbers += 1
        name = f"bench_{self._numbers}"
        asyncio.run(_create(self.server.dsn, name))
        return self.server.dsn.replace("@/refsys?", f"@/{name}?")

    def ours(self, peer: nginx.Nginx, kind: str, count: int, servers: Sequence[int], *more: str) -> Run:
        """Our side, in a process of its own."""
        state = Path(tempfile.mkdtemp(dir=self.folder, prefix="state-"))
        words = [
            sys.executable, "-m", "benchmarks.ingesting", "--dsn", self.database(), "--url", peer.url + front.ROOT,
            "--type", kind, "--count", str(count), "--parallel", str(self.parallel), "--state", str(state), *more,
        ]  # fmt: skip
        before = cpu_seconds([peer.pid, self._postgres(), *servers])
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
        server_cpu_s = cpu_seconds([peer.pid, self._postgres(), *servers]) - before
        told = json.loads(done.stdout)
        shutil.rmtree(state)
        return Run(told["seconds"], told["cpu_seconds"], server_cpu_s, told["peak_mb"])

    def peer(self, peer: nginx.Nginx, servers: Sequence[int], *commands: Sequence[Any], then: Any = None) -> Run:
        """The other side: programs, one after the other; `then` is called after the first."""
        before, server_before = _children(), cpu_seconds([peer.pid, *servers])
        started = time.perf_counter()
        for number, words in enumerate(commands):
            subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
            if number == 0 and then is not None:
                then()
        seconds = time.perf_counter() - started
        return Run(seconds, _children() - before, cpu_seconds([peer.pid, *servers]) - server_before)

    def _postgres(self) -> int:
        return int((self.folder / "postgres/data/postmaster.pid").read_text().split()[0])


def measure_session(bench: Bench, blocks: int, size_bytes: int, *, s3: bool) -> None:
    """(a): both ways."""
    files = front.session(bench.folder / "session", blocks, size_bytes)
    gigabytes = blocks * size_bytes / 1e9
    title = f"{blocks} blocks of {size_bytes / 1e6:g} MB, {bench.parallel} connections"
    with nginx.serving(files.www, bench.folder / "nginx", more=front.LOCATIONS) as peer:
        local = Sides()
        for number in range(bench.rounds):
            target = bench.folder / "curl"
            local.peer.append(_curl(bench, peer, files, target, with_sums=True))
            shutil.rmtree(target)
            _settle()
            local.ours.append(bench.ours(peer, "cadip", blocks, []))
            _settle()
            _tell(bench, "local", number, local)
        _show(bench, f"{title}, to local storage", "curl, fsync, md5sum", local, "local", gigabytes, "GB")
        if s3:
            _to_s3(bench, peer, files, blocks, gigabytes, title)
    shutil.rmtree(files.www)


def _to_s3(bench: Bench, peer: nginx.Nginx, files: front.Front, blocks: int, gigabytes: float, title: str) -> None:
    sides = Sides()
    for number in range(bench.rounds):
        for side in ("peer", "ours"):
            # a gateway of its own each time: an emptied one is another one
            with s3_gateway.run(Path(tempfile.mkdtemp(dir=bench.folder, prefix="s3-"))) as gateway:
                bucket, pid = gateway.new_bucket(), gateway.pid
                if side == "peer":
                    sides.peer.append(_rclone(bench, peer, files, gateway, bucket, pid))
                else:
                    access = gateway.settings.model_dump() | {"secret_access_key": s3_gateway.SECRET_KEY}
                    more = ("--storage", f"s3://{bucket}", "--s3", json.dumps(access))
                    sides.ours.append(bench.ours(peer, "cadip", blocks, [pid], *more))
            for used in bench.folder.glob("s3-*"):
                shutil.rmtree(used, ignore_errors=True)
            _settle()
        _tell(bench, "S3", number, sides)
    _show(bench, f"{title}, to an S3 gateway", "rclone, md5sum", sides, "S3", gigabytes, "GB")


def measure_small(bench: Bench, count: int) -> None:
    """(b)."""
    files = front.auxiliaries(bench.folder / "small", count, _SMALL_BYTES)
    sides = Sides()
    with nginx.serving(files.www, bench.folder / "nginx", more=front.LOCATIONS) as peer:
        for number in range(bench.rounds):
            target = bench.folder / "curl"
            sides.peer.append(_curl(bench, peer, files, target, with_sums=False))
            shutil.rmtree(target)
            _settle()
            sides.ours.append(bench.ours(peer, "prip", count, []))
            _settle()
            _tell(bench, "small", number, sides)
    title = f"{count} auxiliaries of {_SMALL_BYTES // 1000} kB, {bench.parallel} connections"
    _show(bench, title, "curl", sides, "small", count / 1000, "1000 files")
    shutil.rmtree(files.www)


def _curl(bench: Bench, peer: nginx.Nginx, files: front.Front, target: Path, *, with_sums: bool) -> Run:
    target.mkdir()
    config = bench.folder / "curl.conf"
    lines = [
        f'url = "{peer.url}{files.path(identity)}"\noutput = "{target / name}"\n'
        for identity, name in files.names.items()
    ]
    config.write_text("".join(lines))
    curl = [
        "curl",
        "--silent",
        "--no-progress-meter",
        "--fail",
        "--parallel",
        "--parallel-max",
        bench.parallel,
        "--config",
        config,
    ]
    sums = ["sh", "-c", f"cd {target} && ls | xargs -P {bench.parallel} -n 1 md5sum"]
    if not with_sums:
        return bench.peer(peer, [], curl)
    return bench.peer(peer, [], curl, sums, then=lambda: _fsync(target))


def _rclone(
    bench: Bench, peer: nginx.Nginx, files: front.Front, gateway: s3_gateway.Gateway, bucket: str, pid: int
) -> Run:
    names = bench.folder / "names"
    names.write_text("\n".join(files.names))
    copy = [
        _RCLONE, "copy", "--config", "/dev/null", "--no-traverse", "--files-from", names, "--transfers", bench.parallel,
        "--http-url", f"{peer.url}/bytes/", ":http:", "--s3-provider", "SeaweedFS", "--s3-endpoint", gateway.endpoint,
        "--s3-access-key-id", s3_gateway.ACCESS_KEY, "--s3-secret-access-key", s3_gateway.SECRET_KEY,
        "--s3-chunk-size", "8M", "--s3-no-check-bucket", f":s3:{bucket}",
    ]  # fmt: skip
    sums = ["sh", "-c", f"cd {files.www / 'bytes'} && ls | xargs -P {bench.parallel} -n 1 md5sum"]
    return bench.peer(peer, [pid], copy, sums)


def measure_look(bench: Bench, listed: int, new: int) -> None:
    """(c): everything but the newest is known."""
    www = bench.folder / "look"
    www.mkdir()
    front.listing(www, range(listed - new))
    with nginx.serving(www, bench.folder / "nginx", more=front.LOCATIONS) as peer:
        words = [sys.executable, "-m", "benchmarks.looking", bench.database(), peer.url + front.ROOT]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        front.listing(www, range(listed))
        process.stdin.write("again\n")
        process.stdin.flush()
        second = json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait()
    assert (first["new"], second["new"]) == (listed - new, new)
    bench.console.print(
        f"a look at {listed} listed products, {new} of them new: {second['cpu_seconds']:.2f} CPU s of ours "
        f"(goal under {LOOK_GOAL_S:g}), {second['seconds']:.2f} s, peak memory {second['peak_mb']:.0f} MB "
        f"(the first look, all of them new: {first['cpu_seconds']:.2f} CPU s)"
    )
    shutil.rmtree(www)


async def _create(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    here = dsn.replace("@/refsys?", f"@/{name}?")
    await migrate(here, MIGRATED_PACKAGES)
    connection = await asyncpg.connect(here)
    # nobody would run what follows, and fetching waits where too much of it waits
    await connection.execute("DELETE FROM work.subscription")
    await connection.close()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fsync(folder: Path) -> None:
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _settle() -> None:
    """What one side left to be written is not the other's."""
    os.sync()


def _tell(bench: Bench, what: str, number: int, sides: Sides) -> None:
    bench.console.print(
        f"{what}, round {number + 1}: peer {sides.peer[-1].seconds:.2f} s, refsys {sides.ours[-1].seconds:.2f} s"
    )


def _show(bench: Bench, title: str, peer: str, sides: Sides, goal: str, amount: float, unit: str) -> None:
    table = Table(title=f"{title}; medians of {len(sides.ours)} rounds")
    for column in (
        "",
        "seconds",
        f"CPU s / {unit}",
        f"servers' CPU s / {unit}",
        "peak MB",
        "share of the peer's speed",
    ):
        table.add_column(column, justify="right")
    seconds = [median(run.seconds for run in runs) for runs in (sides.peer, sides.ours)]
    share = f"{seconds[0] / seconds[1]:.2f} (goal {GOALS[goal]:g})"
    for name, runs, took, told in ((peer, sides.peer, seconds[0], "1"), ("refsys", sides.ours, seconds[1], share)):
        cpu, server = median(run.cpu_s for run in runs), median(run.server_cpu_s for run in runs)
        peak = max(run.peak_mb for run in runs)
        memory = f"{peak:.0f} (goal {MEMORY_GOAL_MB})" if peak else ""
        table.add_row(name, f"{took:.2f}", f"{cpu / amount:.2f}", f"{server / amount:.2f}", memory, told)
    bench.console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--only", choices=("session", "small", "look"), help="one part of it")
    parser.add_argument("--no-s3", action="store_true", help="leave the S3 gateway out")
    parser.add_argument("--blocks", type=int, default=40, help="of the session")
    parser.add_argument("--block-mb", type=int, default=150)
    parser.add_argument("--files", type=int, default=10_000, help="auxiliaries")
    parser.add_argument("--listed", type=int, default=100_000, help="products that the look finds")
    parser.add_argument("--parallel", type=int, default=8, help="connections of each side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work: the disk that is measured (default: temporary)")
    given = parser.parse_args()
    nginx.program()
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="refsys-bench-", dir=given.folder) as folder:
        bench = Bench(Path(folder), given.parallel, given.rounds)
        bench.server.start()
        try:
            if given.only in (None, "session"):
                measure_session(bench, given.blocks, given.block_mb * 1_000_000, s3=not given.no_s3)
            if given.only in (None, "small"):
                measure_small(bench, given.files)
            if given.only in (None, "look"):
                measure_look(bench, given.listed, 10)
        finally:
            bench.server.stop()


if __name__ == "__main__":
    main()
