"""What the commands for visibility and holds have in common: which products a rule applies to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import deed, instant, print_json, run, run_in_transaction

if TYPE_CHECKING:
    from refsys.catalogue.rules import Kind, Rule

Name = Annotated[str, typer.Option("--name", help="one product", show_default=False)]
Type = Annotated[str, typer.Option("--type", "-t", help="product type, for example IW_GRDH_1S", show_default=False)]
Collection = Annotated[str, typer.Option("--collection", help="for example SENTINEL-1", show_default=False)]
Satellite = Annotated[str, typer.Option("--satellite", help="its letter, for example C", show_default=False)]
Since = Annotated[str, typer.Option("--from", help="sensing from", show_default=False)]
Until = Annotated[str, typer.Option("--until", help="sensing before", show_default=False)]
Number = Annotated[int, typer.Argument(metavar="RULE", help="the rule's number")]


def add_rule(
    context: typer.Context,
    kind: Kind,
    *,
    name: str,
    product_type: str,
    collection: str,
    satellite: str,
    since: str,
    until: str,
    reason: str,
    author: str,
    visibility: str | None = None,
) -> Rule:
    """Put a rule into force."""
    from refsys.catalogue import rules
    from refsys.core.products import canonical_name

    about = rules.About(
        name=canonical_name(name) or None,
        product_type=product_type or None,
        collection=collection or None,
        platform=satellite or None,
        sensing_from=instant(since, "--from"),
        sensing_until=instant(until, "--until"),
    )
    return run_in_transaction(
        context,
        lambda connection: rules.add(connection, kind, about, deed(author, reason), visibility=visibility),
    )


def lift_rule(context: typer.Context, kind: Kind, number: int, *, reason: str, author: str) -> Rule:
    """End a rule of a kind."""
    from refsys.catalogue import rules

    return run_in_transaction(
        context, lambda connection: rules.lift(connection, number, deed(author, reason), kinds=[kind])
    )


def list_rules(context: typer.Context, kind: Kind, *, lifted: bool, as_json: bool) -> None:
    """Show the rules of a kind."""
    from refsys.catalogue import rules

    found = run(context, lambda connection: rules.in_force(connection, [kind], lifted_too=lifted))
    show_rules(found, as_json=as_json)


def show_rules(found: Sequence[Rule], *, as_json: bool) -> None:
    """Rules as a table, or as JSON lines."""
    if as_json:
        for rule in found:
            print_json(rule)
        return
    from refsys.cli.control_text import print_rules
    from refsys.cli.terminal import open_console

    if found:
        print_rules(found, open_console())
    else:
        typer.echo("no such rule is in force")
