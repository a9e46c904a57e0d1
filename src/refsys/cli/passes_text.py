"""Passes, sessions, the report of a day and the scoreboard, on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from refsys.cli.product_text import size_text
from refsys.cli.session_text import print_session
from refsys.cli.terminal import duration_text, open_console, printable, seconds_text

if TYPE_CHECKING:
    from refsys.ingestion.passes.details import PassDetails
    from refsys.ingestion.passes.listing import Pass
    from refsys.ingestion.passes.report import Report
    from refsys.ingestion.passes.scoreboard import Score

_COLOURS: Final = {
    "complete": "green",
    "receiving": "cyan",
    "announced": "cyan",
    "expected": "dim",
    "missing": "red",
    "incomplete": "red",
    "suspected": "yellow",
}


def print_passes(passes: Sequence[Pass]) -> None:
    """One line for each."""
    table = Table(box=None, header_style="dim")
    for heading in ("start", "satellite", "station"):
        table.add_column(heading, no_wrap=True)
    table.add_column("orbit", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("session", overflow="fold")
    for heading in ("offered", "fetched", "verified", "lost", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("handed on", no_wrap=True)
    table.add_column("evicted from", no_wrap=True)
    for each in passes:
        session = each.session
        numbers = ["", "", "", "", ""]
        if session is not None:
            numbers = [str(session.offered), str(session.fetched), str(session.verified), str(session.lost or "")]
            numbers.append(size_text(session.size_bytes))
        table.add_row(
            seconds_text(each.starts_at),
            each.satellite or "?",
            escape(printable(each.station)),
            "" if each.orbit is None else str(each.orbit),
            _coloured(each.state),
            escape(session.name) + (" +retransfer" if session.has_retransfer else "") if session else "",
            *numbers,
            seconds_text(session.handed_at) if session and session.handed_at else "",
            seconds_text(each.evicted_at) if each.evicted_at else "",
        )
    open_console().print(table)


def print_details(details: PassDetails) -> None:
    """A pass in full."""
    console, whole = open_console(), details.whole
    console.print(
        f"{whole.fetched} of {whole.offered} files are here, {whole.verified} of them in channels that are whole, "
        f"{size_text(whole.size_bytes)}"
    )
    if whole.evicted_at:
        console.print(f"the next one that is not here is deleted at its station at {seconds_text(whole.evicted_at)}")
    for number, session in enumerate(details.transfers):
        console.print()
        print_session(session, details.handovers if number == 0 else (), console)
    if not details.handovers:
        console.print("production has not been told of it yet")
    if details.lacking:
        console.print("\nnot here:")
    for file in details.lacking:
        line = f"  {printable(file.name)}  {file.state} in {file.inbox}"
        line += f": {printable(file.problem)}" if file.problem else ""
        line += f"; deleted there at {seconds_text(file.evicted_at)}" if file.evicted_at else ""
        console.print(escape(line), soft_wrap=True)


def print_report(report: Report) -> None:
    """The report of a day."""
    console = open_console()
    console.print(f"[bold]{report.day.isoformat()}[/] (UTC)")
    states = ", ".join(f"{number} {state}" for state, number in sorted(report.states.items()))
    console.print(f"{len(report.passes)} passes: {states}" if report.passes else "no passes")
    if report.passes:
        print_passes(report.passes)
    console.print()
    if report.stations:
        print_scores(report.stations)
    else:
        console.print("no station offered anything")
    for lost in report.lost:
        console.print(
            f"[red]{lost.state}[/] {escape(printable(lost.name))} in {lost.inbox} at {seconds_text(lost.state_at)}: "
            f"{escape(printable(lost.problem))}"
        )


def print_scores(scores: Sequence[Score]) -> None:
    """One line for each station."""
    table = Table(box=None, header_style="dim")
    table.add_column("station", no_wrap=True)
    for heading in (
        *("offered", "stored", "size", "awaited", "expired", "failed", "twice", "again", "tries"),
        *("speed", "sessions", "incomplete", "out of order", "missing", "delay", "longest"),
    ):
        table.add_column(heading, justify="right")
    for score in scores:
        table.add_row(
            escape(printable(score.station)),
            str(score.offered),
            str(score.stored),
            size_text(score.size_bytes),
            *(_some(number) for number in (score.awaited, score.expired, score.failed, score.duplicates)),
            *(_some(number) for number in (score.republished, score.repeated)),
            "" if score.bytes_per_s is None else f"{size_text(round(score.bytes_per_s))}/s",
            *(_some(number) for number in (score.sessions, score.incomplete, score.out_of_order, score.missing)),
            *("" if delay is None else duration_text(delay) for delay in (score.delay_s, score.longest_delay_s)),
        )
    open_console().print(table)


def _some(number: int) -> str:
    return str(number) if number else ""


def _coloured(state: str) -> str:
    return f"[{_COLOURS.get(state, 'default')}]{state}[/]"
