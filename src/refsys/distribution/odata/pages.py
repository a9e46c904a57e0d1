"""Products as a request wants them: found, their documents fetched with them, concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import orjson

from refsys.catalogue import search, store
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Search
from refsys.distribution.odata import documents
from refsys.distribution.odata.documents import Volatile
from refsys.infra.storage import object_key
from refsys.missions import TypeRegistry

_COLUMNS: Final = (
    "p.id",
    "p.name",
    "p.final_base",
    "p.published_at",
    "p.modified_at",
    "p.online",
    "p.evicted_at",
    "p.deleted_at",
    "p.deletion_cause",
    "core.body AS core",
)
_JOIN: Final = """
LEFT JOIN distribution.document {alias}
       ON {alias}.product_id = p.id AND {alias}.kind = '{kind}'
      AND {alias}.render_version = {version} AND {alias}.edition = p.edition"""


async def fetch_entities(
    connection: asyncpg.Connection, wanted: Search, expand: Sequence[str], types: TypeRegistry, *, budget: Budget
) -> list[str]:
    """The members of each product's object, without its braces. Raises search.TooCostly."""
    columns, joins = [*_COLUMNS], _join("core", documents.PRODUCT)
    if "Attributes" in expand:
        columns.append("attributes.body AS attributes")
        joins += _join("attributes", documents.ATTRIBUTES)
    rows = await search.find(connection, wanted, columns=columns, joins=joins, budget=budget)
    return [await _entity(connection, row, expand, types, wanted.scope) for row in rows]


def collection(
    entities: Sequence[str], *, name: str, expand: Sequence[str], count: int | None, next_link: str | None
) -> bytes:
    """A set of entities as OData JSON."""
    context = orjson.dumps(f"$metadata#{name}{expanded(expand)}").decode()
    counted = "" if count is None else f'"@odata.count":{count},'
    link = "" if next_link is None else f',"@odata.nextLink":{orjson.dumps(next_link).decode()}'
    value = ",".join([f"{{{entity}}}" for entity in entities])
    return f'{{"@odata.context":{context},{counted}"value":[{value}]{link}}}'.encode()


def single(entity: str, *, name: str, expand: Sequence[str]) -> bytes:
    """One entity as OData JSON, not wrapped."""
    context = orjson.dumps(f"$metadata#{name}{expanded(expand)}/$entity").decode()
    return f'{{"@odata.context":{context},{entity}}}'.encode()


def expanded(expand: Sequence[str]) -> str:
    """What the context says of `$expand`."""
    return f"({','.join(f'{name}()' for name in expand)})" if expand else ""


async def _entity(
    connection: asyncpg.Connection, row: asyncpg.Record, expand: Sequence[str], types: TypeRegistry, scope: Scope
) -> str:
    core: str | None = row["core"]
    attributes: str | None = row["attributes"] if "Attributes" in expand else ""
    if core is None or attributes is None:
        core, attributes = await _render(connection, row["id"], types)
    is_deleted = scope is Scope.DELETED
    volatile = Volatile(
        published_at=row["published_at"],
        modified_at=row["modified_at"],
        online=row["online"],
        evicted_at=row["evicted_at"],
        key=object_key(row["final_base"], row["name"]),
        deleted_at=row["deleted_at"] if is_deleted else None,
        deletion_cause=row["deletion_cause"],
    )
    members = [documents.fill(core, volatile)]
    if "Attributes" in expand:
        members.append(attributes)
    if "Assets" in expand:
        # quick-looks and other assets of their own do not exist yet
        members.append('"Assets":[]')
    return ",".join(members)


async def _render(connection: asyncpg.Connection, product_id: Any, types: TypeRegistry) -> tuple[str, str]:
    """Documents of a product that has none of this version and edition."""
    product = await store.fetch_product(connection, product_id)
    assert product is not None  # nothing deletes rows of products
    return documents.render_product(product), documents.render_attributes(product.attributes, types.attributes)


def _join(alias: str, kind: str) -> str:
    return _JOIN.format(alias=alias, kind=kind, version=documents.RENDER_VERSION)
