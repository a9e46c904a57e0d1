"""Products straight into the catalogue's tables, valid but without bytes: for tests and benchmarks of searches."""

from __future__ import annotations

import hashlib
import itertools
import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from refsys.catalogue.described import part_texts
from refsys.core import footprints
from refsys.core.grams import name_grams
from refsys.core.products import product_id
from refsys.core.times import format_instant

START = datetime(2024, 1, 1, tzinfo=UTC)

_CONTENTS = """
INSERT INTO catalogue.content (name, base, source, on_change, completeness, size, digest)
SELECT name, 'S/' || name, 'rows', 'park', 'strict', 0, '' FROM unnest($1::text[]) AS name RETURNING id, name
"""
_PRODUCTS = """
INSERT INTO catalogue.product (
    id, name, state, content_id, final_base, type_id, collection, mission, platform, product_type,
    sensing_start, sensing_stop, t0_raw, packaged_at, published_at, modified_at, deleted_at, deletion_cause,
    feed_position, online, visibility, packaging, package_layout, package_name, package_size, package_md5,
    package_blake3, footprint, attributes, name_grams, current)
SELECT r.id, r.name, r.state, c.id, 'S/' || r.name, 'rows', r.collection, r.mission, r.platform, r.product_type,
       r.sensing_start, r.sensing_stop, r.t0_raw, r.packaged_at, r.published_at, r.modified_at, r.deleted_at,
       r.deletion_cause, r.feed_position, r.online, r.visibility, 'zip', 1, r.package_name, r.package_size,
       md5(r.name)::bytea, sha256(r.name::bytea), r.footprint, r.attributes, r.name_grams, r.deleted_at IS NULL
  FROM jsonb_to_recordset($1::jsonb) AS r(
       id uuid, name text, state text, collection text, mission text, platform text, product_type text,
       sensing_start timestamptz, sensing_stop timestamptz, t0_raw timestamptz, packaged_at timestamptz,
       published_at timestamptz, modified_at timestamptz, deleted_at timestamptz, deletion_cause text,
       feed_position bigint, online boolean, visibility text, package_name text, package_size bigint, footprint jsonb,
       attributes jsonb, name_grams text[])
  JOIN unnest($2::bigint[], $3::text[]) AS c(id, name) ON c.name = r.name
"""
_LAST = """
SELECT greatest((SELECT max(feed_position) FROM catalogue.product), (SELECT max(position) FROM catalogue.change), 0)
"""
_CHANGES = """
INSERT INTO catalogue.change (position, at, kind, product_id)
SELECT feed_position, least(published_at, clock_timestamp()), 'created', id FROM catalogue.product
 WHERE feed_position > $1
"""
_PARTS = """
INSERT INTO catalogue.footprint_part (product_id, part, span, sensing_start)
SELECT id, p.part::polygon, catalogue.seen(sensing_start, sensing_stop), sensing_start
  FROM unnest($1::uuid[], $2::text[]) AS p(id, part) JOIN catalogue.product USING (id)
"""


@dataclass(slots=True)
class Row:
    """What searches see of a product; the names are the catalogue's columns."""

    name: str
    id: uuid.UUID | None = None
    state: str = "published"
    collection: str = "SENTINEL-1"
    mission: str = "S1"
    platform: str = "A"
    product_type: str = "IW_GRDH_1S"
    sensing_start: datetime | None = START
    sensing_stop: datetime | None = START + timedelta(seconds=25)
    t0_raw: datetime | None = None
    published_at: datetime | None = START + timedelta(hours=1)
    modified_at: datetime | None = START + timedelta(hours=1)
    deleted_at: datetime | None = None
    deletion_cause: str | None = None
    online: bool = True
    visibility: str = "public"
    package_name: str | None = None
    package_size: int = 1000
    footprint: dict[str, Any] | None = None
    attributes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.id = self.id or product_id(self.name)


async def insert_rows(connection: asyncpg.Connection, rows: Iterable[Row], *, chunk: int = 1000) -> None:
    """Enter rows, give the published ones feed positions in their order, and let the planner know."""
    last = await connection.fetchval(_LAST)
    positions = itertools.count(last + 1)
    waiting = iter(rows)
    while pending := list(itertools.islice(waiting, chunk)):
        await _insert(connection, pending, positions)
    await connection.execute(_CHANGES, last)
    await connection.execute("ANALYZE catalogue.product")
    await connection.execute("ANALYZE catalogue.footprint_part")


async def _insert(connection: asyncpg.Connection, rows: list[Row], positions: Iterator[int]) -> None:
    contents = await connection.fetch(_CONTENTS, [row.name for row in rows])
    await connection.execute(
        _PRODUCTS,
        [_record(row, positions) for row in rows],
        [content["id"] for content in contents],
        [content["name"] for content in contents],
    )
    parts = [(row.id, part) for row in rows for part in part_texts(row.footprint)]
    await connection.execute(_PARTS, [identity for identity, _ in parts], [part for _, part in parts])


def _record(row: Row, positions: Iterator[int]) -> dict[str, Any]:
    columns = (
        "name", "state", "collection", "mission", "platform", "product_type", "deletion_cause", "online", "visibility",
        "package_name", "package_size", "footprint", "attributes",
    )  # fmt: skip
    instants = ("sensing_start", "sensing_stop", "t0_raw", "published_at", "modified_at", "deleted_at")
    dates = {column: getattr(row, column) for column in instants}
    return {
        **{column: getattr(row, column) for column in columns},
        **{column: None if date is None else format_instant(date) for column, date in dates.items()},
        "id": str(row.id),
        "packaged_at": format_instant(START),
        "feed_position": None if row.published_at is None else next(positions),
        "name_grams": name_grams(row.name),
    }


def plausible_rows(count: int, *, seed: int = 0, days: float = 3650.0, first: int = 0) -> Iterator[Row]:
    """Rows that look like real products of three missions: names, footprints, attributes; the same for a seed.

    So many in so many days; those of another `first` go on where these end.
    """
    rng = random.Random(seed)
    for number in range(first, first + count):
        start = START + timedelta(days=days * number / max(1, count), seconds=rng.random() * 60)
        yield rng.choice((_sentinel1, _sentinel2, _sentinel3))(rng, number, start)


def _sentinel1(rng: random.Random, number: int, start: datetime) -> Row:
    stop = start + timedelta(seconds=25)
    platform, kind = rng.choice("ABC"), rng.choice(("IW_GRDH_1S", "IW_SLC__1S", "IW_RAW__0S", "EW_GRDM_1S"))
    orbit = 30_000 + number % 30_000
    stamps = f"{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}"
    name = f"S1{platform}_{kind}DV_{stamps}_{orbit:06d}_{number % 0xFFFFFF:06X}_{_tail(number)}.SAFE"
    return _row(
        rng, name, start, stop, "SENTINEL-1", platform, kind, (2.5, 1.7),
        {
            "orbitNumber": orbit, "relativeOrbitNumber": 1 + orbit % 175, "sliceNumber": rng.randint(1, 20),
            "orbitDirection": rng.choice(("ASCENDING", "DESCENDING")), "polarisationChannels": ["VV", "VH"],
            "operationalMode": kind[:2], "timeliness": rng.choice(("NRT-3h", "Fast-24h")), "sliceProductFlag": True,
            "swathIdentifier": ["IW1", "IW2", "IW3"], "processorVersion": "003.71", "instrumentShortName": "SAR",
        },
    )  # fmt: skip


def _sentinel2(rng: random.Random, number: int, start: datetime) -> Row:
    platform, kind = rng.choice("AB"), rng.choice(("S2MSI1C", "S2MSI2A"))
    tile = f"{rng.randint(1, 60):02d}{rng.choice('CDEFGHJKLMNPQRSTUVWX')}{rng.choice('ABCDEFGH')}{rng.choice('ABCDEF')}"
    level = "L1C" if kind.endswith("1C") else "L2A"
    made = start + timedelta(hours=3, seconds=number)
    name = f"S2{platform}_MSI{level}_{start:%Y%m%dT%H%M%S}_N0510_R{number % 143:03d}_T{tile}_{made:%Y%m%dT%H%M%S}.SAFE"
    return _row(
        rng, name, start, start, "SENTINEL-2", platform, kind, (1.1, 1.0),
        {
            "cloudCover": round(rng.random() * 100, 6), "tileId": tile, "orbitNumber": 20_000 + number % 30_000,
            "relativeOrbitNumber": 1 + number % 143, "processorVersion": "05.10", "instrumentShortName": "MSI",
            "processingDate": format_instant(made), "qualityStatus": rng.choice(("NOMINAL", "DEGRADED")),
        },
    )  # fmt: skip


def _sentinel3(rng: random.Random, number: int, start: datetime) -> Row:
    stop = start + timedelta(minutes=3)
    platform, kind = rng.choice("AB"), rng.choice(("OL_1_EFR___", "SL_1_RBT___", "SR_1_SRA___", "SY_2_SYN___"))
    stamps = f"{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_{stop + timedelta(hours=2):%Y%m%dT%H%M%S}"
    place = f"0179_{number % 1000:03d}_{1 + number % 385:03d}_{number % 10_000:04d}"
    name = f"S3{platform}_{kind}_{stamps}_{place}_PS1_O_NR_004.SEN3"
    return _row(
        rng, name, start, stop, "SENTINEL-3", platform, kind, (12.0, 11.0),
        {
            "orbitNumber": 10_000 + number % 30_000, "cycleNumber": number % 200, "baselineCollection": "004",
            "relativeOrbitNumber": 1 + number % 385, "timeliness": "NR", "landCover": round(rng.random() * 100, 3),
            "processingLevel": kind[3], "instrumentShortName": "OLCI",
        },
    )  # fmt: skip


def _row(
    rng: random.Random,
    name: str,
    start: datetime,
    stop: datetime,
    collection: str,
    platform: str,
    kind: str,
    size: tuple[float, float],
    attributes: dict[str, Any],
) -> Row:
    published = stop + timedelta(hours=1 + rng.random() * 20)
    return Row(
        name=name,
        collection=collection,
        mission="S" + collection[-1],
        platform=platform,
        product_type=kind,
        sensing_start=start,
        sensing_stop=stop,
        published_at=published,
        modified_at=published,
        package_size=rng.randint(10**7, 8 * 10**9),
        footprint=_footprint(rng, *size),
        attributes={
            "productType": kind,
            "platformShortName": collection,
            "platformSerialIdentifier": platform,
            "beginningDateTime": format_instant(start),
            "endingDateTime": format_instant(stop),
            **attributes,
        },
    )


def _footprint(rng: random.Random, width: float, height: float) -> dict[str, Any] | None:
    west, south = rng.uniform(-180, 180), rng.uniform(-80, 80 - height)
    lean = width * 0.15
    ring = [
        (west, south),
        (west + width, south + lean),
        (west + width - lean, south + height),
        (west - lean, south + height),
    ]
    return footprints.polygon(ring).geometry


def _tail(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()[:4].upper()
