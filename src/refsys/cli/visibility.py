"""`refsys visibility set | list | lift`: who sees which products, whatever their type says."""

from __future__ import annotations

from enum import StrEnum
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

app = typer.Typer(help="Hide products from users, or show them.", no_args_is_help=True)


class Seen(StrEnum):
    PUBLIC = "public"
    INTERNAL = "internal"


@app.command("set")
def set_(
    context: typer.Context,
    seen: Annotated[Seen, typer.Argument(help="who sees them")],
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
    """Products that have all that is given are seen by users, or are not.

    In force at once, for searches and downloads. Of several rules that apply to a product the newest counts; without
    any, its type's visibility.
    """
    from refsys.catalogue.rules import Kind

    rule = add_rule(
        context,
        Kind.VISIBILITY,
        name=name,
        product_type=product_type,
        collection=collection,
        satellite=satellite,
        since=since,
        until=until,
        reason=reason,
        author=author,
        visibility=seen,
    )
    if as_json:
        print_json(rule)
    else:
        typer.echo(f"rule {rule.id}: {seen}: {rule.about}")


@app.command("list")
def list_(
    context: typer.Context,
    lifted: Annotated[bool, typer.Option("--all", help="also what is lifted")] = False,
    as_json: Json = False,
) -> None:
    """The rules in force, the newest first."""
    from refsys.catalogue.rules import Kind

    list_rules(context, Kind.VISIBILITY, lifted=lifted, as_json=as_json)


@app.command()
def lift(context: typer.Context, rule: Number, reason: Reason, author: Author = "") -> None:
    """End a rule."""
    from refsys.catalogue.rules import Kind

    lifted = lift_rule(context, Kind.VISIBILITY, rule, reason=reason, author=author)
    typer.echo(f"rule {lifted.id} is lifted: {lifted.about}")
