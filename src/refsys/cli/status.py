"""`refsys status`: services, roles, queues, inboxes, isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from refsys.infra.settings import Settings
    from refsys.runtime.status import Status


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Tell what runs and what waits. Exit code 0: all is well; 1: something is not; 3: the system is down."""
    import asyncio

    from refsys.cli.context import load
    from refsys.runtime.status import gather

    settings = load(context)
    found = asyncio.run(gather(settings))
    if as_json:
        typer.echo(found.to_json().decode())
    else:
        from rich.console import Console

        _print(found, settings, Console(highlight=False, soft_wrap=True))
    if _is_ours(settings) and not found.is_up:
        raise typer.Exit(3)
    raise typer.Exit(0 if found.is_well else 1)


def _is_ours(settings: Settings) -> bool:
    """Whether the database is the embedded one, which lives as long as `refsys up` does."""
    return not settings.database_url.get_secret_value()


def _print(found: Status, settings: Settings, console: Console) -> None:
    from rich.markup import escape

    from refsys.runtime.services import describe_database, describe_storage

    run = found.run
    if found.is_up and run:
        console.print(f"[bold green]up[/]    {escape(run.url or '(starting)')}   pid {run.pid}, since {run.started_at}")
    elif not _is_ours(settings):
        console.print("[bold]apart[/] no `refsys up` runs in this folder; these are the services of the settings")
    elif run:
        ended = f"stopped {run.stopped_at}" if run.stopped_at else "it was killed"
        console.print(f"[bold red]down[/]  last started {run.started_at} (pid {run.pid}), {ended}")
    else:
        console.print("[bold red]down[/]  nothing has run in this folder yet")
    console.print(f"state     {escape(found.state_dir)}")
    for name, told, what in (
        ("database", found.database, run.database if run and found.is_up else describe_database(settings)),
        ("storage", found.storage, run.storage if run and found.is_up else describe_storage(settings)),
    ):
        console.print(f"{name:<9} {_colour(told)}   {escape(what)}")
    isolation = found.isolation
    console.print(f"isolation {escape(isolation.how) if isolation.available else '[yellow]not available[/]'}")
    if found.is_up and run:
        _print_processes(found, console)
    if found.queues:
        _print_queues(found, console)
    if found.published is not None:
        console.print(f"published {found.published}")
    if found.inboxes:
        _print_inboxes(found, console)


def _print_processes(found: Status, console: Console) -> None:
    from rich.table import Table

    table = Table("process", "pid", "state", "since", "restarts", "last end", box=None, header_style="dim")
    assert found.run is not None
    for process in found.run.processes:
        state = f"[green]{process.state}[/]" if process.state == "running" else f"[yellow]{process.state}[/]"
        state = "[red]crash loop[/]" if process.crash_loop else state
        table.add_row(
            process.name, str(process.pid or "–"), state, process.since[:19], str(process.restarts), process.last_exit
        )
    console.print(table)


def _print_queues(found: Status, console: Console) -> None:
    from rich.table import Table

    table = Table("stage", "due", "running", "parked", "oldest waiting", box=None, header_style="dim")
    for queue in found.queues:
        parked = f"[red]{queue.parked}[/]" if queue.parked else "0"
        waiting = f"{queue.oldest_waiting_s:.1f} s" if queue.due else "–"
        table.add_row(queue.stage, str(queue.due), str(queue.running), parked, waiting)
    console.print(table)


def _print_inboxes(found: Status, console: Console) -> None:
    """Offers by state, and what failed last; --json has the rest."""
    from rich.markup import escape
    from rich.table import Table

    counts = ("waiting", "queued", "stored", "filtered")
    table = Table("inbox", *counts, "looked at", box=None, header_style="dim")
    for inbox in found.inboxes:
        numbers = [str(inbox.get(count, "–")) for count in counts]
        table.add_row(inbox["id"], *numbers, _seconds(inbox.get("looked_at")))
    console.print(table)
    for inbox in found.inboxes:
        if inbox.get("failures"):
            since = f"last good look {_seconds(inbox['succeeded_at'])}" if inbox["succeeded_at"] else "never yet"
            console.print(
                f"[red]inbox {inbox['id']} failed {inbox['failures']} times in a row[/] ({since}): "
                + escape(inbox["problem"])
            )


def _seconds(instant: datetime | None) -> str:
    from refsys.core.times import format_instant

    return "–" if instant is None else format_instant(instant)[:19]


def _colour(told: str) -> str:
    from rich.markup import escape

    return "[green]ok[/]" if told == "ok" else f"[red]{escape(told)}[/]"
