"""The stations of the proof: what they offer, what goes wrong there, and what each of them owes us at the end."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from refsys.core.errors import ConfigurationError
from refsys.simulation.files import EdipStation, FileStation, XbipStation
from refsys.simulation.passes import Flaws, Mishaps, Pass, Schedule
from refsys.simulation.station import (
    CADU_BYTES,
    Answer,
    Basic,
    Block,
    CadipStation,
    Cut,
    Fault,
    Html,
    NoRange,
    OAuth2,
    OtherETag,
    Redirect,
    Stall,
    TokensDie,
    Twice,
    WrongSizes,
)
from refsys.simulation.station.faults import Faults
from refsys.simulation.station.shelf import utc_now
from tests.waiting import wait_until

_CERTIFICATE: Final = Path(__file__).parents[2] / "self_signed.pem"
_OAUTH: Final = OAuth2(user="operator", password="secret", client_id="refsys", client_secret="hush")
_BASIC: Final = Basic("operator", "secret")
#: First orbits.
SATELLITES: Final = {"S1A": 56000, "S2B": 41000, "S3A": 47000}
_BLOCK: Final = 400 * CADU_BYTES
#: What goes wrong in a pass.
MISHAPS: Final = Mishaps(
    missing=0.01,
    late=0.03,
    duplicated=0.03,
    shuffled=0.4,
    final_first=0.3,
    growing=0.2,
    no_quality=0.1,
    retransfer=0.2,
    late_s=8.0,
    retransfer_s=5.0,
)
_HTTP_DOWNLOADS: Final[tuple[Fault, ...]] = (
    *(Answer(500), Answer(503), Answer(429, retry_after_s=1), Answer(404), Html(), NoRange()),
    *(Cut(0), Cut(100_000), Cut(700_000), Stall(50_000, seconds=4.0)),
)
_ODATA_DOWNLOADS: Final[tuple[Fault, ...]] = (*_HTTP_DOWNLOADS, OtherETag(), TokensDie(300_000), Redirect())
_FTP_DOWNLOADS: Final[tuple[Fault, ...]] = (
    *(Answer(503), Answer(404), Answer(500)),
    *(Cut(0), Cut(100_000), Cut(700_000), Stall(50_000, seconds=4.0)),
)
_LISTINGS: Final[tuple[Fault, ...]] = (Answer(500), Answer(503), Answer(429, retry_after_s=1), Cut(200))
_ODATA_LISTINGS: Final[tuple[Fault, ...]] = (*_LISTINGS, Html(), Twice(), Twice(other_id=True), WrongSizes())


@dataclass(slots=True)
class Served:
    """A station and the inboxes that look into it, as lines of the settings."""

    name: str
    station: CadipStation | FileStation
    downloads: tuple[Fault, ...]
    listings: tuple[Fault, ...]
    inbox: Callable[[], str]
    published: dict[tuple[str, bool, int, int], Block] = field(default_factory=dict)

    @property
    def faults(self) -> Faults:
        return self.station.faults

    def note(self) -> None:
        """Remember what is offered now: what is evicted later was offered all the same."""
        for block in self.station.archive.blocks():
            session = block.session
            self.published[session.session_id, session.retransfer, block.channel, block.number] = block

    def held(self) -> set[tuple[str, bool, int, int]]:
        """What the station still has."""
        return {
            (block.session.session_id, block.session.retransfer, block.channel, block.number)
            for block in self.station.archive.blocks()
        }


class Farm:
    """Four stations: two at one place offer the same sessions by two protocols, one pages badly, one speaks FTPS.

    `retention` is theirs: what is older they delete.
    """

    def __init__(self, seed: int, retention: timedelta) -> None:
        self.random = random.Random(seed)
        self.schedule = Schedule()
        self._retention = retention
        self._orbits = {satellite: itertools.count(orbit) for satellite, orbit in SATELLITES.items()}
        north = CadipStation(auth=_OAUTH, retention=retention)
        drops = XbipStation(north.archive, auth=_BASIC, retention=retention)
        south = CadipStation(auth=_BASIC, page_limit=7, next_links=False, retention=retention)
        relay = EdipStation(auth=_BASIC, certificate=_CERTIFICATE, retention=retention)
        self.served = [
            Served("north", north, _ODATA_DOWNLOADS, _ODATA_LISTINGS, lambda: _cadip("north", north, _oauth(north))),
            Served("drops", drops, _HTTP_DOWNLOADS, _LISTINGS, lambda: _files("drops", "xbip", drops)),
            Served("south", south, _ODATA_DOWNLOADS, _ODATA_LISTINGS, lambda: _cadip("south", south, _BASIC_AUTH)),
            Served("relay", relay, _FTP_DOWNLOADS, _LISTINGS[:3], lambda: _files("relay", "edip", relay)),
        ]
        self._receivers = [north, south, relay]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for served in self.served:
                stack.enter_context(served.station)
            stack.enter_context(self.schedule)
            yield

    def settings(self) -> str:
        """All inboxes."""
        return "\n".join(served.inbox() for served in self.served)

    def play(self, blocks: int, duration_s: float) -> Pass:
        """Let one more pass begin, at one of the receiving stations."""
        satellite = self.random.choice(sorted(SATELLITES))
        downlink = Pass(
            satellite=satellite,
            orbit=next(self._orbits[satellite]),
            start=utc_now(),
            duration_s=duration_s,
            channel_bytes=blocks * _BLOCK - self.random.randrange(1, 300) * CADU_BYTES,
            block_bytes=_BLOCK,
        )
        flaws: Flaws = MISHAPS.flaws(downlink, self.random.randrange(2**31))
        self.schedule.add(downlink, self.random.choice(self._receivers), flaws)
        return downlink

    def trouble(self) -> str:
        """Something goes wrong at one station; returns what."""
        served = self.random.choice(self.served)
        if self.random.random() < 0.6:
            fault = self.random.choice(served.downloads)
            served.faults.on_download(fault, times=self.random.randrange(1, 4))
        else:
            fault = self.random.choice(served.listings)
            served.faults.on_listing(fault, times=self.random.randrange(1, 3))
        return f"{served.name}: {fault}"

    def restart_one(self) -> str:
        """A station is away for a moment, with the connections that it had."""
        served = self.random.choice(self.served)
        served.station.__exit__(None, None, None)

        def is_back() -> bool:
            # a connection that somebody else opened may have its port just now
            with contextlib.suppress(ConfigurationError):
                served.station.__enter__()
                return True
            return False

        wait_until(is_back, 60, f"{served.name} listens again")
        return f"{served.name} restarted"

    def behave(self) -> None:
        """From now on nothing goes wrong."""
        for served in self.served:
            served.faults.clear()

    def note(self) -> None:
        for served in self.served:
            served.note()


_BASIC_AUTH: Final = f'kind = "basic"\nuser = "{_BASIC.user}"\npassword = "{_BASIC.password}"'


def _oauth(station: CadipStation) -> str:
    return (
        f'kind = "oauth2"\nuser = "{_OAUTH.user}"\npassword = "{_OAUTH.password}"\ntoken_url = "{station.token_url}"\n'
        f'client_id = "{_OAUTH.client_id}"\nclient_secret = "{_OAUTH.client_secret}"'
    )


def _cadip(name: str, station: CadipStation, auth: str) -> str:
    return _inbox(name, "cadip", station.url, auth, "")


def _files(name: str, kind: str, station: FileStation) -> str:
    more = "stable_s = 0.5\nverify_tls = false\n"
    nominal = _inbox(name, kind, station.url, _BASIC_AUTH, more)
    return nominal + _inbox(f"{name}-again", kind, station.retransfer_url, _BASIC_AUTH, f"{more}retransfer = true\n")


def _inbox(name: str, kind: str, url: str, auth: str, more: str) -> str:
    return f"""
[[inbox]]
id = "{name}"
type = "{kind}"
url = "{url}"
station = "{name.removesuffix("-again")}"
poll_s = 0.5
overlap_s = 300
concurrency = 4
{more}
[inbox.auth]
{auth}
"""
