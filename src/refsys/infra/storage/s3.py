"""Objects in an S3 bucket, through obstore.

What a process that died was uploading in parts stays invisible until it is swept (`uploads.py`).
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import S3Store

from refsys.core.errors import RefsysError, Unreachable
from refsys.infra.storage.model import (
    BytesWriter,
    MissingObject,
    ObjectInfo,
    OpenBatch,
    Reader,
    Storage,
    check_folder,
    check_key,
    folder_of,
)
from refsys.infra.storage.uploads import Uploads

if TYPE_CHECKING:
    from obstore.store import RetryConfig

    from refsys.infra.settings import S3Settings

#: Objects up to this size are put whole, larger ones in parts of this size, in bytes.
_PART: Final = 8 * 2**20
#: Requests that one call makes at the same time, and small objects that may wait in memory for their turn.
_PARALLEL: Final = 8
_WAITING: Final = 2 * _PARALLEL
#: Parts of one object that are on their way at the same time.
_PARTS_PARALLEL: Final = 1
#: The largest object that S3 copies by itself, in bytes.
_COPY_LIMIT: Final = 5 * 2**30
_TIMEOUT: Final = timedelta(minutes=5)
#: Hiccups are bridged here; whoever is away longer is waited for by the step that goes back.
_RETRY: Final[RetryConfig] = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
}
_NO_BUCKET: Final = "<Code>NoSuchBucket</Code>"
_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>(?:\s*<Message>([^<]{1,300})</Message>)?")
_STATUS: Final = re.compile(r"status code: ([0-9]{3}[A-Za-z ]*)")

_Result = TypeVar("_Result")


class S3Storage(Storage):
    """A bucket, or what lies under a prefix in it.

    `place` names it in errors, `signer` is the bucket as users see it, `uploads` what was begun and never completed.
    """

    def __init__(self, store: S3Store, place: str, signer: S3Store, uploads: Uploads, *, is_public: bool) -> None:
        self._store = store
        self._place = place
        self._signer = signer
        self._uploads = uploads
        self.is_public = is_public

    @classmethod
    def of(cls, url: str, settings: S3Settings) -> S3Storage:
        """`url` is s3://bucket[/prefix]."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        place = f"{url} at {settings.endpoint or 'AWS'}"

        def store(endpoint: str) -> S3Store:
            known: dict[str, Any] = {"region": settings.region}
            if endpoint:
                known["endpoint"] = endpoint
            if settings.access_key_id:
                known["access_key_id"] = settings.access_key_id
                known["secret_access_key"] = settings.secret_access_key.get_secret_value()
            return S3Store(
                bucket,
                prefix=prefix or None,
                client_options={"allow_http": settings.allow_http, "timeout": _TIMEOUT},
                retry_config=_RETRY,
                **known,
            )

        return cls(
            store(settings.endpoint),
            place,
            store(settings.public_endpoint or settings.endpoint),
            Uploads(bucket, prefix, place, settings),
            is_public=bool(settings.public_endpoint) or not settings.endpoint,
        )

    @contextlib.contextmanager
    def batch(self) -> Iterator[OpenBatch]:
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="s3") as threads:
            batch = _S3Batch(self, threads)
            try:
                yield batch
                batch.complete()
            except BaseException:
                batch.take_back()
                raise

    def stat(self, key: str) -> ObjectInfo | None:
        check_key(key)
        try:
            return _info(self.ask(key, lambda: obstore.head(self._store, key)))
        except MissingObject:
            self._expect_bucket(key)
            return None

    def open(self, key: str) -> Reader:
        found = self.stat(key)
        if found is None:
            raise MissingObject(key)
        return _S3Reader(self, key, found.size_bytes)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = folder_of(prefix)
        pages = iter(obstore.list(self._store, prefix=folder or None, chunk_size=1000))
        while page := self.ask(prefix, lambda: next(pages, None)):
            for found in page:
                if found["path"].startswith(prefix):
                    yield _info(found)

    def move(self, source: str, target: str, paths: Sequence[str]) -> None:
        """Copied, not moved: the bytes stay under `source` until somebody deletes them."""
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="s3") as threads:
            done = [threads.submit(self._copy, f"{source}/{path}", f"{target}/{path}") for path in paths]
        _results(done)

    def delete(self, keys: Sequence[str]) -> None:
        wanted = [check_key(key) for key in keys]
        if wanted:
            with contextlib.suppress(MissingObject):
                self.ask(wanted[0], lambda: obstore.delete(self._store, wanted))

    def delete_prefix(self, prefix: str) -> None:
        self.delete([info.key for info in self.list(f"{check_folder(prefix)}/")])

    def free_bytes(self) -> tuple[int, int] | None:
        return None

    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        latest: dict[str, datetime] = {}
        start = f"{check_folder(prefix)}/"
        for info in self.list(start):
            name, slash, _ = info.key.removeprefix(start).partition("/")
            if slash:
                latest[name] = max(latest.get(name, info.modified_at), info.modified_at)
        return [f"{start}{name}" for name, written in latest.items() if written < before]

    def sweep_unfinished(self, prefix: str, before: datetime) -> int:
        return self._uploads.sweep(prefix, before)

    def link(self, key: str, seconds: float) -> str:
        check_key(key)
        return self.ask(key, lambda: obstore.sign(self._signer, "GET", key, timedelta(seconds=seconds)))

    def ask(self, key: str, request: Callable[[], _Result]) -> _Result:
        """Make a request; its errors become ours. Raises MissingObject, or Unreachable that says what S3 said."""
        try:
            return request()
        except (BaseError, OSError) as error:
            report = str(error).partition("Debug source")[0]
            if isinstance(error, NotFoundError | FileNotFoundError) and _NO_BUCKET not in report:
                raise MissingObject(key) from None
            raise self._failed(key, report) from error

    def _failed(self, key: str, report: str) -> Unreachable:
        message, status = what_it_said(key, report)
        advice = "is it up and reachable? it is tried again"
        if _NO_BUCKET in report:
            advice = "make the bucket, or correct storage_url"
        elif status.startswith(("401", "403")):
            advice = "check the keys in [s3] and what they may do in this bucket"
        return Unreachable(message, subject=self._place, advice=advice)

    def _expect_bucket(self, key: str) -> None:
        """The answer to a question about one object does not tell a missing bucket from a missing object."""
        self.ask(key, lambda: next(iter(obstore.list(self._store, prefix=key, chunk_size=1)), None))

    def _copy(self, old: str, new: str) -> None:
        found = self.stat(old)
        if found is None:
            if self.stat(new) is None:
                raise MissingObject(old)
        elif found.size_bytes < _COPY_LIMIT:
            self.ask(old, lambda: obstore.copy(self._store, old, check_key(new)))
        else:
            self._copy_through(found, new)

    def _copy_through(self, old: ObjectInfo, new: str) -> None:
        reader = self.open(old.key)
        with self.batch() as batch, batch.create(new) as writer:
            for offset in range(0, old.size_bytes, _PART):
                writer.write(reader.read_at(offset, _PART))


class _S3Batch:
    """Small objects go out in the background; `complete` waits until all of them are there."""

    def __init__(self, storage: S3Storage, threads: ThreadPoolExecutor) -> None:
        self._storage = storage
        self._threads = threads
        self._sent: dict[str, Future[None] | None] = {}
        self._waiting: deque[Future[None]] = deque()

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BytesWriter]:
        self._enter(key)
        writer = _S3Writer(self._storage, key)
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.finish(self._send)

    def put(self, key: str, data: bytes) -> None:
        self._enter(key)
        self._send(key, data)

    def drop(self, key: str) -> None:
        """What cannot be deleted now is swept later."""
        dropped = [each for each in list(self._sent) if each == key or each.startswith(f"{key}/")]
        begun = {each: self._sent.pop(each) for each in dropped}
        wait([future for future in begun.values() if future is not None])
        with contextlib.suppress(RefsysError):
            self._storage.delete(list(begun))

    def complete(self) -> None:
        _results(self._waiting)

    def take_back(self) -> None:
        """Nothing of a failed batch stays; what cannot be deleted now is swept later."""
        begun = {key: future for key, future in self._sent.items() if future is None or not future.cancel()}
        wait([future for future in begun.values() if future is not None])
        with contextlib.suppress(RefsysError):
            self._storage.delete(list(begun))

    def _enter(self, key: str) -> None:
        check_key(key)
        if key in self._sent:
            raise RefsysError("is written twice in one batch", subject=key)
        self._sent[key] = None

    def _send(self, key: str, data: bytes) -> None:
        sent = self._sent[key] = self._threads.submit(self._put, key, data)
        self._waiting.append(sent)
        if len(self._waiting) > _WAITING:
            self._waiting.popleft().result()

    def _put(self, key: str, data: bytes) -> None:
        storage = self._storage
        storage.ask(key, lambda: obstore.put(storage._store, key, data))


class _S3Writer:
    """Small objects are put whole; the parts of large ones go out in the background of what is written next."""

    def __init__(self, storage: S3Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._buffer = bytearray()
        self._parts: Any = None

    def write(self, data: bytes | memoryview) -> None:
        if self._parts is not None:
            self._pass_on(bytes(data))
            return
        self._buffer += data
        if len(self._buffer) >= _PART:
            self._parts = obstore.open_writer(
                self._storage._store, self._key, buffer_size=_PART, max_concurrency=_PARTS_PARALLEL
            )
            data, self._buffer = memoryview(self._buffer), bytearray()
            self._pass_on(data)

    def finish(self, send: Callable[[str, bytes], None]) -> None:
        if self._parts is None:
            send(self._key, bytes(self._buffer))
            return
        self._storage.ask(self._key, self._parts.close)

    def abandon(self) -> None:
        """obstore cannot abort an upload; one that is completed is an object, which can be deleted."""
        if self._parts is not None:
            with contextlib.suppress(RefsysError):
                self._storage.ask(self._key, self._parts.close)

    def _pass_on(self, data: bytes | memoryview) -> None:
        """obstore copies nothing: the data must stay as they are until they are sent."""
        self._storage.ask(self._key, lambda: self._parts.write(data))


class _S3Reader:
    def __init__(self, storage: S3Storage, key: str, size_bytes: int) -> None:
        self._storage = storage
        self._key = key
        self.size_bytes = size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        stop = min(offset + length, self.size_bytes)
        if offset >= stop:
            return b""
        storage = self._storage
        found = storage.ask(self._key, lambda: obstore.get_range(storage._store, self._key, start=offset, end=stop))
        return bytes(found)

    def read_now(self, offset: int, length: int) -> bytearray | None:
        return None

    def close(self) -> None:
        return None


def what_it_said(key: str, report: str) -> tuple[str, str]:
    """Of obstore's long reports, what S3 said of a key, or that it said nothing; and its status ("" = none)."""
    said, status = _CODE.search(report), _STATUS.search(report)
    if said:
        message = f"S3 refused {key!a}: {': '.join(part for part in said.groups() if part)}"
    elif status:
        message = f"S3 refused {key!a}: {status[1]}"
    else:
        message = f"S3 did not answer for {key!a}: {' '.join(report.split())[-300:]}"
    return message, status[1] if status else ""


def _info(found: Any) -> ObjectInfo:
    return ObjectInfo(found["path"], found["size"], found["last_modified"].astimezone(UTC))


def _results(futures: Iterable[Future[None]]) -> None:
    """Wait for all; raise the first error."""
    for future in futures:
        future.result()
