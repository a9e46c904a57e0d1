"""How stations do: what they offered in a time, how late, how often again, out of order, missing, and how fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

#: Smallest file, in bytes, that counts for a station's speed.
_LARGE: Final = 2**20

_FILES: Final = """
SELECT coalesce(n.station, r.inbox) AS station,
       count(*) FILTER (WHERE r.state NOT IN ('filtered', 'duplicate')) AS offered,
       count(*) FILTER (WHERE r.state = 'stored') AS stored,
       coalesce(sum(r.size) FILTER (WHERE r.state = 'stored'), 0)::bigint AS size_bytes,
       count(*) FILTER (WHERE r.state = 'duplicate') AS duplicates,
       count(*) FILTER (WHERE r.state = 'superseded') AS republished,
       count(*) FILTER (WHERE r.state = 'expired') AS expired,
       count(*) FILTER (WHERE r.state = 'failed') AS failed,
       count(*) FILTER (WHERE r.state IN ('seen', 'waiting', 'queued', 'fetching')) AS awaited,
       coalesce(sum(greatest(r.tries - 1, 0)) FILTER (WHERE r.state <> 'filtered'), 0)::bigint AS repeated,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY r.size / nullif(r.fetch_s, 0))
           FILTER (WHERE r.state = 'stored' AND r.size >= $5) AS bytes_per_s
  FROM ingestion.remote r
  LEFT JOIN unnest($3::text[], $4::text[]) AS n(inbox, station) ON n.inbox = r.inbox
 WHERE r.found_at >= $1 AND r.found_at < $2
 GROUP BY 1 ORDER BY 1
"""
# by the inbox that offered a block first; a block is out of order where a later one of its channel came before it
_SESSIONS: Final = """
WITH chosen AS (
    SELECT s.id, s.state, s.downlink_stop FROM ingestion.session s WHERE s.seen_at >= $1 AND s.seen_at < $2
), block AS (
    SELECT coalesce(n.station, f.inbox) AS station, f.session_id, f.published_at,
           f.published_at < max(f.published_at) OVER (PARTITION BY f.session_id, f.channel ORDER BY f.block
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS is_late
      FROM ingestion.session_file f
      JOIN chosen s ON s.id = f.session_id
      LEFT JOIN unnest($3::text[], $4::text[]) AS n(inbox, station) ON n.inbox = f.inbox
     WHERE f.block <> 0
), session AS (
    SELECT b.station, b.session_id, count(*) FILTER (WHERE b.is_late) AS out_of_order,
           extract(epoch FROM max(b.published_at) - min(s.downlink_stop))::float8 AS delay_s,
           bool_or(s.state = 'incomplete') AS is_incomplete
      FROM block b JOIN chosen s ON s.id = b.session_id
     GROUP BY b.station, b.session_id
)
SELECT t.station, count(*) AS sessions, count(*) FILTER (WHERE t.is_incomplete) AS incomplete,
       sum(t.out_of_order)::bigint AS out_of_order,
       coalesce(sum(m.missing) FILTER (WHERE t.is_incomplete), 0)::bigint AS missing,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY t.delay_s) AS delay_s, max(t.delay_s) AS longest_delay_s
  FROM session t
  LEFT JOIN LATERAL (SELECT sum(cardinality(c.missing)) AS missing FROM ingestion.session_channel c
                      WHERE c.session_id = t.session_id) m ON true
 GROUP BY t.station ORDER BY t.station
"""


@dataclass(frozen=True, slots=True)
class Score:
    """One station in a time.

    `republished`: files that came in a newer version; `repeated`: tries beyond each first; `out_of_order`: blocks that
    were published after a later one of their channel; `missing`: blocks of incomplete sessions; delays: seconds from
    the downlink's end to the publication of a session's last block, the median and the longest; `bytes_per_s`: the
    median over stored files of at least 1 MiB.
    """

    station: str
    offered: int = 0
    stored: int = 0
    size_bytes: int = 0
    duplicates: int = 0
    republished: int = 0
    expired: int = 0
    failed: int = 0
    awaited: int = 0
    repeated: int = 0
    bytes_per_s: float | None = None
    sessions: int = 0
    incomplete: int = 0
    out_of_order: int = 0
    missing: int = 0
    delay_s: float | None = None
    longest_delay_s: float | None = None


async def scoreboard(
    connection: asyncpg.Connection, since: datetime, until: datetime, stations: Mapping[str, str]
) -> list[Score]:
    """Every station of which anything was found in [since, until), by name; `stations` maps inboxes to stations."""
    names = (list(stations), list(stations.values()))
    found: dict[str, dict[str, Any]] = {}
    for row in await connection.fetch(_FILES, since, until, *names, _LARGE):
        found[row["station"]] = dict(row)
    for row in await connection.fetch(_SESSIONS, since, until, *names):
        found.setdefault(row["station"], {"station": row["station"]}).update(row)
    return [Score(**found[station]) for station in sorted(found)]
