"""A session is judged anew whenever something of it changes, and production is told what follows from it.

Both transfers of a session are judged together: what production gets is what they make together (judging.merge).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import structlog

from refsys.core import steps
from refsys.infra.work import emit, enqueue
from refsys.ingestion.sessions import store, verdicts
from refsys.ingestion.sessions.dsib import dsib_name, make_dsib
from refsys.ingestion.sessions.judging import (
    Block,
    ChannelFacts,
    Judged,
    SessionFacts,
    judge_session,
    merge,
    numbers,
    stored_blocks,
    total_chunks,
    total_volume,
    view_of,
)
from refsys.ingestion.sessions.names import DSIB, start_of, unit_of

log = structlog.get_logger(__name__)

#: The stage that makes DSIBs, and the one that reads those of stations.
MAKE: Final = "ingestion.dsib"
READ: Final = "ingestion.dsib-read"
#: Why what is incomplete is handed over.
PASSED: Final = "its deadline passed"
#: Missing blocks that are kept with a channel.
_MOST_MISSING: Final = 1000


@dataclass(frozen=True, slots=True)
class Transfer:
    """A row of ingestion.session, and what is known of its files."""

    row: asyncpg.Record
    facts: SessionFacts
    were_complete: Collection[int]

    @property
    def key(self) -> str:
        """What steps and logs call it."""
        return store.Key(self.row["id"], self.row["name"], self.row["retransfer"]).key


@dataclass(frozen=True, slots=True)
class Whole:
    """A session: its transfers by `retransfer`, what each is judged to be, and what they make together."""

    transfers: Mapping[bool, Transfer]
    judged: Mapping[bool, Judged]
    merged: SessionFacts
    together: Judged
    is_in: bool


async def judge(
    connection: asyncpg.Connection,
    name: str,
    touched: Collection[bool],
    *,
    stored: store.Key | None = None,
    settle: bool = False,
    hand: str = "",
) -> None:
    """Judge a session whose rows the caller holds. Safe to repeat: what follows is told once.

    `touched` says of which transfers (by `retransfer`) something changed, `stored` which got a block. `settle`: no
    deadline of the touched one is awaited any more. `hand`: whatever is missing, production is told, and why.
    """
    whole = await load(connection, name)
    for transfer in whole.transfers.values():
        await _note_judged(connection, transfer, whole, is_touched=transfer.row["retransfer"] in touched, settle=settle)
    if stored is not None:
        began = await store.begin(connection, stored.id)
        event = steps.SESSION_BEGUN if began else steps.SESSION_BLOCK
        await _tell(
            connection, event, whole.transfers[stored.retransfer], whole.transfers[stored.retransfer].row["revision"]
        )
    for retransfer in sorted(touched):
        if hand or whole.judged[retransfer].is_complete or (settle and whole.together.is_complete):
            await _hand_over(connection, whole, whole.transfers[retransfer], hand)
    await _make_dsibs(connection, whole, must=bool(hand))


async def load(connection: asyncpg.Connection, name: str) -> Whole:
    """A session and what is judged of it; it has one transfer at least."""
    rows, channels, files = await verdicts.fetch_rows(connection, name)
    transfers = {row["retransfer"]: _transfer(row, channels, files) for row in rows}
    judged = {retransfer: judge_session(transfer.facts) for retransfer, transfer in transfers.items()}
    again = transfers.get(True)
    is_in = again is not None and (judged[True].is_complete or again.facts.is_passed)
    merged = merge(
        transfers[False].facts if False in transfers else None, None if again is None else again.facts, is_in=is_in
    )
    return Whole(transfers, judged, merged, judge_session(merged), is_in)


@dataclass(frozen=True, slots=True)
class Composed:
    """A DSIB to be made: its file name and its bytes."""

    name: str
    data: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"/" + self.data).digest()


def compose(whole: Whole, number: int) -> Composed | None:
    """The DSIB of a channel of what both transfers make together; None where nothing of the channel is stored."""
    facts, judged = whole.merged.by_channel[number], whole.together.channels[number]
    blocks = [block for _, block in stored_blocks(SessionFacts(whole.merged.name, {number: facts}))]
    if not blocks:
        return None
    rows = [transfer.row for _, transfer in sorted(whole.transfers.items(), reverse=whole.is_in)]
    unit = next((row["station_unit"] for row in rows if row["station_unit"]), "")
    unit = unit.zfill(2) if unit.isascii() and unit.isdigit() and len(unit) < 3 else unit_of(blocks[0].name)
    begun = start_of(whole.merged.name)
    dates = sorted(block.published_at for block in blocks if block.published_at is not None)
    known = [each for each in (begun, *dates[:1]) if each is not None] or [rows[0]["seen_at"]]
    start = next((row["downlink_start"] for row in rows if row["downlink_start"]), known[0])
    stop = next((row["downlink_stop"] for row in rows if row["downlink_stop"]), begun or (dates or known)[-1])
    about = "Made by refsys of the blocks received, as the station delivers none."
    if not judged.is_complete:
        about += f" Incomplete: {numbers(judged.missing)} missing." if judged.missing else " Incomplete."
    size = sum(block.size or 0 for block in blocks)
    data = make_dsib(whole.merged.name, start, stop, size, [block.name for block in blocks], about)
    return Composed(dsib_name(whole.merged.name, number, unit), data)


async def _note_judged(
    connection: asyncpg.Connection, transfer: Transfer, whole: Whole, *, is_touched: bool, settle: bool
) -> None:
    retransfer, facts = transfer.row["retransfer"], transfer.facts
    own = whole.judged[retransfer]
    fills = retransfer and False in whole.transfers and whole.together.is_complete and bool(stored_blocks(facts))
    fills = fills and not whole.judged[False].is_complete
    is_complete = own.is_complete or (fills and facts.is_passed)
    rows = []
    for number, judged in own.channels.items():
        blocks = facts.by_channel[number].blocks.values()
        here = [block for block in blocks if block.is_stored]
        rows.append(
            (
                transfer.row["id"],
                number,
                judged.expected,
                len(blocks),
                len(here),
                sum(block.size or 0 for block in here),
                list(judged.missing[:_MOST_MISSING]),
                judged.is_complete,
            )
        )
    await verdicts.enter_channels(connection, rows)
    state = "complete" if is_complete else own.state
    problems = [] if is_complete and not own.is_complete else list(own.problems)
    settled = own.is_complete or settle if is_touched else transfer.row["is_settled"]
    changed = await verdicts.enter_judged(connection, transfer.row["id"], state, problems, settled, fills)
    if changed:
        log.info("session.state", session=transfer.key, state=state, problems=problems)
    for number, judged in own.channels.items():
        if judged.is_complete and number not in transfer.were_complete:
            await _tell(connection, steps.SESSION_CHANNEL_COMPLETE, transfer, transfer.row["revision"])


async def _hand_over(connection: asyncpg.Connection, whole: Whole, cause: Transfer, why: str) -> None:
    """Tell production, unless it has these very blocks already."""
    blocks = stored_blocks(whole.merged)
    if not blocks:
        return
    view, is_complete = view_of(whole.merged), whole.together.is_complete
    last = await verdicts.fetch_last_handover(connection, cause.row["name"])
    in_it = [whole.transfers[each].row["id"] for each in {block.retransfer for _, block in blocks}]
    if last is not None and last["view"] == view and last["is_complete"] >= is_complete:
        await verdicts.note_handed(connection, in_it, last["revision"])
        return
    revision = 1 if last is None else last["revision"] + 1
    why = "complete" if is_complete and why in ("", PASSED) else why
    await verdicts.enter_handover(connection, cause.row["name"], revision, cause.row["id"], is_complete, view, why)
    await verdicts.note_handed(connection, in_it, revision)
    await _tell(connection, steps.SESSION_COMPLETE if is_complete else steps.SESSION_INCOMPLETE, cause, revision)
    log.info("session.handed", session=cause.key, revision=revision, complete=is_complete, why=why)


async def _make_dsibs(connection: asyncpg.Connection, whole: Whole, *, must: bool) -> None:
    """Have the DSIBs made that stations do not deliver: of complete channels, and of what is handed over."""
    name = whole.merged.name
    made = await verdicts.fetch_made(connection, name)
    for number, channel in whole.merged.by_channel.items():
        if channel.has_stored_dsib:
            continue
        is_due = whole.together.channels[number].is_complete and not channel.has_dsib
        if not is_due and not must:
            continue
        composed = compose(whole, number)
        if composed is not None and composed.digest != made.get(number):
            await enqueue(
                connection,
                MAKE,
                key=f"{name} ch{number}",
                payload={"session": name, "channel": number},
                priority=steps.PRIORITY_NRT,
            )


async def _tell(connection: asyncpg.Connection, event: str, transfer: Transfer, revision: int) -> None:
    payload = {"session": transfer.row["id"], "revision": revision}
    await emit(connection, event, key=transfer.key, payload=payload, priority=steps.PRIORITY_NRT)


def _transfer(row: asyncpg.Record, channels: list[asyncpg.Record], files: list[asyncpg.Record]) -> Transfer:
    said = {each["channel"]: each for each in channels if each["session_id"] == row["id"]}
    own = [file for file in files if file["session_id"] == row["id"]]
    by_channel = {}
    for number in sorted({*said, *(file["channel"] for file in own)}):
        here = [file for file in own if file["channel"] == number]
        by_channel[number] = _channel_facts(said.get(number), here, row["retransfer"])
    facts = SessionFacts(row["name"], by_channel, row["channels"], row["passed_at"] is not None, row["gave_up"])
    return Transfer(row, facts, [number for number, each in said.items() if each["is_complete"]])


def _channel_facts(said: asyncpg.Record | None, files: list[asyncpg.Record], retransfer: bool) -> ChannelFacts:
    blocks = {file["block"]: _block(file, retransfer) for file in files if file["block"] != DSIB}
    dsibs = [file for file in files if file["block"] == DSIB]
    is_here = any(file["content_id"] is not None for file in dsibs)
    if said is None:
        return ChannelFacts(blocks, bool(dsibs), is_here)
    quality: dict[str, Any] = said["quality"]
    return ChannelFacts(
        blocks,
        bool(dsibs),
        is_here,
        said["named"],
        said["named_size"],
        said["dsib_problem"],
        total_chunks(quality),
        total_volume(quality),
    )


def _block(file: asyncpg.Record, retransfer: bool) -> Block:
    return Block(
        file["block"],
        file["name"],
        file["size"],
        file["is_final"],
        file["content_id"],
        file["digest"],
        retransfer,
        file["published_at"],
    )
