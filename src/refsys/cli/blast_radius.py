"""`refsys blast-radius`: every product that was made with a file."""

from __future__ import annotations

from typing import Annotated

import typer

from refsys.cli.acting import Json, print_json, run


def register(app: typer.Typer) -> None:
    app.command("blast-radius")(blast_radius)


def blast_radius(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="files or products")],
    as_json: Json = False,
) -> None:
    """Every product that was made with a file, however far down.

    `refsys product withdraw NAME --downstream` withdraws them.
    """
    from refsys.catalogue.lineage import blast_radius
    from refsys.core.products import canonical_name

    wanted = [canonical_name(name) for name in names]
    made = run(context, lambda connection: blast_radius(connection, wanted))
    if as_json:
        for relative in made:
            print_json(relative)
        return
    from refsys.cli.control_text import print_made_with
    from refsys.cli.terminal import open_console

    print_made_with(made, open_console(), shown=len(made))
