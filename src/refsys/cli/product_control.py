"""`refsys product withdraw | supersede | republish | repackage`: what users see of published products."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli.acting import Author, Json, Reason, deed, print_json, run
from refsys.cli.selecting import Filter

if TYPE_CHECKING:
    from refsys.catalogue.control import Action, Outcome, Selection
    from refsys.core.filters import Expression

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME|ID...", help="products", show_default=False)]
Downstream = Annotated[bool, typer.Option("--downstream", help="also all that was made with them")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="only tell which products it would be")]


class Cause(StrEnum):
    DUPLICATED = "duplicated"
    CHECKSUM = "checksum"
    CORRUPTED = "corrupted"
    OBSOLETE = "obsolete"


def register(app: typer.Typer) -> None:
    """Adds the commands to those of `refsys product`."""
    for command in (withdraw, supersede, republish, repackage):
        app.command()(command)


def withdraw(
    context: typer.Context,
    reason: Reason,
    names: Names = None,
    odata: Filter = "",
    downstream: Downstream = False,
    cause: Annotated[Cause, typer.Option(help="what users read among the deleted products")] = Cause.OBSOLETE,
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Take published products away from users.

    They appear among the deleted products with the cause, and as `withdrawn` in the change feed. Their files stay.
    `refsys product republish` brings them back.
    """
    from refsys.catalogue.control import CAUSES, Action

    told = CAUSES[list(Cause).index(cause)]
    outcome = _act(context, Action.WITHDRAW, names, odata, downstream, reason, author, dry_run, cause=told)
    _tell(outcome, "withdrawn", dry_run, as_json)


def supersede(
    context: typer.Context,
    reason: Reason,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="the published product that takes their place")],
    names: Names = None,
    odata: Filter = "",
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Say that another product takes the place of published ones.

    They appear among the deleted products as obsolete, and as `superseded` in the change feed. This is final.
    """
    from refsys.catalogue.control import Action
    from refsys.core.products import canonical_name

    successor = canonical_name(by)
    outcome = _act(context, Action.SUPERSEDE, names, odata, False, reason, author, dry_run, successor=successor)
    _tell(outcome, "superseded", dry_run, as_json)


def republish(
    context: typer.Context,
    reason: Reason,
    names: Names = None,
    odata: Filter = "",
    downstream: Downstream = False,
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Bring withdrawn products back to users.

    With a new publication date, so that no harvester misses them.
    """
    from refsys.catalogue.control import Action

    outcome = _act(context, Action.REPUBLISH, names, odata, downstream, reason, author, dry_run)
    _tell(outcome, "republished", dry_run, as_json)


def repackage(
    context: typer.Context,
    reason: Reason,
    names: Names = None,
    odata: Filter = "",
    author: Author = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Package published products as their types say now.

    Each gets a revision with the same files, packaged in the background; when that is published, the old one appears
    among the deleted products as obsolete. What is packaged so already is left as it is.
    """
    from refsys.catalogue import repackaging
    from refsys.catalogue.control import Outcome
    from refsys.cli.context import load
    from refsys.distribution.packages import LAYOUTS
    from refsys.missions import load_types

    who = deed(author, reason)
    selection = _selection(context, names, odata)
    types = load_types(load(context).type_tables)

    async def act(connection: Any) -> Outcome:
        found = await repackaging.select(connection, selection, types, LAYOUTS)
        if dry_run or not found.changed:
            return found
        done = await repackaging.act(connection, found.changed, types, LAYOUTS, who)
        return Outcome(done.changed, found.left + done.left)

    _tell(run(context, act), "repackaged", dry_run, as_json)


def _act(
    context: typer.Context,
    action: Action,
    names: list[str] | None,
    odata: str,
    downstream: bool,
    reason: str,
    author: str,
    dry_run: bool,
    **how: str,
) -> Outcome:
    from refsys.catalogue import control

    who = deed(author, reason)
    selection = _selection(context, names, odata, downstream=downstream)

    async def act(connection: Any) -> Outcome:
        found = await control.select(connection, action, selection)
        if dry_run or not found.changed:
            return found
        done = await control.act(connection, action, found.changed, who, **how)
        return control.Outcome(done.changed, found.left + done.left)

    return run(context, act)


def _selection(context: typer.Context, names: list[str] | None, odata: str, *, downstream: bool = False) -> Selection:
    from refsys.catalogue.control import Selection
    from refsys.core.products import canonical_name

    return Selection(
        names=tuple(canonical_name(name) for name in names or ()),
        filter=_parsed(context, odata) if odata else None,
        downstream=downstream,
    )


def _parsed(context: typer.Context, odata: str) -> Expression:
    from refsys.cli.context import load
    from refsys.cli.finding import parse_operators_filter
    from refsys.missions import load_types

    return parse_operators_filter(odata, load_types(load(context).type_tables))


def _tell(outcome: Outcome, done: str, dry_run: bool, as_json: bool) -> None:
    would = f"would be {done}" if dry_run else done
    if as_json:
        from dataclasses import asdict

        for word, products in ((would, outcome.changed), ("left", outcome.left)):
            for one in products:
                print_json({**asdict(one), "outcome": word})
    else:
        from refsys.cli.control_text import print_outcome
        from refsys.cli.terminal import open_console

        print_outcome(outcome, would, open_console())
    if not outcome.changed:
        raise typer.Exit(1)
