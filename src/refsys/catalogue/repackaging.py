"""Published products whose type is packaged in another way now: each gets a revision, with the same files.

A package that was published never changes. So the new one is that of a new revision, which takes the place of the
published one when it is published itself; until then users have the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from refsys.catalogue import audit, commands, control
from refsys.catalogue.audit import Deed
from refsys.catalogue.control import PIECE, Action, Outcome, Selected, Selection
from refsys.missions import TypeRegistry

#: What the audit trail calls it.
WORD: Final = "repackage"

# what is not ours to write beside, or has no bytes, stays; so does what waits for a revision already
_OTHERWISE: Final = """
SELECT p.id, t.packaging
  FROM catalogue.product p
  JOIN catalogue.content c ON c.id = p.content_id
  JOIN unnest($2::text[], $3::text[], $4::int[]) AS t(id, packaging, layout) ON t.id = p.type_id
 WHERE p.id = ANY ($1::uuid[]) AND p.state = 'published' AND p.current AND p.online AND p.package_layout IS NOT NULL
   AND NOT c.in_place AND p.package_layout <> t.layout AND 'bare' NOT IN (p.packaging, t.packaging)
"""
_HOLD: Final = "SELECT 1 FROM catalogue.hold_names($1)"


async def select(
    connection: asyncpg.Connection, selection: Selection, types: TypeRegistry, layouts: Mapping[str, int]
) -> Outcome:
    """Which products would get a revision, and which would be left: not published, or packaged as their type says.

    `layouts` is the layout that each packaging has today. Raises RefsysError where a name is not known.
    """
    found = await control.select(connection, Action.SUPERSEDE, selection)
    wanted = set[UUID]()
    for first in range(0, len(found.changed), PIECE):
        wanted |= set(await _otherwise(connection, found.changed[first : first + PIECE], types, layouts))
    return Outcome(
        [one for one in found.changed if one.id in wanted],
        [one for one in found.changed if one.id not in wanted] + found.left,
    )


async def act(
    connection: asyncpg.Connection,
    selected: Sequence[Selected],
    types: TypeRegistry,
    layouts: Mapping[str, int],
    deed: Deed,
) -> Outcome:
    """Make the revisions, in pieces, each one transaction with its entry in the audit trail; their packaging is due.

    What is not as it was selected any more is in `left`.
    """
    outcome = Outcome()
    for first in range(0, len(selected), PIECE):
        piece = selected[first : first + PIECE]
        async with connection.transaction():
            await connection.execute(_HOLD, sorted({one.name for one in piece}))
            packagings = await _otherwise(connection, piece, types, layouts)
            for identity, packaging in packagings.items():
                await commands.revise(connection, identity, packaging)
            if names := [one.name for one in piece if one.id in packagings]:
                await audit.record(connection, WORD, deed, names=names)
        for one in piece:
            (outcome.changed if one.id in packagings else outcome.left).append(one)
    return outcome


async def _otherwise(
    connection: asyncpg.Connection, selected: Sequence[Selected], types: TypeRegistry, layouts: Mapping[str, int]
) -> dict[UUID, str]:
    """Those that are packaged in another way than their type says, and how it says."""
    ids = [one.id for one in selected]
    packagings = [kind.packaging for kind in types.types.values()]
    rows = await connection.fetch(
        _OTHERWISE, ids, list(types.types), packagings, [layouts[each] for each in packagings]
    )
    return {row["id"]: row["packaging"] for row in rows}
