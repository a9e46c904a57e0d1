"""Products on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.catalogue.dossier import Dossier, Step
from refsys.catalogue.model import Product
from refsys.cli.control_text import print_entries, print_rules
from refsys.cli.terminal import printable
from refsys.core.times import format_instant

FILES_SHOWN: Final = 20
#: Columns from which the checksums of files leave room for their paths.
WIDE: Final = 120
_STATES: Final = {
    "published": "green",
    "described": "yellow",
    "packaged": "yellow",
    "withdrawn": "red",
    "parked": "red",
}
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def print_products(found: Sequence[dict[str, Any]], console: Console) -> None:
    """One line each, on narrower terminals without what the name says too; two where a name has no room beside it."""
    for headings in (("name", "type", "sensing", "state", "published"), ("name", "state", "published")):
        table = _products_table(found, headings)
        # its last column ends with padding that nobody sees
        if console.measure(table, options=console.options.update(width=10**6)).maximum - 2 <= console.width:
            console.print(table, soft_wrap=True)
            break
    else:
        for product in found:
            console.print(_name(product), soft_wrap=True)
            console.print(f"    {_state(product)}   {_seconds(product['published_at'])}   {_size(product)}")
    if any(product["problems"] for product in found):
        console.print("[dim]! it has problems: `refsys product show` tells them[/]")


def _products_table(found: Sequence[dict[str, Any]], headings: Sequence[str]) -> Table:
    cells: dict[str, Callable[[dict[str, Any]], str]] = {
        "name": _name,
        "type": lambda product: escape(product["product_type"]),
        "sensing": lambda product: _seconds(product["sensing_start"]),
        "state": _state,
        "published": lambda product: _seconds(product["published_at"]),
    }
    table = Table(*headings, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.no_wrap = True
    table.add_column("size", justify="right", no_wrap=True)
    for product in found:
        table.add_row(*(cells[heading](product) for heading in headings), _size(product))
    return table


def _name(product: dict[str, Any]) -> str:
    return escape(product["name"]) + (f" [dim]r{product['revision']}[/]" if product["revision"] > 1 else "")


def _state(product: dict[str, Any]) -> str:
    state = product["state"] if product["visibility"] == "public" else f"{product['state']} {product['visibility']}"
    return _coloured(state, product["state"]) + (" [yellow]![/]" if product["problems"] else "")


def _size(product: dict[str, Any]) -> str:
    return "–" if product["package_size"] is None else size_text(product["package_size"])


def print_dossier(dossier: Dossier, console: Console, *, all_files: bool) -> None:
    product = dossier.product
    console.print(f"[bold]{escape(dossier.name)}[/]", soft_wrap=True)
    if product is None:
        console.print("[yellow]arrived, but not described yet[/]")
    else:
        _print_product(product, console)
        for problem in product.problems:
            console.print(f"[yellow]problem[/]  {escape(printable(problem))}", soft_wrap=True)
    _print_times(dossier, console)
    if product is not None and product.attributes:
        console.print(_pairs("attributes", {name: _value(value) for name, value in sorted(product.attributes.items())}))
    _print_lineage(dossier, console)
    _print_control(dossier, console)
    _print_steps(dossier.steps, console)
    _print_files(dossier, console, all_files=all_files)


def _print_product(product: Product, console: Console) -> None:
    package = "not made yet"
    if product.package_size is not None:
        package = f"{product.package_name}, {size_text(product.package_size)} ({product.package_size} bytes)"
    facts = {
        "id": str(product.id),
        "state": _coloured(product.state, product.state),
        "type": f"{product.product_type} ({product.collection}, {product.mission}{product.platform})",
        "sensing": f"{_instant(product.sensing_start)} to {_instant(product.sensing_stop)}",
        "timeliness": product.timeliness,
        "visibility": product.visibility if product.online else f"{product.visibility}, offline",
        "package": package,
        "MD5": (product.package_md5 or b"").hex(),
        "BLAKE3": (product.package_blake3 or b"").hex(),
        "footprint": product.footprint["type"] + f" {product.footprint_quality}".rstrip()
        if product.footprint
        else "none",
        "deleted": product.deletion_cause or "",
    }
    console.print(_pairs("", {name: fact for name, fact in facts.items() if fact}))


def _print_times(dossier: Dossier, console: Console) -> None:
    """Each stage's instant and how long after the one before; what the station says of itself is another clock."""
    table = Table("stage", "done at", "after", box=None, header_style="dim", title="times", title_justify="left")
    before: datetime | None = None
    for stage, instant in dossier.instants().items():
        foreign = stage == "available"
        after = ""
        if instant is not None and before is not None and not foreign:
            after = f"{(instant - before).total_seconds():.3f} s"
        table.add_row(f"{stage} (station's clock)" if foreign else stage, _instant(instant), after)
        if instant is not None and not foreign:
            before = instant
    console.print(table)


def _print_lineage(dossier: Dossier, console: Console) -> None:
    content = dossier.content
    lineage = {
        "source": content.source,
        **{name: str(value) for name, value in (dossier.product.lineage if dossier.product else {}).items()},
        "content": f"{content.id}, one of {len(dossier.contents)} under this name, in {content.base}",
        "origin": ", ".join(f"{name} {value}" for name, value in content.origin_checksums.items()),
    }
    console.print(_pairs("lineage", {name: escape(text) for name, text in lineage.items() if text}))
    if len(dossier.revisions) > 1:
        table = Table(
            "revision", "id", "state", "cause", box=None, header_style="dim", title="revisions", title_justify="left"
        )
        for product in dossier.revisions:
            table.add_row(str(product.revision), str(product.id), product.state, escape(product.deletion_cause or ""))
        console.print(table)


def _print_control(dossier: Dossier, console: Console) -> None:
    if dossier.inputs:
        names = "\n".join(escape(relative.name) for relative in dossier.inputs)
        console.print(_pairs("", {f"made from {len(dossier.inputs)}": names}))
    if dossier.made_with_it:
        told = f"{len(dossier.made_with_it)} (`refsys blast-radius {dossier.name}` shows them)"
        console.print(_pairs("", {"made with it": escape(told)}))
    if dossier.rules:
        print_rules(dossier.rules, console)
    if dossier.actions:
        print_entries(dossier.actions, console)


def _print_steps(steps: Sequence[Step], console: Console) -> None:
    if not steps:
        return
    table = Table("step", "stage", "state", "attempts", "waited", "took", box=None, header_style="dim")
    for step in steps:
        waited = _between(step.created_at, step.started_at)
        state = _coloured(step.state, step.state)
        table.add_row(
            str(step.id), step.stage, state, str(step.attempts), waited, _between(step.started_at, step.finished_at)
        )
    console.print(table)
    for step in steps:
        if step.error and step.finished_at is None:
            told = step.error.get("message") or step.error
            console.print(f"[red]{step.stage} {step.state}[/]  {escape(printable(str(told)))}", soft_wrap=True)


def _print_files(dossier: Dossier, console: Console, *, all_files: bool) -> None:
    shown = dossier.files if all_files else dossier.files[:FILES_SHOWN]
    table = Table(box=None, header_style="dim", title="files", title_justify="left")
    is_wide = console.width >= WIDE
    table.add_column("path", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("MD5", no_wrap=True)
    for entry in shown:
        path = escape(printable(entry.path.removeprefix(f"{dossier.name}/")))
        size = "folder" if entry.is_folder else size_text(entry.size_bytes)
        table.add_row(path, size, *((entry.md5.hex(),) if is_wide else ()))
    console.print(table)
    total = sum(entry.size_bytes for entry in dossier.files)
    rest = len(dossier.files) - len(shown)
    more = f"; {rest} more with --files" if rest else ""
    checksums = "CRC-32 and BLAKE3" if is_wide else "checksums"
    console.print(f"[dim]{len(dossier.files)} files, {size_text(total)}{more}; {checksums} with --json[/]")


def _pairs(title: str, pairs: dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, title=title or None, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in pairs.items():
        table.add_row(escape(name), text)
    return table


def size_text(size_bytes: int) -> str:
    """`1.2 GB`: thousands, three digits."""
    size, unit = float(size_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{size:.3g} {_UNITS[unit]}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return escape(printable(" ".join(map(str, value)) if isinstance(value, list) else str(value)))


def _coloured(text: str, state: str) -> str:
    colour = _STATES.get(state, "")
    return f"[{colour}]{escape(text)}[/]" if colour else escape(text)


def _instant(instant: datetime | None) -> str:
    return "–" if instant is None else format_instant(instant)


def _seconds(instant: str | None) -> str:
    return "–" if instant is None else instant[:19]


def _between(start: datetime | None, stop: datetime | None) -> str:
    return "–" if start is None or stop is None else f"{(stop - start).total_seconds():.3f} s"
