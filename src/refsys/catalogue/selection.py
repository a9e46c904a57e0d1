"""Selection: which product is taken as an input, obeying bans, pins and activations (spec: catalogue 10 to 12)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg

from refsys.catalogue.model import PRODUCT_COLUMNS, Product
from refsys.catalogue.store import product_from

# Creation is an attribute; as instants are written, the order of their texts is their order.
_LATEST_COVER: Final = """
SELECT {columns}
  FROM catalogue.product p
  LEFT JOIN LATERAL (
       SELECT max(r.id) AS pin FROM catalogue.rule r
        WHERE r.kind = 'pin' AND r.lifted_at IS NULL AND r.name = p.name
          AND catalogue.applies(r, p.name, p.collection, p.product_type, $2, $3)) pinned ON TRUE
 WHERE p.current AND p.deleted_at IS NULL AND p.evicted_at IS NULL
   AND p.product_type = $1 AND p.platform IN ($2, '') AND p.sensing_start <= $3 AND p.sensing_stop >= $4
   AND NOT EXISTS (
       SELECT FROM catalogue.rule r
        WHERE r.lifted_at IS NULL AND r.name = p.name
          AND (r.kind = 'ban' OR r.kind = 'activate' AND $3 < r.sensing_from AND (r.platform IS NULL OR r.platform = $2)))
 ORDER BY pinned.pin DESC NULLS LAST,
          coalesce(p.attributes ->> 'productGeneration', p.attributes ->> 'processingDate', '') COLLATE "C" DESC,
          p.described_at DESC, p.name COLLATE "C" DESC
 LIMIT 1
""".format(columns=", ".join(f"p.{column}" for column in PRODUCT_COLUMNS))


async def latest_cover(
    connection: asyncpg.Connection, product_type: str, platform: str, start: datetime, stop: datetime
) -> Product | None:
    """The newest product (by its creation) that is valid from `start` to `stop`: LatestValCover (spec: catalogue 10.2).

    `platform` is the satellite's letter; what is valid for the whole mission counts too. Unpublished ones do as well.
    """
    row = await connection.fetchrow(_LATEST_COVER, product_type, platform, start, stop)
    return product_from(row) if row else None
