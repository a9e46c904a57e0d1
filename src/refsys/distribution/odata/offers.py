"""What may be downloaded becomes an answer: conditions, ranges, a signed link or the bytes themselves (RFC 9110, 6266).

Bytes go out here, or S3 sends them: what lies in a bucket as one object can be answered with a link that is good for
some minutes (307). HEAD, and what needs no bytes, is always answered here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from refsys.core.principals import principal_of
from refsys.distribution.odata.conditions import Unsatisfiable, Validators, Verdict, asked_range, judge
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.streaming import Portion, StreamedPackage, Turns
from refsys.distribution.packages import FilePart, Package
from refsys.distribution.served import Served
from refsys.distribution.slots import AllTaken, Slot, Slots
from refsys.distribution.volumes import LIMITED_DAYS, Volumes, used_bytes
from refsys.infra.storage import object_key

#: Threads of a process in which bytes that are not in memory are read, for all downloads together.
THREADS: Final = 32
#: Seconds after which it is worth asking again for a slot, and for volume.
_RETRY_SLOT_S: Final = 10
_RETRY_VOLUME_S: Final = 3600

_CONDITIONS: Final = (
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "if-range",
    "range",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Bytes that a user may have: those of `package`, whose files lie under `base`.

    `told` names them in errors, `product_name` in logs. A picture is small, and shown: it takes no slot.
    """

    product_name: str
    told: str
    package: Package
    base: str
    validators: Validators
    media_type: str
    file_name: str
    is_picture: bool = False


class Desk:
    """Answers with offers. The threads are the process's own and end with it."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._settings = served.settings.download
        storage, links = served.storage, self._settings.links
        self._links = links if links == "on" or storage.is_public else "off"
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="download")
        self.slots = Slots(served.pool, self._settings.per_user)
        self.volumes = Volumes(served.pool)
        self.turns = Turns()

    async def answer(self, request: Request, offer: Offer) -> Response:
        """The answer to a GET or HEAD. HEAD reads nothing from storage.

        Raises ODataError: 412 and 416 as RFC 9110 has them, 429 where the user has no slot or no volume left.
        """
        headers = {
            "Accept-Ranges": "bytes",
            "ETag": offer.validators.etag,
            "Last-Modified": offer.validators.last_modified,
            "Content-Type": offer.media_type,
            "Content-Disposition": content_disposition(offer.file_name, is_shown=offer.is_picture),
        }
        asked = {name: ", ".join(request.headers.getlist(name)) for name in _CONDITIONS if name in request.headers}
        verdict = judge(asked, offer.validators)
        if verdict is Verdict.NOT_MODIFIED:
            kept = ("ETag", "Last-Modified")
            return Response(None, 304, {name: headers[name] for name in kept})
        if request.method == "GET" and (link := await self._link(request, offer)):
            # other conditions are left to S3, whose tags and dates are others
            return await self._sent_elsewhere(request, offer, link)
        if verdict is Verdict.FAILED:
            raise ODataError(f"{offer.told} is not the one that was asked for", status=412)
        size = offer.package.size_bytes
        if request.method == "HEAD":
            return Response(None, 200, headers | {"Content-Length": str(size)})
        status, (start, stop) = 200, (0, size)
        try:
            found = asked_range(asked, offer.validators, size)
        except Unsatisfiable:
            message = f"{offer.told} has {size} bytes"
            raise ODataError(message, status=416, headers={"Content-Range": f"bytes */{size}"}) from None
        if found is not None:
            status, (start, stop) = 206, found
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        headers["Content-Length"] = str(stop - start)
        await self._check_volume(request)
        return StreamedPackage(
            Portion(offer.product_name, offer.package, offer.base, start, stop),
            self._served.storage,
            self.threads,
            _Passage(self, request, takes_slot=not offer.is_picture),
            status=status,
            headers=headers,
        )

    async def _link(self, request: Request, offer: Offer) -> str | None:
        """A signed link; None where the bytes are to go out here.

        A client may pass the header Authorization on to S3, which refuses what is authorised twice.
        """
        if self._links == "off" or (self._links == "auto" and "authorization" in request.headers):
            return None
        path = _only_object(offer.package)
        if path is None:
            return None
        key = object_key(offer.base, path)
        return await asyncio.wrap_future(self.threads.submit(self._served.storage.link, key, self._settings.link_s))

    async def _sent_elsewhere(self, request: Request, offer: Offer, link: str) -> Response:
        await self._check_volume(request)
        noted = self.volumes.of(principal_of(request.scope).name)
        noted.links += 1
        noted.linked_bytes += offer.package.size_bytes
        told = {"Content-Disposition": content_disposition(offer.file_name, is_shown=offer.is_picture)}
        return Response(None, 307, told | {"Location": link, "Cache-Control": "no-store"})

    async def _check_volume(self, request: Request) -> None:
        limit, user = self._settings.volume_30_days, principal_of(request.scope).name
        if not limit or not user:
            return
        async with self._served.connection() as (connection, _):
            used = await used_bytes(connection, user)
        if used >= limit:
            self.volumes.of(user).refused += 1
            raise ODataError(
                f"you have downloaded {used} bytes in {LIMITED_DAYS} days; {limit} are all that one user may have",
                status=429,
                headers={"Retry-After": str(_RETRY_VOLUME_S)},
            )


class _Passage:
    """One download of the user who asks."""

    def __init__(self, desk: Desk, request: Request, *, takes_slot: bool) -> None:
        self.turns = desk.turns
        self._desk = desk
        self._user = principal_of(request.scope).name
        self._who = f"user {self._user}" if self._user else f"address {_address(request)}"
        self._takes_slot = takes_slot
        self._slot: Slot | None = None

    async def enter(self) -> None:
        volumes = self._desk.volumes
        if self._takes_slot:
            try:
                self._slot = await self._desk.slots.take_for(self._who)
            except AllTaken as error:
                volumes.of(self._user).refused += 1
                raise ODataError(
                    f"{error.message}; end one, or wait", status=429, headers={"Retry-After": str(_RETRY_SLOT_S)}
                ) from error
        volumes.of(self._user).downloads += 1

    def count(self, sent_bytes: int) -> None:
        self._desk.volumes.of(self._user).bytes += sent_bytes

    def leave(self) -> None:
        if self._slot is not None:
            self._slot.free()


def _only_object(package: Package) -> str | None:
    """The path of the object that the package is; None where it is made of several, or of none."""
    part = next(package.parts(0, package.size_bytes), None)
    return part.path if isinstance(part, FilePart) and part.length == package.size_bytes else None


def _address(request: Request) -> str:
    """Who did not sign in: an IPv4 address, or the IPv6 network of 64 bits, any address of which one host may use."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def content_disposition(name: str, *, is_shown: bool = False) -> str:
    """RFC 6266; names of products need no escape, anything else gets its RFC 8187 form too."""
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", name)
    text = f'{"inline" if is_shown else "attachment"}; filename="{plain}"'
    return text if plain == name else f"{text}; filename*=UTF-8''{quote(name, safe='')}"
