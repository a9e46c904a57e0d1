"""Products as a request wants them: found, their documents fetched with them, concatenated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from refsys.catalogue import search, store
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Count, Search
from refsys.distribution import assets
from refsys.distribution.odata import documents, forms
from refsys.distribution.odata.documents import Volatile
from refsys.infra.storage import object_key
from refsys.missions import TypeRegistry

#: Says that `@odata.count` is no count; and the header that says it of every count.
ESTIMATE: Final = "@refsys.countIsEstimate"
COUNT_HEADER: Final = "Refsys-Count"

_COLUMNS: Final = (
    "p.name",
    "p.final_base",
    "p.published_at",
    "p.modified_at",
    "p.online",
    "p.evicted_at",
    "core.body AS core",
)
_DELETED_COLUMNS: Final = ("p.deleted_at", "p.deletion_cause")
_JOIN: Final = """
LEFT JOIN distribution.document {alias}
       ON {alias}.product_id = p.id AND {alias}.kind = '{kind}'
      AND {alias}.render_version = {version} AND {alias}.edition = p.edition"""


@dataclass(frozen=True, slots=True)
class Entities:
    """The members of each product's object, without its braces, and the keys behind which the next page begins."""

    members: list[str]
    after: tuple[Any, ...] | None


async def fetch_page(
    connection: asyncpg.Connection,
    wanted: Search,
    expand: Sequence[str],
    types: TypeRegistry,
    *,
    budget: Budget,
    select: Sequence[str] = (),
    root_url: str = "",
) -> Entities:
    """A page of products. Links in it begin with `root_url`, the address of the OData root. Raises search.TooCostly."""
    columns, joins = [*_COLUMNS], _join("core", documents.PRODUCT)
    if wanted.scope is Scope.DELETED:
        columns += _DELETED_COLUMNS
    if "Attributes" in expand:
        columns.append("attributes.body AS attributes")
        joins += _join("attributes", documents.ATTRIBUTES)
    if "Assets" in expand:
        columns.append(f"{assets.COLUMN} AS assets")
    if "Locations" in expand:
        columns += forms.COLUMNS
        joins += forms.JOIN
    page = await search.find_page(connection, wanted, columns=columns, joins=joins, budget=budget)
    rendered = await _rendered(connection, page.rows, expand, types)
    return Entities(
        [_entity(row, rendered.get(row["page_id"]), expand, select, wanted.scope, root_url) for row in page.rows],
        page.after,
    )


async def fetch_entities(
    connection: asyncpg.Connection,
    wanted: Search,
    expand: Sequence[str],
    types: TypeRegistry,
    *,
    budget: Budget,
    root_url: str = "",
) -> list[str]:
    """`fetch_page`, where nothing comes next."""
    return (await fetch_page(connection, wanted, expand, types, budget=budget, root_url=root_url)).members


def collection(
    entities: Sequence[str], *, context: str, count: Count | None = None, next_link: str | None = None
) -> bytes:
    """A set of entities as OData JSON."""
    counted = "" if count is None else f'"@odata.count":{count.number},'
    if count is not None and not count.is_exact:
        counted += f'"{ESTIMATE}":true,'
    link = "" if next_link is None else f',"@odata.nextLink":{orjson.dumps(next_link).decode()}'
    value = "},{".join(entities)
    return f'{{"@odata.context":"{context}",{counted}"value":[{f"{{{value}}}" if entities else ""}]{link}}}'.encode()


def count_headers(count: Count | None) -> dict[str, str]:
    """The header that says what kind of number a count is."""
    return {} if count is None else {COUNT_HEADER: "exact" if count.is_exact else "estimate"}


def single(entity: str, *, name: str, expand: Sequence[str], select: Sequence[str] = ()) -> bytes:
    """One entity as OData JSON, not wrapped."""
    return f'{{"@odata.context":"{context_of(name, expand, select)}/$entity",{entity}}}'.encode()


def context_of(name: str, expand: Sequence[str], select: Sequence[str] = ()) -> str:
    """The context of a set: what was selected, what was expanded."""
    told = [*select, *(f"{member}()" for member in expand)]
    return f"$metadata#{name}({','.join(told)})" if told else f"$metadata#{name}"


def _entity(
    row: asyncpg.Record,
    rendered: tuple[str, str] | None,
    expand: Sequence[str],
    select: Sequence[str],
    scope: Scope,
    root_url: str,
) -> str:
    is_deleted = scope is Scope.DELETED
    volatile = Volatile(
        published_at=row["published_at"],
        modified_at=row["modified_at"],
        online=row["online"],
        evicted_at=row["evicted_at"],
        key=object_key(row["final_base"], row["name"]),
        deleted_at=row["deleted_at"] if is_deleted else None,
        deletion_cause=row["deletion_cause"] if is_deleted else None,
    )
    members = [documents.fill(rendered[0] if rendered else row["core"], volatile)]
    if select:
        members = [_selected(members[0], select)]
    if "Attributes" in expand:
        members.append(rendered[1] if rendered else row["attributes"])
    if "Assets" in expand:
        members.append(forms.assets_member(row, root_url))
    if "Locations" in expand:
        members.append(forms.locations_member(row, root_url))
    return ",".join(members)


def _selected(members: str, select: Sequence[str]) -> str:
    whole = orjson.loads(f"{{{members}}}")
    return orjson.dumps({name: value for name, value in whole.items() if name in select or name[0] == "@"})[
        1:-1
    ].decode()


async def _rendered(
    connection: asyncpg.Connection, rows: Sequence[asyncpg.Record], expand: Sequence[str], types: TypeRegistry
) -> Mapping[UUID, tuple[str, str]]:
    """Documents of those products that have none of this version and edition."""
    needs_attributes = "Attributes" in expand
    missing = [
        row["page_id"] for row in rows if row["core"] is None or (needs_attributes and row["attributes"] is None)
    ]
    if not missing:
        return {}
    return {
        product.id: (
            documents.render_product(product),
            documents.render_attributes(product.attributes, types.attributes) if needs_attributes else "",
        )
        for product in await store.fetch_products(connection, missing)
    }


def _join(alias: str, kind: str) -> str:
    return _JOIN.format(alias=alias, kind=kind, version=documents.RENDER_VERSION)
