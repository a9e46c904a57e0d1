"""`refsys why-not`: why a file or a session is not here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import Json, print_json, run

if TYPE_CHECKING:
    import asyncpg

    from refsys.ingestion.passes.whynot import Answer


def register(app: typer.Typer) -> None:
    app.command("why-not")(why_not)


def why_not(
    context: typer.Context,
    asked: Annotated[str, typer.Argument(metavar="PASS|FILE", help="a session's id, a file's name or path, or its id")],
    as_json: Json = False,
) -> None:
    """Why a session or a file is not here.

    What every inbox knows of it, or would do with it.
    """
    from refsys.cli.context import load
    from refsys.cli.terminal import printable
    from refsys.missions import load_types

    settings = load(context)
    types = load_types(settings.type_tables)

    async def ask(connection: asyncpg.Connection) -> Answer:
        from refsys.ingestion.passes import whynot

        return await whynot.why_not(connection, settings, types, asked)

    answer = run(context, ask)
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{printable(answer.asked)} is {'' if answer.is_here else 'not '}here")
    for sentence in answer.sentences:
        typer.echo(f"  {printable(sentence)}")
