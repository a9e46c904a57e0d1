"""What `refsys types test` found out, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.cli.terminal import printable
from refsys.cli.trial import Trial, to_json
from refsys.missions import TypeRegistry

_FACTS: Final = {
    "type": "row",
    "product_type": "type",
    "timeliness": "timeliness",
    "sensing_start": "start",
    "sensing_stop": "stop",
    "footprint": "footprint",
    "bbox": "box",
    "footprint_quality": "repaired",
    "storage_key": "stored as",
    "package": "package",
}


def print_trial(trial: Trial, types: TypeRegistry, console: Console) -> None:
    """The type and why, what would be extracted, what is not sound; or where the nearest patterns stop."""
    console.print(f"[bold]{escape(printable(trial.name))}[/]", soft_wrap=True)
    if trial.recognised is None:
        console.print(f" [red]{escape(printable(trial.failure))}[/]", soft_wrap=True)
        for row, reach in trial.near:
            wanted = f"wants {reach.wanted}" if reach.wanted else "ends"
            console.print(f" [dim]{row}[/] goes along as far as the mark, where it {escape(wanted)}", soft_wrap=True)
            console.print(
                f"   {escape(trial.name[: reach.end])}[red]▸{escape(trial.name[reach.end :])}[/]", soft_wrap=True
            )
        return
    found = to_json(trial, types)
    for name, text in _facts(found):
        console.print(f" [dim]{name:<11}[/]{escape(printable(text))}", soft_wrap=True)
    if trial.others:
        console.print(f" [yellow]also matched by {', '.join(trial.others)}; the first row counts[/]", soft_wrap=True)
    for problem in found.get("problems", ()):
        console.print(f" [yellow]problem[/]    {escape(printable(problem))}", soft_wrap=True)
    for problem in trial.lacking:
        told = f"{printable(problem)}; an inbox whose completeness is 'strict' parks it"
        console.print(f" [yellow]incomplete[/] {escape(told)}", soft_wrap=True)
    for kind in trial.unasked:
        console.print(f" [dim]a system would read more from {kind}, which is in its catalogue[/]", soft_wrap=True)
    if trial.failure:
        console.print(f" [red]useless    {escape(printable(trial.failure))}[/]", soft_wrap=True)
    if found.get("attributes"):
        console.print()
        console.print(_attributes(found["attributes"]))


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, name in _FACTS.items():
        value = found.get(key)
        if isinstance(value, tuple):
            yield name, ", ".join(f"{number:.6g}" for number in value) + " (west, south, east, north)"
        elif value:
            yield name, value
        if key == "type":
            yield "as", found["pattern"]
            yield "groups", ", ".join(f"{group} {text or '–'}" for group, text in found["groups"].items())


def _attributes(attributes: dict[str, Any]) -> Table:
    table = Table("attribute", "value", "from", box=None, header_style="dim", pad_edge=False)
    for name, told in attributes.items():
        value = told["value"]
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        table.add_row(name, escape(printable(text)), f"[dim]{escape(told['source'])}[/]")
    return table
