"""What `refsys types preview` found out: as JSON, and on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from refsys.catalogue.preview import Preview
from refsys.catalogue.redescribe import Redescribed
from refsys.cli.terminal import printable
from refsys.core.footprints import bbox
from refsys.core.times import format_instant


def changes(sample: Redescribed) -> dict[str, Any]:
    """What would change of one product: attributes and columns with old and new values (None: there is none).

    Of footprints the bounding boxes are told. `failure` is why it could not be described and stays as it is.
    """
    old, new = sample.product, sample.values
    attributes = new.get("attributes", old.attributes)
    names = sorted(old.attributes.keys() | attributes.keys())
    problems = new.get("problems", old.problems)
    return {
        "name": old.name,
        "is_changed": bool(new),
        "columns": {
            column: {"old": _plain(getattr(old, column)), "new": _plain(value)}
            for column, value in new.items()
            if column not in ("attributes", "problems", "footprint")
        },
        "footprint": {"old": _box(old.footprint), "new": _box(new["footprint"])} if "footprint" in new else None,
        "attributes": {
            name: {"old": old.attributes.get(name), "new": attributes.get(name)}
            for name in names
            if old.attributes.get(name) != attributes.get(name)
        },
        "new_problems": [problem for problem in problems if problem not in old.problems],
        "gone_problems": [problem for problem in old.problems if problem not in problems],
        "failure": sample.failure,
    }


def print_preview(found: Preview, console: Console) -> None:
    """How many of each type, then what would change of the samples."""
    if not found.affected:
        console.print("nothing would change: these tables are those that the catalogue is described by")
        return
    for type_id, count in found.affected.items():
        products = "1 product" if count == 1 else f"{count} products"
        console.print(f"{products} of type [bold]{escape(printable(type_id))}[/] would be described anew")
    told = [changes(sample) for sample in found.samples]
    for sample in told:
        if sample["is_changed"] or sample["failure"]:
            console.print(f"\n[bold]{escape(sample['name'])}[/]", soft_wrap=True)
            for line in _lines(sample):
                console.print(f" {line}", soft_wrap=True)
    same = sum(not (sample["is_changed"] or sample["failure"]) for sample in told)
    console.print(f"\n[dim]{len(told)} of them were looked at; {same} would stay as they are[/]")


def _lines(sample: dict[str, Any]) -> Iterator[str]:
    pairs = sample["columns"] | sample["attributes"]
    if sample["footprint"]:
        pairs["footprint"] = sample["footprint"]
    for name, pair in pairs.items():
        yield f"{name}: {_shown(pair['old'])} → [green]{_shown(pair['new'])}[/]"
    for problem in sample["gone_problems"]:
        yield f"[dim]no problem any more: {escape(printable(problem))}[/]"
    for problem in sample["new_problems"]:
        yield f"[yellow]problem: {escape(printable(problem))}[/]"
    if sample["failure"] and not sample["new_problems"]:
        yield f"[yellow]it stays as it is: {escape(printable(sample['failure']))}[/]"


def _shown(value: Any) -> str:
    if value in (None, ""):
        return "–"
    return escape(printable(", ".join(map(str, value)) if isinstance(value, list) else str(value)))


def _plain(value: Any) -> Any:
    return format_instant(value) if isinstance(value, datetime) else value


def _box(footprint: dict[str, Any] | None) -> list[float] | None:
    return None if footprint is None else list(bbox(footprint))
