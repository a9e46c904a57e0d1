"""Lineage: what a product was made from, and all that was made with it, however far down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

# Longer chains of production do not exist; a circle, which cannot come to be, would end here.
_MOST_STEPS: Final = 50

_MADE_WITH: Final = """
WITH RECURSIVE made(id, step) AS (
    SELECT i.product_id, 1 FROM catalogue.input i WHERE i.input_id = ANY ($1::uuid[])
    UNION
    SELECT i.product_id, made.step + 1 FROM made JOIN catalogue.input i ON i.input_id = made.id
     WHERE made.step < $2
), nearest AS (
    SELECT id, min(step) AS step FROM made WHERE id <> ALL ($1::uuid[]) GROUP BY id
)
SELECT p.id, p.name, p.revision, p.product_type, p.state, nearest.step
  FROM nearest JOIN catalogue.product p ON p.id = nearest.id
 ORDER BY nearest.step, p.name, p.revision
"""
_INPUTS: Final = """
SELECT p.id, p.name, p.revision, p.product_type, p.state, 1 AS step
  FROM catalogue.input i JOIN catalogue.product p ON p.id = i.input_id
 WHERE i.product_id = $1 ORDER BY p.name, p.revision
"""
_REVISIONS: Final = "SELECT id FROM catalogue.product WHERE name = ANY ($1::text[])"


@dataclass(frozen=True, slots=True)
class Relative:
    """A product related by production; `step` is how many jobs lie between at least (1: directly)."""

    id: UUID
    name: str
    revision: int
    product_type: str
    state: str
    step: int


async def made_with(connection: asyncpg.Connection, ids: Sequence[UUID]) -> list[Relative]:
    """Every product that was made with one of these, directly or through others, the nearest first."""
    return [Relative(**row) for row in await connection.fetch(_MADE_WITH, ids, _MOST_STEPS)]


async def inputs_of(connection: asyncpg.Connection, product_id: UUID) -> list[Relative]:
    """The products that a product was made from directly."""
    return [Relative(**row) for row in await connection.fetch(_INPUTS, product_id)]


async def blast_radius(connection: asyncpg.Connection, names: Sequence[str]) -> list[Relative]:
    """Every product that was made with any revision of these names, directly or through others."""
    ids = [row["id"] for row in await connection.fetch(_REVISIONS, names)]
    return await made_with(connection, ids)
