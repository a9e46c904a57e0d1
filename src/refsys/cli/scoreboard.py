"""`refsys station scoreboard`: how stations do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import Json, instant, print_json, run

if TYPE_CHECKING:
    import asyncpg

    from refsys.ingestion.passes.scoreboard import Score


def scoreboard(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="what was found since: a date, or 7d ago")] = "7d",
    until: Annotated[str, typer.Option(help="what was found before that date; default: now")] = "",
    as_json: Json = False,
) -> None:
    """How stations did.

    offered, stored, awaited, expired, failed: files.
    twice: offered by another source, too. again: came in a newer version. tries: beyond the first of each file. speed:
    the median of files from 1 MiB. delay: from the end of the downlink to the last block's publication, median.
    """
    from datetime import UTC, datetime

    from refsys.cli.context import load
    from refsys.cli.passes_text import print_scores

    settings = load(context)
    start = instant(since, "--since") or datetime(1970, 1, 1, tzinfo=UTC)
    stop = instant(until, "--until") or datetime.now(UTC)

    async def ask(connection: asyncpg.Connection) -> list[Score]:
        from refsys.ingestion.passes import report
        from refsys.ingestion.passes.scoreboard import scoreboard

        return await scoreboard(connection, start, stop, report.stations_of(settings))

    found = run(context, ask)
    if as_json:
        for score in found:
            print_json(score)
    elif found:
        print_scores(found)
    else:
        typer.echo("no station offered anything in that time")
