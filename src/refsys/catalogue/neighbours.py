"""Products that belong together: by session, datatake, slice, orbit, interval, or since an instant (catalogue 12).

Keys are looked up in the index on attributes first and the rest of the conditions afterwards, so that it is the key
alone that decides how much is looked at. As in every selection only the newest revisions count, nothing withdrawn or
banned, what is not published yet as well. Nothing is cut off silently: where there is more than `limit`, TooMany.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue import selection
from refsys.catalogue.model import PRODUCT_COLUMNS, Product
from refsys.catalogue.selection import Order, Relation, Wanted
from refsys.catalogue.store import product_from
from refsys.core.errors import RefsysError

#: More than this belong together nowhere; a caller who expects more says so.
LIMIT: Final = 10_000
#: Products that one call of `arrivals` looks at.
EXAMINED: Final = 5_000
#: What was described less than this ago may still lack products whose transactions have not ended.
SETTLED: Final = timedelta(seconds=60)

_BEFORE_ALL: Final = UUID(int=0)
_POLARISATION: Final = re.compile(r"_RAW__0S([A-Z]{2})_")

_COLUMNS: Final = ", ".join(f"p.{column}" for column in PRODUCT_COLUMNS)
# $1 and $2 are keys, which are the same where one is wanted; $3 is the limit
_BY_KEY: Final = """
WITH keyed AS MATERIALIZED (
     SELECT p.id, p.name, p.mission, p.platform, p.product_type, p.described_at, p.attributes
       FROM catalogue.product p
      WHERE (p.attributes @> $1::jsonb OR p.attributes @> $2::jsonb)
        AND p.current AND p.deleted_at IS NULL AND p.evicted_at IS NULL)
SELECT {columns}
  FROM (SELECT k.id, row_number() OVER (ORDER BY {order}) AS place FROM keyed k
         WHERE {condition} AND NOT EXISTS (
               SELECT FROM catalogue.rule r WHERE r.kind = 'ban' AND r.lifted_at IS NULL AND r.name = k.name)
         ORDER BY place LIMIT $3) found
  JOIN catalogue.product p ON p.id = found.id
 ORDER BY found.place
"""
_INSERTED: Final = "k.described_at, k.id"
_NEWEST: Final = 'catalogue.made(k.attributes) DESC, k.described_at DESC, k.name COLLATE "C" DESC'
_SENTINEL1: Final = r"k.mission = 'S1' AND k.platform = $4 AND k.product_type LIKE '%\_RAW\_\_0_'"
_SEGMENTS: Final = f"""{_SENTINEL1} AND k.product_type LIKE '%S' AND (k.product_type LIKE 'RF%') = $5
           AND (k.attributes -> 'sliceProductFlag') IS DISTINCT FROM 'true'::jsonb"""
_SLICES: Final = f"{_SENTINEL1} AND k.product_type LIKE '%S' AND k.attributes -> 'sliceProductFlag' = 'true'::jsonb"
_ANNOTATIONS: Final = f"{_SENTINEL1} AND k.product_type = $5"
_OF_TYPE: Final = "k.product_type = $4 AND k.platform = ANY ($5::text[])"

_EXAMINE: Final = """
SELECT p.id, p.described_at,
       p.deleted_at IS NULL AND p.evicted_at IS NULL
       AND p.product_type = ANY ($5::text[]) AND (cardinality($6::text[]) = 0 OR p.platform = ANY ($6))
       AND NOT EXISTS (SELECT FROM catalogue.rule r
                        WHERE r.kind = 'ban' AND r.lifted_at IS NULL AND r.name = p.name) AS is_wanted
  FROM catalogue.product p
 WHERE p.current AND (p.described_at, p.id) > ($1, $2) AND p.described_at <= $3
 ORDER BY p.described_at, p.id LIMIT $4
"""
_THESE: Final = "SELECT {columns} FROM catalogue.product p WHERE p.id = ANY ($1) ORDER BY p.described_at, p.id"
_CLOCK: Final = "SELECT clock_timestamp()"


class TooMany(RefsysError):
    """More products belong together than the caller wants."""


@dataclass(frozen=True, slots=True)
class SessionFile:
    """A file of an acquisition session. A channel's information (DSIB) names its blocks of raw data (DSDB)."""

    product: Product
    channel: int
    block: int | None

    @property
    def is_information(self) -> bool:
        return self.product.product_type == "SESSION"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a Sentinel-1 datatake in one polarisation, as core.cover wants it."""

    product: Product
    start: datetime
    stop: datetime
    polarisation: str
    consolidation: str
    sensing_consolidation: str

    @property
    def inserted_at(self) -> datetime:
        return self.product.described_at

    @property
    def is_rf(self) -> bool:
        """RF characterisation, which is never joined with other segments."""
        return self.product.product_type.startswith("RF_")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A Sentinel-3 product in an interval, as core.cover wants it."""

    product: Product
    start: datetime
    stop: datetime
    made_at: datetime | None
    number: int | None
    position: str


@dataclass(frozen=True, slots=True)
class Mark:
    """How far `arrivals` has come; the first one is `Mark(since)`."""

    at: datetime
    id: UUID = _BEFORE_ALL


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What was described, in its order; `mark` goes on from here. `is_last`: no more was there."""

    products: tuple[Product, ...]
    mark: Mark
    is_last: bool


async def session_files(connection: asyncpg.Connection, session: str, *, limit: int = LIMIT) -> list[SessionFile]:
    """All files of a session: by channel, the information first, then the blocks by their numbers."""
    found = await _all_by_key(connection, {"sessionIdentifier": session.upper()}, "TRUE", limit)
    files = [SessionFile(p, _integer(p, "channel") or 0, _integer(p, "blockNumber")) for p in found]
    return sorted(files, key=lambda file: (file.channel, not file.is_information, file.block or 0, file.product.name))


async def segments(
    connection: asyncpg.Connection, platform: str, datatake: int, *, rf: bool = False, limit: int = LIMIT
) -> list[Segment]:
    """The level 0 segments of a Sentinel-1 datatake by their starts: those of RF characterisation, or all others."""
    found = await _all_by_key(connection, {"datatakeID": datatake}, _SEGMENTS, limit, platform, rf)
    result = [
        Segment(
            product,
            product.sensing_start,
            product.sensing_stop,
            match[1],
            _text(product, "productConsolidation"),
            _text(product, "productSensingConsolidation"),
        )
        for product in found
        if (match := _POLARISATION.search(product.name)) and product.sensing_start and product.sensing_stop
    ]
    return sorted(result, key=lambda segment: (segment.start, segment.polarisation, segment.product.name))


async def slices(connection: asyncpg.Connection, platform: str, datatake: int, *, limit: int = LIMIT) -> list[Product]:
    """The level 0 slices of a Sentinel-1 datatake, in the order of their numbers."""
    found = await _all_by_key(connection, {"datatakeID": datatake}, _SLICES, limit, platform)
    return sorted(found, key=lambda product: (_integer(product, "sliceNumber") or 0, product.name))


async def slice_annotations(connection: asyncpg.Connection, slice_: Product, *, one: bool = False) -> list[Product]:
    """The A, C and N products of a level 0 slice's datatake, of each the newest by creation; `one`: the first of them.

    The first one says how many slices the datatake has (totalSlices), and from when to when the segment lasts.
    """
    datatake = _integer(slice_, "datatakeID")
    if datatake is None or not slice_.product_type.endswith("S"):
        return []
    result: list[Product] = []
    for kind in "ACN":
        product_type = slice_.product_type[:-1] + kind
        key = {"datatakeID": datatake}
        found = await _by_key(connection, (key, key), _ANNOTATIONS, _NEWEST, 1, slice_.platform, product_type)
        result += found
        if one and result:
            break
    return result


async def of_orbit(
    connection: asyncpg.Connection,
    product_type: str,
    platform: str,
    orbit: int,
    *,
    stop_too: bool = False,
    limit: int = LIMIT,
) -> list[Product]:
    """The products of a type and satellite whose absolute orbit at the start is this one, in the order of insertion.

    `stop_too`: or whose orbit at the stop is.
    """
    key = {"orbitNumber": orbit}
    other = {"lastOrbitNumber": orbit} if stop_too else None
    return await _all_by_key(connection, key, _OF_TYPE, limit, product_type, [platform, ""], or_key=other)


async def first_of_orbit(
    connection: asyncpg.Connection, product_type: str, platform: str, orbit: int
) -> Product | None:
    """The product of a type and satellite that was inserted first of those that start in an orbit."""
    key = {"orbitNumber": orbit}
    found = await _by_key(connection, (key, key), _OF_TYPE, _INSERTED, 1, product_type, [platform, ""])
    return found[0] if found else None


async def in_range(
    connection: asyncpg.Connection,
    product_types: Sequence[str],
    platform: str,
    start: datetime,
    stop: datetime,
    *,
    limit: int = LIMIT,
) -> list[Neighbour]:
    """The products that share time with an interval, by their starts: MarginTT.

    Duplicates are among them: see core.cover.without_duplicates.
    """
    wanted = Wanted(
        product_types=tuple(product_types), platform=platform, relation=Relation.INTERSECT, start=start, stop=stop
    )
    found = await selection.candidates(connection, wanted, Order.EARLIEST_START, limit=limit)
    if not found.is_complete:
        raise _too_many(limit)
    neighbours = [
        Neighbour(
            candidate.product,
            candidate.start,
            candidate.stop,
            candidate.made_at,
            _integer(candidate.product, "granuleNumber"),
            _text(candidate.product, "granulePosition") or "NONE",
        )
        for candidate in found.taken
    ]
    return sorted(neighbours, key=lambda neighbour: (neighbour.start, neighbour.stop, neighbour.product.name))


async def arrivals(
    connection: asyncpg.Connection,
    after: Mark,
    product_types: Sequence[str],
    *,
    platforms: Sequence[str] = (),
    until: datetime | None = None,
    examined: int = EXAMINED,
) -> Arrivals:
    """The products of these types (and satellites, where some are named) that were described behind a mark.

    Looks at `examined` products of any type at most, so that a rare type costs no more than a frequent one; asked again
    with the new mark it goes on, until `is_last`. `until` is for what shall wait (an hour ago, five days ago), and is
    never less than SETTLED ago by the database's clock.
    """
    end = await connection.fetchval(_CLOCK) - SETTLED
    if until is not None:
        end = min(end, until)
    rows = await connection.fetch(_EXAMINE, after.at, after.id, end, examined, list(product_types), list(platforms))
    wanted = [row["id"] for row in rows if row["is_wanted"]]
    products = await connection.fetch(_THESE.format(columns=_COLUMNS), wanted) if wanted else []
    mark = Mark(rows[-1]["described_at"], rows[-1]["id"]) if rows else after
    return Arrivals(tuple(map(product_from, products)), mark, len(rows) < examined)


async def _all_by_key(
    connection: asyncpg.Connection,
    key: dict[str, Any],
    condition: str,
    limit: int,
    *args: Any,
    or_key: dict[str, Any] | None = None,
) -> list[Product]:
    found = await _by_key(connection, (key, or_key or key), condition, _INSERTED, limit + 1, *args)
    if len(found) > limit:
        raise _too_many(limit)
    return found


async def _by_key(
    connection: asyncpg.Connection,
    keys: tuple[dict[str, Any], dict[str, Any]],
    condition: str,
    order: str,
    limit: int,
    *args: Any,
) -> list[Product]:
    sql = _BY_KEY.format(columns=_COLUMNS, condition=condition, order=order)
    return [product_from(row) for row in await connection.fetch(sql, *keys, limit, *args)]


def _too_many(limit: int) -> TooMany:
    return TooMany(f"more than {limit} products belong together", advice="ask for less, or for more with `limit`")


def _integer(product: Product, name: str) -> int | None:
    value = product.attributes.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(product: Product, name: str) -> str:
    value = product.attributes.get(name)
    return value if isinstance(value, str) else ""
