"""Operators' actions across stages: look into the parking lot, empty it, and make steps of past events."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

import asyncpg

from refsys.core.errors import Transient
from refsys.core.steps import PRIORITY_BACKLOG
from refsys.core.times import format_instant
from refsys.infra.work import parking
from refsys.infra.work.parking import Outcome
from refsys.operations import store
from refsys.operations.errors import NoSuchStep, OperationRefused, WrongRequest
from refsys.operations.model import (
    Done,
    Filter,
    Group,
    Instruction,
    Parked,
    Replayed,
    Report,
    Skipped,
    StepDossier,
    check_id,
    check_order,
    check_text,
)

Answer = TypeVar("Answer")

#: Steps whose rows one transaction locks.
PIECE: Final = 500
#: The outcome of a step in a dry run.
SELECTED: Final = "selected"
_TRIES: Final = 5


async def list_parked(
    connection: asyncpg.Connection, wanted: Filter, *, limit: int, after: tuple[datetime, int] | None = None
) -> list[Parked]:
    """Parked steps, the last one parked first. Raises WrongRequest where the filter names a stage that nobody knows."""
    await _check_stage(connection, wanted)
    return await store.fetch_parked(connection, wanted, limit=limit, after=after)


async def count_parked(connection: asyncpg.Connection, wanted: Filter) -> int:
    """How many steps are parked that are like that."""
    return await store.count_parked(connection, wanted)


async def group_parked(connection: asyncpg.Connection, wanted: Filter, *, limit: int) -> list[Group]:
    """Parked steps by stage and what their error says, the largest group first. Raises as `list_parked`."""
    await _check_stage(connection, wanted)
    return await store.fetch_groups(connection, wanted, limit=limit)


async def show(connection: asyncpg.Connection, step_id: int) -> StepDossier:
    """Everything about one step, parked or not. Raises NoSuchStep where nothing is known."""
    dossier = await store.fetch_dossier(connection, check_id(step_id))
    if dossier is None:
        raise NoSuchStep(step_id)
    return dossier


async def act(
    connection: asyncpg.Connection,
    instruction: Instruction,
    selected: Sequence[int] | Filter,
    *,
    dry_run: bool = False,
) -> Report:
    """Restart, resubmit or delete parked steps: these, or all that the filter finds at this moment.

    Done in pieces, each in a transaction of its own; a step that is not parked any more is skipped, with the reason.
    Raises WrongRequest where a stage is not known.
    """
    if instruction.from_stage:
        await _check_subscribed(connection, instruction.from_stage, "a resubmission begins at an event")
    if isinstance(selected, Filter):
        await _check_stage(connection, selected)
        ids = await store.fetch_parked_ids(connection, selected)
    else:
        ids = sorted((check_id(step_id) for step_id in selected), reverse=True)
    steps: list[Done] = []
    skipped: list[Skipped] = []
    for piece in _pieces(ids):
        outcomes = {outcome.step_id: outcome for outcome in await _do(connection, instruction, piece, dry_run=dry_run)}
        missed = [step_id for step_id in piece if step_id not in outcomes]
        known = await store.fetch_whereabouts(connection, missed) if missed else {}
        for step_id in piece:
            outcome = outcomes.get(step_id)
            if outcome is None:
                skipped.append(Skipped(step_id, _why(known.get(step_id), instruction)))
            elif outcome.outcome == "blocked":
                why = f"step {outcome.other} of the same stage and key is due with another input: it has to run first"
                skipped.append(Skipped(step_id, why))
            else:
                steps.append(Done(outcome.step_id, outcome.outcome, outcome.other))
    return Report(instruction.action, dry_run, steps, skipped)


async def act_on_one(connection: asyncpg.Connection, instruction: Instruction, step_id: int) -> Done:
    """`act` on one step. Raises NoSuchStep where nothing is known of it, OperationRefused where nothing was done."""
    report = await act(connection, instruction, [step_id])
    if report.steps:
        return report.steps[0]
    if not await store.fetch_whereabouts(connection, [step_id]):
        raise NoSuchStep(step_id)
    raise refusal(report)


def refusal(report: Report) -> OperationRefused:
    """What is said where an instruction had to skip steps that were named."""
    first, count = report.skipped[0], len(report.skipped)
    if count == 1 and not report.steps:
        advice = f"`refsys parked show {first.id}` tells more"
        return OperationRefused(f"nothing was done: {first.why}", subject=f"step {first.id}", advice=advice)
    return OperationRefused(f"{count} of {count + len(report.steps)} steps were skipped")


async def replay(
    connection: asyncpg.Connection,
    stage: str,
    *,
    since: datetime,
    until: datetime | None = None,
    key: str = "",
    dry_run: bool = False,
) -> Replayed:
    """Make the steps of one stage that the events between the instants would have made; one for each key, of its
    newest event, with the priority of backlog. A step that is due already is left as it is.

    Raises WrongRequest where the stage is not subscribed to anything.
    """
    await _check_subscribed(connection, stage, "replay makes steps of events")
    check_text(key, "key")
    check_order(since, until)
    event_ids = await store.fetch_event_ids(connection, stage, since=since, until=until, key=key)
    made = 0
    for piece in _pieces(event_ids):
        if dry_run:
            made += len(piece) - await store.count_due_of(connection, stage, piece)
        else:
            made += await _in_transaction(
                connection, partial(parking.replay, connection, stage, piece, most_priority=PRIORITY_BACKLOG)
            )
    return Replayed(
        stage=stage,
        since=since,
        until=until,
        dry_run=dry_run,
        events=len(event_ids),
        made=made,
        due=len(event_ids) - made,
        oldest_event=await store.fetch_oldest_event(connection),
    )


async def _do(
    connection: asyncpg.Connection, instruction: Instruction, ids: Sequence[int], *, dry_run: bool
) -> Sequence[Outcome]:
    events: dict[int, int] = {}
    if instruction.from_stage:
        events = await store.fetch_newest_events(connection, instruction.from_stage, ids)
    if dry_run:
        known = await store.fetch_whereabouts(connection, ids)
        parked = [step_id for step_id in ids if step_id in known and known[step_id]["state"] == "parked"]
        return [
            Outcome(step_id, SELECTED, None) for step_id in parked if step_id in events or not instruction.from_stage
        ]
    said = {"author": instruction.author, "reason": instruction.reason}
    match instruction.action:
        case "restart":
            call = partial(parking.restart, connection, ids, **said)
        case "resubmit" if instruction.from_stage:
            call = partial(parking.resubmit_from, connection, instruction.from_stage, events, **said)
        case "resubmit":
            call = partial(parking.resubmit, connection, ids, **said)
        case "delete":
            call = partial(parking.delete, connection, ids, **said)
    return await _in_transaction(connection, call)


async def _in_transaction(connection: asyncpg.Connection, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Stages lock the steps that they make due in their own order, so that one of us may have to begin anew."""
    for _ in range(_TRIES):
        try:
            async with connection.transaction():
                return await call()
        except asyncpg.DeadlockDetectedError:
            continue
    raise Transient("the steps are being worked on", advice="try again in a moment; what was done so far is done")


def _why(known: asyncpg.Record | None, instruction: Instruction) -> str:
    """Why nothing was done with a step of which this is known."""
    if known is None:
        return "there is no such step"
    by = f" by {known['author']}" if known["author"] else ""
    reason = f" ({known['reason']})" if known["reason"] else ""
    at = format_instant(known["finished_at"]) if known["finished_at"] else ""
    match known["state"]:
        case "parked" if instruction.from_stage:
            return f"no event of its key is kept that {instruction.from_stage} is subscribed to"
        case "parked":
            return "it was parked anew at this moment"
        case "due":
            return "it is due already"
        case "running":
            return "it runs at this moment"
        case "superseded":
            return f"step {known['by']} took its place {at}"
        case "resubmitted":
            return f"it was resubmitted as step {known['by']}{by} {at}{reason}"
        case ended:
            return f"it was {ended}{by} {at}{reason}"


async def _check_stage(connection: asyncpg.Connection, wanted: Filter) -> None:
    stage = wanted.stage
    if not stage or set(stage) & set("*?"):
        return
    known = await store.fetch_stages(connection)
    if stage not in known and not await store.has_history(connection, stage):
        raise WrongRequest(f"no work of a stage {stage[:60]!a} is known", advice=_nearest(stage, known))


async def _check_subscribed(connection: asyncpg.Connection, stage: str, why: str) -> None:
    known = await store.fetch_stages(connection, subscribed=True)
    if check_text(stage, "stage") not in known:
        raise WrongRequest(f"no stage {stage[:60]!a} is subscribed to events; {why}", advice=_nearest(stage, known))


def _nearest(stage: str, known: Sequence[str]) -> str:
    if near := difflib.get_close_matches(stage, known, n=1):
        return f"did you mean {near[0]}?"
    return f"there are {', '.join(known)}" if known else "there is none yet"


def _pieces(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), PIECE):
        yield ids[start : start + PIECE]
