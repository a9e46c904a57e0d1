"""Rules that operators set over products: bans, pins and activations of auxiliaries, visibility, holds.

Selections obey the first three (refsys.catalogue.selection), every search obeys visibility (refsys.catalogue.compiler),
publication obeys holds (catalogue.publish). A rule is in force from its transaction on until it is lifted; rules are
never deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Final

import asyncpg

from refsys.catalogue import audit, store
from refsys.catalogue.audit import Deed
from refsys.core import steps
from refsys.core.errors import RefsysError
from refsys.core.times import format_instant


class Kind(StrEnum):
    """What a rule does (migration 0013)."""

    BAN = "ban"
    PIN = "pin"
    ACTIVATE = "activate"
    VISIBILITY = "visibility"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which products a rule applies to: those that have all that is given. `sensing_until` is exclusive.

    Of a pin or an activation platform and sensing times are those of what is processed with the named file.
    """

    name: str | None = None
    collection: str | None = None
    product_type: str | None = None
    platform: str | None = None
    sensing_from: datetime | None = None
    sensing_until: datetime | None = None

    def __post_init__(self) -> None:
        if all(value is None for value in asdict(self).values()):
            raise RefsysError(
                "the rule would apply to every product",
                advice="say a name, a product type, a collection, a satellite or sensing times",
            )
        if self.sensing_from and self.sensing_until and self.sensing_until <= self.sensing_from:
            raise RefsysError("the rule ends before it begins", advice="exchange the two sensing times")

    def __str__(self) -> str:
        """`product type IW_GRDH_1S, satellite C, sensing from 2025-01-01T00:00:00.000000Z`."""
        told = {
            "": self.name,
            "collection ": self.collection,
            "product type ": self.product_type,
            "satellite ": self.platform,
            "sensing from ": format_instant(self.sensing_from) if self.sensing_from else None,
            "sensing until ": format_instant(self.sensing_until) if self.sensing_until else None,
        }
        return ", ".join(f"{what}{value}" for what, value in told.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: table catalogue.rule, column by column."""

    id: int
    kind: Kind
    name: str | None
    collection: str | None
    product_type: str | None
    platform: str | None
    sensing_from: datetime | None
    sensing_until: datetime | None
    visibility: str | None
    reason: str
    author: str
    made_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None

    @property
    def about(self) -> About:
        return About(**{field.name: getattr(self, field.name) for field in fields(About)})


class NoSuchRule(RefsysError):
    """There is no rule like that in force."""


class Contradiction(RefsysError):
    """A rule that another rule in force makes void."""


_COLUMNS: Final = ", ".join(f"r.{field.name}" for field in fields(Rule))
_ONE: Final = " ".join(("SELECT", _COLUMNS, "FROM catalogue.rule r WHERE r.id = $1"))
_IN_FORCE: Final = " ".join(
    (
        "SELECT",
        _COLUMNS,
        "FROM catalogue.rule r WHERE (cardinality($1::text[]) = 0 OR r.kind = ANY ($1))",
        "AND ($2 OR r.lifted_at IS NULL) AND ($3::text IS NULL OR r.name = $3) ORDER BY r.id DESC",
    )
)
_APPLYING: Final = " ".join(
    (
        "SELECT",
        _COLUMNS,
        "FROM catalogue.product p JOIN catalogue.rule r ON CASE WHEN r.kind IN ('ban', 'pin', 'activate')",
        "THEN r.name = p.name",
        "ELSE catalogue.applies(r, p.name, p.collection, p.product_type, p.platform, p.sensing_start) END",
        "WHERE p.name = $1 AND p.current AND r.lifted_at IS NULL ORDER BY r.id DESC",
    )
)
_INSERT: Final = """
INSERT INTO catalogue.rule (kind, name, collection, product_type, platform, sensing_from, sensing_until, visibility,
                            reason, author)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id
"""
_LIFT: Final = """
UPDATE catalogue.rule SET lifted_at = clock_timestamp(), lifted_by = $2, lift_reason = $3
 WHERE id = $1 AND lifted_at IS NULL
"""
# What only this hold kept from being published: its step is made anew.
_RELEASE: Final = """
SELECT work.emit($2, p.name, jsonb_build_object('product_id', p.id, 'content_id', p.content_id), $3, 1)
  FROM catalogue.rule r JOIN catalogue.product p ON p.state = 'packaged'
   AND catalogue.applies(r, p.name, p.collection, p.product_type, p.platform, p.sensing_start)
 WHERE r.id = $1 AND NOT EXISTS (
       SELECT FROM catalogue.rule o WHERE o.kind = 'hold' AND o.lifted_at IS NULL
          AND catalogue.applies(o, p.name, p.collection, p.product_type, p.platform, p.sensing_start))
"""


async def add(
    connection: asyncpg.Connection, kind: Kind, about: About, deed: Deed, *, visibility: str | None = None
) -> Rule:
    """Put a rule into force, in the caller's transaction, which it should end with.

    Raises RefsysError where it is about a product that the catalogue does not know, Contradiction where a file that
    is banned would be pinned. A ban lifts what else is in force about its file.
    """
    if about.name is not None:
        await _settle_others(connection, kind, about.name, deed)
    if kind is Kind.HOLD:
        # behind every publication that is on its way: when this returns and is committed, the hold holds
        await connection.execute("SELECT catalogue.lock_feed()")
    values = asdict(about)
    rule_id = await connection.fetchval(_INSERT, kind, *values.values(), visibility, deed.reason, deed.author)
    rule = await fetch(connection, rule_id)
    await _record(connection, kind, rule, deed)
    return rule


async def lift(connection: asyncpg.Connection, rule_id: int, deed: Deed, *, kinds: Sequence[Kind] = ()) -> Rule:
    """End a rule; what a hold kept becomes due for publication. Raises NoSuchRule where it is not in force."""
    rule = await fetch(connection, rule_id)
    is_wanted = rule.kind in kinds if kinds else True
    if not is_wanted or await connection.execute(_LIFT, rule_id, deed.author, deed.reason) == "UPDATE 0":
        what = f" ({' or '.join(kinds)})" if kinds else ""
        raise NoSuchRule(f"no rule {rule_id}{what} is in force", advice="list the rules for their numbers")
    if rule.kind is Kind.HOLD:
        await connection.execute(_RELEASE, rule_id, steps.PRODUCT_PACKAGED, steps.PRIORITY_NORMAL)
    await _record(connection, f"lift {rule.kind}", rule, deed)
    return await fetch(connection, rule_id)


async def fetch(connection: asyncpg.Connection, rule_id: int) -> Rule:
    """One rule, lifted or not. Raises NoSuchRule."""
    row = await connection.fetchrow(_ONE, rule_id)
    if row is None:
        raise NoSuchRule(f"there is no rule {rule_id}", advice="list the rules for their numbers")
    return _rule(row)


async def in_force(
    connection: asyncpg.Connection, kinds: Sequence[Kind] = (), *, name: str | None = None, lifted_too: bool = False
) -> list[Rule]:
    """The rules of these kinds (all, where none is given), the newest first."""
    return [_rule(row) for row in await connection.fetch(_IN_FORCE, list(kinds), lifted_too, name)]


async def applying(connection: asyncpg.Connection, name: str) -> list[Rule]:
    """The rules in force that apply to a product, the newest first."""
    return [_rule(row) for row in await connection.fetch(_APPLYING, name)]


async def _settle_others(connection: asyncpg.Connection, kind: Kind, name: str, deed: Deed) -> None:
    if await store.fetch_current(connection, name) is None:
        raise RefsysError(
            "the catalogue has no such product", subject=name, advice="see `refsys product find --name …`"
        )
    about_files = (Kind.BAN, Kind.PIN, Kind.ACTIVATE)
    if kind not in about_files:
        return
    for other in await in_force(connection, about_files, name=name):
        if other.kind is Kind.BAN and kind is not Kind.BAN:
            raise Contradiction(
                f"is banned by rule {other.id} ({other.reason})", subject=name, advice="lift the ban first"
            )
        if kind is Kind.BAN or other.kind is kind:
            await lift(connection, other.id, deed)


async def _record(connection: asyncpg.Connection, action: str, rule: Rule, deed: Deed) -> None:
    details = {"visibility": rule.visibility, "applies to": str(rule.about)}
    given = {what: text for what, text in details.items() if text and text != rule.name}
    names = [rule.name] if rule.name else []
    await audit.record(connection, action, deed, names=names, details=given, rule_id=rule.id)


def _rule(row: asyncpg.Record) -> Rule:
    return Rule(**{**row, "kind": Kind(row["kind"])})
