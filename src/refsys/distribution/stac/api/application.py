"""The application of stac-fastapi with a client of our own: its routes, extensions, models and OpenAPI description.

Requests are read by the client (asked.py), not by FastAPI, whose reading costs more than a search: the models only say
in the description what the client takes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    create_get_request_model,
    create_post_request_model,
)
from stac_fastapi.extensions.collection_search import CollectionSearchExtension
from stac_fastapi.extensions.fields import FieldsExtension
from stac_fastapi.extensions.filter import FilterConformanceClasses, FilterExtension
from stac_fastapi.extensions.filter.client import AsyncBaseFiltersClient
from stac_fastapi.extensions.free_text import FreeTextConformanceClasses, FreeTextExtension
from stac_fastapi.extensions.pagination import PaginationExtension
from stac_fastapi.extensions.query import QueryExtension
from stac_fastapi.extensions.sort import SortExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.conformance import BASE_CONFORMANCE_CLASSES, OAFConformanceClasses
from stac_fastapi.types.core import AsyncBaseCoreClient
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from refsys import __version__
from refsys.distribution.cql2 import CONFORMANCE
from refsys.distribution.served import Served
from refsys.distribution.stac.api import ROOT
from refsys.distribution.stac.api.answers import Answers
from refsys.distribution.stac.api.documents import DESCRIPTION, HTML, JSON, OPENAPI, TITLE
from refsys.distribution.stac.api.errors import handlers
from refsys.distribution.stac.api.models import ItemsGet, SearchGet, SearchPost
from refsys.distribution.stac.api.service_doc import CSP, service_doc

_STAC: Final = "https://api.stacspec.org/v1.0.0"
_ERROR: Final = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "description": {"type": "string"}},
    "required": ["code", "description"],
}
_ERRORS: Final = {
    "400": "The request cannot be meant; the description says why",
    "404": "There is no such collection or item",
    "503": "The search is too costly, or the database does not answer",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def mount(served: Served) -> Mount:
    """The API under ROOT. Its errors have its own shape; what it does not know is raised."""
    answers = Answers(served)
    router = Router([*_routes(answers), *_descriptions(answers)], redirect_slashes=False)
    return Mount(ROOT, ExceptionMiddleware(router, handlers=handlers()))


@cache
def _api() -> StacApi:
    """The same for whatever it answers from."""
    features = [
        FieldsExtension(conformance_classes=_of_items("fields")),
        FilterExtension(client=_FiltersClient(), conformance_classes=_filter_classes()),
        FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.SEARCH, FreeTextConformanceClasses.ITEMS]),
        SortExtension(conformance_classes=_of_items("sort")),
        PaginationExtension(),
    ]
    of_search = [*features, QueryExtension(conformance_classes=[f"{_STAC}/item-search#query"])]
    of_collections = CollectionSearchExtension.from_extensions(
        [FreeTextExtension(conformance_classes=[FreeTextConformanceClasses.COLLECTIONS]), PaginationExtension()]
    )
    # not that of OpenAPI 3.0: the description is of 3.1
    core = [str(name) for name in BASE_CONFORMANCE_CLASSES if name is not OAFConformanceClasses.OPEN_API]
    classes = [*core, f"{_STAC}/browseable"]
    return _Api(
        settings=_settings(),
        client=_Client(base_conformance_classes=classes),
        extensions=[*of_search, of_collections],
        app=FastAPI(
            title=TITLE, description=DESCRIPTION, version=__version__, openapi_url="/api", docs_url=None, redoc_url=None
        ),
        search_get_request_model=create_get_request_model(of_search, base_model=SearchGet),
        search_post_request_model=create_post_request_model(of_search, base_model=SearchPost),
        items_get_request_model=create_get_request_model(features, base_model=ItemsGet),
        collections_get_request_model=of_collections.GET,
        middlewares=[],
    )


class _Api(StacApi):
    def add_health_check(self) -> None:
        """The service has one for all its roots."""


class _Given:
    """What stac-fastapi's endpoints get in place of a model that FastAPI has read: who answers."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def kwargs(self) -> dict[str, Any]:
        return {"answers": self.answers}


class _Client(AsyncBaseCoreClient):
    """Each method answers the request alone, with a response."""

    async def landing_page(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].landing_page(given["request"], self.conformance_classes())

    async def conformance(self, *args: Any, **given: Any) -> Any:
        return Response(orjson.dumps({"conformsTo": self.conformance_classes()}), media_type=JSON)

    async def get_search(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].search(given["request"])

    async def post_search(self, search_request: Any, **given: Any) -> Any:
        return await search_request.answers.post_search(given["request"])

    async def item_collection(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].items(given["request"])

    async def get_item(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].item(given["request"])

    async def all_collections(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].collections(given["request"])

    async def get_collection(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].collection(given["request"])


class _FiltersClient(AsyncBaseFiltersClient):
    async def get_queryables(self, *args: Any, **given: Any) -> Any:
        return await given["answers"].queryables(given["request"])


def _routes(answers: Answers) -> list[Route]:
    """The application's routes, one for each path, whose endpoints are given the request as it came."""
    api, given = _api(), _Given(answers)
    filters = api.get_extension(FilterExtension)
    assert isinstance(filters, FilterExtension)
    by_path: dict[str, dict[str, Any]] = defaultdict(dict)
    for route in (*api.router.routes, *filters.router.routes):
        assert isinstance(route, APIRoute)
        by_path[route.path] |= dict.fromkeys(route.methods or (), route.endpoint)
    return [Route(path, _answering(ends, given), methods=list(ends)) for path, ends in by_path.items()]


def _answering(endpoints: dict[str, Any], given: _Given) -> Endpoint:
    async def answer(request: Request) -> Response:
        endpoint = endpoints.get(request.method) or endpoints["GET"]
        response: Response = await endpoint(request=request, request_data=given)
        return response

    return answer


def _descriptions(answers: Answers) -> list[Route]:
    """The OpenAPI description, and the page for people that is made of it."""

    async def openapi(request: Request) -> Response:
        document = {**_described(), "servers": [{"url": answers.root(request)}]}
        return Response(orjson.dumps(document), headers={"Content-Type": OPENAPI})

    async def page(request: Request) -> Response:
        text = service_doc(_described(), answers.root(request))
        return Response(text, media_type=HTML, headers={"Content-Security-Policy": CSP})

    return [Route("/api", openapi), Route("/api.html", page)]


@cache
def _described() -> dict[str, Any]:
    """FastAPI's description, with the errors that there are. It takes half a second, when somebody asks first."""
    document = _api().app.openapi()
    schemas = document["components"]["schemas"]
    schemas["Error"] = _ERROR
    # `fields` may leave the other members out
    schemas["PartialItem"] = {**schemas["Item"], "title": "PartialItem", "required": ["type", "id"]}
    schemas["ItemCollection"]["properties"]["features"]["items"] = {"$ref": "#/components/schemas/PartialItem"}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    errors = {status: {"description": told, "content": content} for status, told in _ERRORS.items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            del operation["description"]
            operation["responses"].pop("422", None)
            operation["responses"] |= errors
    return document


def _settings() -> ApiSettings:
    """Nothing of its environment."""
    told = {"title": TITLE, "description": DESCRIPTION, "version": __version__, "landing_id": "refsys"}
    values = {f"stac_fastapi_{name}": text for name, text in told.items()}
    return ApiSettings.model_construct(**ApiSettings.model_construct().model_dump() | values)


def _of_items(extension: str) -> list[str]:
    return [f"{_STAC}/item-search#{extension}", f"{_STAC}/ogcapi-features#{extension}"]


def _filter_classes() -> list[str]:
    return [*_of_items("filter"), FilterConformanceClasses.FILTER, FilterConformanceClasses.ITEMS, *CONFORMANCE]
