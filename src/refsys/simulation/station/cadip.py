"""The entity sets of CADIP: Sessions, Files and QualityInfo (ingestion 5.1; field order as the real sample)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from refsys.simulation.station.filters import Kinds
from refsys.simulation.station.query import EntitySet, Media
from refsys.simulation.station.sessions import Archive, Block, Session

Row = TypeVar("Row")

_SESSION: Final[Mapping[str, Callable[[Session], Any]]] = {
    "Id": lambda session: str(session.id),
    "SessionId": lambda session: session.session_id,
    "NumChannels": lambda session: session.channels,
    "PublicationDate": lambda session: session.published_at,
    "Satellite": lambda session: session.satellite,
    "StationUnitId": lambda session: session.station_unit,
    "DownlinkOrbit": lambda session: session.orbit,
    "AcquisitionId": lambda session: None if session.orbit is None else f"{session.orbit}_1",
    "AntennaId": lambda session: "ANT1",
    "FrontEndId": lambda session: "DFEP1",
    "Retransfer": lambda session: session.retransfer,
    "AntennaStatusOK": lambda session: _ended(session),
    "FrontEndStatusOK": lambda session: _ended(session),
    "PlannedDataStart": lambda session: session.planned_start,
    "PlannedDataStop": lambda session: session.planned_stop,
    "DownlinkStart": lambda session: session.downlink_start,
    "DownlinkStop": lambda session: session.downlink_stop,
    "DownlinkStatusOK": lambda session: _ended(session),
    "DeliveryPushOK": lambda session: _ended(session),
}
_FILE: Final[Mapping[str, Callable[[Block], Any]]] = {
    "Id": lambda block: str(block.id),
    "Name": lambda block: block.name,
    "SessionId": lambda block: block.session.session_id,
    "Channel": lambda block: block.channel,
    "BlockNumber": lambda block: block.number,
    "FinalBlock": lambda block: block.is_final,
    "PublicationDate": lambda block: block.published_at,
    "EvictionDate": lambda block: block.evicted_at,
    "Size": lambda block: block.size_bytes,
    "Retransfer": lambda block: block.session.retransfer,
}
_SESSION_KINDS: Final[Kinds] = {
    "Id": "id",
    "SessionId": "text",
    "NumChannels": "number",
    "PublicationDate": "instant",
    "Satellite": "text",
    "StationUnitId": "text",
    "DownlinkOrbit": "number",
    "AcquisitionId": "text",
    "AntennaId": "text",
    "FrontEndId": "text",
    "Retransfer": "boolean",
    "AntennaStatusOK": "boolean",
    "FrontEndStatusOK": "boolean",
    "PlannedDataStart": "instant",
    "PlannedDataStop": "instant",
    "DownlinkStart": "instant",
    "DownlinkStop": "instant",
    "DownlinkStatusOK": "boolean",
    "DeliveryPushOK": "boolean",
}
_FILE_KINDS: Final[Kinds] = {
    "Id": "id",
    "Name": "text",
    "SessionId": "text",
    "Channel": "number",
    "BlockNumber": "number",
    "FinalBlock": "boolean",
    "PublicationDate": "instant",
    "EvictionDate": "instant",
    "Size": "number",
    "Retransfer": "boolean",
}
_QUALITY_KINDS: Final[Kinds] = {
    "Channel": "number",
    "SessionId": "text",
    "AcquiredTFs": "number",
    "ErrorTFs": "number",
    "CorrectedTFs": "number",
    "UncorrectableTFs": "number",
    "DataTFs": "number",
    "ErrorDataTFs": "number",
    "CorrectedDataTFs": "number",
    "UncorrectableDataTFs": "number",
    "DeliveryStart": "instant",
    "DeliveryStop": "instant",
    "TotalChunks": "number",
    "TotalVolume": "number",
}


class _ArchiveSet(EntitySet[Row]):
    """What the sets of one archive have in common."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    @property
    def revision(self) -> int:
        self.archive.evict()
        return self.archive.revision


class FileSet(_ArchiveSet[Block]):
    """`Files`."""

    name = "Files"
    kinds = _FILE_KINDS

    def rows(self) -> Sequence[Block]:
        self.archive.evict()
        return self.archive.blocks()

    def find(self, key: str) -> Block | None:
        self.archive.evict()
        return self.archive.find_block(uuid.UUID(key))

    def title(self, row: Block) -> str:
        return row.name

    def value(self, row: Block, name: str) -> Any:
        return _FILE[name](row)

    def entity(self, row: Block) -> dict[str, Any]:
        return {name: _plain(read(row)) for name, read in _FILE.items()}

    def media(self, row: Block) -> Media:
        return Media(row.content, row.name, "application/octet-stream")


class QualitySet(_ArchiveSet[Mapping[str, Any]]):
    """`QualityInfo`: one row for each channel that was delivered."""

    name = "QualityInfo"
    kinds = _QUALITY_KINDS

    def rows(self) -> Sequence[Mapping[str, Any]]:
        self.archive.evict()
        return [quality for session in self.archive.sessions() for quality in list(session.quality.values())]

    def find(self, key: str) -> None:
        raise ValueError(f"{key}: quality information has no id")

    def title(self, row: Mapping[str, Any]) -> str:
        return f"{row['SessionId']}_ch{row['Channel']}"

    def value(self, row: Mapping[str, Any], name: str) -> Any:
        return row[name]

    def entity(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _plain(value) for name, value in row.items()}


class SessionSet(_ArchiveSet[Session]):
    """`Sessions`, which lead to their Files and QualityInfo."""

    name = "Sessions"
    kinds = _SESSION_KINDS

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self.expands = {"Files": FileSet(archive), "QualityInfo": QualitySet(archive)}

    def rows(self) -> Sequence[Session]:
        self.archive.evict()
        return self.archive.sessions()

    def find(self, key: str) -> Session | None:
        self.archive.evict()
        return self.archive.find_session(uuid.UUID(key))

    def title(self, row: Session) -> str:
        return row.session_id

    def value(self, row: Session, name: str) -> Any:
        return _SESSION[name](row)

    def related(self, row: Session, name: str) -> Sequence[Any]:
        return list(row.blocks) if name == "Files" else list(row.quality.values())

    def entity(self, row: Session) -> dict[str, Any]:
        return {name: _plain(read(row)) for name, read in _SESSION.items()}


def short_instant(instant: datetime) -> str:
    """`2024-11-14T14:33:13.05Z`: zeros at the end of the fraction are left out, and so is an empty fraction."""
    whole, dot, fraction = instant.astimezone(UTC).isoformat().removesuffix("+00:00").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{dot if fraction else ''}{fraction}Z"


def _plain(value: Any) -> Any:
    return short_instant(value) if isinstance(value, datetime) else value


def _ended(session: Session) -> bool | None:
    """What stations tell once the downlink is over."""
    return True if session.quality else None
