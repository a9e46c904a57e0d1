"""What is asked of both sides: requests of STAC API as clients send them, at places of chance, the same for both."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import asyncpg

from refsys.core.footprints import bbox
from refsys.core.times import format_instant
from refsys.infra.postgres import connected

#: Requests of one query, each at another place.
PLACES: Final = 50
_PAGE: Final = 100
_SMALL: Final = 10
#: Nobody's product lies so far north (tests.catalogue_rows).
_NOWHERE_SOUTH: Final = 84.0
_SAMPLE: Final = """
SELECT p.name, p.sensing_start, p.footprint, p.attributes,
       substring(d.body FROM '"collection":"([^"]+)"') AS collection
  FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted(position, place)
  JOIN catalogue.product p ON p.feed_position = wanted.position
  JOIN distribution.document d ON d.product_id = p.id AND d.kind = 'stac.item'
 ORDER BY wanted.place
"""


@dataclass(frozen=True, slots=True)
class Query:
    """`paths` begin at a side's root. `goal`: how many times less CPU than the peer is wanted. `depth`: of the pages,
    as many are walked by their links before the one that counts."""

    name: str
    paths: tuple[str, ...]
    goal: float | None
    depth: int = 0


async def queries(dsn: str, count: int) -> list[Query]:
    """All queries, over products that are there."""
    rng = random.Random(count)
    async with connected(dsn) as connection:
        newest: datetime = await connection.fetchval("SELECT max(sensing_start) FROM catalogue.product")
        sample = await _sample(connection, rng, count)
    cloudy = [row for row in sample if "cloudCover" in row["attributes"]]

    def paths(make: Callable[[asyncpg.Record], str], rows: list[asyncpg.Record] = sample) -> tuple[str, ...]:
        return tuple(make(row) for row in rows[:PLACES])

    def by_id(row: asyncpg.Record) -> str:
        return f"/collections/{row['collection']}/items/{_id(row)}"

    def last_day(row: asyncpg.Record) -> str:
        return _search(_PAGE, collections=row["collection"], datetime=_range(newest - timedelta(days=1), newest))

    def of_a_month(row: asyncpg.Record) -> str:
        start: datetime = row["sensing_start"]
        box = _box(row, 20.0)
        month = _range(start - timedelta(days=15), start + timedelta(days=15))
        return _search(_PAGE, collections=row["collection"], datetime=month, bbox=box, filter="eo:cloud_cover < 50")

    def spot(row: asyncpg.Record) -> str:
        return _search(_SMALL, bbox=_box(row, 0.2))

    def nowhere(row: asyncpg.Record) -> str:
        west = bbox(row["footprint"])[0]
        return _search(_SMALL, bbox=f"{west:.3f},{_NOWHERE_SOUTH},{min(180.0, west + 0.5):.3f},{_NOWHERE_SOUTH + 0.5}")

    def rare(row: asyncpg.Record) -> str:
        return _search(_SMALL, filter=f"sat:absolute_orbit = {row['attributes']['orbitNumber']}")

    def named(row: asyncpg.Record) -> str:
        name = _id(row)
        return _search(_SMALL, filter=f"id LIKE '%{name[17:45]}%'")

    def page(row: asyncpg.Record) -> str:
        return _search(_PAGE, collections=row["collection"])

    def small_page(row: asyncpg.Record) -> str:
        return _search(_SMALL, collections=row["collection"])

    return [
        Query("one item by its id", paths(by_id), 5.0),
        Query("last day of a collection, 100", paths(last_day), 5.0),
        Query("month, area, cloud cover, 100", paths(of_a_month, cloudy), 5.0),
        Query("newest of a collection, 100", paths(page), 5.0),
        Query("newest of a collection, page 50", paths(page)[:3], 5.0, depth=49),
        Query("newest of a collection, 10", paths(small_page), 10.0),
        Query("small area, ten years, 10", paths(spot), 10.0),
        Query("small area where nothing is", paths(nowhere), 10.0),
        Query("rare attribute, 10", paths(rare), 10.0),
        Query("name contains, 10", paths(named), 10.0),
    ]


def counts() -> list[Query]:
    """Counts, which only refsys is asked for: `$count` of OData."""
    filters = {
        "count of all": "",
        "count of a type": "Attributes/OData.CSC.StringAttribute/any(att:att/Name eq 'productType' and "
        "att/OData.CSC.StringAttribute/Value eq 'S2MSI2A')",
        "count of a collection's year": "Collection/Name eq 'SENTINEL-2' and ContentDate/Start ge 2026-01-01 and "
        "ContentDate/Start lt 2027-01-01",
        "count of an attribute's range": "Attributes/OData.CSC.DoubleAttribute/any(att:att/Name eq 'cloudCover' and "
        "att/OData.CSC.DoubleAttribute/Value lt 20)",
        "count of an area": "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((0 40,20 40,20 55,0 55,0 40))')",
    }
    options = {
        name: {"$top": "0", "$count": "true"} | ({"$filter": text} if text else {}) for name, text in filters.items()
    }
    return [Query(name, (f"/Products?{urlencode(given)}",), None) for name, given in options.items()]


async def _sample(connection: asyncpg.Connection, rng: random.Random, count: int) -> list[asyncpg.Record]:
    return list(await connection.fetch(_SAMPLE, [rng.randint(1, count) for _ in range(6 * PLACES)]))


def _search(limit: int, **given: Any) -> str:
    options = {**given, "limit": limit, "sortby": "-datetime"}
    if "filter" in options:
        options["filter-lang"] = "cql2-text"
    return f"/search?{urlencode(options, quote_via=quote, safe=':,/')}"


def _id(row: asyncpg.Record) -> str:
    name: str = row["name"]
    return name.removesuffix(".SAFE").removesuffix(".SEN3")


def _box(row: asyncpg.Record, size: float) -> str:
    """A box of so many degrees round the middle of a product, which may be cut off at the edges of the map."""
    west, south, east, north = bbox(row["footprint"])
    lon, lat = (west + east) / 2 if west <= east else west, (south + north) / 2
    edges = max(-180, lon - size / 2), max(-90, lat - size / 2), min(180, lon + size / 2), min(90, lat + size / 2)
    return ",".join(f"{edge:.3f}" for edge in edges)


def _range(start: datetime, stop: datetime) -> str:
    return "/".join(format_instant(instant.astimezone(UTC)) for instant in (start, stop))
