"""Parked steps on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from refsys.cli.terminal import printable
from refsys.core.times import format_instant
from refsys.operations.model import Group, Parked, Report, StepDossier

WIDE: Final = 120
SHOWN: Final = 20
_STATES: Final = {"parked": "red", "deleted": "red", "running": "green", "done": "green", "due": "yellow"}


def parked_table(found: Sequence[Parked], *, width: int) -> Table:
    """Two lines each, what and why; three on a terminal narrower than WIDE."""
    table = Table(box=None, header_style="dim")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("parked at", no_wrap=True)
    table.add_column("step and error", overflow="fold")
    for step in found:
        what = Text.assemble((printable(step.stage), "bold"), "  " if width >= WIDE else "\n", printable(step.key))
        table.add_row(str(step.id), _seconds(step.parked_at), what)
        table.add_row("", f"[dim]attempts {step.attempts}[/]", _error_line(step.error))
    return table


def groups_table(found: Sequence[Group]) -> Table:
    """One line each: how many, what, since when, and the newest one's id."""
    table = Table(box=None, header_style="dim")
    table.add_column("steps", justify="right", no_wrap=True)
    table.add_column("stage and error", overflow="fold")
    table.add_column("last parked", no_wrap=True)
    table.add_column("example", justify="right", no_wrap=True)
    for group in found:
        told = Text.assemble((printable(group.stage), "bold"), "\n", _error_text(group.error, group.message))
        table.add_row(str(group.count), told, _seconds(group.last_parked_at), str(group.example))
    return table


def print_step(step: StepDossier, console: Console) -> None:
    colour = _STATES.get(step.state, "")
    state = f"[{colour}]{step.state}[/]" if colour else step.state
    console.print(f"[bold]step {step.id}[/]  {escape(printable(step.stage))}  {state}", soft_wrap=True)
    console.print(escape(printable(step.key)), soft_wrap=True)
    error = step.error or {}
    facts = {
        "error": f"{error.get('type', '')}: {error.get('message', '')}".removeprefix(": ") if error else "",
        "subject": error.get("subject", ""),
        "what to do": error.get("advice", ""),
        "why parked": error.get("why", ""),
        "attempts": step.attempts,
        "worker": error.get("worker") or step.worker,
        "priority": step.priority,
        "created": _instant(step.created_at),
        "last attempt": _instant(step.started_at),
        "parked": _instant(step.parked_at),
        "ended": _instant(step.finished_at),
        "by": step.author,
        "reason": step.reason,
        "replaced by": step.by and f"step {step.by}",
        "input": orjson.dumps(step.payload).decode() if step.payload is not None else "",
        "version": step.version,
    }
    console.print(_pairs({name: str(fact) for name, fact in facts.items() if fact not in (None, "")}))
    for title, text in (("log", "\n".join(step.log)), ("traceback", str(error.get("traceback", "")).rstrip())):
        if text:
            console.print(f"[dim]{title}[/]")
            console.print(Text(printable(text)), soft_wrap=True)
    for other in step.others:
        console.print(f"[dim]same stage and key:[/] step {other.id} {other.state} {_instant(other.at)}")


def print_report(report: Report, console: Console, *, listed: Sequence[Parked] = ()) -> None:
    """What was done to each step, the first ones, and how many; of a dry run the steps that are `listed`."""
    verb = {"restart": "restarted", "resubmit": "resubmitted", "delete": "deleted"}[report.action]
    if listed:
        console.print(parked_table(listed, width=console.width))
    for step in () if listed else report.steps[:SHOWN]:
        by = f" {'by' if step.outcome == 'superseded' else 'as'} step {step.by}" if step.by else ""
        told = f"would be {verb}" if report.dry_run else step.outcome
        console.print(f"step {step.id} {told}{by}", soft_wrap=True)
    for skipped in report.skipped[:SHOWN]:
        console.print(f"step {skipped.id} [yellow]skipped[/]: {escape(printable(skipped.why))}", soft_wrap=True)
    hidden = max(len(report.steps) - SHOWN, 0) + max(len(report.skipped) - SHOWN, 0)
    more = f" ({hidden} not shown; --json has all)" if hidden else ""
    skips = f", {len(report.skipped)} skipped" if report.skipped else ""
    console.print(f"[dim]{_summary(report, verb)}{skips}{more}[/]", soft_wrap=True)


def _summary(report: Report, verb: str) -> str:
    if report.dry_run:
        return f"{len(report.steps)} would be {verb}; nothing was done"
    counts = Counter(step.outcome for step in report.steps)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()) or f"nothing {verb}"


def _error_line(error: dict[str, Any]) -> Text:
    return _error_text(str(error.get("type", "")), str(error.get("message", "")))


def _error_text(kind: str, message: str) -> Text:
    return Text.assemble((printable(kind), "red"), ": " if kind and message else "", printable(message))


def _pairs(pairs: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs.items():
        table.add_row(name, escape(printable(text)))
    return table


def _instant(instant: datetime | None) -> str:
    return "" if instant is None else format_instant(instant)


def _seconds(instant: datetime) -> str:
    return format_instant(instant)[:19]
