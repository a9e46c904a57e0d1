"""`refsys hold add | list | lift`: keep products from being published."""

from __future__ import annotations

import typer

from refsys.cli.acting import Author, Json, Reason
from refsys.cli.ruling import (
    Collection,
    Name,
    Satellite,
    Since,
    Until,
    add_list_and_lift,
    add_rule,
    tell_rule,
)
from refsys.cli.selecting import Type

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
    rule = add_rule(
        context,
        "hold",
        name=name,
        product_type=product_type,
        collection=collection,
        satellite=satellite,
        since=since,
        until=until,
        reason=reason,
        author=author,
    )
    tell_rule(rule, f"not published until it is lifted: {rule.about}", as_json=as_json)


add_list_and_lift(
    app,
    "hold",
    list_help="The holds in force, the newest first.",
    lift_help="End a hold: what it alone kept is published now.",
)
