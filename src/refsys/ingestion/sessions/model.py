"""Sessions as others read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from refsys.ingestion.sessions.judging import State


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of a transfer: numbers of blocks, sizes in bytes.

    `expected` is None as long as nobody said how many there are; `missing` are the numbers of blocks known to be
    missing, the first thousand. `dsib` says who made its DSIB: station, refsys, or "" (there is none).
    """

    channel: int
    expected: int | None
    offered: int
    stored: int
    stored_bytes: int
    missing: tuple[int, ...]
    is_complete: bool
    dsib: str
    quality: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Session:
    """A transfer of a session.

    `published_at`, `planned_*` and `downlink_*` are in the station's clock, everything else is in ours. `revision`
    is that of the newest hand-over to production that has this transfer in it, 0 = none.
    """

    id: int
    name: str
    retransfer: bool
    state: State
    state_at: datetime
    satellite: str
    mission: str
    timeliness: str
    orbit: int | None
    station_unit: str
    channels_said: int | None
    published_at: datetime | None
    planned_start: datetime | None
    planned_stop: datetime | None
    downlink_start: datetime | None
    downlink_stop: datetime | None
    seen_at: datetime
    news_at: datetime
    begun_at: datetime | None
    deadline_at: datetime | None
    passed_at: datetime | None
    wait_until: datetime | None
    is_held: bool
    gave_up: bool
    revision: int
    handed_at: datetime | None
    problems: tuple[str, ...]
    inboxes: tuple[str, ...]
    channels: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class Handover:
    """What production was told of a session (both transfers together)."""

    revision: int
    retransfer: bool
    is_complete: bool
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as production takes it: its bytes lie in storage under `<base>/<name>`.

    `content_id` is the content of the catalogue that has them; `retransfer` says by which transfer it came;
    `published_at` is in the station's clock.
    """

    channel: int
    block: int
    name: str
    content_id: int
    base: str
    size_bytes: int
    retransfer: bool
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionBlocks:
    """What there is of a session, both transfers together: blocks in the order of channel and number.

    `gaps` has for each channel the numbers of the blocks that are known to be missing.
    """

    name: str
    blocks: tuple[StoredBlock, ...]
    gaps: Mapping[int, tuple[int, ...]]
    is_complete: bool
    revision: int
