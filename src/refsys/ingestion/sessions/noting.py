"""What inboxes and fetchers tell of sessions. Each call judges the sessions that it changes, in the same transaction.

Rows are held in one order by everybody: first those of ingestion.remote, then sessions by name, then steps of work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from refsys.core import steps
from refsys.infra.work import enqueue
from refsys.ingestion.model import Offer, Remote, SessionSaid
from refsys.ingestion.sessions import store
from refsys.ingestion.sessions.judged import READ, judge
from refsys.ingestion.sessions.names import DSIB, is_session, mission_of, satellite_of

#: What a station may say beside the fields that we know: entries, and characters of a text.
_MOST_FACTS: Final = 100
_LONGEST: Final = 500
_INT: Final = 2**31 - 1
_COLUMNS: Final = (
    *("channels", "station_unit", "orbit", "published_at"),
    *("planned_start", "planned_stop", "downlink_start", "downlink_stop"),
)


async def note_said(connection: asyncpg.Connection, inbox_id: str, said: Sequence[SessionSaid]) -> None:
    """Note what a station says of sessions, those that the inbox takes; in the transaction that enters the look.

    Ids that cannot be a session's are ignored; what is known already costs one query. Call it after the offers are
    entered (order of rows, see above).
    """
    latest = {(each.session.upper(), each.retransfer): each for each in said if is_session(each.session)}
    if not latest:
        return
    names, retransfers = [list(column) for column in zip(*latest, strict=True)]
    known = await store.fetch_said(connection, inbox_id, names, retransfers)
    fresh = {key: each for key, each in latest.items() if _is_news(inbox_id, each, known.get(key))}
    if not fresh:
        return
    keys = await store.lock(connection, [(*key, *_whose(key[0], each.satellite)) for key, each in fresh.items()])
    await store.note_source(connection, inbox_id, [keys[key].id for key in fresh])
    for key, each in fresh.items():
        said_by = known[key]["said_by"] if key in known else ""
        await store.enter_said(connection, [keys[key].id, inbox_id, *_fields(each), _clean(each.facts)])
        quality = {channel: _clean(facts) for channel, facts in each.quality.items() if 0 < channel < 10}
        await store.enter_quality(connection, keys[key].id, quality, counts=said_by in ("", inbox_id))
    await _judge_each(connection, fresh)


async def note_offers(connection: asyncpg.Connection, inbox_id: str, offers: Sequence[Offer]) -> None:
    """Note the offered files of sessions, those that the inbox takes (others are ignored).

    In the transaction that enters the piece of a look, after `store.enter`. Known offers cost one query together.
    """
    latest = {}
    for offer in offers:
        if offer.session is not None:
            of = offer.session
            latest[of.session.upper(), of.retransfer, of.channel, of.block] = offer
    if not latest:
        return
    columns = [list(column) for column in zip(*latest, strict=True)]
    versions = [offer.version for offer in latest.values()]
    finals = [_final(offer) for offer in latest.values()]
    places = await store.fresh_offers(connection, inbox_id, [*columns, versions, finals])
    if not places:
        return
    every = list(latest.items())
    fresh = [every[place] for place in sorted(places)]
    keys = await store.lock(connection, [(key[0], key[1], *_whose(key[0], path=offer.path)) for key, offer in fresh])
    ids = sorted({keys[key[0], key[1]].id for key, _ in fresh})
    await store.note_source(connection, inbox_id, ids)
    rows = [
        (
            keys[session, retransfer].id,
            channel,
            block,
            offer.name,
            offer.version,
            offer.size_bytes,
            _final(offer),
            offer.published_at,
        )
        for (session, retransfer, channel, block), offer in fresh
    ]
    await store.enter_offers(connection, inbox_id, [list(column) for column in zip(*rows, strict=True)])
    await store.note_news(connection, ids)
    await _judge_each(connection, {key[:2] for key, _ in fresh})


async def note_stored(connection: asyncpg.Connection, remote: Remote, content_id: int) -> None:
    """Note that a file of a session is stored as a content of the catalogue; others are ignored.

    In the transaction that stores it, after the row of ingestion.remote is held. Emits what follows from it.
    """
    offer, of = remote.offer, remote.offer.session
    if of is None:
        return
    key = (of.session.upper(), of.retransfer)
    session = (await store.lock(connection, [(*key, *_whose(key[0], path=offer.path))]))[key]
    await store.note_source(connection, remote.inbox, [session.id])
    file = [session.id, of.channel, of.block, offer.name, remote.inbox, offer.version]
    changed = await store.enter_stored(
        connection, [*file, offer.size_bytes, _final(offer), offer.published_at, content_id]
    )
    if not changed:
        return
    await store.note_news(connection, [session.id])
    if of.block == DSIB:
        payload = {"session": session.id, "channel": of.channel, "content_id": content_id}
        await enqueue(
            connection, READ, key=f"{session.key} ch{of.channel}", payload=payload, priority=steps.PRIORITY_NRT
        )
    await judge(connection, session.name, {session.retransfer}, stored=session if of.block != DSIB else None)


async def open_sessions(connection: asyncpg.Connection, inbox_id: str) -> list[tuple[str, bool]]:
    """The sessions (id, retransfer) that an inbox asks its station for, whatever their publication dates.

    Those that are not complete; every ten minutes also those that were given up within a week, and complete ones
    whose totals the station may still tell. Asking notes that they were asked for.
    """
    return await store.fetch_open(connection, inbox_id)


async def _judge_each(connection: asyncpg.Connection, changed: Iterable[tuple[str, bool]]) -> None:
    touched: dict[str, set[bool]] = {}
    for name, retransfer in changed:
        touched.setdefault(name, set()).add(retransfer)
    for name in sorted(touched):
        await judge(connection, name, touched[name])


def _final(offer: Offer) -> bool | None:
    return None if offer.session is None or offer.session.block == DSIB else offer.session.is_final


def _whose(session: str, said: str = "", path: str = "") -> tuple[str, str]:
    """Satellite and mission of a session: its id outranks its station's word, which outranks a folder."""
    satellite = satellite_of(session)
    if not satellite and mission_of(said.upper()):
        satellite = said.upper()
    satellite = satellite or satellite_of(session, path)
    return satellite, mission_of(satellite)


def _is_news(inbox_id: str, said: SessionSaid, known: asyncpg.Record | None) -> bool:
    """Whether a station says something that is not known yet."""
    if known is None or not known["is_known"] or (not known["satellite"] and _whose(said.session, said.satellite)[0]):
        return True
    counts = known["said_by"] in ("", inbox_id)
    pairs = [(value, known[column]) for column, value in zip(_COLUMNS, _fields(said), strict=True)]
    facts = _clean(said.facts)
    pairs += [(value, known["facts"].get(name)) for name, value in facts.items()]
    of_channels = known["quality"] or {}
    for channel, quality in said.quality.items():
        if 0 < channel < 10:
            before = of_channels.get(str(channel), {})
            pairs += [(value, before.get(name)) for name, value in _clean(quality).items()]
    return any(new not in (None, "") and new != old and (counts or old in (None, "")) for new, old in pairs)


def _fields(said: SessionSaid) -> list[Any]:
    return [
        said.channels if said.channels is not None and 0 < said.channels < 10 else None,
        _plain(said.station_unit),
        said.orbit if said.orbit is not None and 0 <= said.orbit <= _INT else None,
        said.published_at,
        said.planned_start,
        said.planned_stop,
        said.downlink_start,
        said.downlink_stop,
    ]


def _clean(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What can be kept of what a station says: plain values, not too many, not too long."""
    return {_plain(name): _plain(value) for name, value in list(facts.items())[:_MOST_FACTS] if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    return str(value)[:_LONGEST].replace("\0", "").encode("utf-8", "replace").decode()
