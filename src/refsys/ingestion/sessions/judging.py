"""What is complete, by what is known of a session: pure functions, the same whatever came first.

A channel is complete when it is known which blocks there are, all of them are stored, and their sizes add up. Which
there are, its DSIB says (spec: ingestion 6.4); without one the final block, or the station's number of blocks
(TotalChunks), and then blocks are numbered from 1 on without gaps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from refsys.ingestion.sessions.names import BLOCK_ZERO, session_file_of

State = Literal["announced", "receiving", "complete", "incomplete"]

#: Bytes of a CADU of Sentinel's X-band downlink: every block of real sessions holds a whole number of them.
CADU: Final = 2044
#: The highest number that a block can have: five digits.
_HIGHEST: Final = 99_999


@dataclass(frozen=True, slots=True)
class Block:
    """A block of raw data. `size` is what is stored, else what was offered; None = not said.

    `content_id` and `digest` are None where it is not stored; `retransfer` says by which transfer it came.
    """

    block: int
    name: str
    size: int | None = None
    is_final: bool | None = None
    content_id: int | None = None
    digest: bytes | None = None
    retransfer: bool = False
    published_at: datetime | None = None

    @property
    def is_stored(self) -> bool:
        return self.content_id is not None


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """What is known of a channel. `named` are the files that the station's DSIB names, None = none was read.

    `has_dsib`: the station offers one; `has_stored_dsib`: it is here, read or not. `total_chunks` and `total_volume`
    are the station's QualityInfo.
    """

    blocks: Mapping[int, Block] = field(default_factory=dict)
    has_dsib: bool = False
    has_stored_dsib: bool = False
    named: Sequence[str] | None = None
    named_size: int | None = None
    dsib_problem: str = ""
    total_chunks: int | None = None
    total_volume: int | None = None

    @property
    def is_present(self) -> bool:
        """Whether there is anything of it."""
        return bool(self.blocks) or self.has_dsib


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of a session, or of one transfer of it.

    `channels` is how many there are as the station says. `is_passed`: its deadline is over. `gave_up`: an operator
    does not wait for what is missing.
    """

    name: str
    by_channel: Mapping[int, ChannelFacts] = field(default_factory=dict)
    channels: int | None = None
    is_passed: bool = False
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class ChannelJudged:
    """`expected` is the number of blocks that there are, None = not known yet; `missing` their numbers, as known."""

    expected: int | None
    missing: tuple[int, ...]
    is_complete: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    state: State
    channels: Mapping[int, ChannelJudged]
    problems: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return self.state == "complete"


def judge_session(facts: SessionFacts) -> Judged:
    """The state of a session, or of a transfer of it, and what is wrong with it."""
    channels = {
        number: judge_channel(facts.name, channel, gave_up=facts.gave_up)
        for number, channel in sorted(facts.by_channel.items())
    }
    present = [number for number, channel in facts.by_channel.items() if channel.is_present]
    are_complete = bool(present) and all(channels[number].is_complete for number in present)
    problems = [f"channel {number}: {text}" for number, judged in channels.items() for text in judged.problems]
    if facts.channels is not None and len(present) > facts.channels:
        problems.append(f"{len(present)} channels came, the station says {facts.channels}")
    wanted = facts.channels or (1 if facts.is_passed else 2)
    if facts.gave_up or (are_complete and len(present) >= wanted):
        if are_complete and facts.channels is None and len(present) == 1:
            problems.append("nothing came of another channel: taken for a session of one")
        return Judged("complete", channels, tuple(problems))
    if facts.is_passed:
        return Judged("incomplete", channels, (*problems, *_lacks(facts, channels, len(present))))
    stored = any(block.is_stored for channel in facts.by_channel.values() for block in channel.blocks.values())
    return Judged("receiving" if stored else "announced", channels, tuple(problems))


def judge_channel(session: str, facts: ChannelFacts, *, gave_up: bool = False) -> ChannelJudged:
    """Whether a channel is complete, and which blocks are missing."""
    expected, problems = _expected(facts)
    if facts.dsib_problem:
        problems.append(f"its DSIB {facts.dsib_problem}")
    known = expected if expected is not None else _up_to(max(facts.blocks, default=0), facts.blocks)
    missing = tuple(
        sorted(number for number in known if number not in facts.blocks or not facts.blocks[number].is_stored)
    )
    is_complete = expected is not None and not missing
    if is_complete:
        sizes_fail, wrong = _weigh(session, facts)
        problems += wrong
        is_complete = not sizes_fail
    if gave_up and not is_complete:
        problems.append(f"given up by an operator: {numbers(missing)}" if missing else "given up by an operator")
        is_complete = True
    return ChannelJudged(None if expected is None else len(expected), missing, is_complete, tuple(problems))


def merge(nominal: SessionFacts | None, again: SessionFacts | None, *, is_in: bool) -> SessionFacts:
    """The session that both transfers make together, either of which may lack.

    Where the retransfer is in force (`is_in`) its blocks replace those of the nominal one, before they only fill gaps.
    """
    if nominal is None or again is None:
        only = nominal or again
        if only is None:
            raise ValueError("a session has a transfer")
        return only
    numbers_of = sorted({*nominal.by_channel, *again.by_channel})
    by_channel = {
        number: _merge_channel(
            nominal.by_channel.get(number, ChannelFacts()), again.by_channel.get(number, ChannelFacts()), is_in
        )
        for number in numbers_of
    }
    return SessionFacts(
        nominal.name,
        by_channel,
        nominal.channels or again.channels,
        is_passed=nominal.is_passed,
        gave_up=nominal.gave_up or again.gave_up,
    )


def stored_blocks(facts: SessionFacts) -> list[tuple[int, Block]]:
    """The stored blocks with their channels, in the order of channel and block."""
    return [
        (number, channel.blocks[block])
        for number, channel in sorted(facts.by_channel.items())
        for block in sorted(channel.blocks)
        if channel.blocks[block].is_stored
    ]


def view_of(facts: SessionFacts) -> bytes:
    """A digest of which blocks are stored with which bytes."""
    digest = hashlib.sha256()
    for channel, block in stored_blocks(facts):
        digest.update(f"{channel}/{block.block}/".encode() + (block.digest or b""))
    return digest.digest()


def numbers(blocks: Iterable[int]) -> str:
    """Block numbers for people: `block 3`, `blocks 3, 7-9`."""
    ordered = sorted(0 if number == BLOCK_ZERO else number for number in blocks)
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:20]]
    more = ", …" if len(runs) > 20 else ""
    return f"block{'' if len(ordered) == 1 else 's'} {', '.join(shown)}{more}"


def whole(value: Any, most: int = 2**62) -> int | None:
    """A positive number as stations write it (some as text); None where it is none, or more than `most`."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= most else None


def total_chunks(quality: Mapping[str, Any]) -> int | None:
    """How many blocks a channel has, as the station's QualityInfo says."""
    return whole(quality.get("TotalChunks"), _HIGHEST)


def total_volume(quality: Mapping[str, Any]) -> int | None:
    """How many bytes a channel has, as the station's QualityInfo says."""
    return whole(quality.get("TotalVolume"))


def _expected(facts: ChannelFacts) -> tuple[set[int] | None, list[str]]:
    """The blocks that there are, None = not known; and where the sources of that disagree."""
    problems: list[str] = []
    finals = sorted(block.block for block in facts.blocks.values() if block.is_final)
    if len(finals) > 1:
        problems.append(f"the station calls each of {numbers(finals)} the final one")
    if facts.named is not None:
        return _named(facts, finals, problems), problems
    counts_from_zero = int(BLOCK_ZERO in facts.blocks)
    last = finals[-1] if finals else None
    if facts.total_chunks is not None:
        if last is not None and last + counts_from_zero != facts.total_chunks:
            problems.append(
                f"its final block makes it {last + counts_from_zero} blocks, the station's TotalChunks is "
                f"{facts.total_chunks}"
            )
        last = max(last or 0, facts.total_chunks - counts_from_zero)
    if last is None:
        return None, problems
    beyond = [number for number in facts.blocks if number > last]
    if beyond:
        problems.append(f"there are {numbers(beyond)} after the final one, {last}")
    return _up_to(max(last, *facts.blocks) if facts.blocks else last, facts.blocks), problems


def _named(facts: ChannelFacts, finals: Sequence[int], problems: list[str]) -> set[int]:
    """The blocks that the DSIB names, and those that are offered beside."""
    by_name = {block.name.lower(): number for number, block in facts.blocks.items()}
    named: set[int] = set()
    for name in facts.named or ():
        number = by_name.get(name.lower())
        found = session_file_of(name) if number is None else None
        named |= {number} if number is not None else {found.block} if found is not None else set()
    beside = set(facts.blocks) - named
    if beside:
        problems.append(f"its DSIB does not name {numbers(beside)}")
    if finals and finals[-1] != max(named, default=0):
        problems.append(f"its DSIB ends with block {max(named, default=0)}, the station's final block is {finals[-1]}")
    if facts.total_chunks is not None and facts.total_chunks != len(named):
        problems.append(f"its DSIB names {len(named)} blocks, the station's TotalChunks is {facts.total_chunks}")
    return named | set(facts.blocks)


def _up_to(last: int, blocks: Iterable[int]) -> set[int]:
    counted = set(range(1, last + 1))
    return counted | {BLOCK_ZERO} if BLOCK_ZERO in blocks else counted


def _weigh(session: str, facts: ChannelFacts) -> tuple[bool, list[str]]:
    """Whether the sizes of a channel whose blocks are all here say that bytes are missing; and what is odd in them.

    The station's own word (its DSIB, a volume that agrees) outranks arithmetic, which outranks nothing.
    """
    blocks = [facts.blocks[number] for number in sorted(facts.blocks)]
    sizes = [block.size or 0 for block in blocks]
    volume = sum(sizes)
    odd: list[str] = []
    lacks = False
    if facts.total_volume is not None and volume != facts.total_volume:
        odd.append(f"has {volume} bytes, the station's TotalVolume is {facts.total_volume}")
        lacks = volume < facts.total_volume
    if facts.named_size is not None and volume != facts.named_size:
        odd.append(f"has {volume} bytes, the data_size of its DSIB is {facts.named_size}")
    arithmetic = [] if any(block.name.lower().endswith(".aisp") for block in blocks) else _arithmetic(blocks, sizes)
    # blocks of EDRS have not been seen: there arithmetic only tells
    is_known = session.startswith("S") and facts.total_volume is None
    return (lacks or (is_known and bool(arithmetic))) and facts.named is None, odd + arithmetic


def _arithmetic(blocks: Sequence[Block], sizes: Sequence[int]) -> list[str]:
    broken = [block.block for block, size in zip(blocks, sizes, strict=True) if size % CADU]
    odd = [f"{numbers(broken)}: not a whole number of CADUs of {CADU} bytes"] if broken else []
    full = max(sizes, default=0)
    short = [block.block for block, size in zip(blocks[:-1], sizes[:-1], strict=True) if size != full]
    if short:
        odd.append(f"{numbers(short)}: shorter than the others, and not the last")
    return odd


def _lacks(facts: SessionFacts, channels: Mapping[int, ChannelJudged], present: int) -> list[str]:
    """What is missing of a session whose deadline passed."""
    told = []
    for number, judged in channels.items():
        if judged.missing:
            told.append(f"channel {number}: {numbers(judged.missing)} missing")
        if judged.expected is None and facts.by_channel[number].is_present:
            told.append(f"channel {number}: nobody said which block is the final one")
    if present == 0:
        told.append("nothing of it was offered")
    elif facts.channels is not None and present < facts.channels:
        told.append(f"{present} of {facts.channels} channels came")
    return told


def _merge_channel(nominal: ChannelFacts, again: ChannelFacts, is_in: bool) -> ChannelFacts:
    blocks = dict(nominal.blocks)
    for number, block in again.blocks.items():
        before = blocks.get(number)
        if before is None:
            blocks[number] = block
            continue
        chosen = block if block.is_stored and (is_in or not before.is_stored) else before
        blocks[number] = replace(chosen, is_final=before.is_final or block.is_final)
    first, second = (again, nominal) if is_in else (nominal, again)
    dsib = first if first.named is not None else second
    totals = first if first.total_chunks is not None or first.total_volume is not None else second
    return ChannelFacts(
        blocks,
        nominal.has_dsib or again.has_dsib,
        nominal.has_stored_dsib or again.has_stored_dsib,
        dsib.named,
        dsib.named_size,
        dsib.dsib_problem,
        totals.total_chunks,
        totals.total_volume,
    )
