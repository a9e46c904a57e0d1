"""Inboxes and their files on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.cli.terminal import duration_text, printable, seconds_text
from refsys.ingestion.inboxes.operating import Row
from refsys.ingestion.store import STATES, InboxState


def print_inboxes(found: Sequence[InboxState], never_looked: Sequence[str], console: Console) -> None:
    """A line for each inbox, then what is wrong."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("inbox", "newest seen", "last good look", "lag", *STATES):
        table.add_column(heading, no_wrap=True, justify="right" if heading in STATES else "left")
    for state in found:
        lag = "–" if state.lag_s is None else duration_text(max(0.0, state.lag_s))
        counts = (str(state.states.get(name, 0)) for name in STATES)
        table.add_row(state.id, seconds_text(state.cursor), seconds_text(state.succeeded_at), lag, *counts)
    for name in never_looked:
        table.add_row(name, "–", "not looked yet", "–", *("–" for _ in STATES))
    console.print(table)
    for state in found:
        for line in _told(state):
            console.print(line, soft_wrap=True)


def print_inbox(inbox: str, found: InboxState | None, rows: Sequence[Row], console: Console) -> None:
    """What an inbox remembers of its looks, and some of its files."""
    if found is None:
        console.print(f"inbox {inbox} has not looked yet")
        return
    console.print(
        f"newest seen {seconds_text(found.cursor)}, last good look {seconds_text(found.succeeded_at)}", soft_wrap=True
    )
    if found.reconciled is not None:
        told = found.reconciled
        station = "–" if told["station"] is None else told["station"]
        console.print(
            f"compared {seconds_text(found.reconciled_at)}: station {station}, known {told['known']}, "
            f"missing {told['missing']}",
            soft_wrap=True,
        )
    for line in _told(found):
        console.print(line, soft_wrap=True)
    if not rows:
        console.print("no such files are remembered")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "state", "since", "published", "tries", "file", "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("state", "since", "published"))
    for row in rows:
        why = "; ".join(text for text in (row.why, row.problem) if text)
        if row.not_before is not None:
            why = f"not before {seconds_text(row.not_before)}; {why}".removesuffix("; ")
        since, published = seconds_text(row.state_at), seconds_text(row.published_at)
        name = escape(printable(row.name))
        table.add_row(str(row.id), row.state, since, published, str(row.tries), name, escape(printable(why)))
    console.print(table)


def _told(state: InboxState) -> list[str]:
    lines = []
    if state.paused_at is not None:
        lines.append(
            f"[yellow]inbox {state.id} is paused[/] since {seconds_text(state.paused_at)}: "
            f"{escape(printable(state.paused_why))}"
        )
    if state.failures:
        times = "once" if state.failures == 1 else f"{state.failures} times in a row"
        lines.append(f"[red]inbox {state.id} failed {times}[/]: {escape(printable(state.problem))}")
    if state.near:
        lines.append(f"[red]inbox {state.id}: the station deletes {state.near} files soon that are not stored[/]")
    if state.back_to is not None:
        lines.append(f"inbox {state.id}: the next look begins at {seconds_text(state.back_to)}")
    return lines
