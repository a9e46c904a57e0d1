"""Scripted misbehaviour: which requests of a station are answered otherwise than they should be.

    station.faults.on_listing(Answer(503, retry_after_s=1), times=2)
    station.faults.on_download(Cut(at_byte=1000), name="S1A_IW")
    station.faults.on_download(Stall(at_byte=0), times=None)

Rules are tried in the order in which they were given; the first that applies is used up by one request and decides it
alone. Wrong sizes and checksums are no faults of requests but of products: see `Station.offer`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

#: Kinds of requests: a page of a listing, one entity, its bytes, an order, a token, what describes the service,
#: or none of these.
Kind = Literal["listing", "entity", "download", "order", "token", "service", "nothing"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Another status, at once: 500, 503, 401, 429 with Retry-After …"""

    status: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Html:
    """200 with a web page, as a proxy or a login form in between answers."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends after `at_byte` bytes of this response's body."""

    at_byte: int


@dataclass(frozen=True, slots=True)
class Short:
    """This file has `at_byte` bytes, and ends as if they were all."""

    at_byte: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing comes after `at_byte` bytes of this response's body: for `seconds`, or until the client goes."""

    at_byte: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Slow:
    """This response's body drips: so many bytes a second."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class TokensDie:
    """The connection ends after `at_byte` bytes of this response's body, and every access token has expired."""

    at_byte: int


@dataclass(frozen=True, slots=True)
class NoRange:
    """Range is not understood: 200 with everything, without Accept-Ranges and ETag."""


@dataclass(frozen=True, slots=True)
class OtherETag:
    """The ETag is not the one of the other responses, as if the file had been written again."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """307 to another path of `to` (scheme://host:port), where authentication is asked for again.

    By default of the station's other address, or where it has none, of its only one.
    """

    to: str = ""


@dataclass(frozen=True, slots=True)
class Twice:
    """A listing that names each of its entries twice, with one id or with another id for the second."""

    other_id: bool = False


@dataclass(frozen=True, slots=True)
class WrongChecksums:
    """A listing whose checksums have another first digit than the true ones."""


@dataclass(frozen=True, slots=True)
class WrongSizes:
    """A listing whose sizes are `more_bytes` larger than what is announced else."""

    more_bytes: int = 1


Fault = (
    Answer
    | Html
    | Cut
    | Short
    | Stall
    | Slow
    | TokensDie
    | NoRange
    | OtherETag
    | Redirect
    | Twice
    | WrongChecksums
    | WrongSizes
)

#: What makes sense where.
Sense = Mapping[Kind, tuple[type, ...]]
_BODIES: Final = (Answer, Html, Cut, Stall, Slow, TokensDie)
ODATA: Final[Sense] = {
    "listing": (*_BODIES, Redirect, Twice, WrongChecksums, WrongSizes),
    "entity": (*_BODIES, Redirect),
    "download": (*_BODIES, Short, NoRange, OtherETag, Redirect),
    "order": _BODIES,
    "token": _BODIES,
}
WEBDAV: Final[Sense] = {
    "listing": (Answer, Html, Cut, Stall, Slow),
    "download": (Answer, Html, Cut, Stall, Slow, Short, NoRange),
}
FTP: Final[Sense] = {"listing": (Answer, Cut, Stall, Slow), "download": (Answer, Cut, Stall, Slow, Short)}


@dataclass(slots=True)
class _Rule:
    kind: Kind
    fault: Fault
    left: int | None
    name: str
    after: int
    chance: float


class Faults:
    """The script of one station.

    `times`: how many requests, None = all; `after`: how many go well before; `name`: only for what has this in its
    name, or listings of the set of that name; `chance`: how likely each of them is hit, by random numbers of `seed`.
    `sense` is what such a station can do wrong. Every method may be called from any thread; raises ValueError for a
    fault that makes no sense there.
    """

    def __init__(self, sense: Sense = ODATA, seed: int = 0) -> None:
        self._sense = sense
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def on_listing(
        self, fault: Fault, *, times: int | None = 1, after: int = 0, name: str = "", chance: float = 1.0
    ) -> None:
        self._add(_Rule("listing", fault, times, name, after, chance))

    def on_entity(
        self, fault: Fault, *, times: int | None = 1, after: int = 0, name: str = "", chance: float = 1.0
    ) -> None:
        self._add(_Rule("entity", fault, times, name, after, chance))

    def on_download(
        self, fault: Fault, *, times: int | None = 1, after: int = 0, name: str = "", chance: float = 1.0
    ) -> None:
        self._add(_Rule("download", fault, times, name, after, chance))

    def on_order(
        self, fault: Fault, *, times: int | None = 1, after: int = 0, name: str = "", chance: float = 1.0
    ) -> None:
        self._add(_Rule("order", fault, times, name, after, chance))

    def on_token(self, fault: Fault, *, times: int | None = 1, after: int = 0, chance: float = 1.0) -> None:
        self._add(_Rule("token", fault, times, "", after, chance))

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._rules.clear()

    @property
    def pending(self) -> int:
        """Rules that have not been used up."""
        return len(self._rules)

    def take(self, kind: Kind, name: str = "", *, head: bool = False, redirected: bool = False) -> Fault | None:
        """The fault for this request, used up by one.

        HEAD uses up no fault of bodies; a request that was redirected is not redirected again.
        """
        senseless = (Cut, Short, Stall, Slow, TokensDie) * head + (Redirect,) * redirected
        with self._lock:
            for rule in self._rules:
                if rule.kind != kind or rule.name not in name or isinstance(rule.fault, senseless):
                    continue
                if rule.after > 0:
                    rule.after -= 1
                    continue
                if rule.chance < 1.0 and self._random.random() >= rule.chance:
                    continue
                if rule.left is not None:
                    rule.left -= 1
                    if rule.left < 1:
                        self._rules.remove(rule)
                return rule.fault
        return None

    def _add(self, rule: _Rule) -> None:
        if not isinstance(rule.fault, self._sense.get(rule.kind, ())):
            raise ValueError(f"{type(rule.fault).__name__} is no fault of a {rule.kind} here")
        if rule.left is None or rule.left > 0:
            with self._lock:
                self._rules.append(rule)
