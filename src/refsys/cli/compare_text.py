"""What a comparison with another hub found, on a terminal or as JSON lines."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from refsys.catalogue.comparison.comparing import Found, Outcome, Wanted, Window
from refsys.catalogue.comparison.there import Dialect
from refsys.cli.terminal import open_console, printable, seconds_text
from refsys.core.errors import RefsysError
from refsys.core.times import format_instant

#: Products that are shown of each kind; --json has all.
SHOWN: Final = 20
_HEADINGS: Final = {
    Outcome.MISSING: "missing here",
    Outcome.EXTRA: "only here",
    Outcome.DIFFERENT: "different (here, there)",
    Outcome.UNREADABLE: "not understood",
}
_SECTION: Final = "bold"


class NotCompared(RefsysError):
    """One of the two did not answer, or not so that it can be compared."""

    exit_code = 2


class Report:
    """Takes window after window; nothing but what is shown is kept."""

    def __init__(self, url: str, dialect: Dialect, wanted: Wanted, *, as_json: bool) -> None:
        self._url = url
        self._dialect = dialect
        self._wanted = wanted
        self._as_json = as_json
        self._counts: Counter[Outcome] = Counter()
        self._kept: dict[Outcome, list[Found]] = defaultdict(list)

    def take(self, window: Window) -> None:
        self._counts.update(window.counts)
        for found in window.found:
            if self._as_json:
                typer.echo(orjson.dumps(asdict(found)))
            elif len(self._kept[found.outcome]) < SHOWN:
                self._kept[found.outcome].append(found)

    def end(self) -> Counter[Outcome]:
        """Tell the summary; returns how many there were of each outcome."""
        since, until = format_instant(self._wanted.start), format_instant(self._wanted.stop)
        counts = {outcome.value: self._counts[outcome] for outcome in Outcome}
        if self._as_json:
            summary = {"outcome": "summary", "with": self._url, "dialect": self._dialect.name.lower()}
            typer.echo(orjson.dumps({**summary, "since": since, "until": until, **counts}))
            return self._counts
        console = open_console()
        for outcome, heading in _HEADINGS.items():
            self._print(console, outcome, heading)
        compared = f"sensed from {seconds_text(since)} until {seconds_text(until)}, with {self._url}"
        console.print(Text(printable(compared)), soft_wrap=True)
        console.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()), highlight=False)
        return self._counts

    def _print(self, console: Console, outcome: Outcome, heading: str) -> None:
        shown, count = self._kept[outcome], self._counts[outcome]
        if not count:
            return
        console.print(Text(f"{heading}: {count}", _SECTION))
        for found in shown:
            console.print(Text(printable(f"  {found.name}{f'  ({found.why})' if found.why else ''}")), soft_wrap=True)
            for name, (here, there) in found.differences.items():
                console.print(Text(printable(f"    {name}: {here}, {there}"[:500])), soft_wrap=True)
        if count > len(shown):
            console.print(Text(f"  and {count - len(shown)} more; --json has all", "dim"))
        console.print()
