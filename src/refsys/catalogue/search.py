"""Search: which products a filter finds, in an order, a page at a time, within a budget of time.

Where an area is asked for, the index of footprints is looked into first: of few products it tells all, and these are
then looked at one by one; where it has many, the index of the order is walked, and each product looked at on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg

from refsys.catalogue import estimates, tallies
from refsys.catalogue.compiler import Compiler, Scope, polygons, seen_in
from refsys.catalogue.ordering import Order, Part, behind, keys_of
from refsys.core.errors import RefsysError
from refsys.core.filters import EVERYTHING, Comparison, Expression, Intersects, Op, Property, Within, all_of, conjuncts

#: Seconds that a search may take, in which it waits for the database too.
BUDGET_S: Final = 20.0
#: Seconds that a search is counted exactly, product by product.
EXACT_S: Final = 0.06
#: So many parts of footprints are looked at one by one.
FEW: Final = 2000

#: What has an index in its order; anything else has to be sorted.
DEFAULT_ORDER: Final = {
    Scope.PUBLIC: Property("published_at"),
    Scope.PRODUCTION: Property("published_at"),
    Scope.PUBLISHED: Property("published_at"),
    Scope.DELETED: Property("deleted_at"),
    Scope.OPERATOR: Property("described_at"),
}

_PRODUCTS: Final = "catalogue.product p"
_THESE: Final = "(SELECT * FROM catalogue.product WHERE id = ANY({ids}::uuid[]) OFFSET 0) p"
# as the ids stand: no more of them are looked at than the page needs
_IN_TURN: Final = "unnest({ids}::uuid[]) WITH ORDINALITY AS turn(id, place) JOIN catalogue.product p ON p.id = turn.id"
_OVERLAPPING: Final = "SELECT catalogue.overlapping($1::text[]::polygon[], $2, $3)"
# first the ids of the page, as narrow as can be, then what is wanted of them
_PAGE: Final = """
SELECT {columns}
  FROM (SELECT {keys} FROM {source} WHERE {where} ORDER BY {order} LIMIT {limit} OFFSET {offset}) page
  JOIN catalogue.product p ON p.id = page.page_id {joins}
 ORDER BY {page_order}
"""
# from page to page by the index of published products: what comes later is as near as what comes first
_NEXT: Final = """
SELECT p.id AS walked_id, p.published_at AS walked_at, {columns}
  FROM catalogue.product p {joins}
 WHERE {where} AND (p.published_at, p.id) > ({instant}, {id})
 ORDER BY p.published_at, p.id LIMIT {limit}
"""
_COUNT: Final = "SELECT count(*) FROM {source} WHERE {where}"

_BEFORE_ALL: Final = datetime.min.replace(tzinfo=UTC), UUID(int=0)

_Result = TypeVar("_Result")

__all__ = [
    "BUDGET_S", "DEFAULT_ORDER", "Budget", "Count", "Order", "Page", "Search", "TooCostly", "count", "find",
    "find_page", "walk", "within",
]  # fmt: skip


class TooCostly(RefsysError):
    """A search was stopped: it took longer than its budget, or more than the database gives one query."""


class Budget:
    """Time for all that one request asks of the database; it runs from now."""

    def __init__(self, seconds: float = BUDGET_S) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds that are left, never nothing."""
        return max(0.001, self._end - time.monotonic())


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is wanted. Without `order` it is DEFAULT_ORDER; equal ones stand in the order of their ids.

    The page begins at `offset`, or behind the row with the keys `after`: one for each order, then the id (Page.after).
    """

    filter: Expression = EVERYTHING
    order: tuple[Order, ...] = ()
    limit: int = 20
    offset: int = 0
    after: tuple[Any, ...] | None = None
    scope: Scope = Scope.PUBLIC


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in their order, and the keys behind which the next page begins; None on the last page."""

    rows: list[asyncpg.Record]
    after: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Count:
    number: int
    is_exact: bool


async def find(
    connection: asyncpg.Connection,
    search: Search,
    *,
    columns: Sequence[str],
    joins: str = "",
    budget: Budget | None = None,
) -> list[asyncpg.Record]:
    """A page of products. `columns` and `joins` are SQL of the caller's own, in which `p` is the product.

    Raises TooCostly.
    """
    return await _rows(connection, search, columns, joins, budget or Budget())


async def find_page(
    connection: asyncpg.Connection,
    search: Search,
    *,
    columns: Sequence[str],
    joins: str = "",
    budget: Budget | None = None,
) -> Page:
    """`find`, and where the next page begins. The rows have columns `page_…` of ours besides. Raises TooCostly."""
    if not search.limit:
        return Page([], None)
    # one more than wanted tells whether there is another page
    wanted = replace(search, limit=search.limit + 1)
    rows = await _rows(connection, wanted, columns, joins, budget or Budget(), with_keys=True)
    if len(rows) <= search.limit:
        return Page(rows, None)
    last = rows[search.limit - 1]
    keys = tuple(last[f"page_k{number}"] for number in range(len(_orders(search))))
    return Page(rows[: search.limit], (*keys, last["page_id"]))


async def _rows(
    connection: asyncpg.Connection,
    search: Search,
    columns: Sequence[str],
    joins: str,
    budget: Budget,
    *,
    with_keys: bool = False,
) -> list[asyncpg.Record]:
    base = Compiler()
    source = await _source(connection, search, base, budget)
    if source.is_empty:
        return []
    keys = keys_of(_orders(search), search.scope, base.bind)
    named = dict(zip([*(f"page_k{number}" for number in range(len(keys) - 1)), "page_id"], keys, strict=True))
    told = [f"page.{name}{key.written} AS {name}" for name, key in named.items()] if with_keys else []
    parts = [Part("TRUE")] if search.after is None else behind(keys, search.after)
    rows: list[asyncpg.Record] = []
    for part in parts:
        compiler = Compiler()
        compiler.args = [*base.args]
        in_turn = source.in_turn(compiler, _orders(search))
        sql = _PAGE.format(
            columns=", ".join([*columns, *told]),
            keys=", ".join(f"{key.sql} AS {name}" for name, key in named.items()),
            source=in_turn or source.table(compiler),
            where=f"{source.where} AND {part.where(compiler.bind)}",
            order="turn.place" if in_turn else ", ".join(key.sorted() for key in keys),
            limit=_limit(search, search.limit - len(rows), compiler),
            offset=compiler.bind(search.offset) if search.offset else "0",
            joins=joins,
            page_order=", ".join(key.sorted(f"page.{name}") for name, key in named.items()),
        )
        rows += await within(budget, connection.fetch(sql, *compiler.args))
        if len(rows) >= search.limit:
            break
    return rows


async def count(
    connection: asyncpg.Connection, search: Search, *, budget: Budget | None = None, exact_s: float = EXACT_S
) -> Count:
    """How many products the filter finds, whatever the page: kept, else counted for `exact_s`, else estimated.

    Raises TooCostly.
    """
    budget = budget or Budget()
    counted, rules = tallies.split(search.filter, search.scope), tallies.Rules()
    if search.scope in tallies.RULED:
        rules = await within(budget, tallies.fetch_rules(connection))
    query = None if counted.rest else tallies.tallied(counted, search.scope, rules)
    if query is None:
        compiler = Compiler(joins=True)
        source = await _source(connection, search, compiler, budget)
        if source.is_empty:
            return Count(0, is_exact=True)
        query = tallies.Query(_COUNT.format(source=source.table(compiler), where=source.where), compiler.args)
    if query.is_kept:
        return Count(await within(budget, connection.fetchval(query.sql, *query.args)), is_exact=True)
    found = await within(budget, _counted(connection, query, min(exact_s, budget.left_s())))
    if found is not None:
        return Count(found, is_exact=True)
    guessed = await within(budget, estimates.estimate(connection, counted, search.scope, rules))
    return Count(guessed, is_exact=False)


async def _counted(connection: asyncpg.Connection, query: tallies.Query, seconds: float) -> int | None:
    """The number; None where it takes longer."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")
        found: int = await connection.fetchval(query.sql, *query.args)
    except asyncpg.QueryCanceledError:
        return None
    finally:
        await transaction.rollback()
    return found


async def walk(
    connection: asyncpg.Connection,
    wanted: Expression,
    *,
    columns: Sequence[str],
    joins: str = "",
    page: int = 500,
) -> AsyncIterator[list[asyncpg.Record]]:
    """Every published product that a filter finds, page by page in the order of publication.

    Without a budget and whatever their visibility, hence for operators. All pages are of one moment where the caller
    has a transaction that repeats its reads. `columns` and `joins` are SQL of the caller's own, in which `p` is the
    product.
    """
    instant, identity = _BEFORE_ALL
    while True:
        compiler = Compiler()
        where = compiler.where(wanted, Scope.PUBLISHED)
        sql = _NEXT.format(
            columns=", ".join(columns),
            joins=joins,
            where=where,
            instant=compiler.bind(instant),
            id=compiler.bind(identity),
            limit=compiler.bind(page),
        )
        rows: list[asyncpg.Record] = await connection.fetch(sql, *compiler.args)
        if rows:
            yield rows
        if len(rows) < page:
            return
        instant, identity = rows[-1]["walked_at"], rows[-1]["walked_id"]


@dataclass(frozen=True, slots=True)
class _Source:
    """WHERE, and the only products that are to be looked at, in the order of their start of sensing; None: all."""

    where: str
    ids: list[UUID] | None = None

    @property
    def is_empty(self) -> bool:
        return self.ids is not None and not self.ids

    def table(self, compiler: Compiler) -> str:
        return _PRODUCTS if self.ids is None else _THESE.format(ids=compiler.bind(self.ids))

    def in_turn(self, compiler: Compiler, orders: tuple[Order, ...]) -> str | None:
        """The same in this order, as `turn.place`; None where the ids do not have it."""
        if self.ids is None or [order.by for order in orders] != [Property("sensing_start")]:
            return None
        return _IN_TURN.format(ids=compiler.bind(self.ids[::-1] if orders[0].descending else self.ids))


async def _source(connection: asyncpg.Connection, search: Search, compiler: Compiler, budget: Budget) -> _Source:
    """All products, or the few that overlap an area which is asked for, in the time that is asked for."""
    terms = conjuncts(search.filter)
    asked = next((term for term in terms if isinstance(term, Intersects | Within)), None)
    if asked is None:
        return _Source(compiler.where(search.filter, search.scope))
    rings = polygons(asked.area)
    few = await within(budget, connection.fetchval(_OVERLAPPING, rings, seen_in(terms), FEW))
    if few is None:
        return _Source(compiler.where(search.filter, search.scope))
    # all of these overlap; whether they lie within has still to be seen
    rest = [term for term in terms if term is not asked or isinstance(term, Within)]
    return _Source(compiler.where(all_of(*rest), search.scope), few)


async def within(budget: Budget, query: Awaitable[_Result]) -> _Result:
    """The result of a query, in the time that is left. Raises TooCostly."""
    try:
        async with asyncio.timeout(budget.left_s()):
            return await query
    except (TimeoutError, asyncpg.QueryCanceledError) as error:
        raise TooCostly(
            f"the search took longer than {budget.seconds:g} s and was stopped",
            advice="narrow it: name a collection, a shorter time range, or a smaller area",
        ) from error
    except (asyncpg.InsufficientResourcesError, asyncpg.ProgramLimitExceededError) as error:
        raise TooCostly(f"the search asks too much of the database: {error}", advice="make it simpler") from error


def _limit(search: Search, number: int, compiler: Compiler) -> str:
    """As a number where nothing else is a parameter of the plan: the database then plans such a query once only."""
    is_plain = search.filter == EVERYTHING or _is_one_id(search.filter)
    return str(int(number)) if is_plain else compiler.bind(number)


def _is_one_id(wanted: Expression) -> bool:
    return isinstance(wanted, Comparison) and wanted.left == Property("id") and wanted.op is Op.EQ


def _orders(search: Search) -> tuple[Order, ...]:
    return search.order or (Order(DEFAULT_ORDER[search.scope]),)
