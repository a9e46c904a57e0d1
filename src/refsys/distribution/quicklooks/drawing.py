"""Small pictures of rasters: JPEG, the longer side LONGEST pixels at most, as the raster lies in its file.

A raster is read through a function and never is in memory as a whole. Images of ascending passes are not turned.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from PIL import Image
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from refsys.distribution.quicklooks.tiff import Read, Tiff

LONGEST: Final = 512
_QUALITY: Final = 80
#: What counts as the darkest and the brightest, in percent of the pixels.
_STRETCH: Final = (2.0, 98.0)
#: More pixels than any raster of the missions has (10980 x 10980).
_MOST_PIXELS: Final = 150_000_000

Pixels = np.ndarray[Any, np.dtype[Any]]


def radar(read: Read, size_bytes: int) -> bytes:
    """The amplitude of a TIFF of Sentinel-1, detected or complex: means along lines, of which some are read."""
    tiff = Tiff(read, LONGEST)
    step = -(-max(tiff.width, tiff.height) // LONGEST)
    width, height = max(1, tiff.width // step), max(1, tiff.height // step)
    image = np.empty((height, width), np.float32)
    for row in range(height):
        line = tiff.line(min(row * step + step // 2, tiff.height - 1))
        image[row] = line[: width * step].reshape(width, -1).mean(axis=1)
    return _jpeg(Image.fromarray(_stretched(image)))


def jpeg2000(read: Read, size_bytes: int) -> bytes:
    """A picture in JPEG 2000, grey or in colours, of which only the lower resolutions are decoded."""
    with _opened(read, size_bytes) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"it says that it has {image.width} x {image.height} pixels")
        halvings = max(0, (max(image.size) // LONGEST).bit_length() - 1)
    # it may have fewer resolutions, or tiles whose edges do not meet in a lower one
    for fewer in range(halvings, 0, -1):
        with contextlib.suppress(OSError):
            return _decoded(read, size_bytes, fewer)
    return _decoded(read, size_bytes, 0)


def _decoded(read: Read, size_bytes: int, halvings: int) -> bytes:
    with _opened(read, size_bytes) as image:
        image.reduce = halvings
        image.load()
        if image.mode.startswith("I"):
            return _jpeg(Image.fromarray(_stretched(np.asarray(image, np.float32))))
        return _jpeg(image.convert("L" if image.mode in ("L", "LA") else "RGB"))


def _opened(read: Read, size_bytes: int) -> Jpeg2KImageFile:
    return Jpeg2KImageFile(io.BufferedReader(_File(read, size_bytes), 2**18))


#: What the rows of types call them.
RULES: Final[Mapping[str, Callable[[Read, int], bytes]]] = {"radar": radar, "jpeg2000": jpeg2000}


def _stretched(image: Pixels) -> Pixels:
    """Numbers from 0 as grey from 0 to 255, uint8; zeros are no data, and black."""
    seen = image[image > 0]
    low, high = np.percentile(seen, _STRETCH) if seen.size else (0.0, 0.0)
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 254 + 1
    return np.where(image > 0, grey, 0).astype(np.uint8)


def _jpeg(image: Image.Image) -> bytes:
    image.thumbnail((LONGEST, LONGEST))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


class _File(io.RawIOBase):
    """A file that is read through a function."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self._size = size_bytes
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
