"""How the demo looks: a live table on a terminal, plain lines elsewhere, tables at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from refsys.cli.demonstration.progress import STAGES, Progress
from refsys.cli.product_text import size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines of a terminal that are not rows of the live table: its title, its header, its footer.
_FRAME: Final = 6
_MARKS: Final = {True: "●", False: "○"}


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
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("product", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("stages", no_wrap=True)
        table.add_column("reached", no_wrap=True, min_width=9)
        table.add_column("seconds", no_wrap=True, justify="right")
        rows, hidden = _most_interesting(progresses, max(3, self.console.height - _FRAME))
        for progress in rows:
            table.add_row(escape(progress.name), _marks(progress), _state(progress), _seconds(progress))
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
        return f"  ({progress.parked})"
    return f"  ({progress.seconds:.2f} s)" if progress.is_published and progress.seconds is not None else ""


def published_table(progresses: Sequence[Progress], console: Console) -> Table | None:
    """Product, sensing time, size, seconds from found to published."""
    published = [progress for progress in progresses if progress.is_published]
    if not published:
        return None
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold", expand=console.is_terminal)
    table.add_column("published", no_wrap=True, overflow="ellipsis", ratio=1 if console.is_terminal else None)
    table.add_column("sensing time", no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("seconds", no_wrap=True, justify="right")
    for progress in published:
        sensing = "" if progress.sensing_start is None else f"{progress.sensing_start:%Y-%m-%d %H:%M:%S}"
        table.add_row(progress.name, sensing, size_text(progress.size_bytes or 0), _seconds(progress))
    return table


def parked_lines(progresses: Sequence[Progress]) -> Iterator[Text]:
    """Each parked product with its reason."""
    for progress in progresses:
        if progress.is_parked:
            expected = "its type is unknown, as expected" if not progress.offer.is_known else "not expected"
            line = Text(f"parked ({expected})  ", style="yellow" if not progress.offer.is_known else "red")
            yield line.append(progress.name, style="default").append(f"\n    {progress.parked}", style="dim")
