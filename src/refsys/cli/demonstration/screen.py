"""How the demo looks: a live table on a terminal, plain lines elsewhere, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from refsys.cli.demonstration.progress import STAGES, Progress
from refsys.cli.product_text import size_text
from refsys.cli.terminal import printable

#: Lines of a terminal that are not rows of the live table: its title, its header, its footer.
_FRAME: Final = 6
_MARKS: Final = {True: "●", False: "○"}
#: Columns that a table needs besides the names: of the live one, of the final one.
_LIVE: Final = 6 + 9 + 7 + 3
_FINAL: Final = 19 + 9 + 7 + 6


class Screen:
    """Shows progress; use as a context manager around the time in which things move."""

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self._title = title
        self._started = time.monotonic()
        self._shown: dict[str, str] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progresses: Sequence[Progress]) -> None:
        """What is known now."""
        if self._live is not None:
            self._live.update(self._table(progresses), refresh=True)
            return
        for progress in progresses:
            if self._shown.get(progress.name) != progress.state and progress.state:
                self._shown[progress.name] = progress.state
                self.say(f"{self._elapsed_s:7.1f} s  {progress.state:<10} {progress.name}{_why(progress)}")

    def say(self, line: str) -> None:
        """A plain line that no terminal width breaks."""
        self.console.print(escape(line), soft_wrap=True)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def _table(self, progresses: Sequence[Progress]) -> Group:
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
        table.add_column("product", ratio=1, no_wrap=True)
        table.add_column("stages", no_wrap=True)
        table.add_column("reached", no_wrap=True, min_width=9)
        table.add_column("seconds", no_wrap=True, justify="right")
        rows, hidden = _most_interesting(progresses, max(3, self.console.height - _FRAME))
        room = max(12, self.console.width - _LIVE)
        for progress in rows:
            name = escape(_shortened(progress.name, room))
            table.add_row(name, _marks(progress), _state(progress), _seconds(progress))
        return Group(Text(self._title, style="bold"), table, self._footer(progresses, hidden))

    def _footer(self, progresses: Sequence[Progress], hidden: int) -> Text:
        published = sum(progress.is_published for progress in progresses)
        parked = sum(progress.is_parked for progress in progresses)
        footer = Text(f"{published} of {len(progresses)} published", style="green" if published else "")
        if parked:
            footer.append(f"   {parked} parked", style="red")
        if hidden:
            footer.append(f"   {hidden} more not shown", style="dim")
        return footer.append(f"   {self._elapsed_s:.0f} s", style="dim")


def _most_interesting(progresses: Sequence[Progress], room: int) -> tuple[list[Progress], int]:
    """What fits: first what still moves, then what ended last."""
    if len(progresses) <= room:
        return list(progresses), 0
    moving = [progress for progress in progresses if not progress.is_over]
    ended = sorted((progress for progress in progresses if progress.is_over), key=_last_change, reverse=True)
    chosen = {progress.name for progress in (moving + ended)[:room]}
    return [progress for progress in progresses if progress.name in chosen], len(progresses) - room


def _last_change(progress: Progress) -> float:
    return max((at.timestamp() for at in progress.times.values()), default=0.0)


def _marks(progress: Progress) -> Text:
    reached = [stage in progress.times for stage in STAGES]
    return Text("".join(_MARKS[each] for each in reached), style=_colour(progress))


def _state(progress: Progress) -> Text:
    return Text(progress.state or "waiting", style=_colour(progress))


def _colour(progress: Progress) -> str:
    if progress.is_parked:
        return "red"
    if progress.is_published:
        return "green"
    return "yellow" if progress.times else "dim"


def _seconds(progress: Progress) -> str:
    return "" if progress.seconds is None else f"{progress.seconds:.2f}"


def _why(progress: Progress) -> str:
    if progress.is_parked:
        return f"  ({printable(progress.parked)})"
    return f"  ({progress.seconds:.2f} s)" if progress.is_published and progress.seconds is not None else ""


def print_end(progresses: Sequence[Progress], console: Console) -> None:
    """What was published, what was parked and why, what is not finished, and a line that counts them."""
    published = [progress for progress in progresses if progress.is_published]
    if published:
        _print_published(published, console)
    unfinished = [progress for progress in progresses if not progress.is_over]
    parked = [progress for progress in progresses if progress.is_parked and progress.is_over]
    # what nobody expected stands last, where it is seen
    for progress in sorted(parked, key=lambda progress: progress.offer.is_known):
        _print_parked(progress, console)
    for progress in unfinished:
        told = Text(f"not finished ({progress.state or 'not found yet'})  ", "red").append(progress.name, "default")
        console.print(told, soft_wrap=True)
    counts = f"{len(published)} of {len(progresses)} published" + (f", {len(parked)} parked" if parked else "")
    counts += f", {len(unfinished)} not finished" if unfinished else ""
    console.print(f"\n[bold]{counts}[/]\n")


def _print_published(published: Sequence[Progress], console: Console) -> None:
    """Product, sensing time, size, seconds from found to published; in two lines each where one has no room."""
    if max(len(progress.name) for progress in published) + _FINAL > console.width:
        console.print("[bold]published[/]  [dim]sensing time, size, seconds from found to published[/]")
        for progress in published:
            console.print(Text(progress.name), soft_wrap=True)
            console.print(f"    {_sensing(progress):<19}   {_size(progress):>7}   {_seconds(progress)} s", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("published", no_wrap=True)
    table.add_column("sensing time", no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("seconds", no_wrap=True, justify="right")
    for progress in published:
        table.add_row(escape(progress.name), _sensing(progress), _size(progress), _seconds(progress))
    console.print(table)


def _print_parked(progress: Progress, console: Console) -> None:
    """A parked product with its reason."""
    style, expected = (
        ("red", "not expected") if progress.offer.is_known else ("yellow", "its type is unknown, as expected")
    )
    console.print(Text(f"parked ({expected})  ", style).append(progress.name, "default"), soft_wrap=True)
    reason = Text(printable(progress.parked), "dim")
    # a terminal gets whole words, a file whole lines
    if console.is_terminal:
        console.print(Padding(reason, (0, 0, 0, 4), expand=False))
    else:
        console.print(Text("    ").append_text(reason), soft_wrap=True)


def _shortened(name: str, room: int) -> str:
    """Its beginning and its end: names of one pass differ in both, hardly in the middle."""
    if len(name) <= room:
        return name
    end = (room - 1) // 3
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def _sensing(progress: Progress) -> str:
    return "" if progress.sensing_start is None else f"{progress.sensing_start:%Y-%m-%d %H:%M:%S}"


def _size(progress: Progress) -> str:
    return size_text(progress.size_bytes or 0)
