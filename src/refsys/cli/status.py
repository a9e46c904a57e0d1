"""`refsys status`: services, roles, queues, inboxes, isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from refsys.infra.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Tell what runs and what waits.

    Exit code 0: all is well; 1: something is not; 3: the system is down.
    """
    import asyncio

    from refsys.cli.context import load
    from refsys.runtime.status import gather

    settings = load(context)
    found = asyncio.run(gather(settings))
    if as_json:
        typer.echo(found.to_json().decode())
    else:
        from refsys.cli.status_text import print_status
        from refsys.cli.terminal import open_console

        print_status(found, _services(settings), open_console())
    if not settings.database_url.get_secret_value() and not found.is_up:
        raise typer.Exit(3)
    raise typer.Exit(0 if found.is_well else 1)


def _services(settings: Settings) -> Any:
    from refsys.cli.status_text import Services
    from refsys.runtime.services import describe_database, describe_storage

    return Services(
        is_embedded=not settings.database_url.get_secret_value(),
        database=describe_database(settings),
        storage=describe_storage(settings),
    )
