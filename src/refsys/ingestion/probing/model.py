"""What a probe saw, and what follows for the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yarl import URL


@dataclass(frozen=True, slots=True)
class Seen:
    """A question and what the station answered."""

    question: str
    answer: str


@dataclass(slots=True)
class Report:
    """`odata` are settings of `[station.odata]` that are not the default, `redirect_hosts` hosts that files come from
    and that refuse whoever has no credentials; `advice` is for the inboxes' own sections."""

    seen: list[Seen] = field(default_factory=list)
    odata: dict[str, bool | str] = field(default_factory=dict)
    redirect_hosts: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def see(self, question: str, answer: str) -> None:
        self.seen.append(Seen(question, answer))


def clock_difference(headers: Mapping[str, str]) -> str:
    """By the header Date, which has whole seconds."""
    try:
        there = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        return "the station sends no Date"
    ahead_s = (there.replace(tzinfo=there.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    if abs(ahead_s) < 2:
        return "as ours, within 2 s"
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours"


def redirect_told(url: str, status: int, location: str) -> tuple[str, str]:
    """What is to be told of a redirect, and the host that it leads to where that is another one."""
    target = URL(url).join(URL(location))
    if target.host is None or target.origin() == URL(url).origin():
        return f"{status}, on the same host", ""
    return f"{status} to {target.origin()}", f"{target.host}:{target.port}"
