"""The state of the system on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from refsys.cli.terminal import duration_text, printable, seconds_text
from refsys.infra.runfile import ProcessRecord
from refsys.runtime.status import NOT_MADE, NOT_RUNNING, Queue, Status

#: Columns from which a line has room for what is said of an inbox's cursor.
WIDE: Final = 120
_COUNTS: Final = ("waiting", "queued", "stored", "filtered")
_STRANGERS: Final = {"all": "may search, download and subscribe", "search": "may search", "none": "have to sign in"}
_COLOURS: Final = {"ok": "green", "running": "green", "failing": "red", "crash loop": "red"}


@dataclass(frozen=True, slots=True)
class Services:
    """The backing services that the settings name, in words; `is_embedded`: `refsys up` starts the database."""

    is_embedded: bool
    database: str
    storage: str


def print_status(found: Status, services: Services, console: Console) -> None:
    """Lines for the whole, then a table each for processes, stages and inboxes, with what is wrong beneath it."""
    for line in _head(found, services):
        console.print(line, soft_wrap=True)
    tables = [
        (_processes(found), _ends(found)),
        (_queues(found), iter(())),
        (_inboxes(found, wide=console.width >= WIDE), _failures(found)),
    ]
    for table, lines in tables:
        if table.row_count:
            console.print()
            console.print(table)
            for line in lines:
                console.print(line, soft_wrap=True)


def _head(found: Status, services: Services) -> Iterator[str]:
    run = found.run
    if found.is_up and run:
        version = f"refsys {run.version}, pid {run.pid}, since {seconds_text(run.started_at)}"
        yield f"[bold green]up[/]        {escape(run.url or '(starting)')}   {version}"
    elif not services.is_embedded:
        yield "[bold]apart[/]     no `refsys up` runs in this folder; these are the services of the settings"
    elif run:
        ended = f"stopped {seconds_text(run.stopped_at)}" if run.stopped_at else "it was killed"
        yield f"[bold red]down[/]      last started {seconds_text(run.started_at)} (pid {run.pid}), {ended}"
    else:
        yield "[bold red]down[/]      nothing has run in this folder yet"
    if services.is_embedded and not found.is_up:
        yield "          start it with `refsys up`; another folder's is named by --state"
    yield f"state     {escape(found.state_dir)}"
    used = (run.database, run.storage) if found.is_up and run else (services.database, services.storage)
    yield f"database  {_told(found.database)}   {escape(used[0])}"
    yield f"storage   {_told(found.storage)}   {escape(used[1])}"
    yield f"isolation {escape(found.isolation.how) if found.isolation.available else '[yellow]not available[/]'}"
    yield f"strangers {_STRANGERS[found.anonymous]}"
    if found.published is not None:
        yield f"published {found.published}"
    if found.rules:
        yield f"rules     [yellow]{', '.join(map(_rule, found.rules))}[/]"
    for anew in found.described_anew:
        left = "products are being counted" if anew["left"] is None else f"{anew['left']} products left"
        yield f"tables    changed: {escape(printable(anew['type']))} is described anew, {left}"


def _rule(rule: dict[str, Any]) -> str:
    """`2 of hold (14 products wait)`."""
    waiting = f" ({rule['products']} products wait)" if rule["products"] else ""
    return f"{rule['in_force']} of {rule['kind']}{waiting}"


def _processes(found: Status) -> Table:
    table = _table("process", "pid", "state", "since", "restarts")
    for process in found.run.processes if found.run and found.is_up else ():
        state = "crash loop" if process.crash_loop else process.state
        table.add_row(
            process.name,
            str(process.pid or "–"),
            Text(state, _COLOURS.get(state, "yellow")),
            seconds_text(process.since),
            str(process.restarts),
        )
    return table


def _ends(found: Status) -> Iterator[str]:
    """How those ended that had to be started again, and where to read why."""
    for process in found.run.processes if found.run and found.is_up else ():
        if process.last_exit:
            where = f"; see {escape(found.state_dir)}/logs/{process.name}.log" if _is_broken(process) else ""
            yield f"[yellow]{process.name}[/] ended last time: {escape(process.last_exit)}{where}"


def _is_broken(process: ProcessRecord) -> bool:
    return process.crash_loop or process.state != "running"


def _queues(found: Status) -> Table:
    table = _table("stage", "due", "running", "parked", "oldest waiting")
    for queue in found.queues:
        parked = Text(str(queue.parked), "red" if queue.parked else "")
        waiting = duration_text(queue.oldest_waiting_s) if queue.due > queue.deferred else "–"
        table.add_row(printable(queue.stage), _due(queue), str(queue.running), parked, waiting)
    return table


def _due(queue: Queue) -> str:
    return f"{queue.due} ({queue.deferred} paused)" if queue.deferred else str(queue.due)


def _inboxes(found: Status, *, wide: bool) -> Table:
    """Files by state; on a wide terminal how far in the station's time the looks have come, and what failed."""
    counts = (*_COUNTS, "failed") if wide else _COUNTS
    table = _table("inbox", "type", "state", *(("newest seen",) if wide else ()), "looked", *counts)
    for inbox in found.inboxes:
        ago = inbox.get("looked_s_ago")
        cursor = (seconds_text(inbox.get("cursor")),) if wide else ()
        table.add_row(
            inbox["id"],
            inbox["type"] or "–",
            Text(inbox["state"], _COLOURS.get(inbox["state"], "yellow")),
            *cursor,
            "–" if ago is None else f"{duration_text(max(0.0, ago))} ago",
            *(str(inbox.get(count, "–")) for count in counts),
        )
    return table


def _failures(found: Status) -> Iterator[str]:
    for inbox in found.inboxes:
        if inbox.get("failures"):
            yield _failure(inbox)
    if any(not inbox["type"] for inbox in found.inboxes):
        yield "[dim]an inbox without a type is not in these settings: `refsys demo` has its own[/]"


def _failure(inbox: dict[str, Any]) -> str:
    times = "once" if inbox["failures"] == 1 else f"{inbox['failures']} times in a row"
    since = f"last good look {seconds_text(inbox['succeeded_at'])}" if inbox["succeeded_at"] else "no good look yet"
    problem = inbox["problem"].removeprefix(f"inbox {inbox['id']}: ")
    return f"[red]inbox {inbox['id']} failed {times}[/] ({since}): {escape(printable(problem))}"


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold" if number == 0 else "ellipsis", no_wrap=number > 0)
    return table


def _told(told: str) -> str:
    if told == "ok":
        return "[green]ok[/]"
    return f"[{'yellow' if told in (NOT_RUNNING, NOT_MADE) else 'red'}]{escape(printable(told))}[/]"
