"""`Products(id)/Nodes(name)/Nodes…`: a product's files, one by one (standards 2.1, 2.14); `$zip`, `$link`, `Assets`.

Names are only ever looked up in the product's file table: nothing that a name can hold leads elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

import asyncpg
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refsys.catalogue import store
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import TooCostly
from refsys.core.principals import principal_of
from refsys.core.times import format_instant
from refsys.distribution.links import PARAMETER, valid_until, write_link
from refsys.distribution.odata import forms
from refsys.distribution.odata.download import Downloads, published
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.secrets import LINKS
from refsys.distribution.served import Served

_JSON: Final = "application/json"
_NODES: Final = "Nodes"
_VALUE: Final = "$value"
#: From so many nodes on an answer is written off the event loop.
_MANY: Final = 1000

_CHILDREN: Final = "SELECT name, size, children FROM distribution.children($1, $2, $3, $4)"


def routes(served: Served, downloads: Downloads, root: str, scope: Scope = Scope.PUBLIC) -> list[Route]:
    """What a root adds to its own routes; `root` is where it is mounted, and `scope` what its users may see."""

    async def nodes(request: Request) -> Response:
        key = product_key(request.path_params["key"])
        path, asked = node_path(request.scope.get("raw_path") or quote(request.url.path).encode())
        if asked == _VALUE:
            return await downloads.file(request, key, "/".join(path), scope)
        async with served.connection() as (connection, budget):
            row = await published(connection, key, budget, scope)
            try:
                async with asyncio.timeout(budget.left_s()):
                    found = await _listed(connection, row, path, lists=asked == _NODES)
            except TimeoutError as error:
                raise TooCostly(f"the files of {row['name']} were not listed in {budget.seconds:g} s") from error
        above = path if asked == _NODES else path[:-1]
        url = f"{served.base_url(request)}{root}/Products({key})"
        above_url = f"{url}{_encoded(above)}"
        body = await asyncio.to_thread(_body, found, above_url) if len(found) > _MANY else _body(found, above_url)
        return Response(body, media_type=_JSON)

    async def zipped(request: Request) -> Response:
        return await downloads.zip(request, product_key(request.path_params["key"]), scope)

    async def link(request: Request) -> Response:
        key, seconds = product_key(request.path_params["key"]), served.settings.download.own_link_s
        if not seconds:
            raise ODataError("links are not given here", status=404)
        until = valid_until(seconds)
        async with served.connection() as (connection, budget):
            await published(connection, key, budget, scope)
            secret = await served.secret(LINKS, connection)
        text = write_link(secret, key, principal_of(request.scope).name, until)
        url = f"{served.base_url(request)}{root}/Products({key})/{_VALUE}?{PARAMETER}={text}"
        body = orjson.dumps({"Link": url, "ValidUntil": format_instant(until)})
        return Response(body, headers={"Cache-Control": "no-store"}, media_type=_JSON)

    async def asset(request: Request) -> Response:
        found, base = await downloads.asset(product_key(request.path_params["key"]), scope)
        told = forms.asset(str(found.id), found.path, base, f"{served.base_url(request)}{root}")
        return Response(orjson.dumps({"@odata.context": "$metadata#Assets/$entity", **told}), media_type=_JSON)

    async def picture(request: Request) -> Response:
        return await downloads.picture(request, product_key(request.path_params["key"]), scope)

    return [
        Route("/Products({key})/$zip", zipped),
        Route("/Products({key})/$link", link),
        Route("/Products({key})/Nodes{rest:path}", nodes),
        Route("/Assets({key})", asset),
        Route("/Assets({key})/$value", picture),
    ]


def product_key(text: str) -> UUID:
    """The key of `Products(…)` or `Assets(…)`, quoted or not. Raises ODataError (400) where it cannot be one."""
    try:
        return UUID(text.strip("'"))
    except ValueError as error:
        raise ODataError(f"{text[:60]!a} is not an id; for example 00000000-0000-4000-8000-000000000000") from error


def node_path(raw_path: bytes) -> tuple[list[str], str]:
    """The names of `…Products(id)/Nodes(a)/Nodes(b)/Nodes`, and what is asked: `Nodes` (what lies in it), `$value`, or
    "" (itself).

    Each segment is decoded after the path was split: a name may hold an encoded slash, and is found nowhere then.
    Raises ODataError: 404 where no node can be there.
    """
    try:
        segments = [unquote_to_bytes(segment).decode() for segment in raw_path.rstrip(b"/").split(b"/")]
    except UnicodeDecodeError as error:
        raise ODataError("names of nodes are UTF-8", status=404) from error
    start = next((place for place, segment in enumerate(segments) if segment.startswith("Products(")), len(segments))
    names: list[str] = []
    *inner, last = segments[start + 1 :] or [""]
    for segment in (*inner, *(() if last in (_NODES, _VALUE) else (last,))):
        if not (segment.startswith(f"{_NODES}(") and segment.endswith(")")):
            raise ODataError(f"{segment[:60]!a} is none of Nodes(name), Nodes and $value", status=404)
        names.append(_name(segment[len(_NODES) + 1 : -1]))
    asked = last if last in (_NODES, _VALUE) else ""
    if not names and asked != _NODES:
        raise ODataError("a node has a name: Nodes(name)", status=404)
    return names, asked


def _name(text: str) -> str:
    """A name, quoted or not; in quotes, two are one."""
    name = text[1:-1].replace("''", "'") if len(text) >= 2 and text[0] == text[-1] == "'" else text
    if not name or "/" in name or "\0" in name:
        raise ODataError(f"there is no node {name[:60]!a}", status=404)
    return name


async def _listed(
    connection: asyncpg.Connection, row: asyncpg.Record, path: Sequence[str], *, lists: bool
) -> list[asyncpg.Record]:
    """The children of a node, or itself: name, size in bytes, how many children. Raises ODataError: 404 without it."""
    content_id, where = row["content_id"], "/".join(path)
    nodes: list[asyncpg.Record]
    if lists:
        prefix = f"{where}/" if path else ""
        nodes = await connection.fetch(_CHILDREN, content_id, prefix, len(prefix), None)
        is_there = bool(nodes) or not path or await store.file_at(connection, content_id, where) is not None
    else:
        nodes = await connection.fetch(_CHILDREN, content_id, where, len(where) - len(path[-1]), path[-1])
        is_there = bool(nodes)
    if not is_there:
        raise ODataError(f"{row['name']} has no node {where[:200]!a}", status=404)
    return nodes


def _body(nodes: Sequence[asyncpg.Record], above: str) -> bytes:
    return orjson.dumps({"result": [_node(node, above) for node in nodes]})


def _node(node: asyncpg.Record, above: str) -> dict[str, Any]:
    name, size, children = node
    return {
        "Id": name,
        "Name": name,
        "ContentLength": size,
        "ChildrenNumber": children,
        "Nodes": {"uri": f"{above}{_encoded([name])}/{_NODES}"},
    }


def _encoded(path: Sequence[str]) -> str:
    return "".join(f"/{_NODES}({quote(name, safe='')})" for name in path)
