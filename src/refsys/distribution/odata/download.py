"""`Products(id)/$value`: a product's package, whole or a range of it (standards 2.1; RFC 9110, RFC 6266)."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import asyncpg
from starlette.requests import Request
from starlette.responses import Response

from refsys.catalogue import search, store
from refsys.catalogue.compiler import Scope
from refsys.catalogue.search import Budget, Search
from refsys.core.errors import RefsysError
from refsys.core.filters import Comparison, Literal, Op, Property
from refsys.core.products import FileEntry
from refsys.core.times import format_instant
from refsys.distribution.odata.conditions import Unsatisfiable, Validators, Verdict, asked_range, judge
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.streaming import Portion, StreamedPackage
from refsys.distribution.packages import Package, Written, is_written, lay_out
from refsys.infra.storage import Storage

#: Threads of a process in which bytes that are not in memory are read, for all downloads together.
THREADS: Final = 32
#: Entries of file tables whose packages a process remembers (about 400 bytes each).
REMEMBERED_ENTRIES: Final = 100_000

_COLUMNS: Final = tuple(
    f"p.{column}"
    for column in (
        "id", "name", "content_id", "final_base", "online", "sensing_start", "published_at", "package_layout",
        "package_name", "package_size", "package_md5", "deleted_at", "deletion_cause",
    )
)  # fmt: skip
_CONDITIONS: Final = (
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
)

#: Gives a connection, and the time that the request has for it.
Connect = Callable[[], AbstractAsyncContextManager[tuple[asyncpg.Connection, Budget]]]


class Downloads:
    """Serves packages. The threads are the process's own and end with it."""

    def __init__(self, storage: Storage, connect: Connect) -> None:
        self._storage = storage
        self._connect = connect
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
        self._packages = _Packages()

    async def value(self, request: Request, key: UUID) -> Response:
        """The answer to a GET or HEAD. HEAD reads nothing from storage.

        Raises ODataError: 404 unknown or not online, 410 taken away, 412 and 416 as RFC 9110 has them.
        """
        async with self._connect() as (connection, budget):
            row = await _published(connection, key, budget)
            package = self._packages.get((key, row["content_id"]))
            needs_files = package is None and not is_written(row["package_layout"])
            files = await store.files_of(connection, row["content_id"]) if needs_files else []
        if package is None:
            # off the loop: there may be a hundred thousand files
            package = await asyncio.wrap_future(self._threads.submit(_laid_out, row, files))
            self._packages.put((key, row["content_id"]), package)
        validators = Validators(row["package_md5"].hex(), row["published_at"])
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": validators.etag,
            "Last-Modified": validators.last_modified,
            "Content-Type": package.media_type,
            "Content-Disposition": content_disposition(row["package_name"]),
        }
        asked = {name: ", ".join(request.headers.getlist(name)) for name in _CONDITIONS if name in request.headers}
        match judge(asked, validators):
            case Verdict.NOT_MODIFIED:
                kept = ("ETag", "Last-Modified")
                return Response(None, 304, {name: headers[name] for name in kept})
            case Verdict.FAILED:
                raise ODataError(f"the package of {row['name']} is not the one that was asked for", status=412)
            case Verdict.GO_ON:
                pass
        size = package.size_bytes
        if request.method == "HEAD":
            return Response(None, 200, headers | {"Content-Length": str(size)})
        status, (start, stop) = 200, (0, size)
        try:
            found = asked_range(asked, validators, size)
        except Unsatisfiable:
            message = f"the package of {row['name']} has {size} bytes"
            raise ODataError(message, status=416, headers={"Content-Range": f"bytes */{size}"}) from None
        if found is not None:
            status, (start, stop) = 206, found
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        portion = Portion(row["name"], package, row["final_base"], start, stop)
        return StreamedPackage(portion, self._storage, self._threads, status=status, headers=headers)


class _Packages:
    """The packages that were used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Package] = OrderedDict()
        self._entries = 0

    def get(self, key: Any) -> Package | None:
        package = self._kept.get(key)
        if package is not None:
            self._kept.move_to_end(key)
        return package

    def put(self, key: Any, package: Package) -> None:
        replaced = self._kept.pop(key, None)
        self._entries += package.entries - (replaced.entries if replaced else 0)
        self._kept[key] = package
        while self._entries > REMEMBERED_ENTRIES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._entries -= oldest.entries


async def _published(connection: asyncpg.Connection, key: UUID, budget: Budget) -> asyncpg.Record:
    """The product, if users may see it and its bytes are here. Raises ODataError."""
    row = await _find(connection, key, Scope.PUBLIC, budget)
    if row is None:
        gone = await _find(connection, key, Scope.DELETED, budget)
        if gone is None:
            raise ODataError(f"Products has no {key}", status=404)
        raise ODataError(
            f"{gone['name']} was taken away on {format_instant(gone['deleted_at'])}: {gone['deletion_cause']}",
            status=410,
        )
    if not row["online"]:
        raise ODataError(f"the bytes of {row['name']} are not online", status=404)
    return row


def _laid_out(row: asyncpg.Record, files: Sequence[FileEntry]) -> Package:
    package = lay_out(
        row["package_layout"],
        row["name"],
        row["sensing_start"],
        files,
        Written(row["package_size"], row["package_md5"]),
    )
    if package.size_bytes != row["package_size"]:
        raise RefsysError(
            f"its package would have {package.size_bytes} bytes and was published with {row['package_size']}",
            subject=row["name"],
            advice="its file table or sensing start was altered after publication",
        )
    return package


async def _find(connection: asyncpg.Connection, key: UUID, scope: Scope, budget: Budget) -> asyncpg.Record | None:
    wanted = Search(filter=Comparison(Property("id"), Op.EQ, Literal(key)), limit=1, scope=scope)
    rows = await search.find(connection, wanted, columns=_COLUMNS, budget=budget)
    return rows[0] if rows else None


def content_disposition(name: str) -> str:
    """RFC 6266; names of products need no escape, anything else gets its RFC 8187 form too."""
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", name)
    text = f'attachment; filename="{plain}"'
    return text if plain == name else f"{text}; filename*=UTF-8''{quote(name, safe='')}"
