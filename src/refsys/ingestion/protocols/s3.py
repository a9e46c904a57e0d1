"""Objects under a prefix of a bucket, which may be anybody's: they are read, and nothing is written there.

Which content an object has, ETag, size and time say together; what is read is asked for by its ETag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.exceptions import BaseError, InvalidPathError, NotFoundError, PreconditionError
from obstore.store import S3Store

from refsys.core.errors import Gone, RefsysError, Transient, Unreachable
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Station
from refsys.infra.storage.s3 import what_it_said
from refsys.ingestion.model import Offer, Part, Stream
from refsys.ingestion.protocols.filedrop import FileDrop, Listing, products_of
from refsys.ingestion.protocols.metered import open_metered
from refsys.ingestion.protocols.settling import Entry

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import RetryConfig

#: What one request reads, in bytes: the next one is under way while this one is used.
_CHUNK: Final = 8 * 2**20
_TIMEOUT: Final = timedelta(minutes=5)
#: Hiccups are bridged here; whoever is away longer is asked again by those who called.
_RETRY: Final[RetryConfig] = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
_ERRORS: Final = (BaseError, OSError)


class S3Source(FileDrop):
    """One prefix."""

    def __init__(self, inbox: InboxSettings, settings: Settings, shared: Station) -> None:
        super().__init__(inbox)
        self._shared = shared
        bucket, _, prefix = inbox.url.removeprefix("s3://").partition("/")
        known: dict[str, Any] = {"region": inbox.region}
        if inbox.endpoint:
            known["endpoint"] = inbox.endpoint
        if inbox.auth.user:
            known["access_key_id"] = inbox.auth.user
            known["secret_access_key"] = inbox.auth.password.get_secret_value()
        else:
            known["skip_signature"] = True
        self._store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            client_options={
                "allow_http": inbox.endpoint.startswith("http://"),
                "allow_invalid_certificates": not inbox.verify_tls,
                "connect_timeout": timedelta(seconds=settings.fetch.connect_timeout_s),
                "read_timeout": timedelta(seconds=settings.fetch.read_timeout_s),
                "timeout": _TIMEOUT,
            },
            retry_config=_RETRY,
            **known,
        )
        self._least = settings.fetch.least_bytes_per_s
        self._threads = ThreadPoolExecutor(inbox.concurrency * settings.fetch.window, thread_name_prefix="s3-ahead")

    async def listing(self) -> Listing:
        """What lies under the prefix; the objects by which tools mark folders are left out."""
        async with self._shared.listing():
            with self._shared.breaker.passing():
                return await asyncio.to_thread(self._listed, "")

    def parts(self, offer: Offer) -> Sequence[Part]:
        """One object as it was listed, or the objects that a product's folder has now."""
        if not self.is_folder(offer):
            return [Part("", offer.size_bytes, offer.version)]
        with self._shared.connection(), self._shared.breaker.passing():
            return self.parts_in(offer, self._listed(offer.path).entries)

    def open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        """Raises Transient where it has another size than was listed."""
        stream = open_metered(self._shared, self._least, lambda: self._open(offer, part, start, stop, tag))
        if stream.size_bytes != part.size_bytes:
            stream.close()
            raise self.changed(offer, f": it has {stream.size_bytes} bytes, not {part.size_bytes}")
        return stream

    def _open(self, offer: Offer, part: Part, start: int = 0, stop: int | None = None, tag: str = "") -> Stream:
        key = f"{offer.path}/{part.path}" if part.path else offer.path
        try:
            stream = _S3Stream(self._store, self._threads, key, start, stop, part.size_bytes or 0, tag)
        except PreconditionError:
            return self._open(offer, part)
        except _ERRORS as error:
            raise self._error(error, key) from error
        if tag and tag != stream.tag:
            stream.close()
            return self._open(offer, part)
        return stream

    async def close(self) -> None:
        """Nothing is read ahead any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _listed(self, folder: str) -> Listing:
        listing = Listing()
        try:
            for page in obstore.list(self._store, prefix=folder or None, chunk_size=1000):
                for found in page:
                    if self.accepts(found["path"]):
                        listing.add(_entry(found))
        except _ERRORS as error:
            raise self._error(error, folder) from error
        folders = {entry.folder for entry in listing.entries}
        listing.entries = [entry for entry in listing.entries if entry.size_bytes or entry.path not in folders]
        if self.inbox.directories and not folder:
            listing.entries = products_of(listing.entries)
        return listing

    def _error(self, error: BaseException, key: str) -> RefsysError:
        report = str(error).partition("Debug source")[0]
        if isinstance(error, NotFoundError | FileNotFoundError) and "<Code>NoSuchBucket</Code>" not in report:
            return Gone("is no longer there", subject=key)
        if isinstance(error, InvalidPathError):  # obstore lists nothing where there is one of these
            return Transient(
                f"has an object whose key is no path: {' '.join(report.split())[:200]}",
                subject=self.station,
                advice="delete it there, or let the inbox's url name a prefix without such",
            )
        message, status = what_it_said(key or self.inbox.url, report)
        advice = "is it up and reachable? it is asked again"
        if status.startswith(("401", "403")):
            advice = "check user (the access key) and password (the secret key) in the inbox's auth"
        elif status.startswith("404"):
            advice = "check bucket and endpoint of the inbox"
        return Unreachable(message, subject=self.station, advice=advice)


class _S3Stream:
    """An object's bytes, one request after the other, the next one ahead."""

    def __init__(
        self, store: S3Store, threads: ThreadPoolExecutor, key: str, start: int, stop: int | None, size: int, tag: str
    ) -> None:
        self._store = store
        self._threads = threads
        self._key = key
        self._closed: Future[Any] = Future()
        self.start = start
        self._stop = size if stop is None else min(stop, size)
        self._next = start
        self.tag = tag
        self._chunk = memoryview(b"")
        if start < self._stop or not size:
            answer = self._ask(start, min(start + _CHUNK, self._stop))
            self.tag, self.size_bytes = answer.meta["e_tag"] or "", answer.meta["size"]
            self._chunk = self._taken(answer)
        else:
            answer = obstore.head(store, key)
            self.tag, self.size_bytes = answer["e_tag"] or "", answer["size"]
        self._ahead = self._read_ahead()

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._chunk and self._ahead is not None:
            wait({self._ahead, self._closed}, return_when=FIRST_COMPLETED)
        if self._closed.done():
            raise OSError(f"the stream of {self._key!a} is closed")
        if not self._chunk and self._ahead is not None:
            try:
                self._chunk = self._ahead.result()
            except _ERRORS as error:
                message, _ = what_it_said(self._key, str(error).partition("Debug source")[0])
                raise OSError(message) from error
            self._ahead = self._read_ahead()
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def close(self) -> None:
        with suppress(InvalidStateError):  # it was closed before
            self._closed.set_result(None)

    def _read_ahead(self) -> Future[Any] | None:
        if self._next >= self._stop:
            return None
        start, stop = self._next, min(self._next + _CHUNK, self._stop)
        return self._threads.submit(lambda: self._taken(self._ask(start, stop)))

    def _ask(self, start: int, stop: int) -> Any:
        options: GetOptions = {"range": (start, stop)} if stop > start else {}
        if self.tag:
            options["if_match"] = self.tag
        return obstore.get(self._store, self._key, options=options)

    def _taken(self, answer: Any) -> memoryview:
        """The bytes of an answer. Raises OSError where it has others than were asked for."""
        start, stop = answer.range
        if start != self._next:
            raise OSError(f"{self._key!a} came from byte {start}, byte {self._next} was asked for")
        data = memoryview(answer.bytes())
        if len(data) != stop - start:
            raise OSError(f"{self._key!a} ended at byte {start + len(data)} of {stop}")
        self._next = stop
        return data


def _entry(found: Any) -> Entry:
    at = found["last_modified"].astimezone(UTC)
    return Entry(found["path"], found["size"], at, f"{found['size']}/{at:%Y-%m-%dT%H:%M:%S.%f}/{found['e_tag'] or ''}")
