"""Imports that go on where they were stopped, and what became of each product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

import asyncpg

from refsys.catalogue import audit
from refsys.catalogue.audit import Deed
from refsys.core.errors import RefsysError

_OPEN: Final = (
    "SELECT place, counts, finished_at IS NOT NULL AS is_over FROM catalogue.import_run WHERE kind = $1 AND source = $2"
)
_BEGIN: Final = """
INSERT INTO catalogue.import_run (kind, source, place) VALUES ($1, $2, $3)
ON CONFLICT (kind, source) DO UPDATE
   SET place = $3, counts = '{}', started_at = clock_timestamp(), moved_at = clock_timestamp(), finished_at = NULL
"""
_MOVE: Final = """
UPDATE catalogue.import_run SET place = $3, counts = $4, moved_at = clock_timestamp() WHERE kind = $1 AND source = $2
"""
_FINISH: Final = """
UPDATE catalogue.import_run SET counts = $3, finished_at = clock_timestamp() WHERE kind = $1 AND source = $2
"""
_KNOWN: Final = """
SELECT name FROM unnest($1::text[]) AS name
 WHERE EXISTS (SELECT FROM catalogue.product p WHERE p.name = name.name)
    OR EXISTS (SELECT FROM catalogue.content c WHERE c.name = name.name AND c.discarded_at IS NULL)
"""
# a lock of the session: it ends with its connection, however that ends
_HOLD: Final = "SELECT pg_try_advisory_lock(731029825, hashtext($1 || ' ' || $2))"


class Outcome(StrEnum):
    """What became of a product."""

    ENTERED = "entered"
    KNOWN = "already there"
    HELD = "held"
    UNKNOWN_TYPE = "unknown type"
    ARCHIVE = "archive"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report: a product, or what should have been one; `place` is where it was found."""

    outcome: Outcome
    name: str
    place: str
    why: str = ""


class Report(Protocol):
    """Takes the lines, when they are committed."""

    def __call__(self, lines: Sequence[Line], /) -> None: ...


@dataclass(slots=True)
class Run:
    """One import of one source. With `dry_run` nothing is written, and a place that was reached is not looked at."""

    connection: asyncpg.Connection
    kind: str
    source: str
    report: Report
    dry_run: bool
    place: dict[str, Any] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    is_resumed: bool = False

    @classmethod
    async def open(
        cls,
        connection: asyncpg.Connection,
        kind: str,
        source: str,
        report: Report,
        *,
        dry_run: bool = False,
        again: bool = False,
        goes_on: bool = False,
    ) -> Run:
        """Go on where the last import of this source was stopped; `again`: from the beginning.

        `goes_on`: also where it came to an end, for sources that only ever grow there. Raises RefsysError where another
        process imports it just now.
        """
        run = cls(connection, kind, source, report, dry_run)
        if dry_run:
            return run
        if not await connection.fetchval(_HOLD, kind, source):
            raise RefsysError("is being imported by another process", subject=source, advice="wait until that ends")
        before = await connection.fetchrow(_OPEN, kind, source)
        if before is not None and not again and (goes_on or not before["is_over"]):
            run.place, run.is_resumed = before["place"], bool(before["place"])
        if before is None or before["is_over"] or again:
            await connection.execute(_BEGIN, kind, source, run.place)
        else:
            run.counts.update(before["counts"])
        return run

    async def move(self, place: Mapping[str, Any], lines: Sequence[Line]) -> None:
        """Remember how far it has come, in the transaction of what was entered; call `told` when it is committed."""
        if not self.dry_run:
            counts = self.counts + Counter(line.outcome.value for line in lines)
            await self.connection.execute(_MOVE, self.kind, self.source, dict(place), dict(counts))

    def told(self, place: Mapping[str, Any], lines: Sequence[Line]) -> None:
        """Count and report what was committed."""
        self.place = dict(place)
        self.counts.update(line.outcome.value for line in lines)
        self.report(lines)

    async def finish(self, deed: Deed) -> None:
        """The source is at its end: enter it into the audit trail."""
        if self.dry_run:
            return
        async with self.connection.transaction():
            await self.connection.execute(_FINISH, self.kind, self.source, dict(self.counts))
            details = {"kind": self.kind, "source": self.source, "counts": dict(self.counts)}
            await audit.record(self.connection, "import", deed, details=details)


async def known_names(connection: asyncpg.Connection, names: Sequence[str]) -> set[str]:
    """Which of the names the catalogue has, as a product or on its way to become one."""
    return {row["name"] for row in await connection.fetch(_KNOWN, names)}
