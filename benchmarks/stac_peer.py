"""The peer: pgstac in a database of its own, its loader, and its HTTP interface stac-fastapi-pgstac."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from benchmarks.debian import Server
from benchmarks.items import COLLECTION
from benchmarks.measures import Run
from benchmarks.processes import cpu_seconds

DATABASE: Final = "pgstac"
#: Processes of the HTTP interface.
WORKERS: Final = 2
_BIN: Final = Path(sys.prefix) / "catalogue-peers/bin"
_START_S: Final = 60.0
_COLLECTION: Final[dict[str, Any]] = {
    "type": "Collection",
    "stac_version": "1.1.0",
    "description": "items of the benchmark",
    "license": "other",
    "links": [],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["2014-01-01T00:00:00Z", None]]}},
}
_CREATE_COLLECTION: Final = "SELECT pgstac.create_collection($1::text::jsonb)"
#: Properties that are asked for get an index of their own, as pgstac's documentation advises.
_INDEXED: Final = {
    "sat:absolute_orbit": ("to_int", {"type": "integer"}),
    "eo:cloud_cover": ("to_float", {"type": "number"}),
}
_INDEX: Final = "SELECT pgstac.upsert_queryable($1, $2::text::jsonb, $3, 'BTREE')"
_CREATE_ITEM: Final = "SELECT * FROM create_item($1::text::jsonb)"


@dataclass(frozen=True, slots=True)
class Peer:
    """pgstac, ready for items of one collection."""

    server: Server

    @property
    def dsn(self) -> str:
        return self.server.dsn(DATABASE)

    async def count(self) -> int:
        connection = await asyncpg.connect(self.dsn)
        try:
            found: int = await connection.fetchval("SELECT count(*) FROM pgstac.items")
            return found
        finally:
            await connection.close()

    async def add_collections(self, names: Collection[str]) -> None:
        """Make those that are not there; their items are kept whole (there is no `item_assets` to take out of them)."""
        connection = await asyncpg.connect(self.dsn)
        try:
            known = {row["id"] for row in await connection.fetch("SELECT id FROM pgstac.collections")}
            for name in sorted(set(names) - known):
                await connection.execute(_CREATE_COLLECTION, orjson.dumps(_COLLECTION | {"id": name}).decode())
        finally:
            await connection.close()

    async def index(self) -> None:
        """Index the properties that are asked for, and let the planner know what is there."""
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "pgstac,public"})
        try:
            for name, (wrapper, definition) in _INDEXED.items():
                await connection.execute(_INDEX, name, orjson.dumps(definition).decode(), wrapper)
            await connection.execute("SELECT maintain_partitions()")
            await connection.execute("VACUUM ANALYZE")
        finally:
            await connection.close()

    async def sizes(self) -> tuple[int, int]:
        """Median of bytes that the kept items take, and of the database for each of them."""
        connection = await asyncpg.connect(self.dsn)
        try:
            row = await connection.fetchrow(
                "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY pg_column_size(content)), "
                "pg_database_size(current_database()) / count(*) FROM pgstac.items"
            )
            return row[0], row[1]
        finally:
            await connection.close()

    def load(self, texts: Sequence[bytes], folder: Path) -> Run:
        """`pypgstac load items` of a file of these, in one process."""
        path = folder / "items.ndjson"
        path.write_bytes(b"\n".join(texts) + b"\n")
        before = self.server.cpu_seconds()
        script = Path(__file__).with_name("pgstac_load.py")
        done = subprocess.run([_BIN / "python", script, self.dsn, path], check=True, capture_output=True, text=True)
        told = json.loads(done.stdout.splitlines()[-1])
        path.unlink()
        return Run(len(texts), told["seconds"], told["cpu_seconds"], self.server.cpu_seconds() - before)

    async def create_items(self, texts: Sequence[bytes]) -> Run:
        """Its function `create_item` called directly, one item a transaction, without its HTTP interface."""
        connection = await asyncpg.connect(self.dsn, server_settings={"search_path": "pgstac,public"})
        try:
            before, started, cpu = self.server.cpu_seconds(), time.perf_counter(), time.process_time()
            for text in texts:
                await connection.fetchval(_CREATE_ITEM, text.decode())
            seconds, used = time.perf_counter() - started, time.process_time() - cpu
        finally:
            await connection.close()
        return Run(len(texts), seconds, used, self.server.cpu_seconds() - before)


async def make_peer(server: Server) -> Peer:
    """A database with pgstac; that of the server, if it has one."""
    if not (_BIN / "pypgstac").is_file():
        sys.exit("pgstac, the peer of this benchmark, is not here: run `make bench-catalogue`")
    peer = Peer(server)
    connection = await asyncpg.connect(server.dsn("postgres"))
    try:
        if await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            return peer
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()
    connection = await asyncpg.connect(peer.dsn)
    try:
        await connection.execute("CREATE EXTENSION postgis")
        migrate = [_BIN / "pypgstac", "migrate", "--dsn", peer.dsn]
        await asyncio.to_thread(subprocess.run, migrate, check=True, capture_output=True)
    finally:
        await connection.close()
    return peer


@dataclass(frozen=True, slots=True)
class Api:
    """stac-fastapi-pgstac on a port of the loopback."""

    peer: Peer
    port: int
    pid: int
    log: Path

    def post(self, texts: Sequence[bytes], clients: int) -> Run:
        """POST each item, by so many clients at once, each on a connection that stays open."""
        failures: list[str] = []
        threads = [
            threading.Thread(target=self._post, args=(texts[number::clients], failures)) for number in range(clients)
        ]
        server, api = self.peer.server.cpu_seconds(), cpu_seconds([self.pid])
        started, cpu = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, used = time.perf_counter() - started, time.process_time() - cpu
        if failures:
            told = self.log.read_text()[-3000:]
            sys.exit(f"stac-fastapi-pgstac refused {len(failures)} items, the first with {failures[0]}:\n{told}")
        used += cpu_seconds([self.pid]) - api
        return Run(len(texts), seconds, used, self.peer.server.cpu_seconds() - server)

    def _post(self, texts: Sequence[bytes], failures: list[str]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for text in texts:
            connection.request("POST", f"/collections/{COLLECTION}/items", text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
            if response.status != 201:
                failures.append(f"{response.status} {body[:500]!r}")
        connection.close()


@contextlib.contextmanager
def serving(peer: Peer, folder: Path) -> Iterator[Api]:
    """The HTTP interface with WORKERS processes, for the time of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PGUSER": "postgres",
        "PGPASSWORD": "trusted",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(peer.server.port),
        "PGDATABASE": DATABASE,
        "ENABLE_TRANSACTIONS_EXTENSIONS": "TRUE",
    }
    words = ["stac_fastapi.pgstac.app:create_app", "--factory", "--port", str(port), "--workers", str(WORKERS)]
    with (folder / "api.log").open("ab") as log:
        process = subprocess.Popen(
            [_BIN / "uvicorn", *words, "--log-level", "warning"], env=environment, cwd=folder, stdout=log, stderr=log
        )
    try:
        _await(port, process, folder / "api.log")
        yield Api(peer, port, process.pid, folder / "api.log")
    finally:
        process.terminate()
        process.wait(30)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/_mgmt/ping")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    sys.exit(f"stac-fastapi-pgstac does not start:\n{log.read_text()[-2000:]}")
