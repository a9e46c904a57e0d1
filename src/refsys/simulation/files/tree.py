"""The folders of a station that offers files: XBIP and EDIP (ingestion 7, 8).

    NOMINAL/[STN4/]SAT/DCS_NN_session_dat/ch_n/file      ground stations
    NOMINAL/SAT/session/ch0n/file                        relay satellites (EDRS)

`RETRANSFER` beside `NOMINAL` holds what was sent again. Nothing lies on disk: the tree is made from the archive.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from refsys.simulation.station.content import Content
from refsys.simulation.station.sessions import Archive, Session

Layout = Literal["cgs", "edrs"]
_ROOTS: Final = ("NOMINAL", "RETRANSFER")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Node:
    """A folder (without `content`) or a file. `size_bytes` is the announced size; `path` has no slash at its ends."""

    path: str
    modified_at: datetime
    size_bytes: int = 0
    content: Content | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class Tree:
    """Every method may be called from any thread. `prefix` is the folder of the station below the root, if any."""

    def __init__(self, archive: Archive, *, layout: Layout = "cgs", prefix: str = "") -> None:
        self._archive = archive
        self._layout: Layout = layout
        self._prefix = prefix
        self._put: dict[str, Node] = {}
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._changes = 0
        self._nodes: dict[str, Node] = {}
        self._members: dict[str, list[str]] = {}

    def put(self, path: str, content: Content, *, size_bytes: int | None = None) -> None:
        """Offer a file of no session, or other content under its path; `size_bytes` is announced where given."""
        size_bytes = content.size_bytes if size_bytes is None else size_bytes
        with self._lock:
            self._put[path.strip("/")] = Node(path.strip("/"), self._archive.now(), size_bytes, content)
            self._changes += 1

    def remove(self, path: str) -> None:
        """Let a file vanish that was put there. Raises KeyError."""
        with self._lock:
            del self._put[path.strip("/")]
            self._changes += 1

    def node(self, path: str) -> Node | None:
        """The folder or file at a path, "" for the root."""
        with self._lock:
            self._refresh()
            return self._nodes.get(path.strip("/"))

    def members(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty where there is none."""
        with self._lock:
            self._refresh()
            return list(self._members.get(path.strip("/"), ()))

    def folder_of(self, session: Session, channel: int) -> str:
        """The path of a channel's folder."""
        root = _ROOTS[session.retransfer]
        if self._layout == "edrs":
            parts = [root, self._prefix, session.satellite, session.session_id, f"ch{channel:02}"]
        else:
            folder = f"DCS_{session.station_unit}_{session.session_id}_dat"
            parts = [root, self._prefix, session.satellite, folder, f"ch_{channel}"]
        return "/".join(filter(None, parts))

    def _refresh(self) -> None:
        self._archive.evict()
        seen = (self._archive.revision, self._changes)
        if seen == self._seen:
            return
        self._nodes, self._members = {"": Node("", _EPOCH)}, {"": []}
        for root in _ROOTS:
            self._add(Node(root, _EPOCH))
        for session in self._archive.sessions():
            self._add(Node(self.folder_of(session, 1).rpartition("/")[0], session.published_at))
        for block in self._archive.blocks():
            path = f"{self.folder_of(block.session, block.channel)}/{block.name}"
            self._add(Node(path, block.modified_at, block.size_bytes, block.content))
        for node in self._put.values():
            self._add(node)
        for names in self._members.values():
            names.sort()
        self._seen = seen

    def _add(self, node: Node) -> None:
        parent, _slash, name = node.path.rpartition("/")
        if parent not in self._nodes:
            self._add(Node(parent, node.modified_at))
        if node.path not in self._nodes:
            self._members[parent].append(name)
        self._nodes[node.path] = node
        if node.content is None:
            self._members.setdefault(node.path, [])
