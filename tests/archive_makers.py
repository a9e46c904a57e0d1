"""Archives for tests: sound ones by the standard library, unsound ones field by field."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from refsys.core.errors import RefsysError
from refsys.core.products import FileEntry
from refsys.ingestion.archives import Limits, NotStreamable, unpack, unpack_stream

NAME = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
BASE = "attempts/7f0c"
LIMITS = Limits(max_bytes=2**26, max_members=50, max_ratio=200.0)

#: A small product: paths inside its folder.
FILES = {
    "manifest.safe": b"<xfdu>" + b"metadata " * 40 + b"</xfdu>",
    "annotation/s1a-iw-grd-vv.xml": b"<product/>",
    "measurement/s1a-iw-grd-vv.tiff": bytes(range(256)) * 8,
    "preview/empty.txt": b"",
}


class MemoryBatch:
    """A batch of storage in memory; an exception takes everything back."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.longest_write = 0

    def __enter__(self) -> MemoryBatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.objects.clear()

    @contextlib.contextmanager
    def create(self, key: str) -> Iterator[MemoryBatch._Writer]:
        writer = self._Writer(self)
        yield writer
        self.objects[key] = writer.buffer.getvalue()

    def put(self, key: str, data: bytes) -> None:
        self.longest_write = max(self.longest_write, len(data))
        self.objects[key] = bytes(data)

    class _Writer:
        def __init__(self, batch: MemoryBatch) -> None:
            self.batch = batch
            self.buffer = io.BytesIO()

        def write(self, data: bytes | memoryview) -> None:
            self.batch.longest_write = max(self.batch.longest_write, len(data))
            self.buffer.write(data)


class Trickle:
    """A source that is not seekable and gives pieces of the given sizes, over and over; `left` is what it still has."""

    def __init__(self, data: bytes, sizes: Sequence[int] = (1, 300, 5, 2**20)) -> None:
        self.left = len(data)
        self._source = io.BytesIO(data)
        self._sizes = itertools.cycle(sizes)

    def read(self, length: int) -> bytes:
        data = self._source.read(min(length, next(self._sizes)))
        self.left -= len(data)
        return data


#: How an archive may come: seekable, or not and with or without its length known.
WAYS = ("seekable", "streamed", "streamed, length known")


def bring(data: bytes, batch: MemoryBatch, way: str = "seekable", *, fall_back: bool = True, **more: Any) -> Any:
    """The file table, by one of the ways; where an archive cannot be streamed it is fetched again, as the fetcher does.

    What streamed is at its end when it has succeeded.
    """
    arguments = {"archive": f"{NAME}.zip", "product": NAME, "base": BASE, "limits": LIMITS} | more
    if way != "seekable":
        source = Trickle(data)
        size_bytes = None if way == "streamed" else len(data)
        try:
            table = unpack_stream(source.read, batch=batch, size_bytes=size_bytes, **arguments)
        except NotStreamable:
            if not fall_back:
                raise
            batch.objects.clear()
        else:
            assert source.left == 0
            return table
    return unpack(io.BytesIO(data), batch=batch, **arguments)


def unpacked(
    data: bytes, archive: str = f"{NAME}.zip", product: str = NAME, limits: Limits = LIMITS, *, fall_back: bool = True
) -> tuple[list[FileEntry], dict[str, bytes]]:
    """The file table and the objects, their keys without BASE; all objects lie under it. It is the same by all ways."""
    found = []
    for way in WAYS:
        with MemoryBatch() as batch:
            table = bring(data, batch, way, archive=archive, product=product, limits=limits, fall_back=fall_back)
        found.append((table, batch))
    (table, batch), *others = found
    assert all((again, other.objects) == (table, batch.objects) for again, other in others)
    objects = {}
    for key, content in batch.objects.items():
        assert key == f"{BASE}/{product}" or key.startswith(f"{BASE}/{product}/")
        objects[key.removeprefix(f"{BASE}/")] = content
    return table, objects


def outcome(data: bytes) -> dict[str, bytes] | str:
    """The objects, or "refused": the same by all ways. Any other exception than ours escapes."""
    found: list[dict[str, bytes] | str] = []
    for way in WAYS:
        batch = MemoryBatch()
        try:
            with batch:
                bring(data, batch, way)
        except RefsysError:
            assert batch.objects == {}
            found.append("refused")
        else:
            found.append({key.removeprefix(f"{BASE}/"): content for key, content in batch.objects.items()})
    assert found[1:] == found[:-1]
    return found[0]


def in_folder(files: Mapping[str, bytes] = FILES, folder: str = NAME) -> dict[str, bytes]:
    """The files with the product's folder before their paths."""
    return {f"{folder}/{path}": data for path, data in files.items()}


def zip_of(
    members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, streamed: bool = False, zip64: bool = False
) -> bytes:
    """A ZIP by `zipfile`; streamed: with data descriptors. Names that end in a slash are folders."""
    buffer = io.BytesIO()
    target = _Unseekable(buffer) if streamed else buffer
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            if name.endswith("/"):
                archive.writestr(zipfile.ZipInfo(name), b"")
            else:
                info = zipfile.ZipInfo(name)
                info.compress_type = method
                with archive.open(info, "w", force_zip64=zip64) as file:
                    file.write(data)
    return buffer.getvalue()


def tar_of(
    members: Mapping[str, bytes] | Sequence[tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.PAX_FORMAT
) -> bytes:
    """A tar by `tarfile`. Names that end in a slash are folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for member, data in members.items() if isinstance(members, Mapping) else members:
            archive.addfile(member if isinstance(member, tarfile.TarInfo) else tar_info(member, data), io.BytesIO(data))
    return buffer.getvalue()


def tar_info(name: str, data: bytes = b"", kind: bytes | None = None, **more: object) -> tarfile.TarInfo:
    """A tar header."""
    info = tarfile.TarInfo(name)
    info.type = kind or (tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info


def gzipped(data: bytes) -> bytes:
    """The same bytes in gzip."""
    return gzip.compress(data, 6, mtime=0)


@dataclass(slots=True)
class ZipMember:
    """A member of a ZIP of which any field may be another than it should: `local` and `central` replace them."""

    name: bytes
    data: bytes = b"data"
    method: int = 0
    flags: int = 0x800
    mode: int = 0o100644
    extra: bytes = b""
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)
    descriptor: bytes | None = None
    packed: bytes | None = None

    def fields(self) -> dict[str, Any]:
        packed = self.packed_data()
        return {
            "name": self.name, "method": self.method, "flags": self.flags, "crc": zlib.crc32(self.data),
            "packed": len(packed), "size": len(self.data), "extra": self.extra,
        }  # fmt: skip

    def packed_data(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    """Raw deflate data."""
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(data) + packer.flush()


def raw_zip(*members: ZipMember, before: bytes = b"", offsets: Sequence[int] | None = None, **end: int) -> bytes:
    """A ZIP as its members say. `offsets` replaces where their local headers are said to be, `end` the end record."""
    body, directory = before, b""
    for number, member in enumerate(members):
        offset = len(body)
        here = member.fields() | member.local
        body += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, here["flags"], here["method"], 0, 0x5021, here["crc"], here["packed"],
            here["size"], len(here["name"]), len(here["extra"]),
        ) + here["name"] + here["extra"]  # fmt: skip
        body += member.packed_data() + (member.descriptor or b"")
        there = member.fields() | {"offset": offsets[number] if offsets else offset, "disk": 0} | member.central
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 3 << 8 | 20, 20, there["flags"], there["method"], 0, 0x5021, there["crc"],
            there["packed"], there["size"], len(there["name"]), len(there["extra"]), 0, there["disk"], 0,
            member.mode << 16, there["offset"],
        ) + there["name"] + there["extra"]  # fmt: skip
    told = {"disk": 0, "first_disk": 0, "here": len(members), "count": len(members), "size": len(directory)}
    told |= {"offset": len(body), "comment": 0} | end
    return body + directory + struct.pack("<4s4H2LH", b"PK\5\6", *told.values())


class _Unseekable(io.RawIOBase):
    def __init__(self, target: io.BytesIO) -> None:
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._target.write(data)


def refused_each_way(
    kind: type[RefsysError], archive: bytes, match: str, *, name: str, member: str = "", limits: Limits = LIMITS
) -> None:
    """Whichever way it comes, exactly this kind of error is raised, which names what it is about; nothing stays."""
    for way in WAYS:
        batch = MemoryBatch()
        with pytest.raises(RefsysError, match=match) as caught, batch:
            bring(archive, batch, way, archive=name, limits=limits)
        assert type(caught.value) is kind
        assert name in caught.value.subject
        assert member in caught.value.subject
        assert caught.value.advice
        assert batch.objects == {}
