"""Selection: which products are taken as inputs, and why (spec: catalogue 10 and 12.1, production 6.4).

`candidates` is what the retrieval policies of task tables are made of: products of some types and one satellite whose
validity (or sensing) stands in a relation to an interval, in an order. It obeys the operator's bans, pins and
activations, and says of each candidate why it was taken or left. Only the newest revision of a name counts, nothing
that was withdrawn or whose bytes are gone; what is not published yet counts as well.

Every query walks an index on types and classes of duration (migration 0014), so that neither the age of the catalogue
nor one very long product makes it slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

import asyncpg

from refsys.catalogue.model import PRODUCT_COLUMNS, Product
from refsys.catalogue.store import product_from
from refsys.core.times import FOREVER, format_instant, parse_instant

#: So many candidates at most, unless the caller says otherwise; `Selection.is_complete` tells whether there are more.
LIMIT: Final = 1000


class Relation(Enum):
    """How a product stands to the interval from `start` to `stop`."""

    #: It lasts at least from start to stop.
    COVER = "p.sensing_start <= {start} AND p.sensing_stop >= {stop} AND p.sensing_start > {look_back_of_stop}"
    #: It shares some time with it, more than an instant.
    INTERSECT = "p.sensing_start < {stop} AND p.sensing_stop > {start} AND p.sensing_start > {look_back_of_start}"
    #: It begins in it; stop is exclusive.
    STARTS = "p.sensing_start >= {start} AND p.sensing_start < {stop}"
    #: It ends in it; stop is exclusive, unless it is FOREVER.
    STOPS = """p.sensing_stop >= {start} AND (p.sensing_stop < {stop} OR {stop} = {forever})
       AND p.sensing_start <= {stop} AND p.sensing_start > {look_back_of_start}"""


class Order(Enum):
    """Which candidates come first; of equal ones the newest by creation, then the last described, then by name."""

    NEWEST = ""
    EARLIEST_START = "p.sensing_start"
    LATEST_START = "p.sensing_start DESC"
    EARLIEST_STOP = "p.sensing_stop"
    LATEST_STOP = "p.sensing_stop DESC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for. `start` and `stop` are the interval with its margins.

    `platform` is the satellite's letter; what is valid for the whole mission counts too. `attributes` have to be equal.
    `sensing` is the sensing start of what is processed, which activations and pins are about; without it, `start`.
    """

    product_types: tuple[str, ...]
    platform: str
    relation: Relation
    start: datetime
    stop: datetime
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    sensing: datetime | None = None


class Verdict(StrEnum):
    """What became of a candidate."""

    TAKEN = "taken"
    PINNED = "pinned"
    BANNED = "banned"
    NOT_ACTIVE = "not active"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that stands in the wanted relation, and the rule that decided, if one did."""

    product: Product
    verdict: Verdict = Verdict.TAKEN
    rule_id: int | None = None
    author: str = ""
    reason: str = ""
    active_from: datetime | None = None

    @property
    def is_taken(self) -> bool:
        return self.verdict in (Verdict.TAKEN, Verdict.PINNED)

    @property
    def start(self) -> datetime:
        assert self.product.sensing_start is not None
        return self.product.sensing_start

    @property
    def stop(self) -> datetime:
        assert self.product.sensing_stop is not None
        return self.product.sensing_stop

    @property
    def made_at(self) -> datetime | None:
        return made_at(self.product)

    @property
    def why(self) -> str:
        """`banned by rule 3 (ann: the calibration was wrong)`."""
        if self.rule_id is None:
            return f"{self.verdict}: made {format_instant(self.made_at) if self.made_at else 'at an unknown time'}"
        since = f" before {format_instant(self.active_from)}" if self.active_from else ""
        return f"{self.verdict}{since} by rule {self.rule_id} ({self.author}: {self.reason})"


@dataclass(frozen=True, slots=True)
class Selection:
    """The candidates in their order, pinned ones first (the newest pin before the others); and those that were left.

    `is_complete` is False where there are more than the limit.
    """

    taken: tuple[Candidate, ...]
    left: tuple[Candidate, ...]
    is_complete: bool

    @property
    def first(self) -> Product | None:
        """What a policy that wants one product takes."""
        return self.taken[0].product if self.taken else None


_LIVE: Final = "p.current AND p.deleted_at IS NULL AND p.sensing_start <= p.sensing_stop"
_ENDLESS: Final = "(catalogue.span_of(p.sensing_start, p.sensing_stop) = 11) IS TRUE"
_TIES: Final = 'catalogue.made(p.attributes) DESC, p.described_at DESC, p.name COLLATE "C" DESC'
# what the orders look at
_KEYS: Final = "p.id, p.name, p.sensing_start, p.sensing_stop, p.described_at, p.attributes"
_COLUMNS: Final = ", ".join(f"p.{column}" for column in PRODUCT_COLUMNS)

# What the rules in force say of candidates that have one; they are few.
_RULED: Final = """
SELECT DISTINCT ON (p.id) p.id, r.id AS rule_id, r.author, r.reason, r.sensing_from AS active_from,
       CASE r.kind WHEN 'ban' THEN 'banned' WHEN 'pin' THEN 'pinned' ELSE 'not active' END AS verdict
  FROM catalogue.rule r
 CROSS JOIN LATERAL (SELECT * FROM catalogue.product p WHERE p.name = r.name AND p.current LIMIT 1) p
 CROSS JOIN catalogue.spans() c
 WHERE r.lifted_at IS NULL
   AND CASE r.kind WHEN 'ban' THEN TRUE
                   WHEN 'pin' THEN catalogue.applies(r, p.name, p.collection, p.product_type, {platform}, {sensing})
                   WHEN 'activate' THEN (r.platform IS NULL OR r.platform = {platform})
                                        AND NOT catalogue.applies(r, p.name, p.collection, p.product_type,
                                                                  {platform}, {sensing})
                   ELSE FALSE END
   AND p.product_type = ANY ({types}::text[]) AND p.platform = ANY ({platforms}::text[])
   AND c.span = catalogue.span_of(p.sensing_start, p.sensing_stop) AND {condition}
 ORDER BY p.id, r.kind = 'pin', r.kind = 'activate', r.id DESC
"""
# One class of duration of one type and satellite. The planner, which knows none of the three, is given no choice.
_OF_CLASS: Final = """
SELECT h.* FROM unnest({types}::text[]) AS t(product_type)
 CROSS JOIN unnest({platforms}::text[]) AS s(platform)
 CROSS JOIN catalogue.spans() c
 CROSS JOIN LATERAL (
       SELECT {keys} FROM catalogue.product p
        WHERE p.product_type = t.product_type AND p.platform = s.platform
          AND catalogue.span_of(p.sensing_start, p.sensing_stop) = c.span
          AND {condition} AND NOT p.id IN (SELECT ruled.id FROM ruled) {within}
        ORDER BY {order} LIMIT {limit}) h
 WHERE {classes}
"""
# The newest of what has no end.
_ENDLESS_ONES: Final = """
UNION ALL
SELECT h.* FROM unnest({types}::text[]) AS t(product_type)
 CROSS JOIN unnest({platforms}::text[]) AS s(platform)
 CROSS JOIN (SELECT NULL::interval AS longest) c
 CROSS JOIN LATERAL (
       SELECT {keys} FROM catalogue.product p
        WHERE p.product_type = t.product_type AND p.platform = s.platform AND {endless}
          AND {condition} AND NOT p.id IN (SELECT ruled.id FROM ruled)
        ORDER BY {order} LIMIT {limit}) h
"""
# By their stops: the first of a class by their starts say how far away the first by their stops can lie. The database
# computes it once for each class.
_FARTHEST: Final = """(
              SELECT {extreme}(first.sensing_stop) FROM (
                     SELECT p.sensing_stop FROM catalogue.product p
                      WHERE p.product_type = t.product_type AND p.platform = s.platform
                        AND catalogue.span_of(p.sensing_start, p.sensing_stop) = c.span
                        AND {condition} AND NOT p.id IN (SELECT ruled.id FROM ruled)
                      ORDER BY {by_start} LIMIT {limit}) first)"""
_SELECT: Final = """
WITH ruled AS MATERIALIZED ({ruled}),
     found AS (SELECT p.id FROM ({found}) p ORDER BY {order} LIMIT {limit})
SELECT {columns}, r.rule_id, r.author, r.reason, r.active_from, r.verdict
  FROM (SELECT id, NULL::bigint AS rule_id, NULL AS author, NULL AS reason, NULL::timestamptz AS active_from,
               'taken' AS verdict FROM found
        UNION ALL
        SELECT id, rule_id, author, reason, active_from, verdict FROM ruled) r
  JOIN catalogue.product p ON p.id = r.id
 ORDER BY r.verdict = 'pinned' DESC, CASE WHEN r.verdict = 'pinned' THEN r.rule_id END DESC, {order}
"""


async def candidates(
    connection: asyncpg.Connection, wanted: Wanted, order: Order = Order.NEWEST, *, limit: int = LIMIT
) -> Selection:
    """The products that stand in the wanted relation, at most `limit`, in their order, with the rules obeyed."""
    rows = await connection.fetch(*statement(wanted, order, limit))
    found = [_candidate(row) for row in rows]
    taken = [candidate for candidate in found if candidate.is_taken]
    left = [candidate for candidate in found if not candidate.is_taken]
    return Selection(tuple(taken[:limit]), tuple(left), len(taken) <= limit)


async def latest_cover(
    connection: asyncpg.Connection, product_type: str, platform: str, start: datetime, stop: datetime
) -> Product | None:
    """The newest product by its creation that is valid from `start` to `stop`: LatestValCover."""
    wanted = Wanted(product_types=(product_type,), platform=platform, relation=Relation.COVER, start=start, stop=stop)
    return (await candidates(connection, wanted, limit=1)).first


def statement(wanted: Wanted, order: Order, limit: int) -> tuple[Any, ...]:
    """The query of `candidates` and its arguments."""
    args: list[Any] = [
        list(wanted.product_types),
        list(dict.fromkeys((wanted.platform, ""))),
        wanted.start,
        wanted.stop,
        dict(wanted.attributes),
        wanted.platform,
        wanted.sensing or wanted.start,
        limit + 1,
    ]
    names = ("types", "platforms", "start", "stop", "attributes", "platform", "sensing", "limit")
    bound = {name: f"${number}" for number, name in enumerate(names, 1)}
    bound["start"], bound["stop"] = "$3::timestamptz", "$4::timestamptz"
    relation = wanted.relation.value.format(
        **bound,
        forever=f"'{format_instant(FOREVER)}'",
        look_back_of_start="coalesce($3::timestamptz - c.longest, '-infinity')",
        look_back_of_stop="coalesce($4::timestamptz - c.longest, '-infinity')",
    )
    # compared, not looked up: the index on attributes would find all of a type, or of a satellite
    condition = f"{_LIVE} AND p.evicted_at IS NULL AND {relation} AND (p.attributes @> $5::jsonb) IS TRUE"
    by = ", ".join(filter(None, (order.value, _TIES)))
    pieces = {**bound, "condition": condition, "order": by, "endless": _ENDLESS, "keys": _KEYS}
    found = _OF_CLASS.format(**pieces, **_walk(order, pieces))
    if order is Order.NEWEST:
        found += _ENDLESS_ONES.format(**pieces)
    sql = _SELECT.format(**pieces, ruled=_RULED.format(**pieces), found=found, columns=_COLUMNS)
    return sql, *args


def _walk(order: Order, pieces: Mapping[str, str]) -> dict[str, str]:
    """How far the index of a class is walked, and of which classes."""
    within = ""
    if order is Order.EARLIEST_STOP:
        within = "AND p.sensing_start <= " + _FARTHEST.format(**pieces, extreme="max", by_start="p.sensing_start")
    if order is Order.LATEST_STOP:
        farthest = _FARTHEST.format(**pieces, extreme="min", by_start="p.sensing_start DESC")
        within = f"AND p.sensing_start > coalesce({farthest} - c.longest, '-infinity')"
    return {"within": within, "classes": "c.longest IS NOT NULL" if order is Order.NEWEST else "TRUE"}


def made_at(product: Product) -> datetime | None:
    """When a product was made, as catalogue.made has it (migration 0014); None where that is not known."""
    text = product.attributes.get("productGeneration") or product.attributes.get("processingDate")
    try:
        return parse_instant(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _candidate(row: asyncpg.Record) -> Candidate:
    if row["rule_id"] is None:
        return Candidate(product_from(row))
    verdict = Verdict(row["verdict"])
    active_from = row["active_from"] if verdict is Verdict.NOT_ACTIVE else None
    return Candidate(product_from(row), verdict, row["rule_id"], row["author"], row["reason"], active_from)
