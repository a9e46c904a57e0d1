"""The audit trail: who did what to which products, and why. Entries are only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg

from refsys.core.errors import RefsysError

#: Longest author and reason, in characters.
LONGEST: Final = 2000

_INSERT: Final = """
WITH entry AS (
    INSERT INTO catalogue.audit (author, action, reason, details, rule_id) VALUES ($1, $2, $3, $4, $5) RETURNING id
), about AS (
    INSERT INTO catalogue.audited (audit_id, name)
    SELECT entry.id, name FROM entry, (SELECT DISTINCT unnest($6::text[]) AS name) names
)
SELECT id FROM entry
"""
_ENTRIES: Final = """
SELECT a.id, a.at, a.author, a.action, a.reason, a.details, a.rule_id,
       ARRAY(SELECT d.name FROM catalogue.audited d WHERE d.audit_id = a.id ORDER BY d.name LIMIT 10) AS names,
       (SELECT count(*) FROM catalogue.audited d WHERE d.audit_id = a.id) AS products
  FROM catalogue.audit a
 WHERE ($1 = '' OR a.id IN (SELECT d.audit_id FROM catalogue.audited d WHERE d.name = $1))
   AND ($2::bigint IS NULL OR a.id < $2)
 ORDER BY a.id DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Deed:
    """Who acts, and why: what every action of an operator has to say."""

    author: str
    reason: str

    def __post_init__(self) -> None:
        for what, text in (("author", self.author), ("reason", self.reason)):
            if not text.strip() or len(text) > LONGEST or "\0" in text:
                raise RefsysError(
                    f"the {what} is empty, longer than {LONGEST} characters, or no text",
                    advice="whoever reads the audit trail wants to know who did it, and why",
                )


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `names` are the first ten of the `products` that it was about."""

    id: int
    at: datetime
    author: str
    action: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)
    rule_id: int | None = None
    names: tuple[str, ...] = ()
    products: int = 0


async def record(
    connection: asyncpg.Connection,
    action: str,
    deed: Deed,
    *,
    names: Iterable[str] = (),
    details: Mapping[str, Any] | None = None,
    rule_id: int | None = None,
) -> int:
    """Enter an action into the trail, in the transaction of its effect; returns the entry's id."""
    entry: int = await connection.fetchval(
        _INSERT, deed.author, action, deed.reason, dict(details or {}), rule_id, list(names)
    )
    return entry


async def entries(
    connection: asyncpg.Connection, *, name: str = "", limit: int = 20, before: int | None = None
) -> list[Entry]:
    """The newest entries (about one product), before entry `before`."""
    rows = await connection.fetch(_ENTRIES, name, before, limit)
    return [Entry(**{**row, "names": tuple(row["names"])}) for row in rows]
