"""`refsys config check | show | example | import-inboxes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@app.command()
def check(context: typer.Context) -> None:
    """Validate the settings and the type tables.

    Everything that is wrong is told, and where; so is what is right and weak, which changes nothing.
    """
    from refsys.cli.context import load, options_of
    from refsys.ingestion.patterns import pattern_weaknesses
    from refsys.missions import load_types
    from refsys.web.identity.weaknesses import weaknesses

    settings = load(context)
    types = load_types(settings.type_tables)
    source = options_of(context).config or "defaults and environment"
    inboxes = "1 inbox" if len(settings.inbox) == 1 else f"{len(settings.inbox)} inboxes"
    typer.echo(
        f"{source}: the settings are right ({inboxes}, {len(types.types)} product types, state in {settings.state_dir})"
    )
    for told in (*weaknesses(settings), *pattern_weaknesses(settings, types)):
        typer.echo(f"weak: {told}", err=True)


@app.command()
def show(context: typer.Context) -> None:
    """Print the settings in force as TOML, secrets masked."""
    from refsys.cli.context import load
    from refsys.infra.settings_text import effective_toml

    typer.echo(effective_toml(load(context)), nl=False)


@app.command()
def example() -> None:
    """Print a complete annotated settings file."""
    from refsys.infra.settings import Settings
    from refsys.infra.settings_text import example_toml

    typer.echo(example_toml(Settings), nl=False)


@app.command()
def import_inboxes(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="stream parameters of the reference's ingestion", exists=True, dir_okay=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write the TOML here, readable by you only; must not exist")
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            "--secrets", help="folder in which secrets lie: ${X} becomes the file X there; else to be filled in"
        ),
    ] = None,
    value: Annotated[
        list[str] | None, typer.Option("--value", help="NAME=VALUE: what ${NAME} stands for where it is no secret")
    ] = None,
) -> None:
    """Write the reference's inboxes as ours.

    Every property is translated, or named in a comment with the reason. Ends with 1 where an inbox needs your hand: it
    is written as a comment then.
    """
    from refsys.cli.importing_inboxes import write_inboxes

    raise typer.Exit(write_inboxes(files, output, secrets, value or []))
