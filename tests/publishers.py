"""Publishers at once and harvesters beside them, for proofs of the change feed: nothing missed, nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from refsys.catalogue import commands, feed, store
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Search, find
from refsys.core.filters import Comparison, Literal, Op, Property
from refsys.core.products import Arrival, Description, FileEntry
from refsys.infra.postgres import connected
from tests.stored_products import GRD, START, TYPES

CURSOR = "harvester"
#: What the harvester by position has seen, in its order; a position that comes twice is an error at once.
SEEN = "CREATE TABLE seen (number bigserial, position bigint PRIMARY KEY, kind text, product_id uuid)"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def numbered(number: int) -> str:
    """The name of a product that nobody else has."""
    return GRD.replace("049F13", f"{number:06X}")


async def make_packaged(
    connection: asyncpg.Connection, name: str, *, body: bytes = b"", on_change: str = "park"
) -> tuple[UUID, int]:
    """Everything up to publication, by the catalogue's commands; no bytes. Returns the ids of product and content.

    Where another content of the name came meanwhile, this one cannot be published any more.
    """
    files = (FileEntry(f"{name}/manifest.safe", len(body), blake3=body.ljust(32)),)
    arrival = Arrival(name=name, base=f"attempts/{name}", files=files, source="test", on_change=on_change)
    async with connection.transaction():
        content_id = await commands.arrive(connection, arrival, priority=50)
        content = await store.fetch_content(connection, content_id)
        assert content is not None
        described = await commands.describe(
            connection,
            content,
            TYPES.recognise(name),
            Description(START, START, None, {"orbitNumber": 39156}),
            priority=50,
        )
    async with connection.transaction():
        await commands.set_packaged(
            connection,
            described.product_id,
            content_id,
            base=f"final/{name}",
            layout=1,
            package_name=f"{name}.zip",
            size_bytes=1,
            md5=b"m" * 16,
            blake3=b"b" * 32,
        )
    return described.product_id, content_id


@dataclass
class Publishers:
    """Several connections that publish, revise, modify, withdraw and republish as fast as they can."""

    dsn: str
    published: list[tuple[UUID, str]] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.asynccontextmanager
    async def running(self, count: int = 4) -> AsyncIterator[None]:
        """So many at once for the time of the block; `done` is set when the last change is committed."""
        tasks = [asyncio.create_task(self._run(seed)) for seed in range(count)]
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)
            self.done.set()

    async def _run(self, seed: int) -> None:
        rng = random.Random(seed)
        async with connected(self.dsn) as connection:
            while not self._stop.is_set():
                await self._publish(connection, numbered(next(self._numbers)), b"1")
                await self._change(connection, rng)

    async def _publish(self, connection: asyncpg.Connection, name: str, body: bytes) -> None:
        identity, content_id = await make_packaged(connection, name, body=body, on_change="revise")
        async with connection.transaction():
            await connection.execute("SELECT count(*) FROM catalogue.content WHERE name = $1", name)
            # where two make revisions of one name, one of them comes too late
            if await commands.publish(connection, identity, content_id) is not None:
                self.published.append((identity, name))

    async def _change(self, connection: asyncpg.Connection, rng: random.Random) -> None:
        chosen = rng.sample(self.published[-100:], min(len(self.published), rng.randint(1, 8)))
        what = rng.choice(("modified", "withdrawn", "created", "created", "revision", ""))
        if what == "revision":
            with contextlib.suppress(asyncpg.UniqueViolationError):
                await self._publish(connection, chosen[0][1], rng.randbytes(8))
        elif what:
            ids = [identity for identity, _ in chosen]
            async with connection.transaction():
                await connection.fetch("SELECT * FROM catalogue.announce($1, $2, 'a test')", ids, what)


@dataclass
class ByDate:
    """Asks for what was published behind the last PublicationDate that it has seen, as users do."""

    connection: asyncpg.Connection
    last: datetime = EPOCH
    seen: list[tuple[UUID, datetime]] = field(default_factory=list)

    async def look(self) -> int:
        newer = Comparison(Property("published_at"), Op.GT, Literal(self.last))
        wanted = Search(filter=newer, limit=50, scope=Scope.PUBLIC)
        rows = await find(self.connection, wanted, columns=["p.id", "p.published_at"])
        self.seen.extend((row["id"], row["published_at"]) for row in rows)
        if rows:
            self.last = rows[-1]["published_at"]
        return len(rows)


async def take_batch(connection: asyncpg.Connection, limit: int = 50) -> int:
    """One batch of the durable cursor, its effect and its new position in one transaction; returns its length."""
    async with connection.transaction():
        batch = await feed.fetch(connection, CURSOR, limit=limit)
        await connection.executemany(
            "INSERT INTO seen (position, kind, product_id) VALUES ($1, $2, $3)",
            [(change.position, change.kind, change.product_id) for change in batch.changes],
        )
        await feed.advance(connection, CURSOR, batch.position, after=batch.after)
    return len(batch.changes)


async def until(done: asyncio.Event, look: Callable[[], Awaitable[int]]) -> None:
    """Look again and again; when no more can come, until nothing is left."""
    while True:
        is_over = done.is_set()
        if not await look() and is_over:
            return
        await asyncio.sleep(0)


async def check_feed(pool: asyncpg.Pool) -> list[asyncpg.Record]:
    """Positions are unbroken, and dates grow with them; returns the changes."""
    changes = list(await pool.fetch("SELECT position, at, kind, product_id FROM catalogue.change ORDER BY position"))
    assert [change["position"] for change in changes] == list(range(1, len(changes) + 1))
    assert all(earlier["at"] < later["at"] for earlier, later in itertools.pairwise(changes))
    return changes


async def check_by_position(pool: asyncpg.Pool, changes: list[asyncpg.Record]) -> None:
    """Each change was taken once, in order."""
    seen = await pool.fetch("SELECT position, kind, product_id FROM seen ORDER BY number")
    assert [tuple(row) for row in seen] == [(row["position"], row["kind"], row["product_id"]) for row in changes]


def missed_by_date(harvester: ByDate, changes: list[asyncpg.Record]) -> list[tuple[UUID, datetime]]:
    """Publications that it has not seen, though nobody took them away before it could; nothing was seen twice."""
    seen = set(harvester.seen)
    assert len(seen) == len(harvester.seen)
    created = {(row["product_id"], row["at"]): row["position"] for row in changes if row["kind"] == "created"}
    assert seen <= created.keys()
    last_taken: dict[UUID, int] = {}
    for row in changes:
        if row["kind"] in ("withdrawn", "superseded"):
            last_taken[row["product_id"]] = row["position"]
    return [
        publication
        for publication, position in created.items()
        if publication not in seen and last_taken.get(publication[0], 0) < position
    ]
