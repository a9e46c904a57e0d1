"""Pictures of rasters in memory: what is seen lies where it is in the raster, and no raster is taken at its word."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from refsys.core.products import FileEntry
from refsys.distribution.quicklooks.choosing import first_like
from refsys.distribution.quicklooks.drawing import LONGEST, jpeg2000, radar
from refsys.distribution.quicklooks.tiff import BadTiff, Tiff

HEIGHT, WIDTH = 700, 1100


def scene(dtype: str) -> np.ndarray:
    """Brighter to the right, and dark in the lower half."""
    image = np.tile(np.linspace(50, 1000, WIDTH), (HEIGHT, 1))
    image[HEIGHT // 2 :] /= 8
    return image.astype(dtype)


def tiff(data: np.ndarray, *, order: str = "<", big: bool = False, rows: int = 1, **how: object) -> bytes:
    """A TIFF of one image; `how`: `deflate`, `predictor`, `tile` (pixels along an edge), `complex`."""
    is_complex = bool(how.get("complex"))
    height, width = data.shape[0], data.shape[1] // (2 if is_complex else 1)
    tile = how.get("tile")
    assert tile is None or isinstance(tile, int)
    swapped = data.astype(data.dtype.newbyteorder(order))
    blocks = []
    if tile:
        padded = np.pad(swapped, ((0, -height % tile), (0, -width % tile)))
        for y in range(0, padded.shape[0], tile):
            blocks += [padded[y : y + tile, x : x + tile] for x in range(0, padded.shape[1], tile)]
    else:
        blocks = [swapped[y : y + rows] for y in range(0, height, rows)]
    if how.get("predictor"):
        blocks = [np.diff(block, axis=1, prepend=block.dtype.type(0)).astype(block.dtype) for block in blocks]
    bodies = [zlib.compress(block.tobytes()) if how.get("deflate") else block.tobytes() for block in blocks]
    kind = {"u": 1, "i": 5 if is_complex else 2, "f": 3}[data.dtype.kind]
    bits = data.dtype.itemsize * 8 * (2 if is_complex else 1)
    tags: dict[int, list[int]] = {
        256: [width], 257: [height], 258: [bits], 259: [8 if how.get("deflate") else 1], 277: [1], 339: [kind],
        317: [2 if how.get("predictor") else 1],
    }  # fmt: skip
    tags |= {322: [tile], 323: [tile]} if tile else {278: [rows]}
    pointer, entry, count = ("Q", "HHQ", "Q") if big else ("I", "HHI", "H")
    room = struct.calcsize("<" + pointer)
    at = 16 if big else 8
    body_at = at + struct.calcsize("<" + count) + (len(tags) + 2) * (struct.calcsize("<" + entry) + room) + room
    lists_at = body_at + sum(map(len, bodies))
    offsets = [body_at + sum(map(len, bodies[:index])) for index in range(len(bodies))]
    tags |= {324 if tile else 273: offsets, 325 if tile else 279: [len(body) for body in bodies]}
    out, behind = struct.pack(order + count, len(tags)), b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(packed) > room:
            behind, packed = behind + packed, struct.pack(order + pointer, lists_at + len(behind))
        out += struct.pack(order + entry, tag, 4, len(values)) + packed.ljust(room, b"\0")
    mark = {"<": b"II", ">": b"MM"}[order]
    head = struct.pack(order + "HHHQ", 43, 8, 0, at) if big else struct.pack(order + "HI", 42, at)
    return mark + head + out + bytes(room) + b"".join(bodies) + behind


def reading(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: data[offset : offset + length]


KINDS = {
    "strips of a line": {},
    "strips of many lines": {"rows": 64},
    "big-endian": {"order": ">"},
    "BigTIFF": {"big": True},
    "deflated strips": {"rows": 64, "deflate": True},
    "tiles": {"tile": 128},
    "deflated tiles with predictor": {"tile": 128, "deflate": True, "predictor": True},
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_lines_are_read_from_every_kind_of_tiff(how: dict[str, object]) -> None:
    image = scene("u2")
    found = Tiff(reading(tiff(image, **how)), 10)
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    for row in (0, 1, 63, 64, 127, 128, 500, HEIGHT - 1):
        assert np.array_equal(found.line(row), image[row])


def test_of_complex_pixels_the_magnitude_is_seen() -> None:
    pairs = np.dstack([scene("i2") * 3 // 5, scene("i2") * 4 // 5]).reshape(HEIGHT, -1)
    line = Tiff(reading(tiff(pairs, complex=True)), 10).line(10)
    assert np.allclose(line, scene("u2")[10], atol=3)


def test_of_overviews_the_smallest_that_is_large_enough_is_read() -> None:
    out = io.BytesIO()
    pages = [Image.fromarray(scene("u2")[::step, ::step].copy()) for step in (1, 2, 4)]
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    widths = [Tiff(reading(out.getvalue()), least).width for least in (5000, 600, 550, 100)]
    assert widths == [1100, 1100, 550, 275]


@pytest.mark.parametrize("kind", ["u2", "u1", "f4"])
def test_a_picture_of_amplitudes_shows_what_is_where(kind: str) -> None:
    data = tiff(scene(kind) if kind != "u1" else (scene("f4") / 4).astype("u1"))
    with Image.open(io.BytesIO(radar(reading(data), len(data)))) as picture:
        assert (picture.format, picture.mode) == ("JPEG", "L")
        assert picture.size == (366, 233)
        grey = np.asarray(picture, int)
    top, bottom = grey[:100], grey[130:]
    assert top.mean() > 2 * bottom.mean()
    assert top[:, -50:].mean() > top[:, 150:200].mean() > top[:, :50].mean() + 20


def test_nothing_but_some_lines_of_a_large_image_is_read() -> None:
    data, read = tiff(np.ones((4000, 3000), "u2")), []

    def counted(offset: int, length: int) -> bytes:
        read.append(length)
        return data[offset : offset + length]

    radar(counted, len(data))
    assert sum(read) < len(data) / 6
    assert max(read) < 20_000


def test_a_picture_in_jpeg_2000_keeps_its_colours_and_sides() -> None:
    image = np.zeros((1500, 1200, 3), np.uint8)
    image[:750, :600, 0], image[750:, 600:, 2] = 250, 250
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG2000", tile_size=(512, 512))
    data = out.getvalue()
    with Image.open(io.BytesIO(jpeg2000(reading(data), len(data)))) as picture:
        assert max(picture.size) == LONGEST
        width, height = picture.size
        red, blue = picture.getpixel((width // 4, height // 4)), picture.getpixel((width * 3 // 4, height * 3 // 4))
    assert red[0] > 200 > 50 > red[2]
    assert blue[2] > 200 > 50 > blue[0]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({256: 2**31 - 1}, "its size is no image's"),
        ({257: 0}, "its size is no image's"),
        ({277: 3}, "of a kind that is not read here"),
        ({259: 5}, "compressed in a way"),
        ({257: HEIGHT + 1}, "does not say where its pixels are"),
    ],
)
def test_what_lies_is_refused(how: dict[int, int], told: str) -> None:
    data = bytearray(tiff(scene("u2")))
    for index in range(10, 10 + 12 * 10, 12):
        (tag,) = struct.unpack_from("<H", data, index)
        if tag in how:
            struct.pack_into("<I", data, index + 8, how[tag])
    with pytest.raises(BadTiff, match=told):
        radar(reading(bytes(data)), len(data))


def test_a_bomb_gives_no_more_than_a_block() -> None:
    data = bytearray(tiff(np.zeros((512, 512), "u2"), tile=512, deflate=True))
    bomb = zlib.compress(bytes(64 * 2**20))
    at = data.index(zlib.compress(bytes(512 * 512 * 2)))
    data[at : at + len(bomb)] = bomb
    assert not Tiff(lambda offset, length: bytes(data[offset : offset + length]), 10).line(511).any()


@given(st.data())
@settings(max_examples=100)
def test_damaged_rasters_give_a_picture_or_a_reason(data: st.DataObject) -> None:
    """Reasons are those that the process tells; nothing runs away."""
    whole = bytearray(SMALL[data.draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, min(len(whole), 400) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(1, len(whole)))])
    with contextlib.suppress(BadTiff, zlib.error, ValueError):
        assert radar(reading(cut), len(cut)).startswith(b"\xff\xd8")


_NOISE = np.frombuffer(random.Random(1).randbytes(64 * 48 * 2), "u2").reshape(48, 64)
SMALL = {"strips": tiff(_NOISE), "tiles": tiff(_NOISE, tile=16, deflate=True), "big": tiff(_NOISE, big=True)}


def test_the_first_pattern_counts_and_empty_files_do_not() -> None:
    files = [
        FileEntry(f"N/{path}", size) for path, size in (("a/x.png", 0), ("b/x.png", 1), ("b/y.png", 1), ("c.jpg", 1))
    ]
    patterns = ["a/*.png", "c.jpg", "b/*.png"]
    found = [first_like(patterns[at:], "N", files) for at in range(3)]
    assert [entry and entry.path for entry in found] == ["N/c.jpg", "N/c.jpg", "N/b/x.png"]
    assert first_like(["*.png"], "N", files) is None
    assert first_like([""], "N.jp2", [FileEntry("N.jp2", 1)]) is not None
