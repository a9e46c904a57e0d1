"""`refsys parked list | show | restart | resubmit | delete`: the parking lot of steps that could not be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from refsys.operations.model import Action, Filter, Instruction, Parked, Report

app = typer.Typer(help="Steps that could not be done: look, and try again.", no_args_is_help=True)

Stage = Annotated[str, typer.Option("--stage", help="stage, or a pattern with * and ?", show_default=False)]
Error = Annotated[str, typer.Option("--error", help="type of the error, or a pattern", show_default=False)]
Text = Annotated[str, typer.Option("--text", help="a piece of what the error says", show_default=False)]
Key = Annotated[str, typer.Option("--key", "-k", help="a piece of the key, or a pattern", show_default=False)]
Since = Annotated[str, typer.Option(help="parked since: a date, or 30m, 6h, 2d ago", show_default=False)]
Until = Annotated[str, typer.Option(help="parked before", show_default=False)]
Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="steps", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="every parked step")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="why; kept with the step", show_default=False)]
Author = Annotated[str, typer.Option("--author", help="who says so; default: your user name", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="only tell which steps it would be")]
Json = Annotated[bool, typer.Option("--json", help="as JSON")]


@app.command("list")
def list_(
    context: typer.Context,
    stage: Stage = "",
    error: Error = "",
    text: Text = "",
    key: Key = "",
    since: Since = "",
    until: Until = "",
    group: Annotated[bool, typer.Option("--group", "-g", help="count by stage and error")] = False,
    limit: Annotated[int, typer.Option("--limit", "-l", min=1, max=100_000, help="show at most")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object per line")] = False,
) -> None:
    """List parked steps, the last one parked first."""
    from refsys.operations import service

    wanted = _filter(stage, error, text, key, since, until)

    async def ask(connection: Any) -> tuple[Sequence[Any], int]:
        listed = service.group_parked if group else service.list_parked
        return await listed(connection, wanted, limit=limit), await service.count_parked(connection, wanted)

    found, count = _run(context, ask)
    if as_json:
        for member in found:
            _print_json(member)
        return
    from refsys.cli.parked_text import groups_table, parked_table
    from refsys.cli.terminal import open_console

    console = open_console()
    if not found:
        console.print("nothing is parked" if wanted.is_empty else "nothing is parked that is like that")
        return
    console.print(groups_table(found) if group else parked_table(found, width=console.width))
    if group:
        console.print(f"[dim]{count} steps; --stage, --error and --text narrow the list to a group[/]")
    elif count > len(found):
        console.print(f"[dim]{len(found)} of {count}; --limit shows more, --group counts them by error[/]")


@app.command()
def show(
    context: typer.Context,
    step_id: Annotated[int, typer.Argument(metavar="ID", help="the step's id")],
    as_json: Json = False,
) -> None:
    """Everything about one step.

    What it was to do, what happened, what to do now.
    """
    from refsys.operations import service

    dossier = _run(context, lambda connection: service.show(connection, step_id))
    if as_json:
        _print_json(dossier, indented=True)
        return
    from refsys.cli.parked_text import print_step
    from refsys.cli.terminal import open_console

    print_step(dossier, open_console())


@app.command()
def restart(
    context: typer.Context,
    ids: Ids = None,
    stage: Stage = "",
    error: Error = "",
    text: Text = "",
    key: Key = "",
    since: Since = "",
    until: Until = "",
    everything: All = False,
    reason: Reason = "",
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make steps due again, when the cause is gone.

    Their attempts are counted anew.
    """
    chosen = _choose(ids, _filter(stage, error, text, key, since, until), everything)
    _act(context, _instruction("restart", author, reason), chosen, dry_run=dry_run, as_json=as_json)


@app.command()
def resubmit(
    context: typer.Context,
    ids: Ids = None,
    stage: Stage = "",
    error: Error = "",
    text: Text = "",
    key: Key = "",
    since: Since = "",
    until: Until = "",
    everything: All = False,
    from_stage: Annotated[
        str,
        typer.Option("--from", metavar="STAGE", help="begin at this stage, with its newest event", show_default=False),
    ] = "",
    reason: Reason = "",
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Replace steps by new ones.

    Of the same stage, or from an earlier one on.
    """
    chosen = _choose(ids, _filter(stage, error, text, key, since, until), everything)
    _act(context, _instruction("resubmit", author, reason, from_stage), chosen, dry_run=dry_run, as_json=as_json)


@app.command()
def delete(
    context: typer.Context,
    ids: Ids = None,
    stage: Stage = "",
    error: Error = "",
    text: Text = "",
    key: Key = "",
    since: Since = "",
    until: Until = "",
    everything: All = False,
    reason: Reason = "",
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Give steps up.

    Their input, error and the reason stay in the history.
    """
    chosen = _choose(ids, _filter(stage, error, text, key, since, until), everything)
    _act(context, _instruction("delete", author, reason), chosen, dry_run=dry_run, as_json=as_json)


def _act(
    context: typer.Context,
    instruction: Instruction,
    chosen: Sequence[int] | Filter,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Do it and say what was done; steps that were named and could not be done are an error."""
    from refsys.operations import service
    from refsys.operations.model import Filter

    async def ask(connection: Any) -> tuple[Report, Sequence[Parked]]:
        listed: Sequence[Parked] = ()
        if dry_run and isinstance(chosen, Filter):
            listed = await service.list_parked(connection, chosen, limit=20)
        return await service.act(connection, instruction, chosen, dry_run=dry_run), listed

    report, listed = _run(context, ask)
    is_refused = bool(report.skipped) and not isinstance(chosen, Filter)
    if as_json:
        _print_json(report, indented=True)
    elif report.steps or not is_refused or len(report.skipped) > 1:
        from refsys.cli.parked_text import print_report
        from refsys.cli.terminal import open_console

        print_report(report, open_console(), listed=listed)
    if is_refused:
        raise service.refusal(report)


def _run(context: typer.Context, ask: Any) -> Any:
    """What `ask` answers, which gets a connection."""
    import asyncio

    from refsys.cli.context import load
    from refsys.infra.postgres import connected
    from refsys.runtime.services import connect

    settings = load(context)

    async def run() -> Any:
        async with connected(connect(settings), application="refsys parked") as connection:
            return await ask(connection)

    return asyncio.run(run())


def _filter(stage: str, error: str, text: str, key: str, since: str, until: str) -> Filter:
    from datetime import UTC, datetime

    from refsys.operations.model import Filter

    texts = {"stage": stage, "error": error, "text": text, "key": key, "since": since, "until": until}
    return Filter.parse(texts, now=datetime.now(UTC))


def _choose(ids: list[int] | None, wanted: Filter, everything: bool) -> Sequence[int] | Filter:
    from refsys.operations.model import choose

    return choose(ids or [], wanted, everything=everything)


def _instruction(action: Action, author: str, reason: str, from_stage: str = "") -> Instruction:
    from refsys.operations.model import Instruction

    return Instruction(action, author=author or _user(), reason=reason, from_stage=from_stage)


def _user() -> str:
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may run as a number that has no name
        return f"user {os.getuid()}"


def _print_json(value: Any, *, indented: bool = False) -> None:
    import orjson

    from refsys.operations.model import to_plain

    typer.echo(orjson.dumps(to_plain(value), option=orjson.OPT_INDENT_2 if indented else 0).decode())
