"""What describing products anew by other tables would change: read from catalogue and storage, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from refsys.catalogue import stale, store
from refsys.catalogue.auxiliaries import Auxiliaries
from refsys.catalogue.fingerprints import names_fingerprint
from refsys.catalogue.model import Product
from refsys.catalogue.redescribe import Redescribed, redescribe
from refsys.catalogue.stale import PAGE, START
from refsys.infra.storage import Storage
from refsys.missions import TypeRegistry


@dataclass(frozen=True, slots=True)
class Preview:
    """`affected`: products to be described anew, by the id of the type that they have now; `samples` of each type.

    Most of those that are affected may turn out to stay as they are: the samples say which do not, and how.
    """

    affected: Mapping[str, int]
    samples: tuple[Redescribed, ...]


async def preview(
    pool: asyncpg.Pool, storage: Storage, types: TypeRegistry, *, type_id: str = "", limit: int = 5
) -> Preview:
    """Compare these tables with the catalogue; `limit` products of each type are described anew, to see what changes.

    `type_id` narrows it to products that are, or would be, of this type. Raises Transient where storage does not
    answer.
    """
    affected: Counter[str] = Counter()
    chosen: list[Product] = []
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        for found, fingerprint in (await stale.stale_types(connection, types)).items():
            if type_id in ("", found):
                affected[found] = await stale.count_stale(connection, found, fingerprint)
                chosen += (await stale.stale_of_type(connection, found, fingerprint, START, limit=limit)).products
        if await stale.looked_at(connection) != names_fingerprint(types):
            renamed, sampled = await _renamed(connection, types, type_id, frozenset(affected), limit)
            affected += renamed
            chosen += sampled
    auxiliaries = Auxiliaries(pool, storage, types)
    samples: list[Redescribed] = []
    for product in chosen:
        async with pool.acquire() as connection:
            whole = await store.fetch_whole(connection, product.content_id)
        if whole is not None and whole[1]:
            samples.append(await redescribe(product, *whole, types=types, storage=storage, auxiliaries=auxiliaries))
    return Preview(dict(affected), tuple(samples))


async def _renamed(
    connection: asyncpg.Connection, types: TypeRegistry, type_id: str, counted: frozenset[str], limit: int
) -> tuple[Counter[str], list[Product]]:
    """Products whose name is that of another type, but for those of types that are counted already."""
    affected: Counter[str] = Counter()
    chosen: list[Product] = []
    place, is_last = START, False
    while not is_last:
        batch = await stale.stale_by_name(connection, types, place, limit=PAGE)
        place, is_last = batch.place, batch.is_last
        for product in batch.products:
            becomes = types.recognise(product.name).type.id
            if product.type_id in counted or type_id not in ("", product.type_id, becomes):
                continue
            affected[product.type_id] += 1
            if affected[product.type_id] <= limit:
                chosen.append(product)
    return affected, chosen
