"""A simulated AUXIP/PRIP station: OData over HTTP, fed from a folder, with faults by script.

async with Station(folder) as station:     # or `with`, which serves in a thread
    station.offer(path)                    # more products, from anywhere
    station.faults.on_download(Cut(1000))
    …                                      # an inbox polls station.url
    assert station.journal.ranges("S1A_IW") == ["", "bytes=1000-"]
"""

from refsys.simulation.station.auth import Basic, OAuth2
from refsys.simulation.station.faults import Answer, Cut, Fault, Html, NoRange, OtherETag, Redirect, Stall, Twice
from refsys.simulation.station.journal import Request
from refsys.simulation.station.model import Offered
from refsys.simulation.station.packing import ArchiveKind, Package
from refsys.simulation.station.server import Station

__all__ = [
    "Answer",
    "ArchiveKind",
    "Basic",
    "Cut",
    "Fault",
    "Html",
    "NoRange",
    "OAuth2",
    "Offered",
    "OtherETag",
    "Package",
    "Redirect",
    "Request",
    "Stall",
    "Station",
    "Twice",
]
