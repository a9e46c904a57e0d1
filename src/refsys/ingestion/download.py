"""One file from a station: streamed aside, hashed on the way, resumed where the connection was cut, then verified."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import aiohttp
import structlog
from blake3 import blake3

from refsys.core.errors import HostileInput, InvalidProduct, Transient
from refsys.infra.http import CONNECTION_ERRORS, StationClient
from refsys.infra.jitter import jittered
from refsys.ingestion.model import Offer

log = structlog.get_logger(__name__)

#: Up to this size a delivery stays in memory, in bytes; larger ones go to an unnamed file in the scratch folder.
_IN_MEMORY: Final = 16 * 2**20
#: Pieces written and hashed at once, in bytes; below `_INLINE` that is quicker than a hop to a thread.
_PIECE: Final = 2**20
_INLINE: Final = 512 * 2**10
#: Cuts in a row without a new byte after which the attempt ends.
_BARREN: Final = 3
_PAUSE_S: Final = 0.2

_ALGORITHMS: Final[Mapping[str, Callable[[], Any]]] = {
    "MD5": lambda: hashlib.md5(usedforsecurity=False),
    "SHA-1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA-256": hashlib.sha256,
    "SHA256": hashlib.sha256,
    "SHA-512": hashlib.sha512,
    "SHA512": hashlib.sha512,
    "SHA3-256": hashlib.sha3_256,
    "BLAKE3": blake3,
}


class Download:
    """One download, to be run once.

    `scratch` may be emptied at any time; `limit_bytes` is the largest file accepted.
    """

    def __init__(self, client: StationClient, url: str, offer: Offer, scratch: Path, limit_bytes: int) -> None:
        self._client = client
        self._url = url
        self._offer = offer
        self._scratch = scratch
        self._limit = min(limit_bytes, offer.size_bytes) if offer.size_bytes else limit_bytes
        self._etag = ""
        self._received = 0
        self._file: BinaryIO
        self._digests: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def run(self, check: Callable[[], None]) -> AsyncIterator[BinaryIO]:
        """Download and verify; gives the file, at its beginning, for the time of the block.

        Raises InvalidProduct where size or checksum are not those announced (a checksum is tried twice), HostileInput
        where it is larger than announced or allowed, Gone where the station has it no more, Transient where the
        connection does not hold.
        """
        if (self._offer.size_bytes or self._limit) > _IN_MEMORY:
            await asyncio.to_thread(self._scratch.mkdir, parents=True, exist_ok=True)
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._scratch)) as spooled:
            self._file = cast(BinaryIO, spooled)
            await self._verified(check)
            self._file.seek(0)
            yield self._file

    async def _verified(self, check: Callable[[], None]) -> None:
        await self._whole(check)
        wrong = self._wrong_checksum()
        if wrong:
            log.warning("download.again", product=self._offer.name, problem=wrong)
            before = self._computed()
            await self._restart()
            await self._whole(check)
            if wrong := self._wrong_checksum():
                if before != self._computed():
                    raise Transient(f"comes with other bytes each time: {wrong}", subject=self._offer.name)
                raise InvalidProduct(
                    wrong,
                    subject=self._offer.name,
                    advice="the same bytes came twice: ask the station to correct its announcement or its file, "
                    "then restart this step",
                )

    async def _whole(self, check: Callable[[], None]) -> None:
        """Ask until the body has ended; each cut is resumed where it happened."""
        barren = 0
        while True:
            before = self._received
            try:
                if await self._piece(check):
                    break
                problem = "the body ended early"
            except CONNECTION_ERRORS as error:
                problem = f"{type(error).__name__}: {error}".rstrip(": ")
            barren = 0 if self._received > before else barren + 1
            log.info("download.cut", product=self._offer.name, at_byte=self._received, problem=problem)
            if barren >= _BARREN:
                raise Transient(
                    f"the connection does not hold, last cut at byte {self._received}: {problem}",
                    subject=self._offer.name,
                    advice=f"it is fetched again from {self._client.station}",
                )
            check()
            await asyncio.sleep(jittered(_PAUSE_S * 2**barren))
        announced = self._offer.size_bytes
        if announced is not None and self._received != announced:
            raise InvalidProduct(
                f"has {self._received} bytes, {announced} were announced by {self._client.station}",
                subject=self._offer.name,
                advice="compare it with the one at the station; once it is whole there, restart this step",
            )

    async def _piece(self, check: Callable[[], None]) -> bool:
        """One request, from where we are; True where the body ended as its length says."""
        headers = {"Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
            if self._etag:
                headers["If-Range"] = self._etag
        async with self._client.get(self._url, headers) as response:
            if response.status == 416:
                return self._offer.size_bytes in (None, self._received)
            if self._received and not self._continues(response):
                await self._restart()
            etag = response.headers.get("ETag", "")
            self._etag = "" if etag.startswith("W/") else etag
            length = response.content_length
            expected = (self._offer.size_bytes or 0) if length is None else self._received + length
            buffer = bytearray()
            try:
                async for data in response.content.iter_any():
                    buffer += data
                    if len(buffer) >= _PIECE:
                        full, buffer = buffer, bytearray()
                        await self._take(full)
                        check()
            finally:
                # what came before a cut counts
                await self._take(buffer)
            return self._received >= expected

    def _continues(self, response: aiohttp.ClientResponse) -> bool:
        """Whether the answer goes on where we stopped (RFC 9110 14.4)."""
        return response.status == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {self._received}-"
        )

    async def _take(self, data: bytearray) -> None:
        if self._received + len(data) > self._limit:
            announced = self._offer.size_bytes is not None and self._limit == self._offer.size_bytes
            raise HostileInput(
                f"has more than {self._limit} bytes, {'which were announced' if announced else 'the most accepted'}",
                subject=self._offer.name,
                advice="ask the station what it sent"
                + ("" if announced else ", or raise fetch.max_product_bytes and restart this step"),
            )
        try:
            if len(data) < _INLINE:
                self._write(data)
            else:
                await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise Transient(
                f"cannot be kept in {self._scratch}: {error}", subject=self._offer.name, advice="make room there"
            ) from error
        self._received += len(data)

    def _write(self, data: bytearray) -> None:
        if not self._digests:
            known = [name for name in self._offer.checksums if name in _ALGORITHMS]
            self._digests = {name: _ALGORITHMS[name]() for name in known}
        self._file.write(data)
        for digest in self._digests.values():
            digest.update(data)

    async def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._received, self._etag, self._digests = 0, "", {}

    def _computed(self) -> dict[str, str]:
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def _wrong_checksum(self) -> str:
        for name, computed in self._computed().items():
            if computed != self._offer.checksums[name]:
                return f"has the {name} {computed}, {self._offer.checksums[name]} was announced"
        return ""
