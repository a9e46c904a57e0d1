"""What real stations do wrong, by name: `refsys station serve --fault NAME[=VALUE]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from refsys.core.errors import ConfigurationError
from refsys.simulation.passes import Mishaps
from refsys.simulation.station.faults import (
    Answer,
    Cut,
    Fault,
    Faults,
    Html,
    NoRange,
    OtherETag,
    Redirect,
    Short,
    Slow,
    Stall,
    TokensDie,
    Twice,
    WrongChecksums,
    WrongSizes,
)
from refsys.simulation.station.shelf import utc_now

Protocol = Literal["prip", "cadip", "lta", "xbip", "edip"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("prip", "cadip", "lta", "xbip", "edip")
_ODATA: Final[tuple[Protocol, ...]] = ("prip", "cadip", "lta")
_SESSIONS: Final[tuple[Protocol, ...]] = ("cadip", "xbip", "edip")
_HTTP: Final[tuple[Protocol, ...]] = ("prip", "cadip", "lta", "xbip")
#: Where the second address is: Linux has all of 127.0.0.0/8.
_OTHER_HOST: Final = "127.0.0.2"
#: After how many bytes what breaks breaks.
_SOME_BYTES: Final = 50_000


@dataclass(slots=True)
class Setup:
    """How a station is made: arguments of its class, fields of its dialect, attributes, its script, flaws of passes."""

    arguments: dict[str, Any] = field(default_factory=dict)
    dialect: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    script: list[Callable[[Faults], None]] = field(default_factory=list)
    mishaps: Mishaps = field(default_factory=Mishaps)


@dataclass(frozen=True, slots=True)
class Switch:
    """A fault by name. `value` says what may follow the name, `default` what is meant without."""

    name: str
    protocols: tuple[Protocol, ...]
    meaning: str
    apply: Callable[[Setup, str], None]
    value: str = ""
    default: str = ""


def throw(setup: Setup, protocol: Protocol, text: str) -> None:
    """Set the switch that `NAME[=VALUE]` names. Raises ConfigurationError."""
    name, equals, value = text.partition("=")
    switch = next((each for each in SWITCHES if each.name == name), None)
    if switch is None:
        raise ConfigurationError(f"--fault {name}: there is no such fault", advice="--list-faults prints all")
    if protocol not in switch.protocols:
        raise ConfigurationError(f"--fault {name}: is a fault of {', '.join(switch.protocols)}, not of {protocol}")
    if equals and not switch.value:
        raise ConfigurationError(f"--fault {name}: takes no value")
    try:
        switch.apply(setup, value if equals else switch.default)
    except ValueError as error:
        raise ConfigurationError(f"--fault {text}: {error}") from None


def _chance(text: str) -> float:
    chance = _number(text)
    if not 0 <= chance <= 1:
        raise ValueError(f"{text} is no chance between 0 and 1")
    return chance


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None


def _dialect(name: str, read: Callable[[str], Any]) -> Callable[[Setup, str], None]:
    return lambda setup, value: setup.dialect.update({name: read(value)})


def _attribute(name: str, value: Any) -> Callable[[Setup, str], None]:
    return lambda setup, _value: setup.attributes.update({name: value})


def _argument(name: str, read: Callable[[str], Any]) -> Callable[[Setup, str], None]:
    return lambda setup, value: setup.arguments.update({name: read(value)})


def _mishap(name: str) -> Callable[[Setup, str], None]:
    def apply(setup: Setup, value: str) -> None:
        setup.mishaps = replace(setup.mishaps, **{name: _chance(value)})

    return apply


def _downloads(make: Callable[[str], Fault]) -> Callable[[Setup, str], None]:
    """A fault of every download."""

    def apply(setup: Setup, value: str) -> None:
        fault = make(value)
        setup.script.append(lambda faults: faults.on_download(fault, times=None))

    return apply


def _some(fault: Fault, *kinds: Literal["listing", "download"]) -> Callable[[Setup, str], None]:
    """A fault of some requests."""

    def apply(setup: Setup, value: str) -> None:
        chance = _chance(value)
        if "listing" in kinds:
            setup.script.append(lambda faults: faults.on_listing(fault, times=None, chance=chance))
        if "download" in kinds:
            setup.script.append(lambda faults: faults.on_download(fault, times=None, chance=chance))

    return apply


def _redirect(setup: Setup, _value: str) -> None:
    setup.arguments["other_host"] = _OTHER_HOST
    setup.script.append(lambda faults: faults.on_download(Redirect(), times=None))


def _clock(setup: Setup, value: str) -> None:
    ahead = timedelta(seconds=_number(value))

    def clock() -> datetime:
        return utc_now() + ahead

    setup.arguments["clock"] = clock


def _whole(text: str) -> int:
    number = _number(text)
    if number != int(number) or number < 1:
        raise ValueError(f"{text} is no whole number from 1")
    return int(number)


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_number(text))


def _words(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _true(_text: str) -> bool:
    return True


def _false(_text: str) -> bool:
    return False


def _slow(text: str) -> Slow:
    return Slow(_whole(text))


def _some_switch(
    name: str, protocols: tuple[Protocol, ...], meaning: str, fault: Fault, *kinds: Literal["listing", "download"]
) -> Switch:
    return Switch(name, protocols, meaning, _some(fault, *kinds), "CHANCE", "0.1")


def _mishap_switch(name: str, meaning: str, default: str = "1") -> Switch:
    return Switch(name, _SESSIONS, meaning, _mishap(name.replace("-", "_")), "CHANCE", default)


SWITCHES: Final[tuple[Switch, ...]] = (
    Switch("refuse", _ODATA, "400 for these words of OData", _dialect("refuses", _words), "WORDS", "ge,le"),
    Switch("page-limit", _ODATA, "no page is longer, whatever $top says", _dialect("page_limit", _whole), "N", "10"),
    Switch("no-next-link", _ODATA, "pages tell no @odata.nextLink", _dialect("next_links", _false)),
    Switch("short-pages", _ODATA, "pages hold half of what they could", _dialect("short_pages", _true)),
    Switch("ignore-skip", _ODATA, "$skip changes nothing", _dialect("skip_ignored", _true)),
    Switch("empty-list", _ODATA, "a listing without entries is []", _dialect("empty_list", _true)),
    Switch("text-numbers", _ODATA, "sizes are texts", _dialect("text_numbers", _true)),
    Switch("redirect", _ODATA, "307 to another host for every download", _redirect),
    _some_switch("tokens-die", _ODATA, "a download breaks, and tokens expire", TokensDie(_SOME_BYTES), "download"),
    _some_switch("wrong-checksum", ("prip", "lta"), "checksums in listings are wrong", WrongChecksums(), "listing"),
    _some_switch("wrong-size", _ODATA, "sizes in listings are one byte too large", WrongSizes(), "listing"),
    _some_switch("twice", _ODATA, "a listing names entries twice", Twice(), "listing"),
    _some_switch("twice-other-id", _ODATA, "the same, the second with another id", Twice(other_id=True), "listing"),
    _some_switch("other-etag", _ODATA, "the ETag is another one", OtherETag(), "download"),
    _some_switch("html", _HTTP, "200 with a web page", Html(), "listing", "download"),
    Switch("no-range", _HTTP, "Range is ignored", _downloads(lambda _text: NoRange())),
    _some_switch("429", PROTOCOLS, "asks for patience", Answer(429, retry_after_s=1), "listing", "download"),
    _some_switch("500", PROTOCOLS, "fails", Answer(500), "listing", "download"),
    _some_switch("503", PROTOCOLS, "is not available", Answer(503), "listing", "download"),
    _some_switch("vanish", PROTOCOLS, "404, or 550, for what was listed", Answer(404), "download"),
    _some_switch("cut", PROTOCOLS, "a download breaks off", Cut(_SOME_BYTES), "download"),
    _some_switch("cut-listing", PROTOCOLS, "a listing breaks off", Cut(200), "listing"),
    _some_switch("short", PROTOCOLS, "a file ends too early, as if it were whole", Short(_SOME_BYTES), "download"),
    _some_switch("stall", PROTOCOLS, "nothing comes for a minute", Stall(_SOME_BYTES, seconds=60), "download"),
    Switch("slow", PROTOCOLS, "downloads drip", _downloads(_slow), "BYTES_PER_S", "100000"),
    Switch("clock", PROTOCOLS, "the station's clock is ahead", _clock, "SECONDS", "3600"),
    Switch("evict", _SESSIONS, "files go so soon", _argument("retention", _seconds), "SECONDS", "60"),
    Switch("quota", ("lta",), "so many open orders, then 429", _argument("quota", _whole), "N", "1"),
    Switch(
        "order-fails", ("lta",), "orders of such names fail", _argument("failing", lambda text: (text,)), "TEXT", "S"
    ),
    Switch("no-infinity", ("xbip",), "Depth: infinity is refused", _attribute("infinity", False)),
    Switch("whole-urls", ("xbip",), "entries are named by whole URLs", _attribute("absolute", True)),
    Switch("no-mlsd", ("edip",), "MLSD and MLST are not known", _attribute("refuses", frozenset({"MLSD", "MLST"}))),
    Switch("session-reuse", ("edip",), "data goes on with the TLS session", _attribute("session_reuse", True)),
    _mishap_switch("missing", "blocks never come", "0.1"),
    _mishap_switch("late", "blocks come half a minute after the end, with the date at which they were due", "0.1"),
    _mishap_switch("duplicated", "blocks are published again, with another id", "0.1"),
    _mishap_switch("shuffled", "blocks come out of order"),
    _mishap_switch("final-first", "the final block comes before the others"),
    _mishap_switch("growing", "files are empty first, then half, then whole"),
    _mishap_switch("no-quality", "no quality information and no DSIB comes"),
    _mishap_switch("retransfer", "everything is sent again half a minute after the end"),
)
