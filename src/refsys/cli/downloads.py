"""`refsys downloads`: what users downloaded, by user and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import Json, instant, print_json, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refsys.distribution.volumes import Volume


def register(app: typer.Typer) -> None:
    app.command("downloads")(downloads)


def downloads(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="days since: a date, or 7d ago")] = "30d",
    user: Annotated[str, typer.Option("--user", help="only this user", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=1_000_000, help="show at most")] = 100,
    as_json: Json = False,
) -> None:
    """What users downloaded by day (UTC), the newest day first."""
    from datetime import date

    from refsys.distribution.volumes import by_day

    moment = instant(since, "--since")
    first = moment.date() if moment else date.min
    found = run(context, lambda connection: by_day(connection, since=first, user_name=user or None, limit=limit))
    if as_json:
        for volume in found:
            print_json(volume)
    elif found:
        _print_table(found)
    else:
        typer.echo("nothing was downloaded since then")


def _print_table(volumes: Sequence[Volume]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from refsys.cli.product_text import size_text
    from refsys.cli.terminal import open_console, printable

    table = Table(box=None, header_style="dim")
    table.add_column("day", no_wrap=True)
    table.add_column("user", overflow="fold")
    for heading in ("downloads", "sent", "links", "of", "refused"):
        table.add_column(heading, justify="right", no_wrap=True)
    for volume in volumes:
        table.add_row(
            volume.day.isoformat(),
            escape(printable(volume.user_name)) or "[dim]not signed in[/]",
            str(volume.downloads),
            size_text(volume.bytes),
            str(volume.links),
            size_text(volume.linked_bytes),
            str(volume.refused),
        )
    open_console().print(table)
