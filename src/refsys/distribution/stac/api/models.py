"""Models of requests, for the OpenAPI description. (Their annotations are read when it is made: they are no texts.)"""

from typing import Annotated, Final

import attr
from fastapi import Query
from pydantic import Field
from stac_fastapi.api.models import ItemCollectionUri
from stac_fastapi.types.search import BaseSearchGetRequest, BaseSearchPostRequest, Limit

from refsys.distribution.stac.api.asked import DEFAULT_LIMIT, MAX_LIMIT

_LIMIT: Final = f"Most items of a page: {DEFAULT_LIMIT} where nothing is said; more than {MAX_LIMIT} is {MAX_LIMIT}."

_COLLECTIONS: Final = "Array of collection Ids: of the path's collection nothing else is found."


@attr.s
class SearchGet(BaseSearchGetRequest):
    limit: Annotated[Limit | None, Query(description=_LIMIT)] = attr.ib(default=DEFAULT_LIMIT)


class SearchPost(BaseSearchPostRequest):
    limit: Limit | None = Field(DEFAULT_LIMIT, description=_LIMIT)


@attr.s
class ItemsGet(ItemCollectionUri):
    collections: Annotated[str | None, Query(description=_COLLECTIONS)] = attr.ib(default=None)
    ids: Annotated[str | None, Query(description="Array of Item ids to return.")] = attr.ib(default=None)
    limit: Annotated[Limit | None, Query(description=_LIMIT)] = attr.ib(default=DEFAULT_LIMIT)
