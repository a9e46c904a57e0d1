"""Rules, audited actions and related products on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.catalogue.audit import Entry
from refsys.catalogue.control import Outcome
from refsys.catalogue.lineage import Relative
from refsys.catalogue.rules import Rule
from refsys.cli.terminal import printable, seconds_text

#: Products that are shown by name; of the others only how many.
SHOWN: Final = 20


def print_rules(rules: Sequence[Rule], console: Console) -> None:
    table = Table(box=None, header_style="dim")
    table.add_column("rule", justify="right", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    table.add_column("applies to, and why", overflow="fold")
    for rule in rules:
        kind = f"{rule.kind} {rule.visibility}" if rule.visibility else str(rule.kind)
        state = "" if rule.lifted_at is None else f" [dim](lifted {seconds_text(rule.lifted_at)})[/]"
        table.add_row(str(rule.id), kind, escape(str(rule.about)) + state)
        told = f"{rule.reason} ({rule.author}, {seconds_text(rule.made_at)})"
        table.add_row("", "", f"[dim]{escape(printable(told))}[/]")
        if rule.lifted_at is not None:
            table.add_row("", "", f"[dim]lifted: {escape(printable(f'{rule.lift_reason} ({rule.lifted_by})'))}[/]")
    console.print(table)


def print_made_with(made: Sequence[Relative], console: Console, *, shown: int = SHOWN) -> None:
    """How many of which type, and the nearest ones by name."""
    if not made:
        console.print("no product was made with it")
        return
    counts = Counter((relative.product_type, relative.state) for relative in made)
    console.print(f"{len(made)} product{'s were' if len(made) > 1 else ' was'} made with it:")
    for (product_type, state), count in sorted(counts.items()):
        console.print(f"  {count:>6} {escape(product_type)} [dim]{state}[/]")
    table = Table("step", "product", "state", box=None, header_style="dim")
    for relative in made[:shown]:
        table.add_row(str(relative.step), escape(relative.name), relative.state)
    console.print(table)
    if len(made) > shown:
        console.print(f"[dim]and {len(made) - shown} more; `refsys blast-radius` shows all of them[/]")


def print_outcome(outcome: Outcome, done: str, console: Console) -> None:
    """`done` is what became of the changed ones, for example `withdrawn` or `would be withdrawn`."""
    for word, products in ((done, outcome.changed), ("left as they are", outcome.left)):
        if products:
            console.print(f"[bold]{len(products)}[/] {word}:")
            for one in products[:SHOWN]:
                name = one.name if one.revision == 1 else f"{one.name} (revision {one.revision})"
                state = "" if products is outcome.changed else f"  [dim]{one.state}[/]"
                console.print(f"  {escape(name)}{state}", soft_wrap=True)
            if len(products) > SHOWN:
                console.print(f"  [dim]and {len(products) - SHOWN} more; --json tells all of them[/]")
    if not outcome.changed:
        console.print(f"nothing {'is' if outcome.left else 'was'} {done}")


def print_entries(entries: Sequence[Entry], console: Console) -> None:
    table = Table(box=None, header_style="dim")
    table.add_column("entry", justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True)
    table.add_column("who did what, and why", overflow="fold")
    for entry in entries:
        details = ", ".join(f"{name}: {value}" for name, value in entry.details.items())
        what = f"[bold]{escape(printable(entry.author))}[/] {escape(entry.action)}"
        table.add_row(
            str(entry.id), seconds_text(entry.at), what + (f"  {escape(printable(details))}" if details else "")
        )
        table.add_row("", "", escape(printable(entry.reason)))
        for name in entry.names[:3]:
            table.add_row("", "", f"[dim]{escape(name)}[/]")
        if entry.products > 3:
            table.add_row("", "", f"[dim]and {entry.products - 3} more products[/]")
    console.print(table)
