"""Answers of the API, each from a request to a response. Items are stored bodies, joined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response

from refsys.catalogue import search
from refsys.catalogue.search import Budget, Search, TooCostly
from refsys.core.filters import In, Literal, Property, all_of
from refsys.distribution import secrets
from refsys.distribution.paging import read_token, write_token
from refsys.distribution.served import Served
from refsys.distribution.stac.api import ROOT, asked
from refsys.distribution.stac.api.asked import Values
from refsys.distribution.stac.api.documents import (
    GEOJSON,
    JSON,
    SCHEMA,
    TITLE,
    Document,
    collection_document,
    collections_document,
    landing_page,
    link,
    queryables_document,
)
from refsys.distribution.stac.api.errors import StacError
from refsys.distribution.stac.api.instants import Interval, parse_datetime
from refsys.distribution.stac.api.places import within_bbox
from refsys.distribution.stac.api.searching import Meaning, item_collection, names_of
from refsys.distribution.stac.collections import STALE_S, Collection, Collections
from refsys.distribution.stac.queryables import collection_term, terms
from refsys.distribution.stac.reading import COLUMNS, JOIN, complete

#: How many collections a page has where nobody says.
_COLLECTIONS_LIMIT: Final = asked.MAX_LIMIT
#: Parameters that can speak of any collection.
_OF_COLLECTIONS: Final = frozenset({"filter", "query", "q"})


class Answers:
    """Each public method answers one kind of request."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._terms = terms(served.types)
        self._collections = Collections(served.types)
        self._meaning = Meaning(self._terms, self._collections.known)

    def root(self, request: Request) -> str:
        """The API's address."""
        return f"{self._served.base_url(request)}{ROOT}"

    async def landing_page(self, request: Request, conformance: Sequence[str]) -> Response:
        async with self._served.connection() as (connection, budget):
            meaning = await self._meaning_of(connection, budget)
        shown = _shown(meaning.collections)
        return _json(landing_page(self.root(request), conformance, shown))

    async def search(self, request: Request) -> Response:
        return await self._search(request, asked.read_query(request, asked.SEARCH))

    async def post_search(self, request: Request) -> Response:
        return await self._search(request, await asked.read_body(request, asked.SEARCH), is_post=True)

    async def items(self, request: Request) -> Response:
        within: str = request.path_params["collection_id"]
        return await self._search(request, asked.read_query(request, asked.ITEMS), within=within)

    async def item(self, request: Request) -> Response:
        asked.read_query(request, ())
        within, key = request.path_params["collection_id"], request.path_params["item_id"]
        async with self._served.connection() as (connection, budget):
            meaning = await self._meaning_of(connection, budget, [within], older_than_s=math.inf)
            _known(meaning.collections, within)
            wanted = Search(filter=all_of(names_of([key]), meaning.named([within])), limit=1)
            rows = await search.find(connection, wanted, columns=COLUMNS, joins=JOIN, budget=budget)
            items = await self._items(connection, rows, request)
        if not items:
            raise StacError(f"{within} has no item {key[:200]!a}", status=404)
        return Response(items[0], media_type=GEOJSON)

    async def collections(self, request: Request) -> Response:
        values = asked.read_query(request, asked.COLLECTIONS)
        root = self.root(request)
        async with self._served.connection() as (connection, budget):
            meaning = await self._meaning_of(connection, budget)
            # where a client asks for an area: every collection may have something there
            _ = "bbox" in values and within_bbox(values["bbox"])
            found = [one for one in _shown(meaning.collections) if self._is_asked(one, values)]
            limit = values.get("limit", _COLLECTIONS_LIMIT)
            page = [one for one in found if one.id > values.get("page", "")]
            examples = await self._examples(connection, page[:limit], request)
        documents = [collection_document(root, one, examples.get(one.id)) for one in page[:limit]]
        following = None
        if len(page) > limit:
            following = _next(f"{root}/collections", request, page[limit - 1].id)
        address = _address(f"{root}/collections", request)
        return _json(collections_document(root, address, documents, following))

    async def collection(self, request: Request) -> Response:
        asked.read_query(request, ())
        async with self._served.connection() as (connection, budget):
            name = request.path_params["collection_id"]
            found = _known((await self._meaning_of(connection, budget, [name])).collections, name)
            examples = await self._examples(connection, [found], request)
        return _json(collection_document(self.root(request), found, examples.get(name)))

    async def queryables(self, request: Request) -> Response:
        asked.read_query(request, ())
        root, name = self.root(request), request.path_params.get("collection_id", "")
        named = dict(self._terms, collection=collection_term({}))
        if not name:
            return _json(queryables_document(f"{root}/queryables", TITLE, named), SCHEMA)
        async with self._served.connection() as (connection, budget):
            found = _known((await self._meaning_of(connection, budget, [name])).collections, name)
        had = {rule.attribute.name for kind in found.types.values() for rule in kind.attributes}
        # of a collection without a row in the tables nothing is known: products may have anything
        kept = {key: term for key, term in named.items() if not (had and term.attributes and not term.attributes & had)}
        return _json(queryables_document(f"{root}/collections/{name}/queryables", name, kept), SCHEMA)

    async def _search(self, request: Request, values: Values, *, within: str = "", is_post: bool = False) -> Response:
        served = self._served
        about = asked.about(f"stac:{within}", values)
        named = [*values.get("collections", ()), *([within] if within else ())]
        async with served.connection() as (connection, budget):
            older_than_s = STALE_S if values.keys() & _OF_COLLECTIONS else math.inf
            meaning = await self._meaning_of(connection, budget, named, older_than_s=older_than_s)
            if within:
                _known(meaning.collections, within)
            wanted = meaning.wanted(values, within=within, needs_zone=served.settings.stac.needs_zone)
            secret = await served.secret(secrets.PAGES, connection)
            after = read_token(secret, wanted.page, about) if wanted.page else None
            asking = Search(filter=wanted.filter, order=wanted.order, limit=wanted.limit, after=after)
            page = await search.find_page(connection, asking, columns=COLUMNS, joins=JOIN, budget=budget)
            items = await self._items(connection, page.rows, request)
            matched = await self._count(connection, asking, budget) if wanted.limit == 1 else None
        token = None if page.after is None else write_token(secret, page.after, about)
        links = self._links(request, within, token, is_post=is_post)
        return Response(item_collection(items, links, fields=wanted.fields, matched=matched), media_type=GEOJSON)

    async def _count(self, connection: asyncpg.Connection, asking: Search, budget: Budget) -> int | None:
        """How many there are, where that can be said exactly: who asks for one item alone wants to know."""
        try:
            count = await search.count(connection, asking, budget=budget)
        except TooCostly:
            return None
        return count.number if count.is_exact else None

    def _links(self, request: Request, within: str, token: str | None, *, is_post: bool) -> list[Document]:
        root = self.root(request)
        collection = f"{root}/collections/{within}"
        address = f"{collection}/items" if within else f"{root}/search"
        links = [link("root", root), link("self", _address(address, request), GEOJSON)]
        if within:
            links += [link("parent", collection), link("collection", collection)]
        if token is not None and is_post:
            links.append(link("next", address, GEOJSON, method="POST", body={"page": token}, merge=True))
        elif token is not None:
            links.append(link("next", _next(address, request, token), GEOJSON, method="GET"))
        return links

    async def _examples(
        self, connection: asyncpg.Connection, collections: Sequence[Collection], request: Request
    ) -> Mapping[str, Mapping[str, Any]]:
        """An item of each collection that has one, by the collection's name."""
        keys: dict[UUID, str] = {one.example: one.id for one in collections if one.example is not None}
        if not keys:
            return {}
        these = In(Property("id"), tuple(map(Literal, keys)))
        wanted = Search(filter=these, limit=len(keys))
        rows = await search.find(connection, wanted, columns=COLUMNS, joins=JOIN)
        items = await self._items(connection, rows, request)
        return {keys[row["id"]]: orjson.loads(item) for row, item in zip(rows, items, strict=True)}

    def _is_asked(self, collection: Collection, values: Values) -> bool:
        """Whether one of the texts stands in what is said of it, and it may have products of that time."""
        needs_zone = self._served.settings.stac.needs_zone
        if "datetime" in values:
            interval = parse_datetime(values["datetime"], needs_zone=needs_zone)
            if not _overlaps(interval, collection.first):
                return False
        texts = values.get("q", ())
        document = collection_document("", collection, None)
        told = " ".join([document["id"], document["title"], document["description"], *document["keywords"]]).lower()
        return not texts or any(text.lower() in told for text in texts)

    async def _meaning_of(
        self,
        connection: asyncpg.Connection,
        budget: Budget,
        named: Sequence[str] = (),
        *,
        older_than_s: float = STALE_S,
    ) -> Meaning:
        """What names mean, with the collections of a while ago and all that are named."""
        known = await self._collections.refresh(connection, budget, named, older_than_s=older_than_s)
        if self._meaning.collections is not known:
            self._meaning = Meaning(self._terms, known)
        return self._meaning

    async def _items(
        self, connection: asyncpg.Connection, rows: Sequence[asyncpg.Record], request: Request
    ) -> list[str]:
        settings = self._served.settings
        storage_url = settings.storage_url if settings.storage_url.startswith("s3://") else ""
        base_url = self._served.base_url(request)
        return await complete(connection, rows, self._served.types, base_url=base_url, storage_url=storage_url)


def _shown(collections: Mapping[str, Collection]) -> list[Collection]:
    return sorted((one for one in collections.values() if one.is_shown), key=lambda one: one.id)


def _known(collections: Mapping[str, Collection], name: str) -> Collection:
    if name not in collections:
        raise StacError(f"there is no collection {name[:200]!a}", status=404)
    return collections[name]


def _overlaps(interval: Interval, first: datetime | None) -> bool:
    return interval.end is None or first is None or first <= interval.end


def _address(address: str, request: Request) -> str:
    query = "" if request.method == "POST" else asked.encoded(request.scope["query_string"])
    return f"{address}?{query}" if query else address


def _next(address: str, request: Request, token: str) -> str:
    query = asked.without_page(request.scope["query_string"])
    return f"{address}?{query}{'&' if query else ''}page={token}"


def _json(document: Document, media_type: str = JSON) -> Response:
    return Response(orjson.dumps(document), media_type=media_type)
