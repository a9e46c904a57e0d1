"""`refsys replay`: make the steps of one stage that past events would have made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from refsys.operations.model import Replayed


def register(app: typer.Typer) -> None:
    app.command("replay")(replay)


def replay(
    context: typer.Context,
    stage: Annotated[str, typer.Option("--stage", help="stage that is subscribed to the events")],
    since: Annotated[str, typer.Option(help="events since: a date, or 30m, 6h, 2d ago")],
    until: Annotated[str, typer.Option(help="events before", show_default=False)] = "",
    key: Annotated[str, typer.Option("--key", "-k", help="a piece of the key, or a pattern", show_default=False)] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="only tell how many it would be")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Make the steps that past events would have made.

    For a stage that is new, or that lost its work. One step for each key, of its newest event, with the priority of
    backlog. Doing it twice does no harm.
    """
    import asyncio
    from datetime import UTC, datetime

    from refsys.cli.context import load
    from refsys.infra.postgres import connected
    from refsys.operations import service
    from refsys.operations.errors import WrongRequest
    from refsys.operations.model import parse_time
    from refsys.runtime.services import connect

    settings = load(context)
    now = datetime.now(UTC)
    start, end = parse_time(since, "--since", now=now), parse_time(until, "--until", now=now)
    if start is None:
        raise WrongRequest("--since is empty", advice="for example 2024-09-01, 6h or 2d")

    async def run() -> Replayed:
        async with connected(connect(settings), application="refsys replay") as connection:
            return await service.replay(connection, stage, since=start, until=end, key=key, dry_run=dry_run)

    found = asyncio.run(run())
    if as_json:
        import orjson

        from refsys.operations.model import to_plain

        typer.echo(orjson.dumps(to_plain(found)).decode())
        return
    _print(found)


def _print(found: Replayed) -> None:
    from refsys.core.times import format_instant

    would = "would be made" if found.dry_run else "made"
    typer.echo(f"{found.stage}: {found.made} steps {would}, of the newest events of {found.events} keys")
    if found.due:
        typer.echo(f"{found.due} are due already and were left as they are")
    oldest = found.oldest_event
    if oldest is None:
        typer.echo("no event is kept at all")
    elif oldest > found.since:
        typer.echo(f"the oldest event that is kept is of {format_instant(oldest)} (work.keep_days)")
