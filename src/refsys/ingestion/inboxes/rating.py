"""Whether an offer is wanted, and how urgently: the inbox's rules, without any I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from refsys.core import steps
from refsys.core.cron import Cron
from refsys.core.errors import HostileInput
from refsys.core.products import canonical_name, check_name
from refsys.core.times import parse_instant
from refsys.infra.settings import InboxSettings
from refsys.ingestion.model import Offer, SessionSaid
from refsys.ingestion.sessions.names import mission_of, satellite_of, start_of
from refsys.missions import TypeRegistry

#: Offers published longer ago than this are backlog: live ones go first.
_BACKLOG: Final = timedelta(days=2)
#: Why the files of a session are left alone that the sampling window excludes.
SESSION_OUTSIDE: Final = "its session began outside the `window`"

#: The settings by which offers are judged.
_RULES: Final = ("match", "ignore", "mission", "since", "window", "window_auxiliaries")


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of a session beyond its id: its start, and whether its first file was found outside the window.

    What was decided for the first one holds for all: a session is taken whole or not at all.
    """

    satellite: str = ""
    starts_at: datetime | None = None
    is_outside: bool | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """An offer, its product's canonical name, its priority, the state that it comes to, and why."""

    offer: Offer
    product: str
    priority: int
    state: str
    why: str


@dataclass(slots=True)
class Rater:
    """The rules of one inbox. `facts`: of the sessions that it meets and whose ids do not tell."""

    inbox: InboxSettings
    types: TypeRegistry
    facts: dict[tuple[str, bool], SessionFacts] = field(default_factory=dict)
    _match: re.Pattern[str] = field(init=False)
    _ignore: re.Pattern[str] = field(init=False)
    _since: datetime = field(init=False)
    _window: Cron | None = field(init=False)

    def __post_init__(self) -> None:
        self._match, self._ignore = re.compile(self.inbox.match), re.compile(self.inbox.ignore)
        self._since = parse_instant(self.inbox.since)
        self._window = Cron.parse(self.inbox.window) if self.inbox.window else None

    @property
    def rules(self) -> Mapping[str, Any]:
        """What the judgement depends on: where it changes, offers are judged anew."""
        return {name: getattr(self.inbox, name) for name in _RULES}

    def needs_facts(self, session: str, retransfer: bool) -> bool:
        """Whether a session's id does not say what the rules ask for, and nobody told yet."""
        if (session, retransfer) in self.facts:
            return False
        no_start = self._window is not None and start_of(session) is None
        return no_start or (bool(self.inbox.mission) and not satellite_of(session))

    def wants_session(self, said: SessionSaid) -> bool:
        """Whether the files of a session would be taken, by mission and window."""
        mission = mission_of(satellite_of(said.session) or said.satellite)
        if self.inbox.mission and mission not in ("", self.inbox.mission):
            return False
        at = said.downlink_start or said.published_at
        return self._window is None or not self._is_outside(said.session, said.retransfer, at, self._window)

    def judge(self, offer: Offer, cursor: datetime | None) -> Judged:
        """`cursor`: publication dates long before it (before now where there is none) are backlog."""
        name = canonical_name(offer.name)
        published = offer.published_at
        backlog = published is not None and published < (cursor or datetime.now(UTC)) - _BACKLOG
        try:
            check_name(name)
        except HostileInput:
            # printable, and still no product's name: its step will say so
            return self._judged(offer, ascii(name)[:250], steps.PRIORITY_NORMAL, offer.name[:2])
        found = next(self.types.matching(name), None)
        if found is None:
            mission = self._mission_of(offer) if offer.session else name[:2]
            return self._judged(offer, name, steps.priority(backlog=backlog), mission)
        priority = self.types.priority(found, found.named_timeliness, backlog=backlog)
        mission = found.mission or self._mission_of(offer)
        return self._judged(offer, name, priority, mission)

    def _judged(self, offer: Offer, product: str, priority: int, mission: str) -> Judged:
        why = self._unwanted(offer, mission)
        state = "filtered" if why else "seen" if offer.held else "waiting"
        return Judged(offer, product, priority, state, why or offer.held)

    def _unwanted(self, offer: Offer, mission: str) -> str:
        path = offer.path or offer.name
        if self._ignore.fullmatch(path):
            return "its name matches `ignore`"
        if not self._match.fullmatch(path):
            return "its name does not match `match`"
        if self.inbox.mission and mission not in ("", self.inbox.mission):
            return f"it is not of mission {self.inbox.mission}"
        if offer.published_at is not None and offer.published_at <= self._since:
            return "it was published before `since`"
        return self._outside(offer)

    def _outside(self, offer: Offer) -> str:
        """Why the sampling window leaves it alone."""
        if self._window is None:
            return ""
        if offer.session is None:
            at = offer.published_at
            if not self.inbox.window_auxiliaries or at is None or self._window.matches(at):
                return ""
            return "it was published outside the `window`"
        session, retransfer = offer.session.session, offer.session.retransfer
        return SESSION_OUTSIDE if self._is_outside(session, retransfer, offer.published_at, self._window) else ""

    def _is_outside(self, session: str, retransfer: bool, published_at: datetime | None, window: Cron) -> bool:
        """By the time in the session's id, else as its first file, else by what the station says or its publication."""
        start = start_of(session)
        if start is not None:
            return not window.matches(start)
        facts = self.facts.get((session, retransfer), SessionFacts())
        if facts.is_outside is None:
            start = facts.starts_at or published_at
            if start is None:
                return False
            facts = self.facts[session, retransfer] = replace(facts, is_outside=not window.matches(start))
        return bool(facts.is_outside)

    def _mission_of(self, offer: Offer) -> str:
        if offer.session is None:
            return ""
        facts = self.facts.get((offer.session.session, offer.session.retransfer), SessionFacts())
        return mission_of(satellite_of(offer.session.session, offer.path) or facts.satellite)
