"""A search: values of a request → what the catalogue is asked for → items and links, as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from refsys.catalogue.search import Order
from refsys.core.filters import (
    Attribute,
    Expression,
    How,
    In,
    Kind,
    Literal,
    Property,
    TextMatch,
    all_of,
    any_of,
)
from refsys.distribution.cql2 import Vocabulary, parse_json, parse_text
from refsys.distribution.stac.api.asked import DEFAULT_LIMIT, Values
from refsys.distribution.stac.api.errors import wrong
from refsys.distribution.stac.api.fields import Fields
from refsys.distribution.stac.api.instants import parse_datetime
from refsys.distribution.stac.api.places import within_bbox, within_geometry
from refsys.distribution.stac.api.query import to_cql2
from refsys.distribution.stac.collections import Collection
from refsys.distribution.stac.queryables import SUFFIXES, Term, collection_term

#: What items can be sorted by; all but `eo:cloud_cover`, `file:size` and `created` are walked in an index.
SORTABLE: Final[Mapping[str, Property | Attribute]] = {
    "id": Property("name"),
    "datetime": Property("sensing_start"),
    "start_datetime": Property("sensing_start"),
    "end_datetime": Property("sensing_stop"),
    "created": Property("t0_raw"),
    "published": Property("published_at"),
    "updated": Property("modified_at"),
    "file:size": Property("package_size"),
    "eo:cloud_cover": Attribute("cloudCover"),
}
#: What was published last comes first.
DEFAULT_ORDER: Final = (Order(Property("published_at"), descending=True),)
_ORDERS_LIMIT: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A search of items; `page` is the token of a page, empty for the first one."""

    filter: Expression
    order: tuple[Order, ...]
    limit: int
    page: str
    fields: Fields | None


class Meaning:
    """What names mean, with the collections that are known."""

    def __init__(self, terms: Mapping[str, Term], collections: Mapping[str, Collection]) -> None:
        self.terms = terms
        self.collections = collections

    @cached_property
    def vocabulary(self) -> Vocabulary:
        named = {**self.terms, "collection": collection_term(self.collections)}
        return Vocabulary({name: term.queryable for name, term in named.items()})

    def wanted(self, values: Values, *, within: str = "", needs_zone: bool = True) -> Wanted:
        """The search that values ask for, in one collection where `within` names it. Raises StacError, InvalidCql2."""
        return Wanted(
            filter=all_of(*self._terms(values, within, needs_zone)),
            order=_order(values.get("sortby", ())),
            limit=values.get("limit", DEFAULT_LIMIT),
            page=values.get("page", ""),
            fields=values.get("fields"),
        )

    def named(self, names: Sequence[str]) -> Expression:
        """True of what is in one of these collections; one that nobody knows has nothing."""
        return any_of(*(self.collections[name].expression for name in names if name in self.collections))

    def _terms(self, values: Values, within: str, needs_zone: bool) -> list[Expression]:
        found: list[Expression] = []
        if "bbox" in values and "intersects" in values:
            raise wrong("bbox", "and intersects exclude each other")
        if within:
            found.append(self.named([within]))
        if values.get("collections"):
            found.append(self.named(values["collections"]))
        if values.get("ids"):
            found.append(names_of(values["ids"]))
        if "bbox" in values:
            found.append(within_bbox(values["bbox"]))
        if "intersects" in values:
            found.append(within_geometry(values["intersects"]))
        if "datetime" in values:
            found.append(parse_datetime(values["datetime"], needs_zone=needs_zone).expression())
        if "filter" in values:
            found.append(self._filter(values["filter"], values.get("filter-lang")))
        if query := to_cql2(values.get("query", {}), self._kind_of):
            found.append(parse_json(query, self.vocabulary))
        if values.get("q"):
            found.append(any_of(*map(self._said, values["q"])))
        return found

    def _kind_of(self, name: str) -> Kind | None:
        found = self.vocabulary.find(name)
        return None if found is None else found.kind

    def _filter(self, given: Any, language: str | None) -> Expression:
        language = language or ("cql2-text" if isinstance(given, str) else "cql2-json")
        if language == "cql2-json":
            return parse_json(_json(given), self.vocabulary)
        if not isinstance(given, str):
            raise wrong("filter", "of the language cql2-text is a text")
        if not given.strip():
            raise wrong("filter", "is empty")
        return parse_text(given, self.vocabulary)

    def _said(self, text: str) -> Expression:
        """A piece of a name, in upper case too, or of a collection's name, in any case."""
        pieces = dict.fromkeys((text, text.upper()))
        named = [name for name in self.collections if text.lower() in name]
        pieces_found = (TextMatch(How.CONTAINS, Property("name"), piece) for piece in pieces)
        return any_of(*pieces_found, *(self.collections[name].expression for name in named))


def names_of(ids: Sequence[str]) -> Expression:
    """True of the items with these ids."""
    names = dict.fromkeys(f"{key}{suffix}" for key in ids for suffix in SUFFIXES)
    return In(Property("name"), tuple(map(Literal, names)))


def _json(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise wrong("filter", f"is not JSON: {error}") from error


def _order(given: Sequence[tuple[str, bool]]) -> tuple[Order, ...]:
    orders: dict[Property | Attribute, Order] = {}
    for name, descending in given:
        by = SORTABLE.get(name.removeprefix("properties."))
        if by is None:
            raise wrong("sortby", f"{name[:60]!a} is not sortable; there are {', '.join(SORTABLE)}")
        orders.setdefault(by, Order(by, descending))
    if len(orders) > _ORDERS_LIMIT:
        raise wrong("sortby", f"has {len(orders)} fields, more than {_ORDERS_LIMIT}")
    return tuple(orders.values()) or DEFAULT_ORDER


def item_collection(
    items: Sequence[str], links: Sequence[Mapping[str, Any]], *, fields: Fields | None, matched: int | None
) -> bytes:
    """A page of items. `matched` is how many there are on all pages; None: nobody counted."""
    if fields is not None:
        items = [orjson.dumps(fields.apply(orjson.loads(item))).decode() for item in items]
    number_matched = "" if matched is None else f'"numberMatched":{matched},'
    return (
        f'{{"type":"FeatureCollection",{number_matched}"numberReturned":{len(items)},"features":[{",".join(items)}],'
        f'"links":{orjson.dumps(links).decode()}}}'
    ).encode()
