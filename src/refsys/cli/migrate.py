"""`refsys migrate`: bring the database's schema up to date."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command("migrate")(migrate)


def migrate(context: typer.Context) -> None:
    """Apply the migrations that the database lacks.

    Each in a transaction of its own.
    """
    import asyncio

    from refsys.cli.context import load
    from refsys.infra import postgres
    from refsys.infra.logs import configure_logs
    from refsys.runtime.services import connect, describe_database

    settings = load(context)
    configure_logs(level="warning", process="migrate")
    applied = asyncio.run(postgres.migrate(connect(settings), postgres.MIGRATED_PACKAGES))
    for migration in applied:
        typer.echo(f"applied {migration}")
    typer.echo(f"{describe_database(settings)}: {len(applied)} migrations applied, the schema is up to date")
