"""A listing: query options read, rows chosen, ordered and cut into pages.

Shapes: standards 2.10 to 2.12; the pages' links as the Copernicus Data Space writes them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

from refsys.simulation.station.content import Content
from refsys.simulation.station.dialect import Dialect
from refsys.simulation.station.filters import Kinds, parse_filter

_OPTIONS: Final = ("$filter", "$orderby", "$top", "$skip", "$count", "$expand", "$format")
_CHOICES_KEPT: Final = 32
_Choice = tuple[str | None, tuple[tuple[str, bool], ...], frozenset[str]]


class QueryError(ValueError):
    """A query option that cannot be answered; `status` 400, or 501 for what this station does not do."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Media:
    """The bytes behind an entity: `name` is what they would be saved as."""

    content: Content
    name: str
    content_type: str


Row = TypeVar("Row")


class EntitySet(ABC, Generic[Row]):
    """Rows of one kind that a station offers. Every method may be called from any thread.

    `kinds`: properties that can be asked for in `$filter` and `$orderby`; `expands`: navigation properties, and the set
    of what they lead to.
    """

    name: str
    kinds: Kinds
    expands: Mapping[str, EntitySet[Any]] = MappingProxyType({})

    @property
    @abstractmethod
    def revision(self) -> int:
        """Changes with every change of the rows."""

    @abstractmethod
    def rows(self) -> Sequence[Row]:
        """All that is offered now."""

    @abstractmethod
    def find(self, key: str) -> Row | None:
        """The row of a key as it stands in a URL. Raises ValueError for what is no key."""

    @abstractmethod
    def value(self, row: Row, name: str) -> Any:
        """A property of `kinds`; None where it is not known."""

    @abstractmethod
    def title(self, row: Row) -> str:
        """What scripts and journals call it."""

    @abstractmethod
    def entity(self, row: Row) -> dict[str, Any]:
        """It as the station announces it. Blocks."""

    def is_single(self, name: str) -> bool:
        """Whether a navigation property leads to one row: it is named like that, not like the set."""
        return name == self.expands[name].singular != self.expands[name].name

    @property
    def singular(self) -> str:
        """The name of the entity type."""
        return self.name.removesuffix("s")

    def related(self, row: Row, name: str) -> Sequence[Any]:
        """The rows that a navigation property leads to."""
        raise KeyError(name)

    def media(self, row: Row) -> Media | None:
        """Its bytes; None where such rows have none. Blocks."""
        return None


@dataclass(frozen=True, slots=True)
class Query:
    """Query options. `order`: property and whether it descends; without any the order means nothing."""

    filter: str | None
    order: tuple[tuple[str, bool], ...]
    top: int | None
    skip: int
    count: bool
    expand: tuple[str, ...]


def parse_query(options: Iterable[tuple[str, str]], entities: EntitySet[Any], dialect: Dialect) -> Query:
    """Read the options of a listing or an entity; raises QueryError."""
    given: dict[str, str] = {}
    for name, text in options:
        if not name.startswith("$"):
            continue
        if name in dialect.refuses:
            raise QueryError(f"{name} is not known here")
        if name not in _OPTIONS or (name == "$expand" and not entities.expands):
            raise QueryError(f"{name} is not supported by this station", 501)
        if name == "$expand" and name in given:
            text = f"{given[name]},{text}"
        elif name in given:
            raise QueryError(f"{name} is given twice")
        given[name] = text
    count = given.get("$count", "false").lower()
    if count not in ("true", "false"):
        raise QueryError(f"$count is true or false, not {count!r}")
    return Query(
        filter=given.get("$filter"),
        order=_order(given.get("$orderby", ""), entities.kinds),
        top=_number("$top", given["$top"]) if "$top" in given else None,
        skip=0 if dialect.skip_ignored else _number("$skip", given.get("$skip", "0")),
        count=count == "true",
        expand=_expand(given.get("$expand", ""), entities),
    )


class Chooser(Generic[Row]):
    """Chooses and orders the rows of one set; remembers the latest choices as long as nothing changes."""

    def __init__(self, entities: EntitySet[Row]) -> None:
        self._entities = entities
        self._revision = -1
        self._choices: OrderedDict[_Choice, list[Row]] = OrderedDict()

    def choose(self, query: Query, dialect: Dialect) -> list[Row]:
        """All that match, ordered; not to be changed. Raises FilterError."""
        revision, rows = self._entities.revision, self._entities.rows()
        if revision != self._revision:
            self._choices.clear()
            self._revision = revision
        key = (query.filter, query.order, dialect.refuses)
        if key not in self._choices:
            self._choices[key] = self._chosen(query, dialect, rows)
            while len(self._choices) > _CHOICES_KEPT:
                self._choices.popitem(last=False)
        return self._choices[key]

    def _chosen(self, query: Query, dialect: Dialect, rows: Sequence[Row]) -> list[Row]:
        value = self._entities.value
        chosen = list(rows)
        if query.filter is not None:
            holds = parse_filter(query.filter, self._entities.kinds, dialect.refuses)
            chosen = [row for row in rows if holds(partial(value, row))]
        # without $orderby an order that means nothing
        if "Id" in self._entities.kinds:
            chosen.sort(key=lambda row: str(value(row, "Id")))
        for name, descending in reversed(query.order):
            chosen.sort(key=_sort_key(value, name), reverse=descending)
        return chosen


def next_link(collection: str, options: Iterable[tuple[str, str]], skip: int) -> str:
    """The address of the page that begins at `skip`, option names and values encoded."""
    pairs = [(name, text) for name, text in options if name != "$skip"] + [("$skip", str(skip))]
    return f"{collection}?" + "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs)


def _sort_key(value: Callable[[Row, str], Any], name: str) -> Callable[[Row], tuple[bool, Any]]:
    """What is not known comes first."""
    return lambda row: ((found := value(row, name)) is not None, found)


def _order(text: str, kinds: Kinds) -> tuple[tuple[str, bool], ...]:
    order = []
    for term in filter(None, map(str.strip, text.split(","))):
        match = re.fullmatch(r"([\w/]+)(?:\s+(asc|desc))?", term)
        if match is None or match[1] not in kinds:
            raise QueryError(f"$orderby: {term!r} is not one of {', '.join(kinds)}, with asc or desc or neither")
        order.append((match[1], match[2] == "desc"))
    return tuple(order)


def _expand(text: str, entities: EntitySet[Any]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
    for name in names:
        if name not in entities.expands:
            raise QueryError(f"$expand: {name!r} is not one of {', '.join(entities.expands)}")
    return names


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise QueryError(f"{name} is a number from 0, not {text!r}")
    return int(text)
