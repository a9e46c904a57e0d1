"""The SQL of planned passes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import asyncpg

from refsys.ingestion.passes.listing import Planned, Received, state_of

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


_ALL_TIME: Final = (datetime(1900, 1, 1, tzinfo=UTC), datetime(2900, 1, 1, tzinfo=UTC))
_PLANNED: Final = """
SELECT satellite, station, orbit, starts_at, ends_at, plan FROM ingestion.planned_pass
 WHERE starts_at >= $1 AND starts_at < $2 AND ($3 = '' OR satellite = $3) ORDER BY starts_at, id
"""
# both transfers of a session are one row; of their times the surest, of a block that both have the one that is here
_RECEIVED: Final = """
WITH timed AS (
    SELECT s.*, coalesce(s.downlink_start, s.planned_start, s.published_at, s.seen_at) AS starts_at,
           coalesce(s.downlink_stop, s.planned_stop) AS ends_at
      FROM ingestion.session s
     WHERE ($3 = '' OR s.satellite = $3) AND ($4 = '' OR s.name = $4)
), chosen AS (
    SELECT t.name, array_agg(t.id) AS ids, array_agg(t.state) AS states, max(t.satellite) AS satellite,
           max(t.orbit) AS orbit, min(t.starts_at) AS starts_at, max(t.ends_at) AS ends_at,
           max(t.handed_at) AS handed_at, max(t.revision) AS revision, bool_or(t.retransfer) AS has_retransfer,
           (array_agg(to_jsonb(t.problems) ORDER BY t.retransfer DESC))[1] AS problems
      FROM timed t GROUP BY t.name
    HAVING min(t.starts_at) >= $1 AND min(t.starts_at) < $2
)
SELECT s.*, f.offered, f.fetched, f.verified, f.size, r.lost, r.evicted_at,
       ARRAY(SELECT DISTINCT k.inbox FROM ingestion.session_source k WHERE k.session_id = ANY (s.ids) ORDER BY 1)
           AS inboxes
  FROM chosen s,
       LATERAL (SELECT count(*) AS offered, count(b.content_id) AS fetched,
                       count(b.content_id) FILTER (WHERE b.is_complete) AS verified,
                       coalesce(sum(b.stored_size), 0)::bigint AS size
                  FROM (SELECT DISTINCT ON (h.channel, h.block) h.content_id, h.stored_size, c.is_complete
                          FROM ingestion.session_file h
                          LEFT JOIN ingestion.session_channel c USING (session_id, channel)
                         WHERE h.session_id = ANY (s.ids) AND h.block <> 0
                         ORDER BY h.channel, h.block, h.content_id IS NOT NULL DESC,
                                  c.is_complete DESC NULLS LAST) b) f,
       LATERAL (SELECT count(DISTINCT (r.channel, r.block)) FILTER (WHERE r.state IN ('expired', 'failed')) AS lost,
                       min(r.evicted_at) FILTER (WHERE r.state IN ('seen', 'waiting', 'queued', 'fetching', 'failed'))
                           AS evicted_at
                  FROM ingestion.remote r
                 WHERE r.session_name = s.name
                   AND NOT EXISTS (SELECT 1 FROM ingestion.session_file h
                                    WHERE h.session_id = ANY (s.ids) AND h.channel = r.channel AND h.block = r.block
                                      AND h.content_id IS NOT NULL)) r
 ORDER BY s.starts_at, s.name
"""


async def fetch_planned(
    connection: asyncpg.Connection, since: datetime, until: datetime, satellite: str = ""
) -> list[Planned]:
    """The planned passes that start in [since, until)."""
    return [Planned(**row) for row in await connection.fetch(_PLANNED, since, until, satellite)]


async def fetch_received(
    connection: asyncpg.Connection, since: datetime, until: datetime, satellite: str = "", name: str = ""
) -> list[Received]:
    """The sessions that start in [since, until), both transfers together; `name` chooses one."""
    return [
        Received(
            name=row["name"],
            state=state_of(row["states"]),
            satellite=row["satellite"],
            inboxes=tuple(row["inboxes"]),
            orbit=row["orbit"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            offered=row["offered"],
            fetched=row["fetched"],
            verified=row["verified"],
            lost=row["lost"],
            size_bytes=row["size"],
            has_retransfer=row["has_retransfer"],
            handed_at=row["handed_at"],
            revision=row["revision"],
            evicted_at=row["evicted_at"],
            problems=tuple(row["problems"]),
        )
        for row in await connection.fetch(_RECEIVED, since, until, satellite, name)
    ]


async def fetch_session(connection: asyncpg.Connection, name: str) -> Received | None:
    """One session by its id, whenever it was; None where no station told of it."""
    found = await fetch_received(connection, *_ALL_TIME, name=name.upper())
    return found[0] if found else None
