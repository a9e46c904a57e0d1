"""What the commands for rules have in common: which products a rule applies to, and how rules are told and lifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from refsys.cli.acting import Author, Json, Reason, deed, instant, print_json, run, run_in_transaction

if TYPE_CHECKING:
    from refsys.catalogue.rules import Rule

Name = Annotated[str, typer.Option("--name", help="one product", show_default=False)]
Collection = Annotated[str, typer.Option("--collection", help="for example SENTINEL-1", show_default=False)]
Satellite = Annotated[str, typer.Option("--satellite", help="its letter, for example C", show_default=False)]
Since = Annotated[str, typer.Option("--from", help="sensing from", show_default=False)]
Until = Annotated[str, typer.Option("--until", help="sensing before", show_default=False)]
Number = Annotated[int, typer.Argument(metavar="RULE", help="the rule's number")]


def add_rule(
    context: typer.Context,
    kind: str,
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
    who = deed(author, reason)
    return run_in_transaction(
        context,
        lambda connection: rules.add(connection, rules.Kind(kind), about, who, visibility=visibility),
    )


def add_list_and_lift(app: typer.Typer, kind: str, *, list_help: str, lift_help: str) -> None:
    """Give a command the two sub-commands that rules of a kind (rules.Kind) have."""

    @app.command("list", help=list_help)
    def list_(
        context: typer.Context,
        lifted: Annotated[bool, typer.Option("--all", help="also what is lifted")] = False,
        as_json: Json = False,
    ) -> None:
        from refsys.catalogue import rules

        found = run(context, lambda connection: rules.in_force(connection, [rules.Kind(kind)], lifted_too=lifted))
        show_rules(found, as_json=as_json)

    @app.command("lift", help=lift_help)
    def lift(context: typer.Context, rule: Number, reason: Reason, author: Author = "") -> None:
        from refsys.catalogue import rules

        who = deed(author, reason)
        done = run_in_transaction(
            context, lambda connection: rules.lift(connection, rule, who, kinds=[rules.Kind(kind)])
        )
        typer.echo(f"rule {done.id} is lifted: {done.about}")


def tell_rule(rule: Rule, told: str, *, as_json: bool) -> None:
    """A rule that was put into force: as JSON, or what it does."""
    if as_json:
        print_json(rule)
    else:
        typer.echo(f"rule {rule.id}: {told}")


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
