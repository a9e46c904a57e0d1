"""The SQL of planned passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    from refsys.ingestion.passes.plans import Plan

_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('ingestion.plan'), hashtext($1))"
_PLAN: Final = """
INSERT INTO ingestion.plan (name, satellite, station, valid_from, valid_to, planned_at, passes)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE SET satellite = excluded.satellite, station = excluded.station,
    valid_from = excluded.valid_from, valid_to = excluded.valid_to, planned_at = excluded.planned_at,
    passes = excluded.passes, read_at = clock_timestamp()
"""
# a plan stands for all of its time: what earlier plans, or an earlier reading of it, said of that time is gone
_REPLACE: Final = """
DELETE FROM ingestion.planned_pass p USING ingestion.plan o
 WHERE o.name = p.plan AND p.satellite = $2 AND p.station = $3
   AND (p.plan = $1 OR (p.starts_at >= $4 AND p.starts_at < $5 AND o.planned_at <= $6))
"""
_PASSES: Final = """
INSERT INTO ingestion.planned_pass (plan, satellite, station, orbit, starts_at, ends_at, data_start, data_stop)
SELECT $1, $2, $3, p.orbit, p.starts_at, p.ends_at, p.data_start, p.data_stop
  FROM unnest($5::int[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
       AS p(orbit, starts_at, ends_at, data_start, data_stop)
 WHERE NOT EXISTS (SELECT 1 FROM ingestion.plan n
                    WHERE n.satellite = $2 AND n.station = $3 AND n.name <> $1 AND n.planned_at > $4
                      AND p.starts_at >= n.valid_from AND p.starts_at < n.valid_to)
ON CONFLICT (satellite, station, starts_at) DO NOTHING
"""


async def enter_plan(connection: asyncpg.Connection, plan: Plan) -> None:
    """Enter a plan: of several for one time the one made last counts, in whichever order they come."""
    await connection.execute(_LOCK, f"{plan.satellite}/{plan.station}")
    await connection.execute(
        _PLAN,
        plan.name,
        plan.satellite,
        plan.station,
        plan.valid_from,
        plan.valid_to,
        plan.planned_at,
        len(plan.passes),
    )
    await connection.execute(
        _REPLACE, plan.name, plan.satellite, plan.station, plan.valid_from, plan.valid_to, plan.planned_at
    )
    await connection.execute(
        _PASSES,
        plan.name,
        plan.satellite,
        plan.station,
        plan.planned_at,
        [each.orbit for each in plan.passes],
        [each.starts_at for each in plan.passes],
        [each.ends_at for each in plan.passes],
        [each.data_start for each in plan.passes],
        [each.data_stop for each in plan.passes],
    )
