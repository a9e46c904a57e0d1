"""Our side of the catalogue's benchmark: products one by one as the pipeline enters them, and in bulk; and plain COPY
of the rows that came of it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.items import entry_of
from benchmarks.measures import Run
from refsys.catalogue import bulk, commands, store
from refsys.catalogue.bulk import Entry
from refsys.core.products import Arrival
from refsys.distribution.rendering import store_documents
from refsys.infra.postgres import connected, migrate
from refsys.missions import TypeRegistry
from refsys.runtime.wiring import MIGRATED_PACKAGES

#: The kind of document as which our side keeps the item beside its own documents, so that both keep the same bytes.
_KIND: Final = "benchmark.item"
_DOCUMENT: Final = ("product_id", "kind", "render_version", "body")
_STORE_ITEM: Final = """
INSERT INTO distribution.document (product_id, kind, render_version, body) VALUES ($1, $2, 1, $3)
"""
#: The tables that an entered product has rows in, and which of them came after a content.
_TABLES: Final = {
    "catalogue.content": "id > $1",
    "catalogue.file": "content_id > $1",
    "catalogue.product": "content_id > $1",
    "catalogue.footprint_part": "product_id IN (SELECT id FROM catalogue.product WHERE content_id > $1)",
    "catalogue.change": "product_id IN (SELECT id FROM catalogue.product WHERE content_id > $1)",
    "distribution.document": "product_id IN (SELECT id FROM catalogue.product WHERE content_id > $1)",
}


@dataclass(frozen=True, slots=True)
class Ours:
    """A migrated database of ours; `cpu_seconds` tells what its server has used so far."""

    dsn: str
    cpu_seconds: Callable[[], float]
    types: TypeRegistry

    async def published(self, texts: Sequence[bytes], clients: int) -> Run:
        """The commands of the stages, each in a transaction of its own as there, by so many clients at once."""

        async def publish(connection: asyncpg.Connection, entry: Entry, text: bytes) -> None:
            await publish_one(connection, entry, self.types, text.decode())

        return await self._one_by_one(publish, texts, clients)

    async def entered(self, texts: Sequence[bytes], clients: int) -> Run:
        """Each as a finished product in one transaction, by so many clients at once."""

        async def enter(connection: asyncpg.Connection, entry: Entry, text: bytes) -> None:
            await _enter(connection, [entry], [text])

        return await self._one_by_one(enter, texts, clients)

    async def _one_by_one(
        self,
        keep: Callable[[asyncpg.Connection, Entry, bytes], Awaitable[None]],
        texts: Sequence[bytes],
        clients: int,
    ) -> Run:
        made = [(entry_of(text, self.types), text) for text in texts]

        async def work(number: int) -> None:
            async with connected(self.dsn) as connection:
                ready[number].set()
                await begin.wait()
                for entry, text in made[number::clients]:
                    await keep(connection, entry, text)

        begin, ready = asyncio.Event(), [asyncio.Event() for _ in range(clients)]
        tasks = [asyncio.create_task(work(number)) for number in range(clients)]
        for event in ready:
            await event.wait()
        clock = self._clock()
        begin.set()
        await asyncio.gather(*tasks)
        return clock(len(texts))

    async def in_bulk(self, texts: Sequence[bytes]) -> Run:
        """From the items' JSON to rows, as an import of them would do it."""
        async with connected(self.dsn) as connection:
            clock = self._clock()
            for first in range(0, len(texts), bulk.MOST):
                batch = texts[first : first + bulk.MOST]
                await _enter(connection, [entry_of(text, self.types) for text in batch], batch)
            return clock(len(texts))

    async def entries_in_bulk(self, texts: Sequence[bytes]) -> Run:
        """From entries that are made already."""
        entries = [entry_of(text, self.types) for text in texts]
        async with connected(self.dsn) as connection:
            clock = self._clock()
            for first in range(0, len(texts), bulk.MOST):
                last = first + bulk.MOST
                await _enter(connection, entries[first:last], texts[first:last])
            return clock(len(texts))

    async def prepare_raw(self) -> None:
        """Copies of our tables: `raw` with all indexes and checks, `bare` without any; both without foreign keys."""
        async with connected(self.dsn) as connection:
            for schema, how in (("raw", "INCLUDING ALL"), ("bare", "INCLUDING STORAGE")):
                await connection.execute(f"CREATE SCHEMA {schema}")
                for table in _TABLES:
                    name = table.partition(".")[2]
                    await connection.execute(f"CREATE TABLE {schema}.{name} (LIKE {table} {how})")

    async def last_content(self) -> int:
        async with connected(self.dsn) as connection:
            found: int = await connection.fetchval("SELECT coalesce(max(id), 0) FROM catalogue.content")
            return found

    async def dump(self, after: int, folder: Path) -> None:
        """The rows of all contents after one, in COPY's binary form, a file for each table."""
        async with connected(self.dsn) as connection:
            for table, condition in _TABLES.items():
                query = f"SELECT * FROM {table} WHERE {condition}"
                await connection.copy_from_query(query, after, output=str(folder / table), format="binary")

    async def copy_raw(self, count: int, schema: str, folder: Path) -> Run:
        """COPY of the dumped rows into the tables of a schema, in one transaction."""
        async with connected(self.dsn) as connection:
            clock = self._clock()
            async with connection.transaction():
                for table in _TABLES:
                    name = table.partition(".")[2]
                    source = str(folder / table)
                    await connection.copy_to_table(name, schema_name=schema, source=source, format="binary")
            return clock(count)

    async def sizes(self) -> int:
        """Bytes of the schemas of ours for each product."""
        async with connected(self.dsn) as connection:
            found: int = await connection.fetchval(
                "SELECT sum(pg_total_relation_size(c.oid)) / (SELECT count(*) FROM catalogue.product) "
                "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname IN ('catalogue', 'distribution', 'work') AND c.relkind = 'r'"
            )
            return int(found)

    def _clock(self) -> Callable[[int], Run]:
        server, started, cpu = self.cpu_seconds(), time.perf_counter(), time.process_time()

        def stop(products: int) -> Run:
            seconds, used = time.perf_counter() - started, time.process_time() - cpu
            return Run(products, seconds, used, self.cpu_seconds() - server)

        return stop


async def make_ours(dsn: str, cpu_seconds: Callable[[], float], types: TypeRegistry) -> Ours:
    """Bring our schemas into an empty database."""
    await migrate(dsn, MIGRATED_PACKAGES)
    return Ours(dsn, cpu_seconds, types)


async def commit_ms(dsn: str) -> float:
    """What the disk lets a transaction of one row take, in milliseconds: the median of fifty."""
    taken = []
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE public.committed (number int)")
        for number in range(50):
            started = time.perf_counter()
            await connection.execute("INSERT INTO public.committed VALUES ($1)", number)
            taken.append(time.perf_counter() - started)
        await connection.execute("DROP TABLE public.committed")
    return 1000 * statistics.median(taken)


async def publish_one(connection: asyncpg.Connection, entry: Entry, types: TypeRegistry, item: str = "") -> None:
    """What the stages read and write in the database from the arrival of a product to its publication.

    `item` is kept as one document more.
    """
    package, description = entry.package, entry.description
    assert package is not None
    arrival = Arrival(name=entry.name, base=f"attempts/{entry.name}", files=package.files, source=entry.source)
    async with connection.transaction():
        content_id = await commands.arrive(connection, arrival, priority=50)
    whole = await store.fetch_whole(connection, content_id)
    assert whole is not None
    async with connection.transaction():
        described = await commands.describe(connection, whole[0], entry.recognised, description, priority=50)
    product = await store.fetch_product(connection, described.product_id)
    assert product is not None
    await store.fetch_whole(connection, content_id)
    async with connection.transaction():
        is_ours = await commands.set_packaged(
            connection,
            product.id,
            content_id,
            base=product.final_base,
            layout=package.layout,
            package_name=package.name,
            size_bytes=package.size_bytes,
            md5=package.md5,
            blake3=package.blake3,
        )
        assert is_ours
    async with connection.transaction():
        packaged = await store.fetch_product(connection, product.id)
        assert packaged is not None
        await store_documents(connection, packaged, types)
        if item:
            await connection.execute(_STORE_ITEM, product.id, _KIND, item)
        assert await commands.publish(connection, product.id, content_id)


async def _enter(connection: asyncpg.Connection, entries: Sequence[Entry], texts: Sequence[bytes]) -> None:
    async with connection.transaction():
        entered = await bulk.enter(connection, entries)
        rows = [
            (entered.products[entry.name], _KIND, 1, text.decode()) for entry, text in zip(entries, texts, strict=True)
        ]
        await connection.copy_records_to_table("document", schema_name="distribution", columns=_DOCUMENT, records=rows)
