"""The nouns of ingestion: what a source offers, and where its bytes go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

#: Begins the names of the stages that fetch: one for each inbox, so that each has its own limits and its own queue.
FETCH: Final = "ingestion.fetch."


@dataclass(frozen=True, slots=True)
class SessionFile:
    """Which file of which acquisition session something is.

    `session` is the session's id in capitals; `block` counts from 1, 0 is the channel's DSIB; `is_final` is None where
    nobody said.
    """

    session: str
    retransfer: bool
    channel: int
    block: int
    is_final: bool | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source says that it has. `version` changes whenever its content may have.

    `published_at`, `origin_at` and `evicted_at` are in the source's own clock; `checksums` maps an algorithm's name
    (upper case) to lower-case hex; `size_bytes` None = not said. `path` is what the inbox's patterns are matched with
    ("" = the name): the path below the inbox, for CADIP `<session>/<file>`. `held` says why it is not to be taken yet
    (empty, growing); "" = it may be taken.
    """

    remote_id: str
    version: str
    name: str
    size_bytes: int | None = None
    published_at: datetime | None = None
    origin_at: datetime | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    evicted_at: datetime | None = None
    path: str = ""
    held: str = ""
    session: SessionFile | None = None


@dataclass(frozen=True, slots=True)
class SessionSaid:
    """What a station says of a session (CADIP: Sessions). None = not said; instants in the station's clock.

    `channels` is the number of channels. `quality` has for each channel what its QualityInfo says, as it came
    (TotalChunks, TotalVolume, DeliveryStart, …). `facts` are the other fields, as they came.
    """

    session: str
    retransfer: bool
    satellite: str = ""
    channels: int | None = None
    station_unit: str = ""
    orbit: int | None = None
    published_at: datetime | None = None
    planned_start: datetime | None = None
    planned_stop: datetime | None = None
    downlink_start: datetime | None = None
    downlink_stop: datetime | None = None
    quality: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Findings:
    """A piece of a look. `is_whole`: with this piece, everything that the source has was listed in this look."""

    offers: Sequence[Offer] = ()
    sessions: Sequence[SessionSaid] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What an inbox remembers when it looks again.

    `cursor` is the newest publication date that it has seen; `held` are the offers to be asked for again, whatever
    their dates; `open_sessions` (session id, retransfer) are not complete yet.
    """

    cursor: datetime | None = None
    held: Sequence[Offer] = ()
    open_sessions: Sequence[tuple[str, bool]] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an offer: `path` below the offered folder, "" where the offer itself is the file.

    A path that ends with a slash is an empty folder.

    `version` changes whenever its content may have; it is compared before and after fetching.
    """

    path: str
    size_bytes: int | None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Remote:
    """An offer as the inbox remembers it: a row of ingestion.remote. `product` is the canonical name."""

    id: int
    inbox: str
    state: str
    offer: Offer
    priority: int
    found_at: datetime
    product: str = ""
    tries: int = 0


class Stream(Protocol):
    """Bytes on their way from a source, read by one thread (blocking).

    `start` is where in the file the first byte lies: 0 although more was asked for where the source knows no ranges or
    the file is another one than before. `size_bytes` is the length of the whole file as the answer says, None = not
    said. `tag` names this content (ETag, time of change); "" = the source tells none.
    """

    start: int
    size_bytes: int | None
    tag: str

    def readinto(self, buffer: memoryview, /) -> int:
        """The next bytes, at least one; 0 where the answer has ended as it said.

        Raises OSError where it was cut, or nothing came for the read timeout.
        """
        ...

    def close(self) -> None:
        """Any thread may call it; a `readinto` that waits then raises OSError."""
        ...


class Source(Protocol):
    """One inbox's way to its products.

    `has_ranges`: several streams may read parts of one file at the same time.
    """

    has_ranges: bool

    def look(self, memory: Memory) -> AsyncIterator[Findings]:
        """What is offered now, in pieces, the oldest first; known offers may come again.

        Raises where the listing fails: what was not listed is not known to be absent.
        """
        ...

    async def prepare(self, offer: Offer) -> None:
        """Called before it is fetched; raises NotYet where the source needs time first (LTA: it is ordered)."""
        ...

    def parts(self, offer: Offer) -> Sequence[Part]:
        """The files that an offer consists of (blocking): one with path "", or those of a folder.

        Raises Gone where it is no longer there.
        """
        ...

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        """A stream of a part's bytes from `start` to `stop` (exclusive; None = its end), blocking.

        With a `tag`, what comes from `start` on is of that content, else the stream begins at 0. Raises Gone,
        Unreachable (it may pass), or Permanent.
        """
        ...

    async def count(self, start: datetime | None, stop: datetime) -> int | None:
        """How many files the source itself counts that were published in [start, stop); None where it cannot tell."""
        ...

    async def close(self) -> None: ...
