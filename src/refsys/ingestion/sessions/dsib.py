"""A channel's DSIB (Data Stream Information Block, spec: ingestion 6.2): read where a station delivers it, else made.

Made ones have the same bytes whenever they are made of the same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape

from refsys.core.errors import InvalidProduct
from refsys.core.times import format_instant, parse_instant
from refsys.infra import xml
from refsys.ingestion.sessions.names import DSIB, session_file_of

ROOT: Final = "DCSU_Session_Information_Block"
_MOST_NAMES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a station's DSIB says: the blocks' names, the channel's size in bytes, the time of the downlink.

    `problem` says what is wrong with it, "" = nothing.
    """

    names: tuple[str, ...]
    size_bytes: int | None
    start: datetime | None
    stop: datetime | None
    problem: str = ""


def dsib_name(session: str, channel: int, unit: str) -> str:
    """The file name of a channel's DSIB."""
    return f"DCS_{unit}_{session}_ch{channel}_DSIB.xml"


def make_dsib(
    session: str, start: datetime, stop: datetime, size_bytes: int, names: Sequence[str], about: str
) -> bytes:
    """A DSIB as stations write them. `about` stands in its comment."""
    began, ended = format_instant(start), format_instant(max(start, stop))
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<!-- {about.replace('--', '- ')} -->",
        f"<{ROOT}>",
        f"  <session_id>{escape(session)}</session_id>",
        f"  <time_start>{began}</time_start>",
        f"  <time_stop>{ended}</time_stop>",
        f"  <time_created>{began}</time_created>",
        f"  <time_finished>{ended}</time_finished>",
        f"  <data_size>{size_bytes}</data_size>",
        "  <dsdb_list>",
        *(f"    <dsdb_name>{escape(name)}</dsdb_name>" for name in names),
        "  </dsdb_list>",
        f"</{ROOT}>",
        "",
    ]
    return "\n".join(lines).encode()


def read_dsib(data: bytes, *, name: str) -> Delivered:
    """What a delivered DSIB says; the names are those of blocks of its own channel.

    Raises InvalidProduct or HostileInput where it is none.
    """
    root = xml.parse(data, subject=name)
    own = session_file_of(name)
    if root.tag != ROOT or own is None:
        raise InvalidProduct(f"is no {ROOT}", subject=name)
    named = [(element.text or "").strip() for element in root.iterfind("dsdb_list/dsdb_name")]
    ours = []
    for each in named[:_MOST_NAMES]:
        found = session_file_of(each)
        if found is not None and (found.session, found.channel) == (own.session, own.channel) and found.block != DSIB:
            ours.append(each)
    if not ours:
        raise InvalidProduct("names no block of its channel", subject=name)
    others = len(named) - len(ours)
    size = (root.findtext("data_size") or "").strip()
    return Delivered(
        tuple(dict.fromkeys(ours)),
        int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None,
        _instant(root.findtext("time_start")),
        _instant(root.findtext("time_stop")),
        f"names {others} files that are no blocks of its channel" if others else "",
    )


def _instant(text: str | None) -> datetime | None:
    try:
        return parse_instant(text or "")
    except ValueError:
        return None
