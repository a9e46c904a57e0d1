"""The products on offer, by id and by name, in the order of their publication."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from refsys.core.errors import ConfigurationError
from refsys.simulation.station.content import Content
from refsys.simulation.station.model import Offered, offered_id


def utc_now() -> datetime:
    return datetime.now(UTC)


class Shelf:
    """Every method may be called from any thread."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._serials = itertools.count(1)
        self._versions: dict[str, int] = {}
        self._by_name: dict[str, Offered] = {}
        self._by_id: dict[uuid.UUID, Offered] = {}
        self._last = datetime.min.replace(tzinfo=UTC)
        #: Changes with every change of what is offered.
        self.revision = 0

    def put(
        self,
        name: str,
        source: Path | Content,
        *,
        published_at: datetime | None = None,
        size_bytes: int | None = None,
        checksums: Mapping[str, str] | None = None,
    ) -> tuple[Offered, Offered | None]:
        """Offer `source` under `name`, with a new id; return it, and what had that name before.

        PublicationDate is `published_at` as given, or now: then later than every earlier now, by 1 µs at least.
        """
        with self._lock:
            version = self._versions[name] = self._versions.get(name, 0) + 1
            offered = Offered(
                id=offered_id(name, version),
                name=name,
                source=source,
                published_at=self._now() if published_at is None else published_at.astimezone(UTC),
                serial=next(self._serials),
                size_bytes=size_bytes,
                checksums=dict(checksums or {}),
            )
            return offered, self._place(offered)

    def change_quietly(self, name: str, source: Path | Content) -> Offered:
        """Other bytes under the name, the id and the date that were published before."""
        with self._lock:
            offered = replace(self._named(name), source=source, serial=next(self._serials))
            self._place(offered)
            return offered

    def take_away(self, name: str) -> Offered:
        """Offer it no more."""
        with self._lock:
            offered = self._named(name)
            del self._by_name[name], self._by_id[offered.id]
            self.revision += 1
            return offered

    def find(self, identity: uuid.UUID) -> Offered | None:
        return self._by_id.get(identity)

    def named(self, name: str) -> Offered:
        """Raises ConfigurationError where nothing of that name is offered."""
        with self._lock:
            return self._named(name)

    def offered(self) -> list[Offered]:
        """Everything, in the order in which it was put here."""
        with self._lock:
            return list(self._by_name.values())

    def _named(self, name: str) -> Offered:
        if name not in self._by_name:
            raise ConfigurationError("is not offered by this station", subject=name)
        return self._by_name[name]

    def _place(self, offered: Offered) -> Offered | None:
        before = self._by_name.pop(offered.name, None)
        if before is not None:
            del self._by_id[before.id]
        self._by_name[offered.name] = offered
        self._by_id[offered.id] = offered
        self.revision += 1
        return before

    def _now(self) -> datetime:
        self._last = max(self._clock().astimezone(UTC), self._last + timedelta(microseconds=1))
        return self._last
