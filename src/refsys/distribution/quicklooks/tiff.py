"""Lines of a TIFF, read one by one: what is in memory does not depend on the size of the image.

Source of the format: Adobe, TIFF 6.0 (1992), sections 2 (structure), 14 (predictor), 15 (tiles); BigTIFF as in libtiff.
Read is what Sentinel-1 has: one sample per pixel, strips or tiles, not compressed or by Deflate; overviews are used.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

#: `read(offset, length)`: these bytes of the file, fewer only at its end.
Read = Callable[[int, int], bytes]
Line = np.ndarray[Any, np.dtype[Any]]

_DIRECTORIES: Final = 16
_ENTRIES: Final = 200
_EDGE: Final = 200_000
_BLOCKS: Final = 400_000
#: Bytes of a row of blocks, decoded.
_BLOCK_ROW: Final = 256 * 2**20

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _COUNTS = 256, 257, 258, 259, 273, 277, 278, 279
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS, _FORMAT = 317, 322, 323, 324, 325, 339
_NONE: Final = 1
_DEFLATE: Final = (8, 32946)
_TYPES: Final = {1: "B", 3: "H", 4: "I", 16: "Q"}
#: By format and bits: the type of a number, and whether two make a pixel.
_PIXELS: Final = {
    (1, 8): ("u1", False),
    (1, 16): ("u2", False),
    (2, 16): ("i2", False),
    (3, 32): ("f4", False),
    (5, 32): ("i2", True),
    (6, 64): ("f4", True),
}


class BadTiff(ValueError):
    """It is no TIFF, or one of a kind that is not read here."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """One image: its blocks are tiles, or strips of its whole width."""

    width: int
    height: int
    block_width: int
    block_height: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    compression: int
    predictor: int
    pixel: np.dtype[Any]
    is_complex: bool

    @property
    def across(self) -> int:
        return -(-self.width // self.block_width)


class Tiff:
    """An image of a TIFF: the smallest one whose longer side has `least` pixels or more, else the largest.

    Raises BadTiff where it cannot be read.
    """

    def __init__(self, read: Read, least: int) -> None:
        self._read = read
        layouts = [_layout(tags) for tags in _Directories(read).all()]
        enough = [one for one in layouts if max(one.width, one.height) >= least]
        self._image = min(enough, key=_area) if enough else max(layouts, key=_area)
        self.width, self.height = self._image.width, self._image.height
        self._decoded: tuple[int, Line] | None = None

    def line(self, row: int) -> Line:
        """The magnitudes of one line, float32, shape (width,)."""
        image = self._image
        index, inside = divmod(row, image.block_height)
        if image.compression == _NONE and image.across == 1 and image.block_width == image.width:
            length = image.width * image.pixel.itemsize * (2 if image.is_complex else 1)
            line = self._pixels(self._exactly(image.offsets[index] + inside * length, length))
        else:
            if self._decoded is None or self._decoded[0] != index:
                self._decoded = index, self._block_row(index)
            line = self._decoded[1][inside]
        return self._magnitude(line[: image.width * (2 if image.is_complex else 1)])

    def _block_row(self, index: int) -> Line:
        """All blocks beside each other, shape (block height, numbers)."""
        image = self._image
        first = index * image.across
        return np.hstack([self._block(number) for number in range(first, first + image.across)])

    def _block(self, number: int) -> Line:
        image = self._image
        numbers = image.block_width * (2 if image.is_complex else 1)
        whole = image.block_height * numbers * image.pixel.itemsize
        count = image.counts[number]
        if count > 2 * whole + 4096:
            raise BadTiff("a block of it is too long")
        data = self._exactly(image.offsets[number], count)
        if image.compression != _NONE:
            data = zlib.decompressobj().decompress(data, whole)
        # the last strip has only the lines that are left
        data = data[:whole].ljust(whole, b"\0")
        block = self._pixels(data).reshape(image.block_height, numbers)
        if image.predictor == 2:
            with np.errstate(over="ignore"):
                block = np.cumsum(block, axis=1, dtype=block.dtype)
        return block

    def _pixels(self, data: bytes) -> Line:
        return np.frombuffer(data, self._image.pixel)

    def _magnitude(self, line: Line) -> Line:
        plain = np.nan_to_num(line.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        if not self._image.is_complex:
            return np.abs(plain)
        pairs = plain.reshape(-1, 2)
        magnitude: Line = np.hypot(pairs[:, 0], pairs[:, 1])
        return magnitude

    def _exactly(self, offset: int, length: int) -> bytes:
        data = self._read(offset, length)
        if len(data) != length:
            raise BadTiff("it ends before its pixels do")
        return data


class _Directories:
    """The directories of a file, each its tags with their values."""

    def __init__(self, read: Read) -> None:
        self._read = read
        head = read(0, 16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 16:
            raise BadTiff("it is no TIFF")
        self.order = order
        (version,) = self._numbers("H", head[2:4])
        self._is_big = version == 43
        if version not in (42, 43):
            raise BadTiff("it is no TIFF")
        (self._first,) = self._numbers("Q", head[8:16]) if self._is_big else self._numbers("I", head[4:8])

    def all(self) -> list[tuple[str, dict[int, tuple[int, ...]]]]:
        found: list[tuple[str, dict[int, tuple[int, ...]]]] = []
        at, seen = self._first, set[int]()
        while at and at not in seen and len(found) < _DIRECTORIES:
            seen.add(at)
            tags, at = self._directory(at)
            found.append((self.order, tags))
        if not found:
            raise BadTiff("it has no image")
        return found

    def _directory(self, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """Its tags, and where the next one lies."""
        counter, entry, pointer = ("Q", "HHQ8s", "Q") if self._is_big else ("H", "HHI4s", "I")
        length = struct.calcsize("<" + entry)
        start = struct.calcsize("<" + counter)
        (count,) = self._numbers(counter, self._read(at, start))
        if count > _ENTRIES:
            raise BadTiff("a directory of it has too many entries")
        data = self._read(at + start, count * length + struct.calcsize("<" + pointer))
        tags = {}
        for number in range(count):
            tag, kind, many, value = self._numbers(entry, data[number * length : (number + 1) * length])
            if kind in _TYPES and 0 < many <= _BLOCKS:
                tags[tag] = self._values(_TYPES[kind], many, value, pointer)
        (following,) = self._numbers(pointer, data[count * length :])
        return tags, following

    def _values(self, kind: str, many: int, value: bytes, pointer: str) -> tuple[int, ...]:
        length = many * struct.calcsize("<" + kind)
        if length > len(value):
            (at,) = self._numbers(pointer, value)
            value = self._read(at, length)
        return self._numbers(f"{many}{kind}", value[:length])

    def _numbers(self, kinds: str, data: bytes) -> tuple[Any, ...]:
        try:
            return struct.unpack(self.order + kinds, data)
        except struct.error:
            raise BadTiff("it ends before its directory does") from None


def _layout(directory: tuple[str, dict[int, tuple[int, ...]]]) -> _Layout:
    order, tags = directory

    def one(tag: int, default: int | None = None) -> int:
        values = tags.get(tag)
        if values is None and default is None:
            raise BadTiff(f"it has no tag {tag}")
        return values[0] if values else default or 0

    width, height = one(_WIDTH), one(_HEIGHT)
    pixel = _PIXELS.get((one(_FORMAT, 1), one(_BITS, 1)))
    if pixel is None or one(_SAMPLES, 1) != 1:
        raise BadTiff("its pixels are of a kind that is not read here")
    is_tiled = _TILE_WIDTH in tags
    block_width = one(_TILE_WIDTH) if is_tiled else width
    block_height = one(_TILE_HEIGHT) if is_tiled else min(one(_ROWS, height), height)
    if not (0 < width <= _EDGE and 0 < height <= _EDGE and 0 < block_width <= _EDGE and 0 < block_height <= _EDGE):
        raise BadTiff(f"its size is no image's: {width} x {height}")
    layout = _Layout(
        width,
        height,
        block_width,
        block_height,
        tags.get(_TILE_OFFSETS if is_tiled else _OFFSETS, ()),
        tags.get(_TILE_COUNTS if is_tiled else _COUNTS, ()),
        one(_COMPRESSION, _NONE),
        one(_PREDICTOR, 1),
        np.dtype(order + pixel[0]),
        pixel[1],
    )
    if layout.compression not in (_NONE, *_DEFLATE) or layout.predictor not in (1, 2):
        raise BadTiff(f"its pixels are compressed in a way that is not read here ({layout.compression})")
    blocks = layout.across * -(-height // block_height)
    if min(len(layout.offsets), len(layout.counts)) < blocks:
        raise BadTiff("it does not say where its pixels are")
    is_by_line = layout.compression == _NONE and not is_tiled
    size = layout.across * block_width * (1 if is_by_line else block_height) * layout.pixel.itemsize * 2
    if size > _BLOCK_ROW:
        raise BadTiff("its blocks are too large")
    return layout


def _area(image: _Layout) -> int:
    return image.width * image.height
