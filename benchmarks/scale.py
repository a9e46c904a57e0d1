"""The catalogue at ten million products: inserts, the change feed, and the queries for inputs, there and at a tenth.

Rows are plausible products without bytes, as dense in time and orbits at every size; one in a hundred has a file table
and documents, whose place on disk is extrapolated to all. The server is the embedded PostgreSQL, durable.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg
from rich.console import Console
from rich.table import Table
from tests.catalogue_rows import Row, plausible_rows

from benchmarks.debian import SETTINGS
from benchmarks.entering import publish_one
from benchmarks.measures import wide_console
from refsys.catalogue import bulk, feed, neighbours, selection, store
from refsys.catalogue.bulk import Entry, StoredPackage
from refsys.core.products import Description, FileEntry
from refsys.distribution.rendering import store_documents
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import connected, migrate
from refsys.missions import TypeRegistry, load_types
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.wiring import MIGRATED_PACKAGES

#: How much slower anything may be at full size than at the first.
GROWTH: Final = 1.5
#: One in so many has files and documents.
SAMPLE: Final = 100
FILES: Final = 29
#: Bytes on disk that are needed for each product, the journal of the server not counted.
BYTES: Final = 6000
#: Products of one task of a filling process, and how many processes there are.
TASK: Final = 20_000
PROCESSES: Final = 2

_SECONDS: Final = 31.5
_BULK: Final = 20_000
_SINGLES: Final = 300
_QUERIES: Final = 200
_SAMPLES: Final = """
SELECT p.product_type, p.platform, p.name, p.sensing_start, p.sensing_stop, p.described_at, p.feed_position,
       p.attributes
  FROM unnest($1::bigint[]) AS wanted(position) JOIN catalogue.product p ON p.feed_position = wanted.position
"""
_SIZES: Final = """
SELECT n.nspname || '.' || t.relname AS owner, c.relname AS name, c.relkind::text AS kind,
       pg_relation_size(c.oid) + CASE WHEN c.relkind = 'r' AND c.reltoastrelid <> 0
                                      THEN pg_total_relation_size(c.reltoastrelid) ELSE 0 END AS bytes
  FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
  LEFT JOIN pg_index i ON i.indrelid = t.oid
  JOIN pg_class c ON c.oid IN (t.oid, i.indexrelid)
 WHERE n.nspname IN ('catalogue', 'distribution') AND t.relkind = 'r'
 GROUP BY 1, 2, 3, 4 ORDER BY 1, 3 DESC, 2
"""
_OF_SAMPLE: Final = ("catalogue.file", "distribution.document")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured at one size: milliseconds by what was done, and bytes by table and index."""

    rows: int
    times_ms: dict[str, float]
    sizes: list[asyncpg.Record]


def rows_from(first: int, count: int) -> Iterator[Row]:
    """The products from this number on; orbits and datatakes go on with time."""
    days = _SECONDS * count / 86_400
    for number, row in enumerate(plausible_rows(count, seed=first, days=days, first=first), first):
        row.attributes["orbitNumber"] = 1 + number // 60
        if row.mission == "S1":
            row.attributes["datatakeID"] = 1 + number // 30
        yield row


def entry_from(row: Row, types: TypeRegistry, *, with_bytes: bool) -> Entry:
    """A row as an entry, with a package of plausible files or known by its metadata only."""
    description = Description(row.sensing_start, row.sensing_stop, row.footprint, row.attributes)
    entry = Entry(types.recognise(row.name), description, "scale", origin_size_bytes=row.package_size)
    if not with_bytes:
        return entry
    files = tuple(
        FileEntry(f"{row.name}/measurement/{number:03d}-{row.name.lower()}.nc", 10**6, number, b"m" * 16, b"b" * 32)
        for number in range(FILES)
    )
    package = StoredPackage(f"S/{row.name}", files, 1, f"{row.name}.zip", row.package_size, b"m" * 16, b"b" * 32)
    return replace(entry, package=package)


def fill(dsn: str, first: int, count: int) -> int:
    """Enter the products from this number on; in a process of its own."""
    return asyncio.run(_fill(dsn, first, count))


async def _fill(dsn: str, first: int, count: int) -> int:
    types = load_types()
    entered = 0
    async with connected(dsn) as connection:
        batch: list[Entry] = []
        for number, row in enumerate(rows_from(first, count), 1):
            batch.append(entry_from(row, types, with_bytes=number % SAMPLE == 0))
            if len(batch) == bulk.MOST or number == count:
                entered += await _enter(connection, batch, types)
                batch = []
    return entered


async def _enter(connection: asyncpg.Connection, entries: Sequence[Entry], types: TypeRegistry) -> int:
    result = await bulk.enter(connection, entries)
    async with connection.transaction():
        for entry in entries:
            if entry.package is not None:
                product = await store.fetch_product(connection, result.products[entry.name])
                assert product is not None
                await store_documents(connection, product, types)
    return len(result.products)


async def grow(dsn: str, present: int, wanted: int, console: Console) -> None:
    """Fill by several processes until so many products are there."""
    started = time.perf_counter()
    tasks = [(first, min(TASK, wanted - first)) for first in range(present, wanted, TASK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as executor:
        running = [executor.submit(fill, dsn, first, count) for first, count in tasks]
        done = present
        for number, future in enumerate(as_completed(running), 1):
            done += await asyncio.to_thread(future.result)
            if number % 25 == 0 or number == len(running):
                rate = (done - present) / (time.perf_counter() - started)
                console.print(f"{done:,} products, {rate:.0f} a second")
    if done != wanted:
        sys.exit(f"{wanted - done} products of those to be made were not new")


async def measure(dsn: str, present: int, types: TypeRegistry, console: Console) -> Figures:
    """Everything at this size; afterwards there are _BULK + _SINGLES products more."""
    console.print(f"measuring at {present:,} products …")
    async with connected(dsn) as connection:
        await connection.execute("VACUUM ANALYZE")
        times = await _insert(connection, present, types)
        # arrivals do not give what was described just now
        await asyncio.sleep(neighbours.SETTLED.total_seconds())
        rng = random.Random(present)
        positions = [rng.randint(1, present) for _ in range(_QUERIES)]
        samples = await connection.fetch(_SAMPLES, positions)
        for name, query in _queries(connection).items():
            for turn in ("first look", "again"):
                times[f"{name}, {turn}"] = await _median_ms(name, query, samples)
        sizes = await connection.fetch(_SIZES)
    return Figures(present, times, sizes)


async def _insert(connection: asyncpg.Connection, present: int, types: TypeRegistry) -> dict[str, float]:
    """Milliseconds a product, in bulk and by the commands of the pipeline."""
    entries = [entry_from(row, types, with_bytes=False) for row in rows_from(present, _BULK)]
    started = time.perf_counter()
    for first in range(0, _BULK, bulk.MOST):
        await bulk.enter(connection, entries[first : first + bulk.MOST])
    in_bulk = time.perf_counter() - started
    entries = [entry_from(row, types, with_bytes=True) for row in rows_from(present + _BULK, _SINGLES)]
    singly = []
    for entry in entries:
        started = time.perf_counter()
        await publish_one(connection, entry, types)
        singly.append(time.perf_counter() - started)
    return {
        f"insert in bulk, {_BULK} products": 1000 * in_bulk / _BULK,
        "insert by the pipeline's commands": 1000 * statistics.median(singly),
    }


_Query = Callable[[asyncpg.Record], Awaitable[Any]]


def _queries(connection: asyncpg.Connection) -> dict[str, _Query]:
    def orbit(sample: asyncpg.Record) -> int:
        return int(sample["attributes"]["orbitNumber"])

    def feed_page(sample: asyncpg.Record) -> Awaitable[Any]:
        return feed.read(connection, sample["feed_position"] - 1)

    def by_name(sample: asyncpg.Record) -> Awaitable[Any]:
        return store.fetch_current(connection, sample["name"])

    def covering(sample: asyncpg.Record) -> Awaitable[Any]:
        start, stop = sample["sensing_start"], sample["sensing_stop"]
        return selection.latest_cover(connection, sample["product_type"], sample["platform"], start, stop)

    def in_range(sample: asyncpg.Record) -> Awaitable[Any]:
        start, stop = sample["sensing_start"], sample["sensing_stop"]
        types, margin = [sample["product_type"]], (stop - start) * 3
        return neighbours.in_range(connection, types, sample["platform"], start - margin, stop + margin)

    def first_of_orbit(sample: asyncpg.Record) -> Awaitable[Any]:
        return neighbours.first_of_orbit(connection, sample["product_type"], sample["platform"], orbit(sample))

    def of_datatake(sample: asyncpg.Record) -> Awaitable[Any]:
        datatake = sample["attributes"].get("datatakeID", 2 * orbit(sample))
        return neighbours.slices(connection, sample["platform"], datatake)

    def arrivals(sample: asyncpg.Record) -> Awaitable[Any]:
        mark = neighbours.Mark(sample["described_at"])
        return neighbours.arrivals(connection, mark, [sample["product_type"]], examined=500)

    return {
        "feed, 500 changes": feed_page,
        "product by name": by_name,
        "newest that covers": covering,
        "neighbours in a range": in_range,
        "first of an orbit": first_of_orbit,
        "slices of a datatake": of_datatake,
        "arrivals, 500 examined": arrivals,
    }


async def _median_ms(name: str, query: _Query, samples: Sequence[asyncpg.Record]) -> float:
    taken, hits = [], 0
    for sample in samples:
        started = time.perf_counter()
        found = await query(sample)
        taken.append(time.perf_counter() - started)
        hits += bool(found.products if isinstance(found, neighbours.Arrivals) else found)
    if hits < len(samples) // 4:
        sys.exit(f"{name}: only {hits} of {len(samples)} queries found anything, which measures nothing")
    return 1000 * statistics.median(taken)


def _times_table(small: Figures, large: Figures) -> Table:
    table = Table(title=f"milliseconds; queries: medians of {_QUERIES} at random places, one client")
    for column in ("", f"at {small.rows:,}", f"at {large.rows:,}", "growth"):
        table.add_column(column, justify="right")
    for name, before in small.times_ms.items():
        after = large.times_ms[name]
        goal = "" if name.endswith("first look") else f" (goal at most {GROWTH:g})"
        table.add_row(name, f"{before:.3f}", f"{after:.3f}", f"{after / before:.2f}{goal}")
    return table


def _sizes_table(figures: Figures) -> Table:
    """`measured` is what lies on disk; tables of which only the sample has rows are extrapolated to all products."""
    count = figures.rows + _BULK + _SINGLES
    with_bytes = figures.rows // SAMPLE + _SINGLES
    table = Table(title=f"disk at {count:,} products, {with_bytes:,} of them with files and documents")
    for column in ("", "measured MB", "bytes a product", "for all 10,000,000 GB"):
        table.add_column(column, justify="right")
    whole = 0.0
    for size in figures.sizes:
        if size["bytes"] < 10**5:
            continue
        extrapolated = size["owner"] in _OF_SAMPLE
        each = size["bytes"] / (with_bytes if extrapolated else count)
        whole += each
        name = size["owner"] if size["kind"] == "r" else f"  {size['name']}"
        told = f"{each * 1e7 / 1e9:.1f}{' (extrapolated)' if extrapolated or count < 1e7 else ''}"
        table.add_row(name, f"{size['bytes'] / 1e6:.1f}", f"{each:.0f}", told)
    measured = sum(size["bytes"] for size in figures.sizes)
    table.add_row("all", f"{measured / 1e6:.1f}", f"{whole:.0f}", f"{whole * 1e7 / 1e9:.1f} (extrapolated)")
    return table


async def run(folder: Path, first: int, rows: int, console: Console) -> None:
    types = load_types()
    server = EmbeddedPostgres(folder / "postgres", options=SETTINGS)
    await asyncio.to_thread(server.start)
    try:
        await migrate(server.dsn, MIGRATED_PACKAGES)
        await grow(server.dsn, 0, first, console)
        small = await measure(server.dsn, first, types, console)
        console.print(_sizes_table(small))
        more = first + _BULK + _SINGLES
        await grow(server.dsn, more, rows, console)
        large = await measure(server.dsn, rows, types, console)
    finally:
        await asyncio.to_thread(server.stop)
    console.print(_sizes_table(large))
    console.print(_times_table(small, large))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="products at the end")
    parser.add_argument("--first", type=int, default=0, help="products at the first measurement; default: a tenth")
    parser.add_argument("--folder", type=Path, help="where the database lies meanwhile; default: the temporary folder")
    arguments = parser.parse_args()
    first = arguments.first or arguments.rows // 10
    if arguments.rows < first + _BULK + _SINGLES:
        parser.error(f"--rows must be at least {_BULK + _SINGLES} more than --first")
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="refsys-scale-", dir=arguments.folder) as name:
        free = shutil.disk_usage(name).free
        if free < arguments.rows * BYTES:
            sys.exit(f"{name} has {free / 1e9:.0f} GB free; {arguments.rows * BYTES / 1e9:.0f} GB are needed")
        asyncio.run(run(Path(name), first, arguments.rows, wide_console()))


if __name__ == "__main__":
    main()
