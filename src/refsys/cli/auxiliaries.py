"""`refsys aux pin | ban | activate | free | list`: which auxiliaries selections take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from refsys.cli.acting import Author, Json, Reason, deed, instant, print_json, run, run_in_transaction
from refsys.cli.ruling import show_rules, tell_rule
from refsys.core.products import canonical_name

if TYPE_CHECKING:
    from refsys.catalogue.rules import Kind, Rule

app = typer.Typer(help="Pin, ban and activate auxiliaries; every selection obeys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="the auxiliary's name")]


@app.command()
def ban(context: typer.Context, name: Name, reason: Reason, author: Author = "", as_json: Json = False) -> None:
    """No selection takes this file any more.

    Tells what was made with it, and ends a pin of the same file.
    """
    from refsys.catalogue import lineage, rules

    async def act(connection: Any) -> tuple[Rule, Any]:
        rule = await rules.add(connection, rules.Kind.BAN, rules.About(name=canonical_name(name)), deed(author, reason))
        return rule, await lineage.blast_radius(connection, [canonical_name(name)])

    rule, made = run_in_transaction(context, act)
    if as_json:
        print_json(rule)
        for relative in made:
            print_json(relative)
        return
    from refsys.cli.control_text import print_made_with
    from refsys.cli.terminal import open_console

    console = open_console()
    console.print(f"rule {rule.id}: no selection takes {rule.name} any more", soft_wrap=True)
    print_made_with(made, console)


@app.command()
def pin(
    context: typer.Context,
    name: Name,
    reason: Reason,
    satellite: Annotated[str, typer.Option("--satellite", help="only for this satellite", show_default=False)] = "",
    since: Annotated[str, typer.Option("--from", help="only for sensing from", show_default=False)] = "",
    until: Annotated[str, typer.Option("--until", help="only for sensing before", show_default=False)] = "",
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Selections take this file wherever it is a candidate.

    Before any other. The sensing times are those of what is processed, not of the
    file.
    """
    from refsys.catalogue.rules import About, Kind

    about = About(
        name=canonical_name(name),
        platform=satellite or None,
        sensing_from=instant(since, "--from"),
        sensing_until=instant(until, "--until"),
    )
    _add(context, Kind.PIN, about, reason, author, as_json, "selections take {} wherever it is a candidate")


@app.command()
def activate(
    context: typer.Context,
    name: Name,
    reason: Reason,
    since: Annotated[str, typer.Option("--from", help="in force for sensing from")],
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Selections take this file for sensing from then on only.

    Whatever its validity says.
    """
    from refsys.catalogue.rules import About, Kind

    about = About(name=canonical_name(name), sensing_from=instant(since, "--from"))
    told = f"selections take {{}} for sensing from {about.sensing_from:%Y-%m-%dT%H:%M:%SZ} on"
    _add(context, Kind.ACTIVATE, about, reason, author, as_json, told)


@app.command()
def free(context: typer.Context, name: Name, reason: Reason, author: Author = "", as_json: Json = False) -> None:
    """End every ban, pin and activation of this file."""
    from refsys.catalogue import rules

    kinds = (rules.Kind.BAN, rules.Kind.PIN, rules.Kind.ACTIVATE)

    async def act(connection: Any) -> list[Rule]:
        found = await rules.in_force(connection, kinds, name=canonical_name(name))
        if not found:
            raise rules.NoSuchRule("no ban, pin or activation is in force", subject=canonical_name(name))
        return [await rules.lift(connection, rule.id, deed(author, reason)) for rule in found]

    for rule in run_in_transaction(context, act):
        if as_json:
            print_json(rule)
        else:
            typer.echo(f"rule {rule.id} ({rule.kind}) is lifted")


@app.command("list")
def list_(
    context: typer.Context,
    lifted: Annotated[bool, typer.Option("--all", help="also what is lifted")] = False,
    as_json: Json = False,
) -> None:
    """The bans, pins and activations in force, the newest first."""
    from refsys.catalogue import rules

    kinds = (rules.Kind.BAN, rules.Kind.PIN, rules.Kind.ACTIVATE)
    found = run(context, lambda connection: rules.in_force(connection, kinds, lifted_too=lifted))
    show_rules(found, as_json=as_json)


def _add(context: typer.Context, kind: Kind, about: Any, reason: str, author: str, as_json: bool, told: str) -> None:
    from refsys.catalogue import rules

    rule = run_in_transaction(context, lambda connection: rules.add(connection, kind, about, deed(author, reason)))
    tell_rule(rule, told.format(rule.name), as_json=as_json)
