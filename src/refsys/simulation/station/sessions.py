"""The rolling archive of a station that receives: acquisition sessions and their files.

Content depends on session, channel and block alone: a session has the same bytes at two stations, and when sent again.
Shapes and sizes: ingestion 5.1, 6.1, 6.2.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from refsys.core.errors import ConfigurationError
from refsys.simulation.station.content import CADU_BYTES, Content, Held, Made, md5_of
from refsys.simulation.station.model import NAMESPACE
from refsys.simulation.station.products import RETENTION
from refsys.simulation.station.shelf import utc_now

#: A full block of a real station: 153 900 CADUs.
FULL_BLOCK_BYTES: Final = 314_571_600
_SMALL_BLOCK_BYTES: Final = 10 * CADU_BYTES


@dataclass(eq=False, slots=True, kw_only=True)
class Block:
    """One file of a session: a raw block, or with `number` 0 the channel's DSIB.

    `content` is what is there now, `whole_bytes` what it will have at its end. `announced_bytes` is announced in place
    of the true size where given.
    """

    id: uuid.UUID
    session: Session
    name: str
    channel: int
    number: int
    is_final: bool
    published_at: datetime
    evicted_at: datetime
    modified_at: datetime
    content: Content
    whole_bytes: int
    announced_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """As announced."""
        return self.content.size_bytes if self.announced_bytes is None else self.announced_bytes

    @property
    def md5(self) -> str:
        """Of the whole content, also while it grows."""
        whole = (
            block_content(self.session, self.channel, self.number, self.whole_bytes) if self.number else self.content
        )
        return md5_of(whole)


@dataclass(eq=False, slots=True, kw_only=True)
class Session:
    """An acquisition session as a station tells of it. Made by `Archive.session`.

    Instants are in the station's clock. `quality`: for each channel, fields of QualityInfo.
    """

    archive: Archive = field(repr=False)
    id: uuid.UUID
    session_id: str
    satellite: str
    channels: int
    retransfer: bool
    station_unit: str
    orbit: int | None
    published_at: datetime
    planned_start: datetime | None
    planned_stop: datetime | None
    downlink_start: datetime | None
    downlink_stop: datetime | None
    quality: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def publish(
        self,
        channel: int,
        number: int,
        *,
        size_bytes: int = _SMALL_BLOCK_BYTES,
        is_final: bool = False,
        written_bytes: int | None = None,
        announced_bytes: int | None = None,
        published_at: datetime | None = None,
        evicted_at: datetime | None = None,
        name: str = "",
    ) -> Block:
        """Publish block `number` (from 1) of a channel; of a growing one, `written_bytes` are there so far.

        Published a second time, it gets another id.
        """
        block = block_content(self, channel, number, size_bytes if written_bytes is None else written_bytes)
        return self.archive.place(
            self,
            name or self._name(channel, number),
            channel=channel,
            number=number,
            content=block,
            whole_bytes=size_bytes,
            is_final=is_final,
            announced_bytes=announced_bytes,
            published_at=published_at,
            evicted_at=evicted_at,
        )

    def publish_channel(self, channel: int, blocks: int, *, size_bytes: int = _SMALL_BLOCK_BYTES) -> list[Block]:
        """All blocks of a channel, in order; the last one is the final one."""
        return [
            self.publish(channel, number, size_bytes=size_bytes, is_final=number == blocks)
            for number in range(1, blocks + 1)
        ]

    def grow(self, block: Block, written_bytes: int | None = None) -> None:
        """Let a growing block have so many bytes; None = all."""
        size_bytes = block.whole_bytes if written_bytes is None else written_bytes
        block.content = block_content(self, block.channel, block.number, size_bytes)
        block.modified_at = self.archive.now()
        self.archive.changed()

    def publish_dsib(
        self, channel: int, *, sizes: Sequence[int] | None = None, published_at: datetime | None = None
    ) -> Block:
        """The session information block of a channel: what XBIP and EDIP publish after the last block.

        It names blocks 1 to n of `sizes` (bytes) where given, published or not, else what was published.
        """
        data = self._dsib(channel, sizes)
        return self.archive.place(
            self,
            f"DCS_{self.station_unit}_{self.session_id}_ch{channel}_DSIB.xml",
            channel=channel,
            number=0,
            content=Held(data, int(self.archive.now().timestamp() * 1e9)),
            whole_bytes=len(data),
            is_final=False,
            announced_bytes=None,
            published_at=published_at,
            evicted_at=None,
        )

    def _dsib(self, channel: int, sizes: Sequence[int] | None) -> bytes:
        """As a station writes it (ingestion 6.2)."""
        blocks = self.raw_blocks(channel)
        if sizes is None:
            names, volume = [block.name for block in blocks], sum(block.whole_bytes for block in blocks)
        else:
            names, volume = [self._name(channel, number) for number in range(1, len(sizes) + 1)], sum(sizes)
        start = self.downlink_start or self.published_at
        stop = self.downlink_stop or start
        lines = "".join(f"        <dsdb_name>{name}</dsdb_name>\n" for name in names)
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            "<DCSU_Session_Information_Block>\n"
            f"    <session_id>{self.session_id}</session_id>\n"
            f"    <time_start>{start:%Y-%m-%dT%H:%M:%SZ}</time_start>\n"
            f"    <time_stop>{stop:%Y-%m-%dT%H:%M:%SZ}</time_stop>\n"
            f"    <time_created>{start:%Y-%m-%dT%H:%M:%SZ}</time_created>\n"
            f"    <time_finished>{stop:%Y-%m-%dT%H:%M:%SZ}</time_finished>\n"
            f"    <data_size>{volume}</data_size>\n"
            f"    <dsdb_list>\n{lines}    </dsdb_list>\n"
            "</DCSU_Session_Information_Block>\n"
        ).encode()

    def _name(self, channel: int, number: int) -> str:
        return f"DCS_{self.station_unit}_{self.session_id}_ch{channel}_DSDB_{number:05}.raw"

    def deliver(self, channel: int, **said: Any) -> None:
        """Publish the channel's QualityInfo: the truth, but for what is said otherwise (`TotalChunks=…`)."""
        blocks = self.raw_blocks(channel)
        volume = sum(block.whole_bytes for block in blocks)
        frames = volume // CADU_BYTES
        self.quality[channel] = {
            "Channel": channel,
            "SessionId": self.session_id,
            "AcquiredTFs": frames,
            "ErrorTFs": 0,
            "CorrectedTFs": 0,
            "UncorrectableTFs": 0,
            "DataTFs": frames,
            "ErrorDataTFs": 0,
            "CorrectedDataTFs": 0,
            "UncorrectableDataTFs": 0,
            "DeliveryStart": min((block.published_at for block in blocks), default=self.published_at),
            "DeliveryStop": self.archive.now(),
            "TotalChunks": len(blocks),
            "TotalVolume": volume,
        } | said
        self.archive.changed()

    def raw_blocks(self, channel: int | None = None) -> list[Block]:
        """One for each number, in the order of channels and numbers."""
        found = {
            (block.channel, block.number): block
            for block in self.blocks
            if block.number and channel in (None, block.channel)
        }
        return [found[key] for key in sorted(found)]

    def md5s(self) -> dict[str, str]:
        """By file name, of whole contents: what has to arrive."""
        return {block.name: block.md5 for block in self.blocks if block.number}


class Archive:
    """Every method may be called from any thread.

    Files are announced to be evicted after `retention`, seven days where it is None; only with a `retention` they are.
    `unit` is the station's number in file names; `station` makes ids differ from those of other stations.
    """

    def __init__(
        self,
        *,
        station: str = "",
        unit: str = "04",
        retention: timedelta | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._station = station
        self._unit = unit
        self._retention = retention
        self._clock = clock
        self._lock = threading.Lock()
        self._versions: Counter[str] = Counter()
        self._sessions: dict[uuid.UUID, Session] = {}
        self._blocks: dict[uuid.UUID, Block] = {}
        self._next_eviction = datetime.max.replace(tzinfo=UTC)
        self.revision = 0

    def now(self) -> datetime:
        """By the station's clock, to the millisecond."""
        now = self._clock().astimezone(UTC)
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def session(
        self,
        session_id: str,
        *,
        satellite: str = "",
        channels: int = 2,
        retransfer: bool = False,
        station_unit: str = "",
        orbit: int | None = None,
        published_at: datetime | None = None,
        planned_start: datetime | None = None,
        planned_stop: datetime | None = None,
        downlink_start: datetime | None = None,
        downlink_stop: datetime | None = None,
    ) -> Session:
        """Publish a session; published a second time, it gets another id. Its satellite and orbit by its id."""
        session = Session(
            archive=self,
            id=self._identity(f"{session_id}/{retransfer}"),
            session_id=session_id,
            satellite=satellite or session_id[:3],
            channels=channels,
            retransfer=retransfer,
            station_unit=station_unit or self._unit,
            orbit=int(session_id[-6:]) if orbit is None and session_id[-6:].isdigit() else orbit,
            published_at=published_at or self.now(),
            planned_start=planned_start,
            planned_stop=planned_stop,
            downlink_start=downlink_start,
            downlink_stop=downlink_stop,
        )
        with self._lock:
            self._sessions[session.id] = session
            self.revision += 1
        return session

    def place(
        self,
        session: Session,
        name: str,
        *,
        channel: int,
        number: int,
        content: Content,
        whole_bytes: int,
        is_final: bool,
        announced_bytes: int | None,
        published_at: datetime | None,
        evicted_at: datetime | None,
    ) -> Block:
        published_at = published_at or self.now()
        block = Block(
            id=self._identity(f"{session.session_id}/{session.retransfer}/{name}"),
            session=session,
            name=name,
            channel=channel,
            number=number,
            is_final=is_final,
            published_at=published_at,
            evicted_at=evicted_at or self._eviction(published_at),
            modified_at=published_at,
            content=content,
            whole_bytes=whole_bytes,
            announced_bytes=announced_bytes,
        )
        with self._lock:
            self._blocks[block.id] = block
            session.blocks.append(block)
            self._next_eviction = min(self._next_eviction, block.evicted_at)
            self.revision += 1
        return block

    def withdraw(self, block: Block) -> None:
        """Offer it no more."""
        with self._lock:
            self._take_away(block)

    def evict(self) -> None:
        """Let go what is older than the retention. Sessions go with their last file."""
        now = self.now()
        if self._retention is None or now < self._next_eviction:
            return
        with self._lock:
            for block in [each for each in self._blocks.values() if each.evicted_at <= now]:
                self._take_away(block)
            for session in [each for each in self._sessions.values() if not each.blocks]:
                if session.published_at + self._retention <= now:
                    del self._sessions[session.id]
            self._next_eviction = min(
                (block.evicted_at for block in self._blocks.values()), default=datetime.max.replace(tzinfo=UTC)
            )

    def sessions(self) -> list[Session]:
        with self._lock:
            return list(self._sessions.values())

    def blocks(self) -> list[Block]:
        with self._lock:
            return list(self._blocks.values())

    def find_session(self, identity: uuid.UUID) -> Session | None:
        return self._sessions.get(identity)

    def find_block(self, identity: uuid.UUID) -> Block | None:
        return self._blocks.get(identity)

    def changed(self) -> None:
        """Something that was published is another now."""
        with self._lock:
            self.revision += 1

    def _take_away(self, block: Block) -> None:
        if self._blocks.pop(block.id, None) is None:
            raise ConfigurationError("is not offered by this station", subject=block.name)
        block.session.blocks.remove(block)
        self.revision += 1

    def _identity(self, text: str) -> uuid.UUID:
        with self._lock:
            self._versions[text] += 1
            return uuid.uuid5(NAMESPACE, f"{self._station}/{text}#{self._versions[text]}")

    def _eviction(self, published_at: datetime) -> datetime:
        """Real stations cut it to the minute."""
        evicted_at = published_at + (self._retention or RETENTION)
        short = self._retention is not None and self._retention < timedelta(days=1)
        return evicted_at if short else evicted_at.replace(second=0, microsecond=0)


def block_content(session: Session, channel: int, number: int, size_bytes: int) -> Content:
    """What raw block `number` of a channel holds, or its first bytes."""
    modified_ns = int(session.published_at.timestamp()) * 1_000_000_000 + number
    return Made(f"{session.session_id}/{channel}/{number}", size_bytes, modified_ns)
