"""Products and DeletedProducts: pages of them, one of them, how many there are, those of a list of names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from refsys.catalogue import search
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Search
from refsys.core.filters import Comparison, In, Literal, Op, Property
from refsys.core.products import canonical_name
from refsys.distribution.odata import pages
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.filterlist import read_names
from refsys.distribution.odata.options import (
    COUNT_OPTIONS,
    ENTITY_OPTIONS,
    LIST_OPTIONS,
    MAX_TOP,
    SET_OPTIONS,
    Options,
    parse_options,
)
from refsys.distribution.odata.vocabulary import Vocabulary
from refsys.distribution.paging import InvalidToken, read_token, write_token
from refsys.distribution.secrets import PAGES
from refsys.distribution.served import Served

_JSON: Final = "application/json"
#: How names of products end; users leave it away, or add what is not there.
_ENDINGS: Final = (".SAFE", ".SEN3", ".EOF")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitySet:
    """A set of entities: what it shows, what may be asked of it. `root` is the path of the OData root."""

    name: str
    scope: Scope
    vocabulary: Vocabulary
    orderable: tuple[str, ...]
    expandable: tuple[str, ...]
    selectable: tuple[str, ...]
    served: Served
    root: str

    async def page(self, request: Request) -> Response:
        """`/Products`."""
        options = self._options(request, SET_OPTIONS)
        root_url = self._root_url(request)
        async with self.served.connection() as (connection, budget):
            secret = await self.served.secret(PAGES, connection)
            wanted = Search(
                filter=options.filter,
                order=options.order,
                limit=options.top,
                offset=0 if options.skip_token else options.skip,
                after=self._after(secret, options),
                scope=self.scope,
            )
            found = await pages.fetch_page(
                connection,
                wanted,
                options.expand,
                self.served.types,
                budget=budget,
                select=options.select,
                root_url=root_url,
            )
            count = await search.count(connection, wanted, budget=budget) if options.count else None
        link = None
        if found.after is not None:
            token = write_token(secret, found.after, self._about(options))
            link = options.next_link(f"{root_url}/{self.name}", token)
        context = pages.context_of(self.name, options.expand, options.select)
        body = pages.collection(found.members, context=context, count=count, next_link=link)
        return Response(body, headers=pages.count_headers(count), media_type=_JSON)

    async def entity(self, request: Request, key: UUID) -> Response:
        """`/Products(<id>)`."""
        options = self._options(request, ENTITY_OPTIONS)
        wanted = Search(filter=Comparison(Property("id"), Op.EQ, Literal(key)), limit=1, scope=self.scope)
        found = await self._fetch(request, wanted, options)
        if not found:
            raise ODataError(f"{self.name} has no {key}", status=404)
        body = pages.single(found[0], name=self.name, expand=options.expand, select=options.select)
        return Response(body, media_type=_JSON)

    async def count(self, request: Request) -> Response:
        """`/Products/$count`."""
        options = self._options(request, COUNT_OPTIONS)
        async with self.served.connection() as (connection, budget):
            found = await search.count(connection, Search(filter=options.filter, scope=self.scope), budget=budget)
        return Response(str(found.number), headers=pages.count_headers(found), media_type="text/plain")

    async def listed(self, request: Request) -> Response:
        """`/Products/OData.CSC.FilterList`: those of the named products that there are, each once."""
        options = self._options(request, LIST_OPTIONS)
        names = {candidate for name in await read_names(request, MAX_TOP) for candidate in _candidates(name)}
        wanted = Search(
            filter=In(Property("name"), tuple(map(Literal, sorted(names)))),
            order=options.order,
            limit=len(names),
            scope=self.scope,
        )
        members = await self._fetch(request, wanted, options)
        context = pages.context_of(self.name, options.expand, options.select)
        return Response(pages.collection(members, context=context), media_type=_JSON)

    async def _fetch(self, request: Request, wanted: Search, options: Options) -> list[str]:
        async with self.served.connection() as (connection, budget):
            found = await pages.fetch_page(
                connection,
                wanted,
                options.expand,
                self.served.types,
                budget=budget,
                select=options.select,
                root_url=self._root_url(request),
            )
        return found.members

    def _options(self, request: Request, known: Sequence[str]) -> Options:
        query: bytes = request.scope["query_string"]
        return parse_options(
            query,
            self.vocabulary,
            known=known,
            orderable=self.orderable,
            expandable=self.expandable,
            selectable=self.selectable,
        )

    def _after(self, secret: bytes, options: Options) -> tuple[object, ...] | None:
        if not options.skip_token:
            return None
        try:
            return read_token(secret, options.skip_token, self._about(options))
        except InvalidToken as error:
            raise ODataError(f"$skiptoken: {error}") from error

    def _about(self, options: Options) -> str:
        return f"{self.root}/{self.name}\n{options.query}"

    def _root_url(self, request: Request) -> str:
        return f"{self.served.base_url(request)}{self.root}"


def _candidates(name: str) -> set[str]:
    """The names that a product may have which a user calls so."""
    name = canonical_name(name)
    ending = next(filter(name.endswith, _ENDINGS), "")
    return {name, name.removesuffix(ending)} if ending else {name, *(name + ending for ending in _ENDINGS)}
