"""What a side of a benchmark took, and medians of several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console

#: Columns of a table that does not go to a terminal.
_WIDTH: Final = 120


@dataclass(frozen=True, slots=True)
class Run:
    """`client_cpu_s` is the CPU time of who calls PostgreSQL, an HTTP interface included; `server_cpu_s` is its own."""

    products: int
    seconds: float
    client_cpu_s: float
    server_cpu_s: float

    @property
    def cpu_s(self) -> float:
        return self.client_cpu_s + self.server_cpu_s


def median_of(runs: Sequence[Run]) -> Run:
    """Each figure's median for one product."""
    figures = [(run.seconds, run.client_cpu_s, run.server_cpu_s) for run in runs]
    each = [[value / run.products for value in row] for run, row in zip(runs, figures, strict=True)]
    return Run(1, *(statistics.median(column) for column in zip(*each, strict=True)))


def wide_console() -> Console:
    """The terminal; anything else gets tables of readable width."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
