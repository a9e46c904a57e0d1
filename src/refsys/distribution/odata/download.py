"""What users may download: a product's package, one of its files, its pictures (standards 2.1)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
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
from refsys.distribution import assets
from refsys.distribution.assets import Asset
from refsys.distribution.odata.conditions import Validators
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.offers import Desk, Offer
from refsys.distribution.packages import Package, Written, is_written, lay_out
from refsys.distribution.packages.bare import BareFile
from refsys.distribution.served import Served

#: Entries of file tables whose packages a process remembers (about 400 bytes each).
REMEMBERED_ENTRIES: Final = 100_000

_COLUMNS: Final = tuple(
    f"p.{column}"
    for column in (
        "id", "name", "content_id", "final_base", "online", "sensing_start", "published_at", "package_layout",
        "package_name", "package_size", "package_md5", "deleted_at", "deletion_cause",
    )
)  # fmt: skip
_ZIP: Final = "application/zip"
_XML: Final = "application/xml"
#: Media types of the files of products, by the ends of their names.
_MEDIA_TYPES: Final = {
    ".eof": _XML, ".jp2": "image/jp2", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".kml": _XML,
    ".nc": "application/x-netcdf", ".png": "image/png", ".safe": _XML, ".tif": "image/tiff", ".tiff": "image/tiff",
    ".xml": _XML, ".xsd": _XML, ".zip": _ZIP,
}  # fmt: skip
_OTHER: Final = "application/octet-stream"


class Downloads:
    """Finds what is asked for. One for all roots of a process: `served.once(Downloads)`."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._desk = Desk(served)
        self._packages = _Packages()
        served.background.append(self.running)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What has to run beside the downloads, and end after them."""
        async with self._desk.volumes.running():
            try:
                yield
            finally:
                await self._desk.slots.close()

    async def value(self, request: Request, key: UUID, scope: Scope = Scope.PUBLIC) -> Response:
        """A product's package. Raises ODataError: 404 unknown or not online, 410 taken away, and what Desk raises."""
        row, package = await self._package(key, scope)
        return await self._desk.answer(request, _offer(row, package))

    async def zip(self, request: Request, key: UUID, scope: Scope = Scope.PUBLIC) -> Response:
        """The package where it is a ZIP; else 404."""
        row, package = await self._package(key, scope)
        if package.media_type != _ZIP:
            raise ODataError(f"{row['name']} is one file, not a ZIP: it is at Products({key})/$value", status=404)
        return await self._desk.answer(request, _offer(row, package))

    async def file(self, request: Request, key: UUID, path: str, scope: Scope = Scope.PUBLIC) -> Response:
        """One file of a product, by its path in the file table. Raises ODataError as `value` does."""
        async with self._served.connection() as (connection, budget):
            row = await published(connection, key, budget, scope)
            _check_online(row)
            entry = await store.file_at(connection, row["content_id"], path)
        if entry is None or entry.is_folder:
            raise ODataError(f"{row['name']} has no file {path[:200]!a}", status=404)
        name = path.rpartition("/")[2]
        # where somebody else's products were taken over, some files have no checksum: their bytes do not change either
        tag = entry.md5.hex() or f"{row['content_id']}-{entry.size_bytes}"
        offer = Offer(
            product_name=row["name"],
            told=f"the file {path!a} of {row['name']}",
            package=BareFile(name, [entry]),
            base=row["final_base"],
            validators=Validators(tag, row["published_at"]),
            media_type=media_type(name),
            file_name=name,
        )
        return await self._desk.answer(request, offer)

    async def asset(self, key: UUID, scope: Scope = Scope.PUBLIC) -> tuple[Asset, str]:
        """A picture of a product that users may see, and the product's place. Raises ODataError: 404."""
        async with self._served.connection() as (connection, budget):
            found, row = await _asset(connection, key, budget, scope)
        return found, row["final_base"]

    async def picture(self, request: Request, key: UUID, scope: Scope = Scope.PUBLIC) -> Response:
        """The bytes of a picture. Raises ODataError as `value` does."""
        async with self._served.connection() as (connection, budget):
            found, row = await _asset(connection, key, budget, scope)
        _check_online(row)
        name = found.path.rpartition("/")[2]
        entry = FileEntry(found.path, found.size, md5=found.md5, blake3=found.blake3)
        offer = Offer(
            product_name=row["name"],
            told=f"the picture {name!a} of {row['name']}",
            package=BareFile(name, [entry]),
            base=row["final_base"],
            validators=Validators(found.md5.hex(), found.made_at),
            media_type=found.media_type,
            file_name=name,
            is_picture=True,
        )
        return await self._desk.answer(request, offer)

    async def _package(self, key: UUID, scope: Scope) -> tuple[asyncpg.Record, Package]:
        async with self._served.connection() as (connection, budget):
            row = await published(connection, key, budget, scope)
            _check_online(row)
            known = (key, row["content_id"], row["package_layout"], row["package_md5"])
            package = self._packages.get(known)
            needs_files = package is None and not is_written(row["package_layout"])
            files = await store.files_of(connection, row["content_id"]) if needs_files else []
        if package is None:
            # off the loop: there may be a hundred thousand files
            package = await asyncio.wrap_future(self._desk.threads.submit(_laid_out, row, files))
            self._packages.put(known, package)
        return row, package


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


def media_type(name: str) -> str:
    """What a file of a product holds, by its name; what a browser would run is told as plain bytes."""
    return _MEDIA_TYPES.get(name[name.rfind(".") :].lower(), _OTHER)


async def published(connection: asyncpg.Connection, key: UUID, budget: Budget, scope: Scope) -> asyncpg.Record:
    """The product, if users may see it. Raises ODataError: 404, and 410 where it was taken away."""
    row = await _find(connection, key, scope, budget)
    if row is not None:
        return row
    gone = await _find(connection, key, Scope.DELETED, budget)
    if gone is None:
        raise ODataError(f"Products has no {key}", status=404)
    raise ODataError(
        f"{gone['name']} was taken away on {format_instant(gone['deleted_at'])}: {gone['deletion_cause']}",
        status=410,
    )


def _check_online(row: asyncpg.Record) -> None:
    if not row["online"]:
        raise ODataError(f"the bytes of {row['name']} are not online", status=404)


async def _asset(
    connection: asyncpg.Connection, key: UUID, budget: Budget, scope: Scope
) -> tuple[Asset, asyncpg.Record]:
    found = await assets.fetch(connection, key)
    row = await _find(connection, found.product_id, scope, budget) if found is not None else None
    if found is None or row is None:
        raise ODataError(f"Assets has no {key}", status=404)
    return found, row


def _offer(row: asyncpg.Record, package: Package) -> Offer:
    return Offer(
        product_name=row["name"],
        told=f"the package of {row['name']}",
        package=package,
        base=row["final_base"],
        validators=Validators(row["package_md5"].hex(), row["published_at"]),
        media_type=package.media_type,
        file_name=row["package_name"],
    )


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
