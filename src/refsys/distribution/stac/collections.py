"""Collections: which there are, and which products are in each.

A product's collection follows from its type, product type and timeliness (items.collection_of). Where the tables tell
every product type that a row can have, its collections are known from them; the others are known once the catalogue has
a product of such a type.
"""

from __future__ import annotations

import itertools
import string
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, Final
from uuid import UUID

import asyncpg

from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, TooCostly
from refsys.core.filters import Attribute, Comparison, Expression, In, IsNull, Literal, Op, Property, all_of, any_of
from refsys.distribution.stac.items import DEFAULT_COLLECTION, collection_name
from refsys.distribution.stac.regular import LIMIT, texts_of
from refsys.missions import ProductType, TypeRegistry

#: Seconds after which it is looked for what came; and the least between two looks for what nobody knows.
STALE_S: Final = 30.0
_PATIENCE_S: Final = 1.0
#: Values of the attribute `timeliness` that collections of Sentinel-3 can be of (standards 2.5); none: empty.
_TIMELINESS: Final = ("NR", "ST", "NT", "NN", "NS", "SN", "AL", "")

# Jumps from pair to pair in the index of types. Of each the oldest and newest products are looked at, and of those
# what everybody may see: a type whose products are hidden costs no more than another.
_KINDS: Final = """
WITH RECURSIVE kind(collection, product_type) AS (
    (SELECT p.collection, p.product_type FROM catalogue.product p WHERE p.state = 'published'
      ORDER BY p.collection, p.product_type LIMIT 1)
    UNION ALL
    SELECT following.* FROM kind, LATERAL (
        SELECT p.collection, p.product_type FROM catalogue.product p
         WHERE p.state = 'published' AND (p.collection, p.product_type) > (kind.collection, kind.product_type)
         ORDER BY p.collection, p.product_type LIMIT 1) following
)
SELECT kind.collection, kind.product_type, p.id, p.name, p.type_id, p.sensing_start,
       p.attributes ->> 'timeliness' AS timeliness, ({public}) IS TRUE AS is_public
  FROM kind, LATERAL (
        (SELECT * FROM catalogue.product p WHERE p.state = 'published' AND p.collection = kind.collection
            AND p.product_type = kind.product_type ORDER BY p.sensing_start LIMIT 40)
        UNION ALL
        (SELECT * FROM catalogue.product p WHERE p.state = 'published' AND p.collection = kind.collection
            AND p.product_type = kind.product_type ORDER BY p.sensing_start DESC LIMIT 40)) p
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Products of a collection: those of one product type, of one timeliness where that tells collections apart."""

    constellation: str
    product_type: str
    timeliness: str | None = None


@dataclass
class Collection:
    """A collection. `is_shown`: users find it in the list; `first` is when its oldest product was sensed, if known;
    `example` is one of its newest products; `present` are the product types that the catalogue has."""

    id: str
    parts: set[Part] = field(default_factory=set)
    types: dict[str, ProductType] = field(default_factory=dict)
    is_shown: bool = False
    first: datetime | None = None
    example: UUID | None = None
    present: set[str] = field(default_factory=set)

    @property
    def constellation(self) -> str:
        return min((part.constellation for part in self.parts), default="")

    @cached_property
    def expression(self) -> Expression:
        """True of its products. Asked for when all parts are there."""
        by_kind: dict[tuple[str, str | None], list[str]] = defaultdict(list)
        for part in sorted(self.parts, key=lambda part: part.product_type):
            by_kind[part.constellation, part.timeliness].append(part.product_type)
        return any_of(*(_of(*kind, product_types) for kind, product_types in sorted(by_kind.items(), key=str)))


def _of(constellation: str, timeliness: str | None, product_types: Sequence[str]) -> Expression:
    kind = Property("product_type")
    terms: list[Expression] = [Comparison(Property("collection"), Op.EQ, Literal(constellation))]
    if len(product_types) == 1:
        terms.append(Comparison(kind, Op.EQ, Literal(product_types[0])))
    else:
        terms.append(In(kind, tuple(map(Literal, product_types))))
    if timeliness is not None:
        of = Attribute("timeliness")
        terms.append(Comparison(of, Op.EQ, Literal(timeliness)) if timeliness else IsNull(of))
    return all_of(*terms)


class Collections:
    """What is known of collections; each process looks for itself."""

    def __init__(self, types: TypeRegistry) -> None:
        self._types = types
        self._looked_at = float("-inf")
        self.known: Mapping[str, Collection] = _by_id(types, ())

    async def refresh(
        self,
        connection: asyncpg.Connection,
        budget: Budget,
        wanted: Iterable[str] = (),
        *,
        older_than_s: float = STALE_S,
    ) -> Mapping[str, Collection]:
        """What is known, after a look into the catalogue where that was long ago or one of the wanted is unknown."""
        age_s = time.monotonic() - self._looked_at
        is_missing = age_s > _PATIENCE_S and any(name not in self.known for name in wanted)
        if is_missing or age_s > older_than_s:
            sql = _KINDS.format(public=Scope.PUBLIC.value)
            try:
                rows = await connection.fetch(sql, timeout=budget.left_s())
            except (TimeoutError, asyncpg.QueryCanceledError) as error:
                raise TooCostly("the collections could not be found in time", advice="try again in a moment") from error
            self.known = _by_id(self._types, rows)
            self._looked_at = time.monotonic()
        return self.known


def _by_id(types: TypeRegistry, rows: Sequence[asyncpg.Record]) -> dict[str, Collection]:
    found: dict[str, Collection] = {}

    def add(name: str, part: Part, kind: ProductType | None) -> Collection:
        collection = found.setdefault(name, Collection(name))
        collection.parts.add(part)
        if kind is not None:
            collection.types[kind.id] = kind
        return collection

    for kind, named in _of_tables(types):
        for name, part in named:
            # what the tables name by itself is there before its first product
            add(name, part, kind).is_shown |= bool(kind.stac_collection) and kind.visibility == "public"
    for row in rows:
        row_kind = types.types.get(row["type_id"])
        for name, part in _of_row(row, row_kind):
            collection = add(name, part, row_kind)
            if (row["timeliness"] or "") == part.timeliness or part.timeliness is None:
                _see(collection, row)
    return found


@lru_cache(maxsize=4)
def _of_tables(types: TypeRegistry) -> list[tuple[ProductType, list[tuple[str, Part]]]]:
    return [(kind, list(_of_table(kind))) for kind in types.types.values()]


def _see(collection: Collection, row: Mapping[str, Any]) -> None:
    if not row["is_public"]:
        return
    start = row["sensing_start"]
    collection.is_shown = True
    collection.present.add(row["product_type"])
    collection.example = row["id"]
    if start is not None and (collection.first is None or start < collection.first):
        collection.first = start


def _of_row(row: Mapping[str, Any], kind: ProductType | None) -> Iterator[tuple[str, Part]]:
    """The collections that products of a row's type and product type can be in."""
    match = kind.name.fullmatch(row["name"]) if kind else None
    template = kind.stac_collection if kind and match else ""
    groups = match.groupdict(default="") if match else {}
    given = {row["timeliness"] or "", *_TIMELINESS} if "timeliness_category" in _names(template) else {None}
    for timeliness in given:
        part = Part(row["collection"], row["product_type"], timeliness)
        yield _name(template, groups, part), part


def _of_table(kind: ProductType) -> Iterator[tuple[str, Part]]:
    """The collections that a row of the tables says, where it says them all."""
    template = kind.stac_collection or DEFAULT_COLLECTION
    names = sorted((_names(template) | _names(kind.product_type)) & kind.name.groupindex.keys())
    values = [texts_of(kind.name.pattern, name) for name in names]
    if not kind.collection or "timeliness_category" in _names(template) or None in values:
        return
    combinations = list(itertools.islice(itertools.product(*filter(None, values)), LIMIT + 1))
    for texts in combinations if len(combinations) <= LIMIT else ():
        groups = dict(zip(names, texts, strict=True))
        part = Part(kind.collection, kind.product_type.format_map(groups))
        yield _name(template, groups, part), part


def _name(template: str, groups: Mapping[str, str], part: Part) -> str:
    return collection_name(
        template,
        groups,
        constellation=part.constellation,
        product_type=part.product_type,
        timeliness=part.timeliness or "",
    )


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}
