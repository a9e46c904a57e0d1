"""How many products a filter finds, about: where to count them would take too long."""

from __future__ import annotations

from typing import Final

import asyncpg

from refsys.catalogue.compiler import Compiler, Scope
from refsys.catalogue.tallies import Counted, Range, Rules, tallied
from refsys.core.filters import Comparison, Expression, Literal, Op, all_of

#: So many products are looked at, of pages that chance picks.
SAMPLE: Final = 3000
#: Fewer found than this say little: the planner's own statistics are asked.
_LEAST: Final = 10

_TOTAL: Final = "SELECT greatest(reltuples, 1)::bigint FROM pg_class WHERE oid = 'catalogue.product'::regclass"
_SAMPLE: Final = """
SELECT count(*) AS among, count(*) FILTER (WHERE {rest}) AS found
  FROM catalogue.product p TABLESAMPLE SYSTEM ({percent}) WHERE {known}
"""
_EXPLAIN: Final = "EXPLAIN (FORMAT JSON) SELECT FROM catalogue.product p WHERE {where}"


async def estimate(connection: asyncpg.Connection, counted: Counted, scope: Scope, rules: Rules) -> int:
    """About how many fulfil all of it: the share of a sample, of what the tallies know."""
    total = await connection.fetchval(_TOTAL)
    compiler = Compiler()
    known, rest = all_of(counted.kinds, *_as_filter(counted.range)), all_of(*counted.rest)
    sql = _SAMPLE.format(
        percent=f"{compiler.bind(min(100.0, 100.0 * SAMPLE / total))}::real",
        known=compiler.where(known, scope),
        rest=compiler.condition(rest),
    )
    row = await connection.fetchrow(sql, *compiler.args)
    among, found = int(row["among"]), int(row["found"])
    query = tallied(counted, scope, rules)
    most: int = total if query is None else await connection.fetchval(query.sql, *query.args)
    if found >= _LEAST:
        base: float = most if query is not None else total * among / max(SAMPLE, among)
        return round(base * (found / among))
    compiler = Compiler(joins=True)
    sql = _EXPLAIN.format(where=compiler.where(all_of(known, rest), scope))
    [plan] = await connection.fetchval(sql, *compiler.args)
    guessed: int = plan["Plan"]["Plan Rows"]
    return min(guessed, most)


def _as_filter(wanted: Range | None) -> list[Expression]:
    if wanted is None:
        return []
    bounds = ((Op.GE, wanted.start), (Op.LT, wanted.stop))
    return [Comparison(wanted.date, op, Literal(instant)) for op, instant in bounds if instant is not None]
