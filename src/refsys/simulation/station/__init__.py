"""Simulated stations: OData over HTTP, with faults by script.

async with Station(folder) as station:     # AUXIP, PRIP; or `with`, which serves in a thread
    station.offer(path)                    # more products, from anywhere
    station.faults.on_download(Cut(1000))
    …                                      # an inbox polls station.url
    assert station.journal.ranges("S1A_IW") == ["", "bytes=1000-"]

async with CadipStation() as station:
    session = station.session("S1A_20241114143038056552")
    session.publish(channel=1, number=1)
    session.publish(channel=1, number=2, is_final=True)
    assert md5 of what arrived == session.md5s()[name]
"""

from refsys.simulation.station.auth import Basic, OAuth2
from refsys.simulation.station.content import CADU_BYTES, Held, Made, md5_of
from refsys.simulation.station.dialect import Dialect
from refsys.simulation.station.faults import (
    Answer,
    Cut,
    Fault,
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
from refsys.simulation.station.journal import Request
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import ArchiveKind, Package
from refsys.simulation.station.sessions import FULL_BLOCK_BYTES, Archive, Block, Session
from refsys.simulation.station.stations import CadipStation, LtaStation, Station

__all__ = [
    "CADU_BYTES",
    "FULL_BLOCK_BYTES",
    "Answer",
    "Archive",
    "ArchiveKind",
    "Basic",
    "Block",
    "CadipStation",
    "Cut",
    "Dialect",
    "Fault",
    "Held",
    "Html",
    "LtaStation",
    "Made",
    "NoRange",
    "OAuth2",
    "Offered",
    "OtherETag",
    "Package",
    "Redirect",
    "Request",
    "Session",
    "Short",
    "Slow",
    "Stall",
    "Station",
    "TokensDie",
    "Twice",
    "WrongChecksums",
    "WrongSizes",
    "md5_of",
]
