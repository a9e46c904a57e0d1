"""Products on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from refsys.catalogue.dossier import Dossier, Step
from refsys.catalogue.model import Product
from refsys.core.times import format_instant

FILES_SHOWN: Final = 20
WIDE: Final = 160
_STATES: Final = {
    "published": "green",
    "described": "yellow",
    "packaged": "yellow",
    "withdrawn": "red",
    "parked": "red",
}
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def products_table(found: Sequence[dict[str, Any]], *, width: int) -> Table:
    """One line each; on a terminal narrower than WIDE without what the name says too."""
    table = Table(box=None, header_style="dim")
    table.add_column("name", overflow="fold")
    for heading in ("type", "sensing", "state", "published") if width >= WIDE else ("state", "published"):
        table.add_column(heading, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    for product in found:
        state = product["state"] if product["visibility"] == "public" else f"{product['state']} {product['visibility']}"
        named = (escape(product["product_type"]), _seconds(product["sensing_start"])) if width >= WIDE else ()
        table.add_row(
            escape(product["name"]) + (f" [dim]r{product['revision']}[/]" if product["revision"] > 1 else ""),
            *named,
            _coloured(state, product["state"]) + (" [yellow]![/]" if product["problems"] else ""),
            _seconds(product["published_at"]),
            "–" if product["package_size"] is None else size_text(product["package_size"]),
        )
    return table


def print_dossier(dossier: Dossier, console: Console, *, all_files: bool) -> None:
    product = dossier.product
    console.print(f"[bold]{escape(dossier.name)}[/]", soft_wrap=True)
    if product is None:
        console.print("[yellow]arrived, but not described yet[/]")
    else:
        _print_product(product, console)
        for problem in product.problems:
            console.print(f"[yellow]problem[/]  {escape(problem)}", soft_wrap=True)
    _print_times(dossier, console)
    if product is not None and product.attributes:
        console.print(_pairs("attributes", {name: _value(value) for name, value in sorted(product.attributes.items())}))
    _print_lineage(dossier, console)
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
            console.print(f"[red]{step.stage} {step.state}[/]  {escape(str(told))}", soft_wrap=True)


def _print_files(dossier: Dossier, console: Console, *, all_files: bool) -> None:
    shown = dossier.files if all_files else dossier.files[:FILES_SHOWN]
    table = Table(box=None, header_style="dim", title="files", title_justify="left")
    table.add_column("path", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("MD5", no_wrap=True)
    for entry in shown:
        path = entry.path.removeprefix(f"{dossier.name}/")
        size = "folder" if entry.is_folder else size_text(entry.size_bytes)
        table.add_row(escape(path), size, entry.md5.hex())
    console.print(table)
    total = sum(entry.size_bytes for entry in dossier.files)
    rest = len(dossier.files) - len(shown)
    more = f"; {rest} more with --files, CRC-32 and BLAKE3 with --json" if rest else ""
    console.print(f"[dim]{len(dossier.files)} files, {size_text(total)}{more}[/]")


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
    return escape(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def _coloured(text: str, state: str) -> str:
    colour = _STATES.get(state, "")
    return f"[{colour}]{escape(text)}[/]" if colour else escape(text)


def _instant(instant: datetime | None) -> str:
    return "–" if instant is None else format_instant(instant)


def _seconds(instant: str | None) -> str:
    return "–" if instant is None else instant[:19]


def _between(start: datetime | None, stop: datetime | None) -> str:
    return "–" if start is None or stop is None else f"{(stop - start).total_seconds():.3f} s"
