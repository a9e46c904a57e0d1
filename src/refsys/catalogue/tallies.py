"""Counts that are kept (table catalogue.tally): exact at once, whatever the number of products.

Tallies know the kind of a product (_KIND), whether it is online, and a day. A filter on those alone is answered by
them; of a range of time the days at its ends, of which it has only a part, are counted product by product. Rules of
visibility apply to kinds and days as to products; the few products that rules name are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from refsys.catalogue.compiler import Compiler, Scope
from refsys.core.filters import (
    Attribute,
    Comparison,
    Expression,
    In,
    IsNull,
    Literal,
    Op,
    Property,
    TextMatch,
    all_of,
    atoms,
    conjuncts,
)

_KIND: Final = {
    "collection", "mission", "platform", "instrument", "product_type", "level", "timeliness", "online",
}  # fmt: skip
_ATTRIBUTES: Final = {Attribute("productType")}
#: What a day can be of: published products, and deleted ones.
_DAYS: Final = {"sensing_start": "sensed", "published_at": "shown"}
_DELETED_DAYS: Final = {"sensing_start": "sensed", "deleted_at": "shown"}

_RULES: Final = """
SELECT count(*) AS number, count(name) AS named, count(coalesce(sensing_from, sensing_until)) AS timed,
       count(*) FILTER (WHERE sensing_from <> date_trunc('day', sensing_from, 'UTC')
                           OR sensing_until <> date_trunc('day', sensing_until, 'UTC')) AS within_days
  FROM catalogue.rule WHERE kind = 'visibility' AND lifted_at IS NULL
"""
_BY_RULES: Final = """coalesce((
    SELECT r.visibility FROM catalogue.rule r
     WHERE r.kind = 'visibility' AND r.lifted_at IS NULL AND r.name IS NULL
       AND catalogue.applies(r, NULL, p.collection, p.product_type, p.platform, {start})
     ORDER BY r.id DESC LIMIT 1), p.visibility) {allowed}"""
_ALLOWED: Final = {
    Scope.PUBLIC: "= 'public'",
    Scope.DELETED: "= 'public'",
    Scope.PRODUCTION: "IN ('public', 'role')",
    Scope.PUBLISHED: "IS NOT NULL",
}

#: The scopes that rules narrow.
RULED: Final = _ALLOWED.keys() - {Scope.PUBLISHED}

_KEPT: Final = """
    coalesce((SELECT sum(p.number) FROM catalogue.tallied p WHERE p.basis = '{basis}' AND {where}), 0)::bigint"""
_ONE_BY_ONE: Final = "(SELECT count(*) FROM catalogue.product p WHERE {where})"
# what a rule that names a product makes of it, against what it would be without
_NAMED: Final = """
    coalesce((SELECT sum(({is_visible})::int - ({would_be})::int) FROM catalogue.product p
               WHERE {state} AND {where} AND p.name IN (
                     SELECT name FROM catalogue.rule WHERE kind = 'visibility' AND lifted_at IS NULL)), 0)"""

_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)
#: Makes placeholders.
_Bind = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Rules:
    """How many visibility rules are in force; with a name, with sensing times, with some that are not days."""

    number: int = 0
    named: int = 0
    timed: int = 0
    within_days: int = 0


async def fetch_rules(connection: asyncpg.Connection) -> Rules:
    """The rules of visibility in force."""
    return Rules(**await connection.fetchrow(_RULES))


@dataclass(frozen=True, slots=True)
class Range:
    """Instants of one date, from `start` on and before `stop`; None: without an end."""

    date: Property
    start: datetime | None = None
    stop: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """Which part of a filter tallies know, tests of kinds and a range of one date, and the `rest`."""

    kinds: Expression
    range: Range | None
    rest: tuple[Expression, ...]


def split(wanted: Expression, scope: Scope) -> Counted:
    """Take a filter apart."""
    kinds: list[Expression] = []
    rest: list[Expression] = []
    found: Range | None = None
    for term in conjuncts(wanted):
        narrowed = _narrowed(found, term, scope)
        if narrowed is not None:
            found = narrowed
        elif all(map(_is_of_kind, atoms(term))):
            kinds.append(term)
        else:
            rest.append(term)
    return Counted(all_of(*kinds), found, tuple(rest))


@dataclass(frozen=True, slots=True)
class Query:
    """A count as SQL with its parameters. `is_kept`: it reads tallies alone, and no product."""

    sql: str
    args: list[Any]
    is_kept: bool = False


def tallied(counted: Counted, scope: Scope, rules: Rules) -> Query | None:
    """The query that counts what fulfils kinds and range; None where tallies do not know it.

    `rules` are those in force, none for a scope that is not RULED.
    """
    if scope not in _ALLOWED or rules.within_days:
        return None
    basis = _days_of(scope)[counted.range.date.name] if counted.range else "all"
    if rules.timed and basis != "sensed":
        if basis == "shown":
            return None
        basis = "sensed"
    compiler = Compiler()
    kinds = compiler.condition(counted.kinds)
    start = "p.day::timestamp AT TIME ZONE 'UTC'" if basis == "sensed" else "NULL"
    where = f"p.shown = '{_shown(scope)}' AND {kinds} AND {_visible(scope, rules, start)}"
    one_by_one: list[str] = []
    if counted.range is None:
        kept, days = [_KEPT.format(basis=basis, where=where)], None
    else:
        days = _whole_days(counted.range)
        if days is None:
            return None
        # rules that have times apply from a day on, not from a month on
        periods = [(basis, days)] if rules.timed else list(_by_months(basis, days))
        kept = [
            _KEPT.format(basis=name, where=f"{where} AND {_within('day', period, compiler.bind, as_days=True)}")
            for name, period in periods
        ]
        for edge in (
            Range(days.date, counted.range.start, days.start),
            Range(days.date, days.stop, counted.range.stop),
        ):
            if edge.start is not None and edge.stop is not None and edge.start < edge.stop:
                inside = _within(edge.date.name, edge, compiler.bind)
                one_by_one.append(_ONE_BY_ONE.format(where=f"{scope.value} AND {kinds} AND {inside}"))
    if rules.named:
        of_days = _within(days.date.name, days, compiler.bind) if days else "TRUE"
        one_by_one.append(
            _NAMED.format(
                is_visible=scope.value,
                would_be=_visible(scope, rules, "p.sensing_start"),
                state=_state(scope),
                where=f"{kinds} AND {of_days}",
            )
        )
    return Query(f"SELECT {' + '.join([*kept, *one_by_one])}", compiler.args, is_kept=not one_by_one)


def _visible(scope: Scope, rules: Rules, start: str) -> str:
    """Whether a kind can be seen, whatever rules say of single products."""
    if not rules.number:
        return f"p.visibility {_ALLOWED[scope]}"
    return _BY_RULES.format(start=start, allowed=_ALLOWED[scope])


def _shown(scope: Scope) -> str:
    return "deleted" if scope is Scope.DELETED else "published"


def _state(scope: Scope) -> str:
    return "p.deleted_at IS NOT NULL" if scope is Scope.DELETED else "p.state = 'published'"


def _days_of(scope: Scope) -> dict[str, str]:
    return _DELETED_DAYS if scope is Scope.DELETED else _DAYS


def _is_of_kind(term: Expression) -> bool:
    match term:
        case Comparison(left, _, right):
            return _of_kind(left) and (isinstance(right, Literal) or _of_kind(right))
        case In(operand, _) | TextMatch(_, operand, _) | IsNull(operand):
            return _of_kind(operand)
        case _:
            return False


def _of_kind(operand: object) -> bool:
    return operand.name in _KIND if isinstance(operand, Property) else operand in _ATTRIBUTES


def _narrowed(found: Range | None, term: Expression, scope: Scope) -> Range | None:
    """The range that is left where a term narrows it; None where it does not speak of the same date."""
    match term:
        case Comparison(Property(name) as date, op, Literal(datetime() as instant)) if name in _days_of(scope):
            pass
        case _:
            return None
    if (found is not None and found.date != date) or op is Op.NE or instant > _LATEST:
        return None
    start = instant + _MICROSECOND if op is Op.GT else instant if op in (Op.GE, Op.EQ) else None
    stop = instant + _MICROSECOND if op in (Op.LE, Op.EQ) else instant if op is Op.LT else None
    before = found or Range(date)
    starts = [each for each in (before.start, start) if each is not None]
    stops = [each for each in (before.stop, stop) if each is not None]
    return Range(date, max(starts, default=None), min(stops, default=None))


def _whole_days(wanted: Range) -> Range | None:
    """The days of which the range has every instant; None where there is none."""
    start, stop = wanted.start, wanted.stop
    if start is not None:
        midnight = _midnight(start)
        start = midnight if midnight == start else midnight + _DAY
    if stop is not None:
        stop = _midnight(stop)
    if start is not None and stop is not None and start >= stop:
        return None
    return Range(wanted.date, start, stop)


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _by_months(basis: str, days: Range) -> Iterator[tuple[str, Range]]:
    """The same days: as months, where there are whole ones, and as days before and behind."""
    first = None if days.start is None else _month(days.start if days.start.day == 1 else days.start + 31 * _DAY)
    last = None if days.stop is None else _month(days.stop)
    if first is not None and last is not None and first >= last:
        yield basis, days
        return
    yield f"{basis} month", Range(days.date, first, last)
    if first is not None and first != days.start:
        yield basis, Range(days.date, days.start, first)
    if last is not None and last != days.stop:
        yield basis, Range(days.date, last, days.stop)


def _month(day: datetime) -> datetime:
    return day.replace(day=1)


def _within(name: str, wanted: Range, bind: _Bind, *, as_days: bool = False) -> str:
    bounds = [(op, instant) for op, instant in ((">=", wanted.start), ("<", wanted.stop)) if instant is not None]
    return (
        " AND ".join(f"p.{name} {op} {bind(instant.date() if as_days else instant)}" for op, instant in bounds)
        or "TRUE"
    )
