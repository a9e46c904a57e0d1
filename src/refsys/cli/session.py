"""`refsys session list | show | release | wait | forget-missing`: acquisition sessions and what they lack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from refsys.cli.acting import Author, Json, Reason
from refsys.core.errors import ConfigurationError, RefsysError

if TYPE_CHECKING:
    import asyncpg

    from refsys.catalogue.audit import Deed
    from refsys.ingestion.sessions import Session

app = typer.Typer(help="Acquisition sessions, and what becomes of incomplete ones.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SESSION", help="the session's id", show_default=False)]
Retransfer = Annotated[bool, typer.Option("--retransfer", help="its retransfer")]


@app.command("list")
def list_(
    context: typer.Context,
    only: Annotated[
        Literal["", "announced", "receiving", "complete", "incomplete"],
        typer.Option("--only", help="announced, receiving, complete or incomplete", show_default=False),
    ] = "",
    satellite: Annotated[str, typer.Option(help="for example S1A", show_default=False)] = "",
    since: Annotated[str, typer.Option(help="first heard of since: a date, or 6h, 2d ago", show_default=False)] = "",
    until: Annotated[str, typer.Option(help="first heard of before", show_default=False)] = "",
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 20,
    as_json: Json = False,
) -> None:
    """The sessions, the last one heard of first."""
    from refsys.cli.acting import instant, print_json, run
    from refsys.ingestion.sessions import list_sessions

    bounds = {"since": instant(since, "--since"), "until": instant(until, "--until")}
    found = run(context, lambda c: list_sessions(c, state=only, satellite=satellite, limit=limit, **bounds))
    if as_json:
        for session in found:
            print_json(session)
        return
    from refsys.cli.session_text import sessions_table
    from refsys.cli.terminal import open_console

    open_console().print(sessions_table(found) if found else "no session is like that")


@app.command()
def show(context: typer.Context, name: Name, retransfer: Retransfer = False, as_json: Json = False) -> None:
    """Everything about a session.

    Its channels, what is missing, what production was told.
    """
    from refsys.cli.acting import print_json, run
    from refsys.ingestion.sessions import Handover, fetch_session, list_handovers

    async def ask(connection: asyncpg.Connection) -> tuple[Session | None, list[Handover]]:
        return await fetch_session(connection, name, retransfer), await list_handovers(connection, name)

    session, handovers = run(context, ask)
    if session is None:
        raise RefsysError("is not known", subject=name, advice="`refsys session list` shows what is")
    if as_json:
        print_json(session)
        return
    from refsys.cli.session_text import print_session
    from refsys.cli.terminal import open_console

    print_session(session, handovers, open_console())


@app.command()
def release(
    context: typer.Context,
    name: Name,
    reason: Reason,
    retransfer: Retransfer = False,
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Hand what there is over to production, now.

    It is flagged as incomplete; what comes later is handed over again.
    """
    from refsys.ingestion.sessions import operating

    _decide(context, author, reason, lambda c, deed: operating.release(c, name, retransfer, deed), as_json=as_json)


@app.command()
def wait(
    context: typer.Context,
    name: Name,
    reason: Reason,
    hours: Annotated[
        float, typer.Option("--hours", min=0, max=10_000, help="hours from now; 0 = until it is released")
    ] = 0.0,
    retransfer: Retransfer = False,
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Put off a session's deadline.

    When it becomes complete it is handed over all the same.
    """
    from refsys.ingestion.sessions import operating

    async def decide(connection: asyncpg.Connection, deed: Deed) -> Session:
        until = None
        if hours:
            until = await connection.fetchval("SELECT clock_timestamp() + $1 * interval '1 hour'", hours)
        return await operating.wait(connection, name, retransfer, deed, until=until)

    _decide(context, author, reason, decide, as_json=as_json)


@app.command("forget-missing")
def forget_missing(
    context: typer.Context,
    name: Name,
    reason: Reason,
    retransfer: Retransfer = False,
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Take a session as complete without what is missing.

    Its station is asked no more.
    """
    from refsys.ingestion.sessions import operating

    _decide(
        context, author, reason, lambda c, deed: operating.forget_missing(c, name, retransfer, deed), as_json=as_json
    )


def _decide(
    context: typer.Context,
    author: str,
    reason: str,
    decide: Callable[[asyncpg.Connection, Deed], Awaitable[Session]],
    *,
    as_json: bool,
) -> None:
    from refsys.cli.acting import deed, print_json, run_in_transaction

    if not reason.strip():
        raise ConfigurationError("--reason is empty", advice="whoever reads the audit trail wants to know why")
    by = deed(author, reason)
    session = run_in_transaction(context, lambda connection: decide(connection, by))
    if as_json:
        print_json(session)
        return
    from refsys.cli.session_text import decision
    from refsys.cli.terminal import open_console

    open_console().print(decision(session), soft_wrap=True)
