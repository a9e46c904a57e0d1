"""`refsys audit`: who did what to which products, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from refsys.cli.acting import Json, print_json, run


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    context: typer.Context,
    product: Annotated[str, typer.Option("--product", help="only about this product", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 20,
    before: Annotated[int | None, typer.Option(help="entries before this one", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """The audit trail, the newest entry first."""
    from refsys.catalogue.audit import entries
    from refsys.core.products import canonical_name

    name = canonical_name(product)
    found = run(context, lambda connection: entries(connection, name=name, limit=limit, before=before))
    if as_json:
        for entry in found:
            print_json(entry)
        return
    from refsys.cli.control_text import print_entries
    from refsys.cli.terminal import open_console

    if found:
        print_entries(found, open_console())
    else:
        typer.echo("nobody did anything to it" if name else "nobody did anything yet")
