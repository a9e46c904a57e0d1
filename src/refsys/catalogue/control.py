"""What operators do to published products: withdraw, supersede, republish; one by one, in bulk, down the lineage.

A selection says which; `select` tells what an action would change, `act` does it in pieces, each one transaction with
its entry in the audit trail. Doing it again changes nothing more, so an action that was interrupted is repeated.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from uuid import UUID

import asyncpg

from refsys.catalogue import audit, lineage
from refsys.catalogue.audit import Deed
from refsys.catalogue.compiler import Compiler
from refsys.core.errors import RefsysError
from refsys.core.filters import Expression

#: Products that one transaction changes; publication waits for no longer than that takes.
PIECE: Final = 500
#: What the hubs know as causes of a deletion (standards 2.1).
CAUSES: Final = ("Duplicated product", "Missing checksum", "Corrupted product", "Obsolete product or Other")

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAMED: Final = """
SELECT p.id, p.name, p.revision, p.product_type, p.state FROM catalogue.product p
 WHERE p.name = ANY ($1::text[]) OR p.id = ANY ($2::uuid[])
 ORDER BY p.name, p.revision
"""
_LIKE_THAT: Final = """
SELECT p.id, p.name, p.revision, p.product_type, p.state FROM catalogue.product p
 WHERE p.state = {state} AND p.id > {after} AND {condition}
 ORDER BY p.id LIMIT {limit}
"""
_ANNOUNCE: Final = "SELECT product_id FROM catalogue.announce($1::uuid[], $2, $3)"


class Action(Enum):
    """What can be done; `state` is what products have to be in for it, `kind` what the change feed calls it."""

    WITHDRAW = ("withdraw", "published", "withdrawn")
    SUPERSEDE = ("supersede", "published", "superseded")
    REPUBLISH = ("republish", "withdrawn", "created")

    def __init__(self, word: str, state: str, kind: str) -> None:
        self.word, self.state, self.kind = word, state, kind


@dataclass(frozen=True, slots=True)
class Selection:
    """Products by names or ids, or all that are like `filter`; with `downstream` also what was made with them."""

    names: tuple[str, ...] = ()
    filter: Expression | None = None
    downstream: bool = False

    def __post_init__(self) -> None:
        if not self.names and self.filter is None:
            raise RefsysError("no product is named", advice="say names, ids or a filter")


@dataclass(frozen=True, slots=True)
class Selected:
    """A product that is selected; `step` is its distance from what was asked for (0: that itself)."""

    id: UUID
    name: str
    revision: int
    product_type: str
    state: str
    step: int = 0


@dataclass(slots=True)
class Outcome:
    """`changed` are the products that the action changed, `left` those that were not in the state for it."""

    changed: list[Selected] = field(default_factory=list)
    left: list[Selected] = field(default_factory=list)


async def select(connection: asyncpg.Connection, action: Action, selection: Selection) -> Outcome:
    """What an action would change now, and what it would leave. Raises RefsysError where a name is not known."""
    found: dict[UUID, Selected] = {}
    if selection.names:
        found = {row["id"]: Selected(**row) for row in await _named(connection, selection.names)}
        known = {selected.name for selected in found.values()} | {str(identity) for identity in found}
        if unknown := [name for name in selection.names if name not in known]:
            raise RefsysError(
                f"the catalogue has no {', '.join(unknown[:5])}{' …' if len(unknown) > 5 else ''}",
                advice="nothing was done; `refsys product find --name …` looks for names",
            )
    if selection.filter is not None:
        found |= {row["id"]: Selected(**row) async for row in _like(connection, action, selection.filter)}
    if selection.downstream:
        for relative in await lineage.made_with(connection, list(found)):
            found.setdefault(relative.id, Selected(**{name: getattr(relative, name) for name in _FIELDS}))
    outcome = Outcome()
    for selected in found.values():
        (outcome.changed if selected.state == action.state else outcome.left).append(selected)
    return outcome


async def act(
    connection: asyncpg.Connection,
    action: Action,
    selected: Sequence[Selected],
    deed: Deed,
    *,
    cause: str = CAUSES[-1],
    successor: str = "",
) -> Outcome:
    """Do it to the selected ones; each piece is one transaction.

    `cause` is what users read among the deleted products. `successor` is the product that supersedes them; it has to
    be published. What left the state for it meanwhile is in `left`.
    """
    if action is Action.SUPERSEDE:
        await _check_successor(connection, successor, selected)
    outcome = Outcome()
    for first in range(0, len(selected), PIECE):
        piece = selected[first : first + PIECE]
        async with connection.transaction():
            told = None if action is Action.REPUBLISH else cause
            rows = await connection.fetch(_ANNOUNCE, [one.id for one in piece], action.kind, told)
            changed = {row["product_id"] for row in rows}
            if names := [one.name for one in piece if one.id in changed]:
                details = {"cause": told, "successor": successor}
                given = {what: text for what, text in details.items() if text}
                await audit.record(connection, action.word, deed, names=names, details=given)
        for one in piece:
            (outcome.changed if one.id in changed else outcome.left).append(one)
    return outcome


_FIELDS: Final = ("id", "name", "revision", "product_type", "state", "step")


async def _named(connection: asyncpg.Connection, names: Sequence[str]) -> list[asyncpg.Record]:
    """The products of these names, all revisions, and of these ids."""
    ids = [UUID(name) for name in names if _ID.fullmatch(name)]
    rows: list[asyncpg.Record] = await connection.fetch(_NAMED, names, ids)
    return rows


async def _like(
    connection: asyncpg.Connection, action: Action, expression: Expression
) -> AsyncIterator[asyncpg.Record]:
    after = UUID(int=0)
    while True:
        compiler = Compiler(joins=True)
        sql = _LIKE_THAT.format(
            state=compiler.bind(action.state),
            after=compiler.bind(after),
            condition=compiler.condition(expression),
            limit=compiler.bind(PIECE),
        )
        rows = await connection.fetch(sql, *compiler.args)
        for row in rows:
            yield row
        if len(rows) < PIECE:
            return
        after = rows[-1]["id"]


async def _check_successor(connection: asyncpg.Connection, successor: str, selected: Sequence[Selected]) -> None:
    rows = await _named(connection, [successor])
    if not any(row["state"] == "published" for row in rows):
        raise RefsysError(
            "is not published, so it supersedes nothing", subject=successor or "no successor", advice="publish it first"
        )
    if any(one.id == row["id"] for one in selected for row in rows):
        raise RefsysError("would supersede itself", subject=successor)
