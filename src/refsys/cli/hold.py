"""`refsys hold add | list | lift`: keep products from being published."""

from __future__ import annotations

from typing import Annotated

import typer

from refsys.cli.acting import Author, Json, Reason, print_json
from refsys.cli.ruling import (
    Collection,
    Name,
    Number,
    Satellite,
    Since,
    Type,
    Until,
    add_rule,
    lift_rule,
    list_rules,
)

app = typer.Typer(help="Keep products from being published until you say so.", no_args_is_help=True)


@app.command()
def add(
    context: typer.Context,
    reason: Reason,
    name: Name = "",
    product_type: Type = "",
    collection: Collection = "",
    satellite: Satellite = "",
    since: Since = "",
    until: Until = "",
    author: Author = "",
    as_json: Json = False,
) -> None:
    """Products like that are made ready, and not published.

    Those that have all that is given. What is published already stays so; `refsys visibility set internal` hides it.
    """
    from refsys.catalogue.rules import Kind

    rule = add_rule(
        context,
        Kind.HOLD,
        name=name,
        product_type=product_type,
        collection=collection,
        satellite=satellite,
        since=since,
        until=until,
        reason=reason,
        author=author,
    )
    if as_json:
        print_json(rule)
    else:
        typer.echo(f"rule {rule.id}: not published until it is lifted: {rule.about}")


@app.command("list")
def list_(
    context: typer.Context,
    lifted: Annotated[bool, typer.Option("--all", help="also what is lifted")] = False,
    as_json: Json = False,
) -> None:
    """The holds in force, the newest first."""
    from refsys.catalogue.rules import Kind

    list_rules(context, Kind.HOLD, lifted=lifted, as_json=as_json)


@app.command()
def lift(context: typer.Context, rule: Number, reason: Reason, author: Author = "") -> None:
    """End a hold: what it alone kept is published now."""
    from refsys.catalogue.rules import Kind

    lifted = lift_rule(context, Kind.HOLD, rule, reason=reason, author=author)
    typer.echo(f"rule {lifted.id} is lifted: {lifted.about}")
