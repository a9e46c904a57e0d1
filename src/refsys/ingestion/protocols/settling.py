"""When a file that only lies there may be taken: one that grows looks like one that is whole (spec/ingestion 20)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from refsys.core.errors import RefsysError
from refsys.ingestion.sessions import session_file_of
from refsys.ingestion.sessions.dsib import read_dsib

#: Largest DSIB that is read, in bytes: it has one line for each block.
DSIB_LIMIT: Final = 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or the folder of a product, as it was listed: `path` is below the inbox.

    `version` changes whenever its content may have. `detail` is what else the listing tells that changes while a file
    grows, but by itself later, too.
    """

    path: str
    size_bytes: int | None
    modified_at: datetime | None
    version: str
    detail: str = ""

    @property
    def folder(self) -> str:
        """The path of the folder in which it lies, "" = the inbox itself."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Settling:
    """How long each file has stood still, as far as this process has seen: a restart waits once more."""

    def __init__(self, stable_s: float) -> None:
        self._stable_s = stable_s
        # 200,000 files have no room here with their paths
        self._since: dict[int, float] = {}

    def unsettled(self, entries: Sequence[Entry], began: float, ended: float) -> set[str]:
        """The paths of those that may still grow, by a look that lasted from `began` to `ended` (a monotonic clock).

        Between two looks lies at least what lies between the end of one and the beginning of the other.
        """
        since: dict[int, float] = {}
        unsettled: set[str] = set()
        for entry in entries:
            key = hash((entry.path, entry.version, entry.detail))
            before = self._since.get(key)
            since[key] = ended if before is None else before
            if self._stable_s > 0 and (before is None or began - before < self._stable_s):
                unsettled.add(entry.path)
        self._since = since
        return unsettled


def listed_by_dsib(entries: Sequence[Entry], unsettled: set[str], read: Callable[[Entry], bytes]) -> set[str]:
    """Which of the `unsettled` are whole all the same: blocks that the DSIB of their channel lists, and the DSIB.

    It is believed once all that it lists lies beside it and has as many bytes as it says. `read` gives its bytes.
    """
    channels: dict[tuple[str, str, int], Entry | None] = {}
    for path in unsettled:
        if (channel := _channel_of(path)) is not None:
            channels[channel] = None
    if not channels:
        return set()
    folders = {folder for folder, _, _ in channels}
    beside = {entry.path: entry for entry in entries if entry.folder in folders}
    for path, entry in beside.items():
        if "DSIB" in entry.name.upper() and (channel := _channel_of(path)) in channels:
            channels[channel] = entry
    released: set[str] = set()
    for (folder, _, _), dsib in channels.items():
        if dsib is not None and dsib.size_bytes != 0:
            released |= unsettled & _listed(dsib, folder, beside, read)
    return released


def _channel_of(path: str) -> tuple[str, str, int] | None:
    folder, _, name = path.rpartition("/")
    file = session_file_of(name)
    return None if file is None else (folder, file.session, file.channel)


def _listed(dsib: Entry, folder: str, beside: dict[str, Entry], read: Callable[[Entry], bytes]) -> set[str]:
    """The paths of the DSIB and of what it lists; nothing where it is not whole, or not all of that is there."""
    try:
        said = read_dsib(read(dsib), name=dsib.name)
    except (RefsysError, OSError):
        return set()
    paths = {f"{folder}/{name}".lstrip("/") for name in said.names}
    if said.problem or not paths <= beside.keys():
        return set()
    size = sum(beside[path].size_bytes or 0 for path in paths)
    return {dsib.path, *paths} if said.size_bytes in (None, size) else set()
