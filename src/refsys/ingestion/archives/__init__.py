"""Unpack what stations deliver into storage, whatever it is made of.

    unpack        an archive (ZIP, tar, gzipped tar; told apart by their first bytes, not by their names)
    unpack_stream the same of an archive that is not seekable, where it can be unpacked as it comes
    store_file    a product, or one file of it, that comes as plain bytes
    store_folder  a product that lies in a local folder

All three write through a `Batch` and return the file table, with sizes and checksums taken in the same pass. What comes
is hostile: sizes, names and structure are checked before or while bytes are written, and memory stays bounded (a few
pieces of 1 MiB) whatever an archive says. On an error nothing stays, because the batch takes it back:

    HostileInput     it tries to leave its folder, to reach out (links, devices), or to exhaust memory or disk
    InvalidProduct   it is cut short, damaged, contradicts itself, or is not the product that was announced
    Transient        a local folder changes or vanishes while it is read
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final

from refsys.core.products import FileEntry, check_name
from refsys.infra.storage import Batch
from refsys.ingestion.archives.model import Delivery, Limits, NotStreamable, go_on, size_of
from refsys.ingestion.archives.plain import store_file, store_folder
from refsys.ingestion.archives.streams import Feed, GzipStream
from refsys.ingestion.archives.tars import BLOCK, is_header, unpack_tar
from refsys.ingestion.archives.writing import Intake
from refsys.ingestion.archives.zips import stream_zip, unpack_zip

__all__ = ["Limits", "NotStreamable", "store_file", "store_folder", "unpack", "unpack_stream"]

_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK")
_GZIP: Final = b"\x1f\x8b"
#: What else comes under an archive's name, by its first bytes.
_OTHERS: Final = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ", "xz data"),
    (b"BZh", "bzip2 data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\x1f\x9d", "data of compress(1)"),
    (b"<", "a web page or XML"),
    (b"{", "JSON"),
)


def unpack(
    source: BinaryIO,
    *,
    archive: str,
    product: str,
    base: str,
    batch: Batch,
    limits: Limits,
    check: Callable[[], None] = go_on,
) -> list[FileEntry]:
    """Write the members of an archive under `base` and return the product's file table, in the order of its paths.

    `source` is seekable and holds the archive's bytes, `archive` is its name (for errors). Every path of the table is
    `product` itself (a product of one file) or lies under it; how members that lie elsewhere get there, or are refused,
    says `layouts.py`. `check` is called at least once for each member and each piece of 1 MiB; what it raises ends the
    work. Raises HostileInput or InvalidProduct, with the archive and the member in them.
    """
    return _unpack(
        Feed(source.read, size_of(source), source.seek), source, archive, product, base, batch, limits, check
    )


def unpack_stream(
    read: Callable[[int], bytes],
    *,
    archive: str,
    product: str,
    base: str,
    batch: Batch,
    limits: Limits,
    check: Callable[[], None] = go_on,
    size_bytes: int | None = None,
) -> list[FileEntry]:
    """As `unpack`, from a source that is read once from its start to its end, without a copy of the archive.

    `read(length)` returns at most `length` bytes and none only at the end; what it raises passes through. `size_bytes`
    is the archive's length where it is known beforehand (for the limit of the ratio). Where this returns, the source
    was read to its end. Raises NotStreamable where the archive has to be seekable (the batch is to be given up, and
    `unpack` judges a copy), else as `unpack`.
    """
    return _unpack(Feed(read, size_bytes), None, archive, product, base, batch, limits, check)


def _unpack(
    feed: Feed,
    source: BinaryIO | None,
    archive: str,
    product: str,
    base: str,
    batch: Batch,
    limits: Limits,
    check: Callable[[], None],
) -> list[FileEntry]:
    """`source` is what gives `feed` its bytes, where that is seekable."""
    check_name(product)
    delivery = Delivery(archive)
    start = feed.peek(BLOCK)
    with Intake(delivery, base=base, batch=batch, limits=limits, check=check) as intake:
        if start.startswith(_ZIP) and source is not None:
            unpack_zip(source, feed, product, intake)
        elif start.startswith(_ZIP):
            stream_zip(feed, product, intake)
        elif start.startswith(_GZIP):
            unpack_tar(lambda: GzipStream(_from_start(feed), intake), product, intake, again=source is not None)
        elif is_header(start) or start == bytes(BLOCK):
            unpack_tar(lambda: _from_start(feed), product, intake, again=source is not None)
        else:
            raise delivery.invalid(_neither(start))
        return intake.table()


def _from_start(feed: Feed) -> Feed:
    if feed.position:
        feed.rewind()
    return feed


def _neither(start: bytes) -> str:
    if not start:
        return "is empty: 0 bytes"
    known = next((text for magic, text in _OTHERS if start.startswith(magic)), "something else")
    return f"is neither ZIP nor tar but {known}: it begins with {ascii(bytes(start[:16]))[1:]}"
