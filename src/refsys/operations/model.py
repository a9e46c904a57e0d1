"""The nouns of operations: parked steps, what selects them, what is done with them, what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal

from refsys.core.times import format_instant, parse_moment
from refsys.operations.errors import WrongRequest

Action = Literal["restart", "resubmit", "delete"]

#: Most characters of a filter's text, an author and a reason.
TEXT_LIMIT: Final = 1_000
#: Steps have ids of this size.
LARGEST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filter:
    """Which parked steps are meant; an empty text is any.

    `stage` and `error` (the error's type): the whole name, or a pattern with * and ?; `key`: a piece of the key, or a
    pattern that the whole key matches; `text`: a piece of the error's message, subject or advice in any case. Parked
    since `since` and before `until`.
    """

    stage: str = ""
    error: str = ""
    text: str = ""
    key: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def parse(cls, texts: Mapping[str, str], *, now: datetime) -> Filter:
        """Read the filter as people write it. Raises WrongRequest naming the member that cannot be meant."""
        words = {name: check_text(texts.get(name, ""), name) for name in ("stage", "error", "text", "key")}
        since, until = (parse_time(texts.get(name, ""), name, now=now) for name in ("since", "until"))
        check_order(since, until)
        return cls(**words, since=since, until=until)

    @property
    def is_empty(self) -> bool:
        return self == Filter()


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked step in a list. `error` without its traceback."""

    id: int
    stage: str
    key: str
    priority: int
    attempts: int
    created_at: datetime
    parked_at: datetime
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """Parked steps of one stage whose errors say the same but for names and numbers; `example` is the newest one."""

    stage: str
    error: str
    message: str
    count: int
    first_parked_at: datetime
    last_parked_at: datetime
    example: int


@dataclass(frozen=True, slots=True)
class OtherStep:
    """Another step of the same stage and key, made or ended since."""

    id: int
    state: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StepDossier:
    """Everything that is known of a step, parked or not.

    `state` is due, running, parked, or what it ended as: done, superseded, deleted, resubmitted. Of a step that was
    done payload, error and log are forgotten. `author`, `reason` and `by` tell who ended it, why, and which step took
    its place.
    """

    id: int
    state: str
    stage: str
    key: str
    attempts: int
    created_at: datetime
    started_at: datetime | None
    parked_at: datetime | None
    finished_at: datetime | None
    worker: str | None = None
    priority: int | None = None
    version: int | None = None
    payload: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    log: Sequence[str] = ()
    author: str | None = None
    reason: str | None = None
    by: int | None = None
    others: Sequence[OtherStep] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """What to do with parked steps, who says so, and why. `from_stage`: resubmit from that stage on."""

    action: Action
    author: str
    reason: str = ""
    from_stage: str = ""

    def __post_init__(self) -> None:
        """Raises WrongRequest where something cannot be meant, or a deletion lacks its reason."""
        for name in ("author", "reason", "from_stage"):
            check_text(getattr(self, name), name)
        if not self.author.strip():
            raise WrongRequest("author is empty", advice="say who does this")
        if self.action == "delete" and not self.reason.strip():
            raise WrongRequest("a deletion needs a reason", advice="give one; it stays in the history with the step")
        if self.from_stage and self.action != "resubmit":
            raise WrongRequest(f"a {self.action} has no stage to begin from", advice="resubmit has")


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was parked, and what became of it: restarted, resubmitted, deleted, superseded (`parking.Outcome`).

    `by` is the step that took its place, if any.
    """

    id: int
    outcome: str
    by: int | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step with which nothing was done, and why."""

    id: int
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an instruction did; with `dry_run` the steps that it would be for, whose outcome is `selected`."""

    action: Action
    dry_run: bool
    steps: Sequence[Done] = ()
    skipped: Sequence[Skipped] = ()


@dataclass(frozen=True, slots=True)
class Replayed:
    """`events` since then, one for each key; `made` steps of them, `due` are waiting for the same key already.

    `oldest_event` is the instant of the oldest event that is kept at all.
    """

    stage: str
    since: datetime
    until: datetime | None
    dry_run: bool
    events: int
    made: int
    due: int
    oldest_event: datetime | None = field(default=None)


def choose(ids: Sequence[int], wanted: Filter, *, everything: bool) -> Sequence[int] | Filter:
    """What an instruction is for: these steps, or all that the filter finds. Raises WrongRequest where that is open.

    `everything` has to be said where there is neither.
    """
    if ids and (everything or not wanted.is_empty):
        raise WrongRequest("ids together with a filter", advice="give the steps' ids, or what they have in common")
    if everything and not wanted.is_empty:
        raise WrongRequest("all together with a filter", advice="leave one of them away")
    if not ids and wanted.is_empty and not everything:
        raise WrongRequest("no step is named", advice="give ids or a filter, or say all")
    return list(dict.fromkeys(ids)) if ids else wanted


def check_id(step_id: int) -> int:
    """Raises WrongRequest where no step can have this id."""
    if not 1 <= step_id <= LARGEST_ID:
        raise WrongRequest(f"{step_id} cannot be the id of a step", advice="ids are numbers from 1 on")
    return step_id


def check_text(text: str, name: str) -> str:
    """Raises WrongRequest where a text is too long, or has characters that the database cannot hold."""
    if len(text) > TEXT_LIMIT:
        raise WrongRequest(f"{name} has {len(text)} characters; {TEXT_LIMIT} are possible")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise WrongRequest(f"{name} has characters that are no text")
    return text


def parse_time(text: str, name: str, *, now: datetime) -> datetime | None:
    """An instant, or an age like 6h; None of an empty text. Raises WrongRequest naming it."""
    if not text:
        return None
    try:
        return parse_moment(check_text(text, name), now=now)
    except ValueError as error:
        raise WrongRequest(
            f"{name} {text[:60]!a} is no time", advice="for example 2024-09-01, 2024-09-01T12:00:00Z, 30m, 6h or 2d"
        ) from error


def check_order(since: datetime | None, until: datetime | None) -> None:
    """Raises WrongRequest where nothing can be between the two."""
    if since and until and since >= until:
        raise WrongRequest(
            f"since {format_instant(since)} is not before until {format_instant(until)}", advice="nothing is in between"
        )


def to_plain(value: Any) -> Any:
    """These nouns as JSON has them: objects by their fields, instants as texts."""
    if isinstance(value, datetime):
        return format_instant(value.astimezone(UTC))
    if isinstance(value, Mapping):
        return {name: to_plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(member) for member in value]
    if hasattr(value, "__dataclass_fields__"):
        return {member.name: to_plain(getattr(value, member.name)) for member in fields(value)}
    return value
