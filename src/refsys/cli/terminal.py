"""What every command does in the same way on a terminal, and where its output goes elsewhere."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Final

from rich.console import Console

from refsys.core.times import format_instant

#: Columns where nobody looks: a file or a pipe has no width, and a name in two pieces cannot be found in it.
_UNSEEN: Final = 200
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400


def open_console() -> Console:
    """As wide as the terminal, or as COLUMNS says; a URL or a number gets no colours."""
    is_seen = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if is_seen else _UNSEEN)


def printable(text: str) -> str:
    """Without what would command the terminal: errors quote what came from outside."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def seconds_text(instant: datetime | str | None) -> str:
    """An instant to the second, as `2024-09-01T12:00:00Z`."""
    if not instant:
        return "–"
    return (instant if isinstance(instant, str) else format_instant(instant))[:19] + "Z"


def duration_text(seconds: float) -> str:
    """Two digits or three of it: `0.3 s`, `42 s`, `5 min`, `3 h`, `12 d`."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
