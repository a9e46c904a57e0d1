"""The report of a day: its passes, what its stations did, and what was lost or is in danger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import asyncpg
import structlog

from refsys.infra.settings import Settings
from refsys.ingestion.passes import store
from refsys.ingestion.passes.listing import Pass, list_passes
from refsys.ingestion.passes.scoreboard import Score, scoreboard

log = structlog.get_logger(__name__)

#: How far around a time sessions and plans are looked at, to find what belongs together and which orbits were missed.
_AROUND: Final = timedelta(days=1)
#: Lost files that a report names.
_NAMED: Final = 100
_LOST: Final = """
SELECT r.inbox, r.name, r.state, coalesce(nullif(r.problem, ''), r.why) AS problem, r.state_at, r.evicted_at
  FROM ingestion.remote r
 WHERE r.state IN ('expired', 'failed') AND r.state_at >= $1 AND r.state_at < $2
   AND NOT EXISTS (SELECT 1 FROM ingestion.remote o
                    WHERE o.product = r.product AND o.retransfer = r.retransfer AND o.state = 'stored')
 ORDER BY r.state_at, r.id LIMIT $3
"""

_IS_NEW: Final = "SELECT NOT EXISTS (SELECT 1 FROM ingestion.day WHERE day = $1)"
_TELL: Final = "INSERT INTO ingestion.day (day, said) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"


@dataclass(frozen=True, slots=True)
class Lost:
    """A file that its station gave up, or that cannot be brought, and that is here from nowhere else."""

    inbox: str
    name: str
    state: str
    problem: str
    state_at: datetime
    evicted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """`states` counts the passes by state."""

    day: date
    passes: tuple[Pass, ...]
    states: Mapping[str, int]
    stations: tuple[Score, ...]
    lost: tuple[Lost, ...]


async def tell_yesterday(pool: asyncpg.Pool, settings: Settings) -> bool:
    """Write the report of the day that is over into the log, once, whoever asks; False where that was done."""
    async with pool.acquire() as connection, connection.transaction():
        now: datetime = await connection.fetchval("SELECT clock_timestamp()")
        day = (now.astimezone(UTC) - timedelta(days=1)).date()
        if not await connection.fetchval(_IS_NEW, day):
            return False
        report = await daily_report(connection, settings, day)
        said = {"passes": len(report.passes), **report.states, "lost_files": len(report.lost)}
        if not await connection.fetchval(_TELL, day, said):
            return False
    is_bad = report.lost or {"missing", "incomplete"} & report.states.keys()
    (log.warning if is_bad else log.info)("passes.day", day=day.isoformat(), **said)
    for score in report.stations:
        log.info("passes.station", day=day.isoformat(), **{k: v for k, v in asdict(score).items() if v})
    return True


async def passes_between(
    connection: asyncpg.Connection, settings: Settings, since: datetime, until: datetime, satellite: str = ""
) -> list[Pass]:
    """The passes that start in [since, until), in their order."""
    start, stop = since - _AROUND, until + _AROUND
    planned = await store.fetch_planned(connection, start, stop, satellite)
    received = await store.fetch_received(connection, start, stop, satellite)
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    passes = list_passes(planned, received, stations_of(settings, codes=True), now)
    return [each for each in passes if since <= each.starts_at < until]


async def daily_report(connection: asyncpg.Connection, settings: Settings, day: date) -> Report:
    """What happened on a day (UTC)."""
    since = datetime.combine(day, time(), UTC)
    until = since + timedelta(days=1)
    passes = await passes_between(connection, settings, since, until)
    return Report(
        day=day,
        passes=tuple(passes),
        states=dict(Counter(each.state for each in passes)),
        stations=tuple(await scoreboard(connection, since, until, stations_of(settings))),
        lost=tuple(await _lost(connection, since, until)),
    )


def stations_of(settings: Settings, *, codes: bool = False) -> dict[str, str]:
    """Inbox → the station's name; with `codes` its code in plans where it has one."""
    found = {}
    for inbox in settings.inbox:
        station = settings.station_of(inbox)
        found[inbox.id] = (station.code.strip("_") if codes else "") or inbox.station or inbox.id
    return found


async def _lost(connection: asyncpg.Connection, since: datetime, until: datetime) -> Sequence[Lost]:
    return [Lost(**row) for row in await connection.fetch(_LOST, since, until, _NAMED)]
