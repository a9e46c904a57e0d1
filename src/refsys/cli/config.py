"""`refsys config check | show | example`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@app.command()
def check(context: typer.Context) -> None:
    """Validate the settings and the type tables.

    Everything that is wrong is told, and where; so is what is right and weak, which changes nothing.
    """
    from refsys.cli.context import load, options_of
    from refsys.missions import load_types
    from refsys.web.identity.weaknesses import weaknesses

    settings = load(context)
    types = load_types(settings.type_tables)
    source = options_of(context).config or "defaults and environment"
    inboxes = "1 inbox" if len(settings.inbox) == 1 else f"{len(settings.inbox)} inboxes"
    typer.echo(
        f"{source}: the settings are right ({inboxes}, {len(types.types)} product types, state in {settings.state_dir})"
    )
    for told in weaknesses(settings):
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
