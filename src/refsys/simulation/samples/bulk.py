"""Many valid products quickly, without raster libraries: for benchmarks and for tests that kill things."""

from __future__ import annotations

import random
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from refsys.simulation.samples.orbits import ORBITS
from refsys.simulation.samples.package import Sample
from refsys.simulation.samples.sentinel1 import POLARISATIONS, SLICE_S, Slice, grd

_BEGIN: Final = datetime(2024, 9, 1, 5, 0, 0, 153_776, tzinfo=UTC)
_SLICES: Final = 20
_COLUMNS: Final = 100


def make_many(folder: Path, count: int, *, size_bytes: int = 200_000, seed: int = 1) -> list[Path]:
    """Write `count` Sentinel-1 GRD products of `size_bytes` each (all files together, within a row of pixels).

    Successive slices of data takes, so no two share a name; measurements are noise that no compressor shrinks.
    Nine files each. Raises ValueError where `size_bytes` has no room for the metadata (about 38 000 bytes).
    """
    folder.mkdir(parents=True, exist_ok=True)
    overhead = _size(_product(seed, 0, rows=1))
    rows = 1 + (size_bytes - overhead) // (2 * len(POLARISATIONS) * _COLUMNS)
    if rows < 1:
        raise ValueError(f"a product of {size_bytes} bytes has no room for its metadata, {overhead} bytes")
    return [_product(seed, index, rows=rows).write(folder) for index in range(count)]


def _product(seed: int, index: int, *, rows: int) -> Sample:
    orbit = ORBITS["S1A"]
    take, number = divmod(index, _SLICES)
    # one data take in each orbit, its slices one after the other
    start = _BEGIN + timedelta(days=seed % 365, seconds=take * orbit.period_s + number * SLICE_S)
    scene = Slice(orbit, start, number + 1, _SLICES, rows, _COLUMNS)
    noise = random.Random(f"{seed}/{index}")
    pixels = {polarisation: noise.randbytes(2 * rows * _COLUMNS) for polarisation in POLARISATIONS}
    quick_look = _grey_png(_COLUMNS // 5, 8, noise.randbytes(_COLUMNS // 5 * 8))
    return grd(scene, measurement=lambda each: _tiff(rows, pixels[each]), quick_look=quick_look, whole=False)


def _size(sample: Sample) -> int:
    return sum(map(len, sample.contents.values()))


def _tiff(rows: int, pixels: bytes) -> bytes:
    """Baseline TIFF 6.0: one strip of uint16 grey values."""
    offset = 8 + 2 + 9 * 12 + 4
    entries = (
        (256, 4, _COLUMNS),  # ImageWidth
        (257, 4, rows),  # ImageLength
        (258, 3, 16),  # BitsPerSample
        (259, 3, 1),  # Compression: none
        (262, 3, 1),  # PhotometricInterpretation: black is zero
        (273, 4, offset),  # StripOffsets
        (277, 3, 1),  # SamplesPerPixel
        (278, 4, rows),  # RowsPerStrip
        (279, 4, len(pixels)),  # StripByteCounts
    )
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4) + pixels


def _grey_png(width: int, height: int, pixels: bytes) -> bytes:
    """PNG of 8-bit grey values (ISO/IEC 15948)."""
    lines = b"".join(b"\0" + pixels[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
