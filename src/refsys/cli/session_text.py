"""Sessions on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.cli.terminal import printable, seconds_text
from refsys.ingestion.sessions import Channel, Handover, Session
from refsys.ingestion.sessions.judging import numbers

_COLOURS: Final = {"complete": "green", "incomplete": "red", "receiving": "yellow"}


def sessions_table(found: Sequence[Session]) -> Table:
    """One line each: state, how much of each channel is stored, what production was told."""
    table = Table(box=None, header_style="dim")
    for title in ("session", "satellite", "state", "stored", "missing", "deadline", "handed"):
        table.add_column(title, no_wrap=title != "missing", overflow="fold")
    for session in found:
        table.add_row(
            _title(session),
            escape(session.satellite) or "–",
            _state(session),
            ", ".join(f"ch{each.channel} {_share(each)}" for each in session.channels) or "–",
            "; ".join(f"ch{each.channel} {numbers(each.missing)}" for each in session.channels if each.missing) or "–",
            _deadline(session),
            f"revision {session.revision}" if session.revision else "–",
        )
    return table


def print_session(session: Session, handovers: Sequence[Handover], console: Console) -> None:
    console.print(f"[bold]{_title(session)}[/]  {_state(session)}", soft_wrap=True)
    facts = {
        "satellite": session.satellite or session.mission,
        "orbit": session.orbit,
        "inboxes": ", ".join(session.inboxes),
        "station unit": session.station_unit,
        "timeliness": session.timeliness,
        "first heard of": seconds_text(session.seen_at),
        "last news": seconds_text(session.news_at),
        "downlink": _interval(session.downlink_start, session.downlink_stop),
        "planned": _interval(session.planned_start, session.planned_stop),
        "deadline": _deadline(session),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        if fact not in (None, "", "–"):
            table.add_row(name, escape(printable(str(fact))))
    console.print(table)
    for channel in session.channels:
        missing = f", {numbers(channel.missing)} missing" if channel.missing else ""
        dsib = {"station": "the station's DSIB", "refsys": "a DSIB made here"}.get(channel.dsib, "no DSIB")
        told = f"channel {channel.channel}: {_share(channel)} blocks, {channel.stored_bytes} bytes, {dsib}{missing}"
        console.print(told, soft_wrap=True)
    for problem in session.problems:
        console.print(f"[yellow]{escape(printable(problem))}[/]", soft_wrap=True)
    for each in handovers:
        how = "complete" if each.is_complete else "incomplete"
        by = " by its retransfer" if each.retransfer else ""
        console.print(
            f"[dim]revision {each.revision}[/] handed over {how}{by} at {seconds_text(each.at)}: "
            f"{escape(printable(each.why))}",
            soft_wrap=True,
        )


def decision(session: Session) -> str:
    """What an operator's decision came to."""
    told = f"{_title(session)} is {session.state}"
    if session.state == "complete" or session.passed_at is not None:
        return f"{told}; production has revision {session.revision}"
    return f"{told}; it waits until {_deadline(session)}"


def _title(session: Session) -> str:
    return f"{escape(printable(session.name))}{' retransfer' if session.retransfer else ''}"


def _state(session: Session) -> str:
    colour = _COLOURS.get(session.state, "")
    return f"[{colour}]{session.state}[/]" if colour else session.state


def _share(channel: Channel) -> str:
    return f"{channel.stored}/{'?' if channel.expected is None else channel.expected}"


def _deadline(session: Session) -> str:
    if session.is_held:
        return "an operator releases it"
    if session.state in ("complete", "incomplete"):
        return "–"
    return seconds_text(session.wait_until or session.deadline_at)


def _interval(start: datetime | None, stop: datetime | None) -> str:
    return f"{seconds_text(start)} – {seconds_text(stop)}" if start or stop else ""
