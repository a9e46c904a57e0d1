"""The PRIP root `/prip/odata/v1`: products, their attributes and pictures (distribution 6, standards 2.11).

Whoever said who they are sees, besides what is public, what is visible with a role.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.catalogue import search
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Search
from refsys.core.filters import Comparison, Expression, Literal, Op, Property
from refsys.core.principals import principal_of
from refsys.core.products import canonical_name
from refsys.distribution import assets
from refsys.distribution.assets import Asset
from refsys.distribution.odata import pages
from refsys.distribution.odata.download import Downloads
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.filterlist import read_names
from refsys.distribution.odata.nodes import product_key
from refsys.distribution.paging import InvalidToken, read_token, write_token
from refsys.distribution.prip import documents, filters, metadata
from refsys.distribution.prip.options import COUNT_OPTIONS, ENTITY_OPTIONS, PAGE, Options, parse_options
from refsys.distribution.prip.vocabulary import TYPED, vocabulary
from refsys.distribution.secrets import PAGES
from refsys.distribution.served import Served

#: Where this root is mounted.
ROOT: Final = "/prip/odata/v1"

_JSON: Final = "application/json"
_KEYS: Final = ("p.id", "p.name")
#: Navigation properties whose entities have a path of their own.
_ATTRIBUTE_SETS: Final = ("Attributes", *TYPED)


def routes(served: Served) -> list[Route]:
    """What is mounted under ROOT."""
    root = _Root(served)
    one = "/Products({key})"
    return [
        Route("/", root.service_document),
        Route("/$metadata", root.metadata),
        Route("/Products", root.collection),
        Route("/Products/$count", root.count),
        Route("/Products/OData.CSC.FilterList", root.filter_list, methods=["POST"]),
        Route(one, root.entity),
        Route(f"{one}/$value", root.value),
        Route(f"{one}/Quicklooks", root.quicklooks),
        Route(f"{one}/Quicklooks('{{image}}')/$value", root.picture),
        Route(f"{one}/Quicklooks('{{image}}')", root.quicklook),
        *(Route(f"{one}/{name}", root.attributes, name=name) for name in _ATTRIBUTE_SETS),
        *(Route(f"{one}/{name}", root.not_offered) for name in documents.PROPERTIES),
        *(Route(f"/{name}", root.not_offered) for name in ("Attributes", "Quicklooks")),
    ]


class _Root:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._definitions = served.types.attributes
        self._vocabulary = vocabulary(self._definitions)
        self._downloads = served.once(Downloads)

    async def collection(self, request: Request) -> Response:
        options = parse_options(request.scope["query_string"], self._vocabulary)
        async with self._served.connection() as (connection, budget):
            secret = await self._served.secret(PAGES, connection)
            wanted = Search(
                filter=options.filter,
                order=options.order,
                limit=options.page,
                offset=options.skip,
                after=_after(options, secret),
                scope=_scope(request),
            )
            page = await search.find_page(connection, wanted, columns=_columns(options), budget=budget)
            if page.after is not None and not options.is_paged:
                await self._check_quota(connection, wanted, budget)
            found = await self._entities(connection, page.rows, options)
            count = await search.count(connection, wanted, budget=budget) if options.count else None
        body: dict[str, Any] = {"@odata.context": documents.context("Products", options.select, options.expand)}
        if count is not None:
            body["@odata.count"] = count.number
            if not count.is_exact:
                body[pages.ESTIMATE] = True
        body["value"] = found
        if page.after is not None:
            token = write_token(secret, page.after, options.about)
            body["@odata.nextLink"] = options.next_link(f"{self._served.base_url(request)}{ROOT}/Products", token)
        return _json(body, pages.count_headers(count))

    async def count(self, request: Request) -> Response:
        options = parse_options(request.scope["query_string"], self._vocabulary, COUNT_OPTIONS)
        wanted = Search(filter=options.filter, scope=_scope(request))
        async with self._served.connection() as (connection, budget):
            found = await search.count(connection, wanted, budget=budget)
        return Response(str(found.number), headers=pages.count_headers(found), media_type="text/plain")

    async def filter_list(self, request: Request) -> Response:
        """The products of these names, in the order in which they were named; those that are not there are left out."""
        options = parse_options(request.scope["query_string"], self._vocabulary, ENTITY_OPTIONS)
        names = await read_names(request, PAGE)
        wanted = Search(filter=filters.name_is_in(names), limit=PAGE, scope=_scope(request))
        async with self._served.connection() as (connection, budget):
            rows = await search.find(connection, wanted, columns=_columns(options), budget=budget)
            places = {canonical_name(name): place for place, name in reversed(list(enumerate(names)))}
            rows.sort(key=lambda row: places[row["name"]])
            found = await self._entities(connection, rows, options)
        context = documents.context("Products", options.select, options.expand)
        return _json({"@odata.context": context, "value": found})

    async def entity(self, request: Request) -> Response:
        options = parse_options(request.scope["query_string"], self._vocabulary, ENTITY_OPTIONS)
        async with self._served.connection() as (connection, budget):
            row = await self._row(connection, request, _columns(options), budget)
            [found] = await self._entities(connection, [row], options)
        context = documents.context("Products", options.select, options.expand)
        return _json({"@odata.context": f"{context}/$entity", **found})

    async def attributes(self, request: Request) -> Response:
        """All of a product, or those of one type."""
        parse_options(request.scope["query_string"], self._vocabulary, ("$format",))
        name = request.url.path.rpartition("/")[2]
        async with self._served.connection() as (connection, budget):
            row = await self._row(connection, request, (*_KEYS, documents.ATTRIBUTES_COLUMN), budget)
        found = documents.expanded(row, [name], (), self._definitions)[name]
        return _json({"@odata.context": documents.context(f"Products({row['id']})/{name}"), "value": found})

    async def quicklooks(self, request: Request) -> Response:
        parse_options(request.scope["query_string"], self._vocabulary, ("$format",))
        found = [shown for shown, _ in await self._pictures(request)]
        return _json({"@odata.context": documents.context("Quicklooks"), "value": found})

    async def quicklook(self, request: Request) -> Response:
        parse_options(request.scope["query_string"], self._vocabulary, ("$format",))
        shown, _ = await self._picture(request)
        return _json({"@odata.context": f"{documents.context('Quicklooks')}/$entity", **shown})

    async def picture(self, request: Request) -> Response:
        _, asset = await self._picture(request)
        return await self._downloads.picture(request, asset.id, _scope(request))

    async def value(self, request: Request) -> Response:
        return await self._downloads.value(request, product_key(request.path_params["key"]), _scope(request))

    async def service_document(self, request: Request) -> Response:
        value = [{"name": "Products", "kind": "EntitySet", "url": "Products"}]
        context = f"{self._served.base_url(request)}{ROOT}/$metadata"
        return _json({"@odata.context": context, "value": value})

    async def metadata(self, request: Request) -> Response:
        return Response(metadata.document(), media_type="application/xml")

    async def not_offered(self, request: Request) -> Response:
        name = request.url.path.rpartition("/")[2]
        raise ODataError(f"{name} has no path of its own here; it is at Products(<id>)", status=501)

    async def _check_quota(self, connection: asyncpg.Connection, wanted: Search, budget: Budget) -> None:
        """Raises ODataError (429) where more is found than may be taken without paging, as the ICD demands."""
        quota = self._served.settings.prip.quota
        beyond = Search(filter=wanted.filter, order=wanted.order, limit=1, offset=quota, scope=wanted.scope)
        if await search.find(connection, beyond, columns=_KEYS, budget=budget):
            message = f"more than {quota} products are found: narrow $filter, or take them in pages with $top"
            raise ODataError(message, status=429)

    async def _row(
        self, connection: asyncpg.Connection, request: Request, columns: Iterable[str], budget: Budget
    ) -> asyncpg.Record:
        key = product_key(request.path_params["key"])
        wanted = Search(filter=_id_is(key), limit=1, scope=_scope(request))
        rows = await search.find(connection, wanted, columns=tuple(columns), budget=budget)
        if not rows:
            raise ODataError(f"Products has no {key}", status=404)
        return rows[0]

    async def _entities(
        self, connection: asyncpg.Connection, rows: Iterable[asyncpg.Record], options: Options
    ) -> list[dict[str, Any]]:
        rows = list(rows)
        pictures: Mapping[UUID, list[Asset]] = {}
        if "Quicklooks" in options.expand and rows:
            pictures = await assets.of_products(connection, [row["id"] for row in rows])
        return [
            documents.product(row, options.select)
            | documents.expanded(row, options.expand, pictures.get(row["id"], ()), self._definitions)
            for row in rows
        ]

    async def _pictures(self, request: Request) -> list[tuple[dict[str, Any], Asset]]:
        """The pictures of a product, each as it is shown."""
        async with self._served.connection() as (connection, budget):
            row = await self._row(connection, request, _KEYS, budget)
            found = await assets.of_products(connection, [row["id"]])
        return [(documents.quicklook(row["name"], asset), asset) for asset in found[row["id"]]]

    async def _picture(self, request: Request) -> tuple[dict[str, Any], Asset]:
        image = request.path_params["image"].replace("''", "'")
        for shown, asset in await self._pictures(request):
            if shown["Image"] == image:
                return shown, asset
        raise ODataError(f"the product has no quicklook {image[:200]!a}", status=404)


def _columns(options: Options) -> tuple[str, ...]:
    wants_attributes = set(options.expand) - {"Quicklooks"}
    return (*documents.COLUMNS, documents.ATTRIBUTES_COLUMN) if wants_attributes else documents.COLUMNS


def _scope(request: Request) -> Scope:
    return Scope.PUBLIC if principal_of(request.scope).is_anonymous else Scope.PRODUCTION


def _after(options: Options, secret: bytes) -> tuple[Any, ...] | None:
    if not options.token:
        return None
    try:
        return read_token(secret, options.token, options.about)
    except InvalidToken as error:
        raise ODataError(f"$skiptoken: {error}") from error


def _id_is(key: UUID) -> Expression:
    return Comparison(Property("id"), Op.EQ, Literal(key))


def _json(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), headers=headers, media_type=_JSON)
