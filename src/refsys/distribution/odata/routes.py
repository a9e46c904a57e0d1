"""The CDSE root `/odata/v1`: service document, Products, Attributes, DeletedProducts (standards 2.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.catalogue.compiler import Scope
from refsys.distribution.odata import metadata, nodes
from refsys.distribution.odata.download import Downloads
from refsys.distribution.odata.entities import EntitySet
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.nodes import product_key
from refsys.distribution.odata.options import DELETED_EXPANDABLE, EXPANDABLE
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
    root = _Root(served)
    downloads = served.once(Downloads)

    async def value(request: Request) -> Response:
        return await downloads.value(request, product_key(request.path_params["key"]))

    products, deleted = _sets(served)
    # what is asked for most comes first: routes are tried one by one
    found = []
    for entities in (products, deleted):
        found += [
            Route(f"/{entities.name}", entities.page),
            Route(f"/{entities.name}({{key}})", _one(entities)),
            Route(f"/{entities.name}/$count", entities.count),
        ]
    return [
        *found,
        Route("/Products({key})/$value", value),
        *nodes.routes(served, downloads, ROOT),
        Route("/Products/OData.CSC.FilterList", products.listed, methods=["POST"]),
        Route("/", root.service_document),
        Route("/$metadata", root.metadata),
        Route("/Attributes", root.attributes),
        Route("/Attributes({collection})", root.attributes),
    ]


def _sets(served: Served) -> tuple[EntitySet, EntitySet]:
    """Products and DeletedProducts."""
    products = EntitySet(
        name="Products",
        scope=Scope.PUBLIC,
        vocabulary=Vocabulary(PRODUCTS, served.types.attributes),
        orderable=PRODUCTS_ORDER,
        expandable=EXPANDABLE,
        selectable=metadata.PRODUCT_NAMES,
        served=served,
        root=ROOT,
    )
    deleted = EntitySet(
        name="DeletedProducts",
        scope=Scope.DELETED,
        vocabulary=Vocabulary(DELETED_PRODUCTS, served.types.attributes),
        orderable=DELETED_PRODUCTS_ORDER,
        expandable=DELETED_EXPANDABLE,
        selectable=metadata.DELETED_PRODUCT_NAMES,
        served=served,
        root=ROOT,
    )
    return products, deleted


def _one(entities: EntitySet) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await entities.entity(request, product_key(request.path_params["key"]))

    return endpoint


class _Root:
    def __init__(self, served: Served) -> None:
        self._served = served
        self._types = served.types

    async def service_document(self, request: Request) -> Response:
        value = [{"name": name, "kind": "EntitySet", "url": name} for name in metadata.SETS]
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


def attribute_names(types: TypeRegistry, collection: str = "") -> list[str]:
    """The attributes that products of a collection (of any) can have, by name."""
    kinds = [kind for kind in types.types.values() if not collection or kind.collection == collection]
    return sorted({rule.attribute.name for kind in kinds for rule in kind.attributes})


def _json(value: Mapping[str, Any] | list[Any]) -> Response:
    return Response(orjson.dumps(value), media_type=_JSON)
