"""Why a file or a session is not here: what is known of it, in sentences, the decisive one last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from refsys.core.products import canonical_name
from refsys.core.times import format_instant
from refsys.infra.settings import Settings
from refsys.ingestion.inboxes.rating import Rater
from refsys.ingestion.model import Offer
from refsys.ingestion.passes import store
from refsys.ingestion.passes.listing import Received
from refsys.ingestion.sessions import session_file_of
from refsys.missions import TypeRegistry

_OFFERS: Final = """
SELECT r.id, r.inbox, r.name, r.state, r.why, r.problem, r.tries, r.found_at, r.state_at, r.not_before, r.evicted_at,
       s.id AS step, s.state AS step_state, s.error ->> 'message' AS step_error
  FROM ingestion.remote r
  LEFT JOIN work.step s ON s.stage = 'ingestion.fetch.' || r.inbox AND s.key = ingestion.step_key(r)
                       AND s.payload = jsonb_build_object('remote_id', r.id)
 WHERE r.product = $1 OR r.name = $2 OR r.path = $2 OR r.remote_id = $2
 ORDER BY r.id DESC LIMIT 20
"""
_PRODUCT: Final = """
SELECT name, state, visibility, published_at, problems FROM catalogue.product WHERE name = $1 AND current
"""
_INBOX: Final = """
SELECT looked_at, succeeded_at, failures, problem, paused_at, paused_why, cursor FROM ingestion.inbox WHERE id = $1
"""
#: A look that succeeded longer ago than so many of the inbox's pauses, and this, is worth a sentence.
_STALE_POLLS: Final = 10
_STALE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_here`: there is nothing to ask. `sentences` in the order in which they are told."""

    asked: str
    is_here: bool
    sentences: tuple[str, ...]


async def why_not(connection: asyncpg.Connection, settings: Settings, types: TypeRegistry, asked: str) -> Answer:
    """Why a file (by name, path or the station's id), or a session (by its id), is not here."""
    name = canonical_name(asked.rpartition("/")[2])
    session = await store.fetch_session(connection, asked)
    if session is not None:
        return _of_session(session)
    product = await connection.fetchrow(_PRODUCT, name)
    offers = await connection.fetch(_OFFERS, name, asked)
    if product is not None:
        return Answer(asked, is_here=True, sentences=tuple(_of_product(product)))
    if offers:
        told = [sentence for offer in offers for sentence in _of_offer(offer)]
        return Answer(asked, is_here=offers[0]["state"] == "stored", sentences=tuple(told))
    return Answer(asked, is_here=False, sentences=tuple(await _of_unknown(connection, settings, types, asked, name)))


def _of_session(session: Received) -> Answer:
    told = [
        f"{session.name} is {session.state}: of {session.offered} files that were offered {session.fetched} are here, "
        f"{session.verified} of them in channels that are whole"
    ]
    told += [f"it lacks: {problem}" for problem in session.problems]
    if session.lost:
        told.append(f"{session.lost} files were given up by their station, or cannot be brought, before they were here")
    if session.evicted_at:
        told.append(f"the next file that is not here is deleted at its station at {format_instant(session.evicted_at)}")
    if session.handed_at:
        told.append(f"production was told at {format_instant(session.handed_at)} (revision {session.revision})")
    else:
        told.append("production has not been told of it yet")
    is_here = session.state == "complete" and session.handed_at is not None
    return Answer(session.name, is_here=is_here, sentences=tuple(told))


def _of_product(product: asyncpg.Record) -> Sequence[str]:
    told = [f"it is in the catalogue: {product['state']}, visibility {product['visibility']}"]
    if product["published_at"]:
        told.append(f"published at {format_instant(product['published_at'])}")
    told += [f"its description says: {problem}" for problem in product["problems"]]
    return told


def _of_offer(offer: asyncpg.Record) -> Sequence[str]:
    head = f"inbox {offer['inbox']} found it at {format_instant(offer['found_at'])}; it is {offer['state']}"
    head += f" since {format_instant(offer['state_at'])}"
    told = [f"{head}: {offer['why']}" if offer["why"] else head]
    if offer["problem"]:
        told.append(f"its last of {offer['tries']} tries ended so: {offer['problem']}")
    if offer["not_before"] and offer["state"] == "waiting":
        told.append(f"it is tried again at {format_instant(offer['not_before'])}")
    if offer["step_state"] == "parked":
        told.append(
            f"its step {offer['step']} is parked: {offer['step_error']}; see `refsys parked show {offer['step']}`"
        )
    if offer["evicted_at"] and offer["state"] not in ("stored", "expired"):
        told.append(f"its station deletes it at {format_instant(offer['evicted_at'])}")
    return told


async def _of_unknown(
    connection: asyncpg.Connection, settings: Settings, types: TypeRegistry, asked: str, name: str
) -> Sequence[str]:
    """No inbox ever saw it: what each would do with it, and how each does."""
    told = [f"no inbox was ever offered {asked}"]
    if next(types.matching(name), None) is None:
        told.append(f"no product type's name pattern matches {name}: it could not be described")
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    for inbox in settings.inbox:
        offer = Offer("", "", name, path=asked, session=session_file_of(name, retransfer=inbox.retransfer))
        verdict = Rater(inbox, types).judge(offer, None)
        if verdict.state == "filtered":
            told.append(f"inbox {inbox.id} would leave it alone: {verdict.why}")
            continue
        row = await connection.fetchrow(_INBOX, inbox.id)
        told.append(
            f"inbox {inbox.id} would take it, and its source did not list it; {_health(row, now, inbox.poll_s)}"
        )
    if not settings.inbox:
        told.append("there is no inbox in the settings")
    return told


def _health(row: Any, now: datetime, poll_s: float) -> str:
    if row is None or row["looked_at"] is None:
        return "it has never looked"
    if row["paused_at"]:
        return f"it is paused since {format_instant(row['paused_at'])}: {row['paused_why']}"
    if row["failures"]:
        return f"its last {row['failures']} looks failed: {row['problem']}"
    if now - row["succeeded_at"] > max(_STALE, timedelta(seconds=_STALE_POLLS * poll_s)):
        return f"it has not looked since {format_instant(row['succeeded_at'])}: does the role ingest run?"
    return f"it looked at {format_instant(row['succeeded_at'])}, without trouble"
