"""The CDSE root `/odata/v1`: service document, Products, Attributes, DeletedProducts (standards 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.catalogue import search
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Search
from refsys.core.filters import Comparison, Literal, Op, Property, all_of
from refsys.distribution.odata import metadata, pages
from refsys.distribution.odata.download import Downloads
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.options import (
    COUNT_OPTIONS,
    ENTITY_OPTIONS,
    MAX_SKIP,
    SET_OPTIONS,
    Options,
    parse_options,
)
from refsys.distribution.odata.vocabulary import (
    DELETED_PRODUCTS,
    DELETED_PRODUCTS_ORDER,
    PRODUCTS,
    PRODUCTS_ORDER,
    Vocabulary,
)
from refsys.distribution.served import Served
from refsys.missions import TypeRegistry

#: Where this root is mounted.
ROOT: Final = "/odata/v1"

_JSON: Final = "application/json"


def routes(served: Served) -> list[Route]:
    """What is mounted under ROOT."""
    types = served.types
    root = _Root(served)
    downloads = Downloads(served.storage, served.connection)

    async def value(request: Request) -> Response:
        return await downloads.value(request, product_key(request.path_params["key"]))

    sets = (
        _Set("Products", Scope.PUBLIC, Vocabulary(PRODUCTS, types.attributes), PRODUCTS_ORDER),
        _Set("DeletedProducts", Scope.DELETED, Vocabulary(DELETED_PRODUCTS, types.attributes), DELETED_PRODUCTS_ORDER),
    )
    found = [
        Route("/", root.service_document),
        Route("/$metadata", root.metadata),
        Route("/Attributes", root.attributes),
        Route("/Attributes({collection})", root.attributes),
        Route("/Products({key})/$value", value),
    ]
    for entities in sets:
        found += [
            Route(f"/{entities.name}", root.on(entities, _Root.collection)),
            Route(f"/{entities.name}/$count", root.on(entities, _Root.count)),
            Route(f"/{entities.name}({{key}})", root.on(entities, _Root.entity)),
        ]
    return found


class _Set:
    """A set of entities: its name, what it shows, what may be asked of it."""

    def __init__(self, name: str, scope: Scope, vocabulary: Vocabulary, orderable: tuple[str, ...]) -> None:
        self.name = name
        self.scope = scope
        self.vocabulary = vocabulary
        self.orderable = orderable

    def options(self, request: Request, known: tuple[str, ...]) -> Options:
        query: bytes = request.scope["query_string"]
        return parse_options(query, self.vocabulary, known=known, orderable=self.orderable)


class _Root:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._types = served.types

    def on(self, entities: _Set, answer: Any) -> Any:
        """An endpoint that answers for one set."""

        async def endpoint(request: Request) -> Response:
            response: Response = await answer(self, entities, request)
            return response

        return endpoint

    async def collection(self, entities: _Set, request: Request) -> Response:
        options = entities.options(request, SET_OPTIONS)
        # one more than wanted tells whether there is another page
        wanted = Search(
            filter=options.filter,
            order=options.order,
            limit=options.top + 1 if options.top else 0,
            offset=options.skip,
            scope=entities.scope,
        )
        async with self._served.connection() as (connection, budget):
            found = await pages.fetch_entities(connection, wanted, options.expand, self._types, budget=budget)
            count = (await search.count(connection, wanted, budget=budget)).number if options.count else None
        link = None
        if len(found) > options.top and options.top and options.skip + options.top <= MAX_SKIP:
            link = options.next_link(self._url(request, entities.name))
        body = pages.collection(
            found[: options.top], name=entities.name, expand=options.expand, count=count, next_link=link
        )
        return Response(body, media_type=_JSON)

    async def entity(self, entities: _Set, request: Request) -> Response:
        options = entities.options(request, ENTITY_OPTIONS)
        key = product_key(request.path_params["key"])
        wanted = Search(filter=Comparison(Property("id"), Op.EQ, Literal(key)), limit=1, scope=entities.scope)
        async with self._served.connection() as (connection, budget):
            found = await pages.fetch_entities(connection, wanted, options.expand, self._types, budget=budget)
        if not found:
            raise ODataError(f"{entities.name} has no {key}", status=404)
        return Response(pages.single(found[0], name=entities.name, expand=options.expand), media_type=_JSON)

    async def count(self, entities: _Set, request: Request) -> Response:
        options = entities.options(request, COUNT_OPTIONS)
        async with self._served.connection() as (connection, budget):
            found = await search.count(
                connection,
                Search(filter=all_of(options.filter), scope=entities.scope),
                budget=budget,
            )
        return Response(str(found.number), media_type="text/plain")

    async def service_document(self, request: Request) -> Response:
        names = ("Products", "DeletedProducts")
        value = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
        return _json({"@odata.context": f"{self._url(request, '')}$metadata", "value": value})

    async def metadata(self, request: Request) -> Response:
        return Response(metadata.document(), media_type="application/xml")

    async def attributes(self, request: Request) -> Response:
        """A bare list, as clients expect it (standards 2.14)."""
        collection = request.path_params.get("collection", "").strip("'")
        names = attribute_names(self._types, collection)
        if collection and not names:
            known = sorted({kind.collection for kind in self._types.types.values()} - {""})
            raise ODataError(f"there is no collection {collection!a}; there are {', '.join(known)}", status=404)
        return _json([{"Name": name, "ValueType": self._types.attributes[name].type} for name in names])

    def _url(self, request: Request, name: str) -> str:
        return f"{self._served.base_url(request)}{ROOT}/{name}"


def product_key(text: str) -> UUID:
    """The key of `Products(…)`, quoted or not. Raises ODataError (400) where it cannot be one."""
    try:
        return UUID(text.strip("'"))
    except ValueError as error:
        raise ODataError(f"{text[:60]!a} is not an id; for example 00000000-0000-4000-8000-000000000000") from error


def attribute_names(types: TypeRegistry, collection: str = "") -> list[str]:
    """The attributes that products of a collection (of any) can have, by name."""
    kinds = [kind for kind in types.types.values() if not collection or kind.collection == collection]
    return sorted({rule.attribute.name for kind in kinds for rule in kind.attributes})


def _json(value: Mapping[str, Any] | list[Any]) -> Response:
    return Response(orjson.dumps(value), media_type=_JSON)
