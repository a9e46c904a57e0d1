"""The comparison: window after window of sensing time, so that no more than a few thousand products are in memory.

A product that one side has in a window and the other has not may have another sensing time there: it is looked up by
its name before it counts as missing or extra.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import asyncpg

from refsys.catalogue import search
from refsys.catalogue.comparison import products
from refsys.catalogue.comparison.products import Side, What, differences, key_of, names_of
from refsys.catalogue.comparison.there import LEAST, MOST, Dialect, There, TooMany
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Order, Search
from refsys.core.errors import RefsysError
from refsys.core.filters import EVERYTHING, Comparison, Expression, In, Literal, Op, Property, all_of
from refsys.core.times import format_instant
from refsys.missions import TypeRegistry

#: The first window, and the longest.
FIRST: Final = timedelta(days=1)
LONGEST: Final = timedelta(days=30)
#: Windows with fewer products than this are made longer.
_FEW: Final = 1000
#: Where more than this of a window is extra, it is not looked up there: a rolling archive has let go of it.
_LOOKED_UP: Final = 400
_PAGE: Final = 1000
#: Seconds that one query of the catalogue may take.
_BUDGET_S: Final = 300.0
_START: Final = Property("sensing_start")
_STATES: Final = "SELECT name, state, visibility FROM catalogue.product WHERE name = ANY($1) AND current"


class Outcome(StrEnum):
    EQUAL = "equal"
    MISSING = "missing"
    EXTRA = "extra"
    DIFFERENT = "different"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of one product that is not equal on both sides. `why` says more of what is missing."""

    outcome: Outcome
    name: str
    product_type: str = ""
    sensing_start: str | None = None
    id_here: str = ""
    id_there: str = ""
    why: str = ""
    differences: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is compared: products whose sensing starts in [start, stop), of these types (all, where none is named), that
    `filter` finds here; `what` and `attributes` of each.
    """

    start: datetime
    stop: datetime
    types: tuple[str, ...] = ()
    filter: Expression = EVERYTHING
    what: tuple[What, ...] = (What.SIZE, What.CHECKSUM, What.SENSING, What.ONLINE)
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What one window gave: all that is not equal, and how many of each outcome. Everything before `stop` is done."""

    stop: datetime
    found: list[Found]
    counts: Counter[Outcome]


class Comparer:
    """Compares what users here can see with what another hub has."""

    def __init__(self, connection: asyncpg.Connection, there: There, wanted: Wanted, types: TypeRegistry) -> None:
        self._connection = connection
        self._there = there
        self._wanted = wanted
        self._types = types
        self._moved: set[str] = set()
        self._scope = Scope.PRODUCTION if there.dialect is Dialect.PRIP else Scope.PUBLIC
        self._columns = [*products.COLUMNS]
        self._columns += ["p.footprint"] if What.FOOTPRINT in wanted.what else []
        self._columns += ["p.attributes"] if wanted.attributes else []

    async def windows(self) -> AsyncIterator[Window]:
        """In the order of sensing. Raises RefsysError where one of the two does not answer."""
        start, width = self._wanted.start, FIRST
        while start < self._wanted.stop:
            stop = min(start + width, self._wanted.stop)
            try:
                ours = await self._within(start, stop)
                entities = await self._there.within(start, stop)
            except TooMany as error:
                if width <= LEAST:
                    message = f"has too many products of the second that begins at {format_instant(start)}"
                    raise RefsysError(message, subject=self._there.client.station) from error
                width = max(LEAST, timedelta(seconds=int(min(width, stop - start).total_seconds()) // 2))
                continue
            yield await self._compared(stop, ours, entities)
            start = stop
            if len(ours) + len(entities) < _FEW:
                width = min(2 * width, LONGEST)

    async def _compared(self, stop: datetime, ours: dict[str, Side], entities: list[Any]) -> Window:
        found: list[Found] = []
        theirs = self._read(entities, found)
        pairs = [(ours[key], theirs[key]) for key in theirs.keys() & ours.keys()]
        missing = {key: theirs[key] for key in theirs.keys() - ours.keys()}
        extra = {key: ours[key] for key in ours.keys() - theirs.keys()}
        for key, side in (await self._named(missing)).items():
            pairs += self._once(side, missing.pop(key))
        if len(extra) <= _LOOKED_UP:
            for key, side in (await self._elsewhere(extra)).items():
                pairs += self._once(extra[key], side)
        extra = {key: side for key, side in extra.items() if key not in self._moved}
        equal = 0
        for one, other in pairs:
            differs = differences(one, other, self._wanted.what, self._wanted.attributes)
            equal += not differs
            if differs:
                found.append(_found(Outcome.DIFFERENT, one, other, differences=differs))
        states = await self._states(missing)
        found += [_found(Outcome.MISSING, None, side, why=states.get(key, "")) for key, side in missing.items()]
        found += [_found(Outcome.EXTRA, side, None) for side in extra.values()]
        found.sort(key=lambda entry: (entry.sensing_start or "", entry.name))
        counts = Counter(entry.outcome for entry in found)
        counts[Outcome.EQUAL] = equal
        return Window(stop, found, counts)

    def _once(self, ours: Side, theirs: Side) -> list[tuple[Side, Side]]:
        """The two as a pair, if they were not one before: with other sensing times they come in two windows."""
        if ours.key in self._moved:
            return []
        self._moved.add(ours.key)
        return [(ours, theirs)]

    def _read(self, entities: Iterable[Any], found: list[Found]) -> dict[str, Side]:
        """Products of a hub by their keys, the newest of each; what is none is told."""
        sides: dict[str, Side] = {}
        for entity in entities:
            try:
                side = products.there(entity, self._types)
            except ValueError as error:
                name = str(entity.get("Name", ""))[:100] if isinstance(entity, Mapping) else ""
                found.append(Found(outcome=Outcome.UNREADABLE, name=name, why=f"the entry {error}"))
                continue
            if self._wanted.types and side.product_type not in self._wanted.types:
                continue
            known = sides.get(side.key)
            if known is None or side.published >= known.published:
                sides[side.key] = side
        return sides

    async def _within(self, start: datetime, stop: datetime) -> dict[str, Side]:
        """Our products of a window. Raises TooMany."""
        during = (Comparison(_START, Op.GE, Literal(start)), Comparison(_START, Op.LT, Literal(stop)))
        wanted = Search(filter=all_of(*during, *self._terms()), order=(Order(_START),), limit=_PAGE, scope=self._scope)
        found: dict[str, Side] = {}
        after: tuple[Any, ...] | None = None
        while True:
            page = await search.find_page(
                self._connection, _behind(wanted, after), columns=self._columns, joins=products.JOINS,
                budget=Budget(_BUDGET_S),
            )  # fmt: skip
            found |= {side.key: side for side in map(products.here, page.rows)}
            after = page.after
            if after is None:
                return found
            if len(found) > MOST and stop - start > LEAST:
                raise TooMany

    def _terms(self) -> list[Expression]:
        types = self._wanted.types
        return [self._wanted.filter, *([In(Property("product_type"), tuple(map(Literal, types)))] if types else [])]

    async def _named(self, missing: Mapping[str, Side]) -> dict[str, Side]:
        """What of it users here can see, whenever it was sensed; the filter does not count."""
        found: dict[str, Side] = {}
        keys = list(missing)
        for first in range(0, len(keys), _PAGE):
            names = tuple(Literal(name) for key in keys[first : first + _PAGE] for name in names_of(key))
            wanted = Search(filter=In(Property("name"), names), limit=len(names), scope=self._scope)
            rows = await search.find(
                self._connection, wanted, columns=self._columns, joins=products.JOINS, budget=Budget(_BUDGET_S)
            )
            found |= {side.key: side for side in map(products.here, rows)}
        return found

    async def _elsewhere(self, extra: Mapping[str, Side]) -> dict[str, Side]:
        """What of it the other hub has, whenever it was sensed."""
        entities = await self._there.named(list(extra)) if extra else []
        found = self._read(entities, [])
        return {key: found[key] for key in found.keys() & extra.keys()}

    async def _states(self, missing: Mapping[str, Side]) -> dict[str, str]:
        """Of what is missing, why it cannot be seen though it is known here."""
        names = [name for key in missing for name in names_of(key)]
        rows = await self._connection.fetch(_STATES, names) if names else []
        told = {
            row["name"]: "it is hidden here" if row["state"] == "published" else f"it is {row['state']} here"
            for row in rows
        }
        return {key_of(name): why for name, why in told.items()}


def _behind(wanted: Search, after: tuple[Any, ...] | None) -> Search:
    return Search(filter=wanted.filter, order=wanted.order, limit=wanted.limit, after=after, scope=wanted.scope)


def _found(outcome: Outcome, here: Side | None, there: Side | None, **more: Any) -> Found:
    one = here or there
    assert one is not None
    return Found(
        outcome=outcome,
        name=one.name,
        product_type=one.product_type,
        sensing_start=None if one.start is None else format_instant(one.start),
        id_here=here.id if here else "",
        id_there=there.id if there else "",
        **more,
    )
