"""Objects in an S3 bucket, through obstore.

What a process that died was uploading in parts stays invisible and is the bucket's to forget: set its lifecycle rule
AbortIncompleteMultipartUpload (docs/how-to/use-s3.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from refsys.core.errors import RefsysError, Transient
from refsys.infra.storage.model import Batch, BytesWriter, MissingObject, ObjectInfo, Reader, Storage
from refsys.infra.storage.model import check_key as _checked

if TYPE_CHECKING:
    from refsys.infra.settings import S3Settings

#: Objects up to this size are put whole, larger ones in parts of this size, in bytes.
_PART: Final = 8 * 2**20
#: Requests that one call makes at the same time.
_PARALLEL: Final = 8
#: The largest object that S3 copies by itself, in bytes.
_COPY_LIMIT: Final = 5 * 2**30
_TIMEOUT: Final = timedelta(minutes=5)

_Result = TypeVar("_Result")


class S3Storage(Storage):
    """A bucket, or what lies under a prefix in it. `place` names it in errors."""

    def __init__(self, store: S3Store, place: str) -> None:
        self._store = store
        self._place = place

    @classmethod
    def of(cls, url: str, settings: S3Settings) -> S3Storage:
        """`url` is s3://bucket[/prefix]."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        known: dict[str, Any] = {"region": settings.region}
        if settings.endpoint:
            known["endpoint"] = settings.endpoint
        if settings.access_key_id:
            known["access_key_id"] = settings.access_key_id
            known["secret_access_key"] = settings.secret_access_key.get_secret_value()
        store = S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            client_options={"allow_http": settings.allow_http, "timeout": _TIMEOUT},
            **known,
        )
        return cls(store, f"{url} at {settings.endpoint or 'AWS'}")

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="s3") as threads:
            batch = _S3Batch(self, threads)
            try:
                yield batch
                batch.complete()
            except BaseException:
                batch.take_back()
                raise

    def stat(self, key: str) -> ObjectInfo | None:
        try:
            return _info(self.ask(key, lambda: obstore.head(self._store, _checked(key))))
        except MissingObject:
            return None

    def open(self, key: str) -> Reader:
        found = self.ask(key, lambda: obstore.head(self._store, _checked(key)))
        return _S3Reader(self, key, found["size"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
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
        wanted = [_checked(key) for key in keys]
        if wanted:
            with contextlib.suppress(MissingObject):
                self.ask(wanted[0], lambda: obstore.delete(self._store, wanted))

    def delete_prefix(self, prefix: str) -> None:
        found = [info.key for info in self.list(f"{prefix.rstrip('/')}/")]
        self.delete(found)

    def free_bytes(self) -> tuple[int, int] | None:
        return None

    def stale(self, prefix: str, before: datetime) -> Sequence[str]:
        latest: dict[str, datetime] = {}
        start = f"{prefix.rstrip('/')}/"
        for info in self.list(start):
            name, slash, _ = info.key.removeprefix(start).partition("/")
            if slash:
                latest[name] = max(latest.get(name, info.modified_at), info.modified_at)
        return [f"{start}{name}" for name, written in latest.items() if written < before]

    def ask(self, key: str, request: Callable[[], _Result]) -> _Result:
        """Make a request; its errors become ours. Raises MissingObject, or Transient that says what S3 said."""
        try:
            return request()
        except (NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise self._refused(key, error, "make the bucket, or correct storage_url") from error
            raise MissingObject(key) from None
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise self._refused(key, error, "check the keys in [s3] and what they may do in this bucket") from error
        except (BaseError, OSError) as error:
            raise self._refused(key, error, "is it up and reachable? it is tried again") from error

    def _refused(self, key: str, error: Exception, advice: str) -> Transient:
        told = " ".join(str(error).split())[:300]
        return Transient(f"S3 refused {key!a}: {told}", subject=self._place, advice=advice)

    def _copy(self, old: str, new: str) -> None:
        found = self.stat(old)
        if found is None:
            if self.stat(new) is None:
                raise MissingObject(old)
        elif found.size_bytes < _COPY_LIMIT:
            self.ask(old, lambda: obstore.copy(self._store, _checked(old), _checked(new)))
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

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[BytesWriter]:
        self._enter(key)
        writer = _S3Writer(self._storage, key)
        yield writer
        writer.finish(self._send)

    def put(self, key: str, data: bytes) -> None:
        self._enter(key)
        self._send(key, data)

    def complete(self) -> None:
        _results([future for future in self._sent.values() if future is not None])

    def take_back(self) -> None:
        """Nothing of a failed batch stays; what cannot be deleted now is swept later."""
        sent = [future for future in self._sent.values() if future is not None]
        wait([future for future in sent if not future.cancel()])
        with contextlib.suppress(RefsysError):
            self._storage.delete(list(self._sent))

    def _enter(self, key: str) -> None:
        _checked(key)
        if key in self._sent:
            raise RefsysError("is written twice in one batch", subject=key)
        self._sent[key] = None

    def _send(self, key: str, data: bytes) -> None:
        self._sent[key] = self._threads.submit(self._put, key, data)

    def _put(self, key: str, data: bytes) -> None:
        storage = self._storage
        storage.ask(key, lambda: obstore.put(storage._store, key, data))


class _S3Writer:
    def __init__(self, storage: S3Storage, key: str) -> None:
        self._storage = storage
        self._key = key
        self._buffer = bytearray()
        self._parts: Any = None

    def write(self, data: bytes | memoryview) -> None:
        self._buffer += data
        if len(self._buffer) >= _PART:
            self._flush()

    def finish(self, send: Callable[[str, bytes], None]) -> None:
        if self._parts is None:
            send(self._key, bytes(self._buffer))
            return
        self._flush()
        self._storage.ask(self._key, self._parts.close)

    def _flush(self) -> None:
        if self._parts is None:
            self._parts = obstore.open_writer(self._storage._store, self._key, buffer_size=_PART)
        data, self._buffer = bytes(self._buffer), bytearray()
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


def _info(found: Any) -> ObjectInfo:
    return ObjectInfo(found["path"], found["size"], found["last_modified"].astimezone(UTC))


def _results(futures: Sequence[Future[None]]) -> None:
    """Wait for all; raise the first error."""
    for future in futures:
        future.result()
