"""When a session that lacks something is given up: at its deadline, in PostgreSQL's time.

The deadline is counted from the end of the downlink. Stations tell that in their own clock, which may be an hour off:
it is taken to be ahead or behind by the least that passed, in our clock, between a publication of this session and our
seeing it. A clock that is ahead makes that negative; one that is behind, and a session that was found late, make the
deadline later, never earlier. Where nothing has a date of publication, the later of the end of the downlink and our
first hearing of it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog

from refsys.core.errors import ConfigurationError
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import InboxSettings, SessionPolicy, SessionSettings, Settings
from refsys.ingestion.sessions import store
from refsys.ingestion.sessions.judged import PASSED, judge
from refsys.ingestion.sessions.names import start_of
from refsys.missions import TypeRegistry

log = structlog.get_logger(__name__)

#: Seconds between two looks at the deadlines.
_TICK_S: Final = 5.0
#: The timeliness class for which a whole session is waited for: the most urgent of what is made of whole sessions.
#: Housekeeping telemetry and GPS do not wait for it.
CLASS_OF: Final = {"S1": "S1_NRT", "S2": "S2_L0", "S3": "S3_NRT"}
#: The limit where no class tells one: seconds.
_LIMIT_S: Final = 10_800.0
#: How far a station's clock may be ahead of ours; dates beyond are no dates.
_AHEAD: Final = timedelta(days=1)
_EARLIEST: Final = 2000

_WAITING: Final = """
SELECT s.id, s.name, s.retransfer, s.state, s.mission, s.timeliness, s.planned_stop, s.downlink_stop, s.seen_at,
       s.news_at, s.wait_until, s.fills, s.deadline_at, clock_timestamp() AS now,
       least(f.lag, CASE WHEN s.published_at < s.seen_at + $2::interval THEN s.seen_at - s.published_at END) AS lag,
       f.newest, ARRAY(SELECT k.inbox FROM ingestion.session_source k WHERE k.session_id = s.id) AS inboxes
  FROM ingestion.session s, LATERAL (
       SELECT min(o.seen_at - o.published_at) FILTER (WHERE o.published_at < o.seen_at + $2::interval) AS lag,
              max(o.published_at) FILTER (WHERE o.published_at < o.seen_at + $2::interval) AS newest
         FROM ingestion.session_file o WHERE o.session_id = s.id) f
 WHERE NOT s.is_settled AND NOT s.is_held AND ($1::bigint IS NULL OR s.id = $1)
 ORDER BY s.id
"""
_COUNTED: Final = """
UPDATE ingestion.session SET mission = $2, timeliness = $3, deadline_at = $4 WHERE id = $1
"""
_OVER: Final = """
UPDATE ingestion.session SET passed_at = coalesce(passed_at, clock_timestamp()), wait_until = NULL WHERE id = $1
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is set for a session: whether production is told at its deadline, and the limits, in seconds."""

    processes: bool
    limit_s: float
    quiet_s: float


async def run_deadlines(settings: Settings, pool: asyncpg.Pool, types: TypeRegistry, stop: asyncio.Event) -> None:
    """Apply the deadlines of sessions until `stop`. Raises ConfigurationError where an unknown timeliness is set."""
    check_timeliness(settings, types)
    while not stop.is_set():
        try:
            await pass_deadlines(settings, pool, types)
        except DATABASE_ERRORS as error:
            log.warning("session.deadlines_failed", error=str(error))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _TICK_S)


async def pass_deadlines(settings: Settings, pool: asyncpg.Pool, types: TypeRegistry) -> list[str]:
    """Give up the sessions whose deadline is over; returns what logs call them."""
    async with pool.acquire() as connection:
        waiting = await connection.fetch(_WAITING, None, _AHEAD)
        due = [row for row in waiting if await _is_due(connection, row, settings, types)]
    given_up = []
    for row in due:
        async with pool.acquire() as connection, connection.transaction():
            session = (await store.hold(connection, [row["name"]])).get((row["name"], row["retransfer"]))
            again = await connection.fetch(_WAITING, row["id"], _AHEAD)
            if session is None or not again or not await _is_due(connection, again[0], settings, types):
                continue
            await connection.execute(_OVER, session.id)
            processes = _rules(again[0], settings, types).processes
            why = PASSED if processes else ""
            await judge(connection, session.name, {session.retransfer}, settle=True, hand=why)
        log.info("session.deadline", session=session.key, processed=processes)
        given_up.append(session.key)
    return given_up


def deadline_of(row: Mapping[str, Any], rules: Rules) -> datetime:
    """The deadline of a session in our clock; columns as in _WAITING."""
    if row["wait_until"] is not None:
        until: datetime = row["wait_until"]
        return until
    quiet: datetime = row["news_at"] + timedelta(seconds=rules.quiet_s)
    if row["fills"]:
        return quiet
    lag: timedelta | None = row["lag"]
    seen: datetime = row["seen_at"]
    ended = max(_ended(row), seen) if lag is None else _ended(row) + max(lag, -_AHEAD)
    if ended > row["now"] + _AHEAD:
        ended = row["news_at"]
    return max(ended + timedelta(seconds=rules.limit_s), quiet)


def check_timeliness(settings: Settings, types: TypeRegistry) -> None:
    """Raise ConfigurationError where an inbox or a policy names a timeliness that no class has."""
    known = {*types.timeliness_classes, *(name.partition("_")[2] for name in types.timeliness_classes)}
    named = [(f"inbox {each.id}", each.timeliness) for each in settings.inbox]
    named += [("sessions.policy", each.timeliness) for each in settings.sessions.policy]
    for where, timeliness in named:
        if timeliness and timeliness not in known:
            raise ConfigurationError(
                f"timeliness {timeliness} is that of no class",
                subject=where,
                advice=f"one of {', '.join(sorted(known))}",
            )


async def _is_due(connection: asyncpg.Connection, row: asyncpg.Record, settings: Settings, types: TypeRegistry) -> bool:
    """Whether a deadline is over; keeps what was counted, for those who look."""
    mission, timeliness = _whose(row, settings.inbox)
    deadline = deadline_of(row, _rules(row, settings, types))
    if (row["mission"], row["timeliness"], row["deadline_at"]) != (mission, timeliness, deadline):
        # each for itself: several at once would be held in another order than by those who note
        await connection.execute(_COUNTED, row["id"], mission, timeliness, deadline)
    return bool(deadline <= row["now"])


def _rules(row: asyncpg.Record, settings: Settings, types: TypeRegistry) -> Rules:
    mission, timeliness = _whose(row, settings.inbox)
    policy: SessionPolicy | SessionSettings = next(
        (
            each
            for each in settings.sessions.policy
            if each.mission in ("", mission) and each.timeliness in ("", timeliness)
        ),
        settings.sessions,
    )
    limit_s = policy.deadline_s or settings.sessions.deadline_s or timeliness_limit_s(mission, timeliness, types) / 2
    return Rules(policy.on_deadline == "process", limit_s, settings.sessions.quiet_s)


def timeliness_limit_s(mission: str, timeliness: str, types: TypeRegistry) -> float:
    """The tighter limit of the class that a session's timeliness names (`NRT` of S1 is `S1_NRT`), else its mission."""
    classes = types.timeliness_classes
    for name in (timeliness, f"{mission}_{timeliness}", CLASS_OF.get(mission, "")):
        if found := classes.get(name):
            limits = [limit for limit in (found.from_sensing_s, found.from_t0_s) if limit is not None]
            return float(min(limits, default=_LIMIT_S))
    return _LIMIT_S


def _whose(row: Mapping[str, Any], inboxes: Sequence[InboxSettings]) -> tuple[str, str]:
    """Mission and timeliness of a session, from its inboxes where it does not tell the mission."""
    own = [inbox for inbox in inboxes if inbox.id in row["inboxes"]]
    mission = row["mission"] or next((inbox.mission for inbox in own if inbox.mission), "")
    return mission, next((inbox.timeliness for inbox in own if inbox.timeliness), "")


def _ended(row: Mapping[str, Any]) -> datetime:
    """When the downlink ended, in the station's clock."""
    for instant in (row["downlink_stop"], row["planned_stop"], row["newest"], start_of(row["name"])):
        if instant is not None and instant.year >= _EARLIEST and instant < row["seen_at"] + _AHEAD:
            return instant
    seen: datetime = row["seen_at"]
    return seen
