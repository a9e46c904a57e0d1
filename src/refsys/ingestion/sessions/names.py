"""What the name of a session, or of one of its files, tells (spec: ingestion 6.1)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from refsys.ingestion.model import SessionFile

#: The block number of a channel's DSIB.
DSIB: Final = 0
#: The block that is numbered 00000 where nobody tells block numbers.
BLOCK_ZERO: Final = -1

# DCS_04_S1A_20241114143038056552_ch1_DSDB_00001.raw: station unit, session, channel, kind and number of the block
_FILE: Final = re.compile(
    r"DCS_(?P<unit>[0-9]{2})_(?P<session>[A-Z0-9_]{1,100})_ch(?P<channel>[1-9])_"
    r"(?:DSDB_(?P<block>[0-9]{5})\.(?:raw|aisp)|DSIB\.xml)",
    re.IGNORECASE | re.ASCII,
)
_SESSION: Final = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)
# S1A_20241114143038056552, S1B__MPS__________017080
_SATELLITE: Final = re.compile(r"(S[123][A-Z])_", re.ASCII)
_SATELLITE_FOLDER: Final = re.compile(r"(S[123][A-Z])_?", re.ASCII)
# the time in S1A_20241114143038056552 and in L20171109175634707000125
_TIME: Final = re.compile(r"(?:S[123][A-Z]_|L)(\d{14})\d+", re.ASCII)


def session_file_of(
    name: str, *, retransfer: bool = False, block: int | None = None, is_final: bool | None = None
) -> SessionFile | None:
    """Which file of which session a name says; None where it is no file of a session.

    Letters may be of any case. `block` is the number that the station tells beside the name: it only decides where
    stations count from zero in names (a file 00000 whose BlockNumber is 1).
    """
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    number = DSIB
    if match["block"] is not None:
        number = int(match["block"])
        if block is not None and block == number + 1:
            number = block
        elif number == 0:
            number = BLOCK_ZERO
    return SessionFile(match["session"].upper(), retransfer, int(match["channel"]), number, is_final)


def is_session(text: str) -> bool:
    """Whether this can be a session's id, in letters of any case."""
    return _SESSION.fullmatch(text) is not None


def unit_of(name: str) -> str:
    """The station unit in the name of a session's file (`04`); empty where it is none."""
    match = _FILE.fullmatch(name)
    return "" if match is None else match["unit"]


def satellite_of(session: str, path: str = "") -> str:
    """The satellite (`S1A`) that a session's id tells, else a folder on the way to one of its files; else empty."""
    match = _SATELLITE.match(session)
    if match is not None:
        return match[1]
    for folder in path.upper().split("/")[:-1]:
        found = _SATELLITE_FOLDER.fullmatch(folder)
        if found is not None:
            return found[1]
    return ""


def mission_of(satellite: str) -> str:
    """S1, S2 or S3; empty where the satellite is unknown, or another one."""
    return satellite[:2] if _SATELLITE_FOLDER.fullmatch(satellite) else ""


def start_of(session: str) -> datetime | None:
    """When the session began, as its id tells; None where it does not."""
    match = _TIME.fullmatch(session)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
