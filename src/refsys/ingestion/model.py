"""The nouns of ingestion: what a source offers, and where its bytes go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from refsys.core.products import FileEntry
    from refsys.infra.storage import Storage
    from refsys.ingestion.archives import Limits
    from refsys.missions import Recognised

#: Begins the names of the stages that fetch: one for each inbox, so that each has its own limits and its own queue.
FETCH: Final = "ingestion.fetch."


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source says that it has. `version` changes whenever its content may have.

    `published_at` and `origin_at` are in the source's own clock; `checksums` maps an algorithm's name (upper case) to
    lower-case hex; `size_bytes` None = not said.
    """

    remote_id: str
    version: str
    name: str
    size_bytes: int | None = None
    published_at: datetime | None = None
    origin_at: datetime | None = None
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remote:
    """An offer as the inbox remembers it: a row of ingestion.remote."""

    id: int
    inbox: str
    state: str
    offer: Offer
    priority: int
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """Where a product goes: `base` in storage. `check`, called between pieces, raises where the attempt is void."""

    storage: Storage
    base: str
    limits: Limits
    check: Callable[[], None]


class Source(Protocol):
    """One inbox's way to its products."""

    def look(self, cursor: datetime | None) -> AsyncIterator[Sequence[Offer]]:
        """What is offered now, in pieces, the oldest first; known offers may come again.

        `cursor` is the newest publication date that the inbox has seen. Raises where the listing fails: what was not
        listed is not known to be absent.
        """
        ...

    async def bring(self, remote: Remote, recognised: Recognised, place: Place) -> tuple[FileEntry, ...]:
        """Bring a product's bytes, verified, to its place; returns its file table."""
        ...

    async def close(self) -> None: ...
