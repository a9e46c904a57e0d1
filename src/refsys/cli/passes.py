"""`refsys pass list | show | report`: what became of every downlink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import Json, instant, print_json, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    import asyncpg

    from refsys.infra.settings import Settings
    from refsys.ingestion.passes.details import PassDetails
    from refsys.ingestion.passes.listing import Pass
    from refsys.ingestion.passes.report import Report

app = typer.Typer(help="See what became of every downlink.", no_args_is_help=True)

_STATES = ("expected", "missing", "suspected", "announced", "receiving", "incomplete", "complete")


@app.callback()
def passes() -> None:
    """See what became of every downlink."""


@app.command(name="list")
def list_(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="passes since: a date, or 7d ago")] = "2d",
    until: Annotated[str, typer.Option(help="passes before that date; default: two days ahead")] = "",
    satellite: Annotated[str, typer.Option(help="only of this satellite: S1A")] = "",
    station: Annotated[str, typer.Option(help="only at this station, by its name or code")] = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="only in this state; may be repeated")] = None,
    as_json: Json = False,
) -> None:
    """Every pass, the oldest first: planned ones, and every session.

    expected: planned, not over. missing: over, and no station told of a session. suspected: nobody planned it, but the
    orbits before and after came. The others are states of the session: announced, receiving, incomplete, complete.
    """
    from refsys.cli.context import load
    from refsys.core.errors import ConfigurationError

    for word in only or ():
        if word not in _STATES:
            raise ConfigurationError(f"--only {word}: is no state", advice=f"one of {', '.join(_STATES)}")
    settings = load(context)
    start, stop = _times(since, until)

    async def ask(connection: asyncpg.Connection) -> list[Pass]:
        from refsys.ingestion.passes.report import passes_between

        return await passes_between(connection, settings, start, stop, satellite)

    found = [
        each
        for each in run(context, ask)
        if (not only or each.state in only) and (not station or _is_at(each, station.strip("_"), settings))
    ]
    if as_json:
        for each in found:
            print_json(each)
    elif found:
        _print(found)
    else:
        typer.echo("no pass in that time; `refsys pass list --since 30d` looks further back")


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="the session's id: S1A_20241114143038056552")],
    as_json: Json = False,
) -> None:
    """What became of one pass.

    Its session by transfer and channel, what production was told, which files lack.
    """
    from refsys.cli.passes_text import print_details

    async def ask(connection: asyncpg.Connection) -> PassDetails:
        from refsys.ingestion.passes.details import pass_details

        return await pass_details(connection, name.upper())

    details = run(context, ask)
    if as_json:
        print_json(details)
    else:
        print_details(details)


@app.command()
def report(
    context: typer.Context,
    day: Annotated[str, typer.Option(help="the day (UTC), for example 2026-11-24; default: yesterday")] = "",
    as_json: Json = False,
) -> None:
    """The report of a day.

    Its passes, what its stations did, what was lost.
    """
    from refsys.cli.context import load
    from refsys.cli.passes_text import print_report

    settings, wanted = load(context), _day(day)

    async def ask(connection: asyncpg.Connection) -> Report:
        from refsys.ingestion.passes.report import daily_report

        return await daily_report(connection, settings, wanted)

    found = run(context, ask)
    if as_json:
        print_json(found)
    else:
        print_report(found)


def _times(since: str, until: str) -> tuple[datetime, datetime]:
    from datetime import UTC, datetime, timedelta

    start = instant(since, "--since") or datetime(1970, 1, 1, tzinfo=UTC)
    return start, instant(until, "--until") or datetime.now(UTC) + timedelta(days=2)


def _day(text: str) -> date:
    from datetime import UTC, datetime, timedelta

    moment = instant(text, "--day")
    return (moment or datetime.now(UTC) - timedelta(days=1)).date()


def _is_at(each: Pass, station: str, settings: Settings) -> bool:
    names = {each.station}
    for inbox in settings.inbox:
        if each.session and inbox.id in each.session.inboxes:
            names |= {inbox.id, inbox.station, settings.station_of(inbox).code.strip("_")}
    return station in names


def _print(found: Sequence[Pass]) -> None:
    from refsys.cli.passes_text import print_passes

    print_passes(found)
