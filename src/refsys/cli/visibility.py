"""`refsys visibility set | list | lift`: who sees which products, whatever their type says."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

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
    rule = add_rule(
        context,
        "visibility",
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
    tell_rule(rule, f"{seen}: {rule.about}", as_json=as_json)


add_list_and_lift(app, "visibility", list_help="The rules in force, the newest first.", lift_help="End a rule.")
