"""`refsys inbox list | show | check | pause | resume | backfill | forget`: what inboxes remember and do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli.acting import Author, Json, Reason, deed, instant, print_json, run, run_in_transaction

if TYPE_CHECKING:
    from refsys.infra.settings import InboxSettings, Settings
    from refsys.ingestion.inboxes.reconciling import Reconciliation
    from refsys.ingestion.store import InboxState

app = typer.Typer(help="What inboxes remember of stations, and what they do next.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="the inbox")]


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Every inbox: its files by state, and what is wrong."""
    from refsys.cli.context import load
    from refsys.ingestion.store import inbox_states

    configured = [inbox.id for inbox in load(context).inbox]
    known = {state.id: state for state in run(context, inbox_states)}
    found = [known.pop(name) for name in configured if name in known] + list(known.values())
    if as_json:
        for state in found:
            print_json(state)
        return
    from refsys.cli.inbox_text import print_inboxes
    from refsys.cli.terminal import open_console

    print_inboxes(found, [name for name in configured if name not in {state.id for state in found}], open_console())


@app.command()
def show(
    context: typer.Context,
    inbox: Id,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="STATE", help="files in this state; repeatable")
    ] = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="the oldest ones first")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=10_000, help="of each state at most")] = 5,
    as_json: Json = False,
) -> None:
    """The newest files of an inbox in each state, and why."""
    from refsys.ingestion.inboxes import operating
    from refsys.ingestion.store import inbox_states

    async def ask(connection: Any) -> tuple[InboxState | None, list[operating.Row]]:
        states = {each.id: each for each in await inbox_states(connection)}
        return states.get(inbox), await operating.rows(connection, inbox, only or [], limit=limit, oldest=oldest)

    found, rows = run(context, ask)
    if found is None:
        _check_known(context, inbox)
    if as_json:
        for row in rows:
            print_json(row)
        return
    from refsys.cli.inbox_text import print_inbox
    from refsys.cli.terminal import open_console

    print_inbox(inbox, found, rows, open_console())


@app.command()
def check(context: typer.Context, inbox: Id, as_json: Json = False) -> None:
    """Compare what is known with the station's own count.

    Where they differ, everything is listed anew, and what was not known is entered.
    """
    import asyncio

    from refsys.cli.context import load
    from refsys.infra.logs import configure_logs

    configure_logs(level="error", process="check")
    settings = load(context)
    found = asyncio.run(_reconcile(settings, _configured(settings, inbox)))
    if as_json:
        print_json(found)
        return
    station = "the station does not tell its count" if found.station is None else f"station {found.station}"
    typer.echo(f"{station}, known {found.known}, missing {found.missing}")
    if found.listed is not None:
        typer.echo(f"{found.listed} files were listed anew; what was missing is entered now")


@app.command()
def pause(context: typer.Context, inbox: Id, reason: Reason, author: Author = "") -> None:
    """Neither look nor queue until it is resumed.

    What is being fetched ends.
    """
    from refsys.ingestion.inboxes import operating

    _check_known(context, inbox)
    run_in_transaction(context, lambda connection: operating.pause(connection, inbox, deed(author, reason)))
    typer.echo(f"inbox {inbox} is paused until `refsys inbox resume {inbox}`")


@app.command()
def resume(context: typer.Context, inbox: Id, reason: Reason, author: Author = "") -> None:
    """End a pause: the inbox goes on where it stopped."""
    from refsys.ingestion.inboxes import operating

    _check_known(context, inbox)
    run_in_transaction(context, lambda connection: operating.resume(connection, inbox, deed(author, reason)))
    typer.echo(f"inbox {inbox} looks again")


@app.command()
def backfill(
    context: typer.Context,
    inbox: Id,
    reason: Reason,
    since: Annotated[str, typer.Option("--since", help="a date in the station's clock, or 6h, 2d ago")],
    author: Author = "",
) -> None:
    """Let the next look begin there.

    What is known already is not fetched again.
    """
    from refsys.core.times import format_instant, parse_instant
    from refsys.ingestion.inboxes import operating

    configured = _check_known(context, inbox)
    begin = instant(since, "--since")
    if begin is None:
        from refsys.core.errors import ConfigurationError

        raise ConfigurationError("--since is empty", advice="for example 2025-03-01, or 2d")
    run_in_transaction(context, lambda connection: operating.backfill(connection, inbox, begin, deed(author, reason)))
    typer.echo(f"the next look of inbox {inbox} begins at {format_instant(begin)}")
    if configured is not None and parse_instant(configured.since) > begin:
        typer.echo(f"its setting `since` leaves alone what was published before {configured.since}")


@app.command()
def forget(
    context: typer.Context,
    inbox: Id,
    reason: Reason,
    files: Annotated[list[str] | None, typer.Argument(metavar="FILE", help="names, or ids at the station")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="those that the station gave up")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="those that could not be brought")] = False,
    filtered: Annotated[bool, typer.Option("--filtered", help="those that were left alone")] = False,
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Forget files, so that they are taken as new.

    Where the station still offers them.
    """
    from refsys.core.times import format_instant
    from refsys.ingestion.inboxes import operating

    _check_known(context, inbox)
    chosen = {"expired": expired, "failed": failed, "filtered": filtered}
    states = [state for state, is_chosen in chosen.items() if is_chosen]
    found = run_in_transaction(
        context, lambda connection: operating.forget(connection, inbox, files or [], states, deed(author, reason))
    )
    if as_json:
        print_json(found)
        return
    again = f"; the next look begins at {format_instant(found.back_to)}" if found.back_to is not None else ""
    typer.echo(f"{len(found.names)} files are forgotten{again}")


def _configured(settings: Settings, inbox: str) -> InboxSettings:
    """The settings of an inbox. Raises ConfigurationError where there is none of that name."""
    from refsys.core.errors import ConfigurationError

    for each in settings.inbox:
        if each.id == inbox:
            return each
    raise ConfigurationError(f"there is no inbox {inbox} in the settings", advice="`refsys inbox list` names them")


def _check_known(context: typer.Context, inbox: str) -> InboxSettings | None:
    """The settings of an inbox; None where it is only remembered. Raises ConfigurationError where it is neither."""
    from refsys.cli.context import load
    from refsys.ingestion.store import inbox_states

    settings = load(context)
    if any(state.id == inbox for state in run(context, inbox_states)):
        return next((each for each in settings.inbox if each.id == inbox), None)
    return _configured(settings, inbox)


async def _reconcile(settings: Settings, inbox: InboxSettings) -> Reconciliation:
    from refsys.infra.postgres import create_pool
    from refsys.ingestion.inboxes.rating import Rater
    from refsys.ingestion.inboxes.reconciling import reconcile
    from refsys.ingestion.protocols import open_source
    from refsys.missions import load_types
    from refsys.runtime.services import connect

    pool = await create_pool(connect(settings), max_size=2, application="refsys operator")
    try:
        source = await open_source(inbox, settings)
        try:
            return await reconcile(pool, source, Rater(inbox, load_types(settings.type_tables)))
        finally:
            await source.close()
    finally:
        await pool.close()
