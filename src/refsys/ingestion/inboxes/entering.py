"""Entering what a look finds into the memory, piece by piece, each in one transaction with all that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import asyncpg
import structlog

from refsys.ingestion import sessions
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.rating import Judged, Rater, SessionFacts
from refsys.ingestion.model import Findings, Memory, Offer, SessionSaid

log = structlog.get_logger(__name__)

#: Most offers that are entered in one transaction.
_PIECE: Final = 5_000
#: Most offers that are held and asked for again by one look.
_HELD: Final = 10_000


@dataclass(slots=True)
class Look:
    """One look of an inbox. `fresh`, `listed`: offers that were new, and all. `cursor`: where it begins.

    Of 200,000 entries it keeps the ids of those that are neither new nor settled.
    """

    pool: asyncpg.Pool
    rater: Rater
    cursor: datetime | None = None
    fresh: int = 0
    listed: int = 0
    _inbox: str = ""
    _back: datetime | None = None
    _started: datetime | None = None
    _held: dict[str, tuple[int, str]] = field(default_factory=dict)
    _met: set[int] = field(default_factory=set)
    _is_whole: bool = False

    async def begin(self, *, anew: bool = False) -> Memory:
        """What the source is told. `anew`: without a cursor, everything is listed."""
        self._inbox = self.rater.inbox.id
        self.rater.facts.clear()
        async with self.pool.acquire() as connection, connection.transaction():
            opened = await store.open_inbox(connection, self._inbox)
            held = await store.held(connection, self._inbox, _HELD)
            unfinished = await sessions.open_sessions(connection, self._inbox)
        self._started = opened.now
        self._back = None if anew else opened.back_to
        self.cursor = None if anew else opened.back_to or opened.cursor
        self._held = {remote.offer.remote_id: (remote.id, remote.offer.version) for remote, _ in held}
        return Memory(self.cursor, [replace(remote.offer, held=why) for remote, why in held], unfinished)

    async def take(self, findings: Findings, safe: datetime | None) -> None:
        """Enter a piece; the cursor moves to `safe` with it."""
        offers, said = findings.offers, findings.sessions
        for start in range(0, max(1, len(offers)), _PIECE):
            piece = list({(o.remote_id, o.version): o for o in offers[start : start + _PIECE]}.values())
            async with self.pool.acquire() as connection, connection.transaction():
                await store.lock_inbox(connection, self._inbox)
                await self._enter(connection, piece, said if start == 0 else ())
                await self._note(connection, safe, is_done=False)
        self.listed += len(offers)
        self._is_whole = self._is_whole or findings.is_whole

    async def finish(self, newest: datetime | None) -> None:
        """Note that the look was whole; what was offered and a whole listing lacks has expired."""
        gone, names = 0, list[str]()
        async with self.pool.acquire() as connection, connection.transaction():
            await store.lock_inbox(connection, self._inbox)
            if self._is_whole and self._started is not None:
                gone, names = await store.expire(connection, self._inbox, self._started, self._met)
            await self._note(connection, newest, is_done=True)
        if gone:
            log.warning("inbox.expired", inbox=self._inbox, files=gone, names=names, why=store.NOT_LISTED)

    async def _note(self, connection: asyncpg.Connection, cursor: datetime | None, *, is_done: bool) -> None:
        moved = None if is_done else cursor if self._back and cursor else self._back
        await store.look_succeeded(connection, self._inbox, cursor, back_from=self._back, back_to=moved)
        self._back = moved

    async def _enter(
        self, connection: asyncpg.Connection, offers: Sequence[Offer], said: Sequence[SessionSaid]
    ) -> None:
        known = await store.known(connection, self._inbox, offers)
        judged = [offers[each.place] for each in known if each.id is None or each.state == "seen"]
        await learn(connection, self.rater, judged, said)
        rows: list[tuple[Judged, int | None]] = []
        back: list[int] = []
        evictions: dict[int, datetime | None] = {}
        for each in known:
            offer = offers[each.place]
            if each.id is None:
                row_id, _ = self._held.pop(offer.remote_id, (None, ""))
                rows.append((self.rater.judge(offer, self.cursor), row_id))
            else:
                row_id = each.id
                if each.state == "seen" and offer.held != each.why:
                    rows.append((self.rater.judge(offer, self.cursor), row_id))
                elif each.is_back:
                    back.append(row_id)
                elif offer.evicted_at is not None and offer.evicted_at != each.evicted_at:
                    evictions[row_id] = offer.evicted_at
            if row_id is not None:
                self._met.add(row_id)
        await self._supersede_held(connection, offers)
        if rows:
            self.fresh += await store.enter(connection, self._inbox, rows)
        self._met.update(await store.follow(connection, self._inbox, offers))
        if back:
            await store.bring_back(connection, back)
            self.fresh += len(back)
        if evictions:
            await store.move_evictions(connection, evictions)
        if said:
            wanted = [each for each in said if self.rater.wants_session(each)]
            await sessions.note_said(connection, self._inbox, wanted)
        of_sessions = [row.offer for row, _ in rows if row.offer.session and row.state != "filtered"]
        # a station may say later, of a block that is known, that it is the final one
        told = [offers[each.place] for each in known if each.id is not None and each.state != "filtered"]
        of_sessions += [offer for offer in told if offer.session and offer.session.is_final]
        if of_sessions:
            await sessions.note_offers(connection, self._inbox, of_sessions)

    async def _supersede_held(self, connection: asyncpg.Connection, offers: Sequence[Offer]) -> None:
        """A version that was never taken, of which the source lists another one that is known already, is over."""
        if self._held:
            passed = [
                offer for offer in offers if self._held.get(offer.remote_id, (0, offer.version))[1] != offer.version
            ]
            if passed:
                await store.supersede_seen(connection, [self._held.pop(offer.remote_id)[0] for offer in passed])


async def learn(
    connection: asyncpg.Connection,
    rater: Rater,
    offers: Sequence[Offer],
    said: Sequence[SessionSaid] = (),
    *,
    decides_anew: bool = False,
) -> None:
    """Find out what the rules ask of sessions that their ids do not tell.

    `said`: what comes with the offers. `decides_anew`: what was decided for earlier files does not count.
    """
    of_offers = ((offer.session.session, offer.session.retransfer) for offer in offers if offer.session is not None)
    told = {(each.session, each.retransfer): each for each in said}
    asked = sorted(key for key in {*of_offers, *told} if rater.needs_facts(*key))
    if not asked:
        return
    for key, facts in (await store.session_facts(connection, rater.inbox.id, asked)).items():
        new = told.get(key)
        rater.facts[key] = SessionFacts(
            facts.satellite or (new.satellite if new else ""),
            facts.starts_at or (new.downlink_start if new else None),
            None if decides_anew else facts.is_outside,
        )
