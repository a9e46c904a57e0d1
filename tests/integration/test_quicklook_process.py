"""The process that draws pictures: what it may take, and what becomes of it."""

from __future__ import annotations

import io
import struct
import sys

import numpy as np
import psutil
import pytest
from PIL import Image

from refsys.distribution.quicklooks import making
from refsys.distribution.quicklooks.making import NoPicture, draw
from refsys.infra.storage import MissingObject

HANGS = "import signal; signal.pause()"
#: It answers with what it knows of us.
TELLS = """
import os, struct, sys
data = repr(sorted(os.environ)).encode()
os.write(1, struct.pack('<cQQ', b'E', len(data), 0) + data)
"""
LIES = "import os, struct; os.write(1, struct.pack('<cQQ', b'P', 4, 0) + b'<svg')"
FLOODS = "import os, struct; os.write(1, struct.pack('<cQQ', b'P', 2**40, 0))"
DIES = "import os; os._exit(9)"


@pytest.fixture
def tiff(storage) -> str:
    out = io.BytesIO()
    Image.fromarray(np.arange(100 * 100, dtype="u2").reshape(100, 100)).save(out, "TIFF")
    storage.put("a.tiff", out.getvalue())
    return "a.tiff"


def instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(making, "_PROGRAM", (sys.executable, "-I", "-c", program))


async def test_it_draws(storage, tiff) -> None:
    with Image.open(io.BytesIO(await draw(storage, tiff, "radar"))) as image:
        assert image.size == (100, 100)


@pytest.mark.parametrize(
    ("program", "told"),
    [(LIES, "gives something that is no JPEG"), (FLOODS, f"gives a picture of {2**40} bytes"), (DIES, "ended with 9")],
    ids=["lies", "floods", "dies"],
)
async def test_it_is_not_believed(storage, tiff, monkeypatch: pytest.MonkeyPatch, program: str, told: str) -> None:
    instead(monkeypatch, program)
    with pytest.raises(NoPicture, match=told):
        await draw(storage, tiff, "radar")


async def test_it_ends_when_its_time_is_over(storage, tiff, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, HANGS)
    monkeypatch.setattr(making, "TIME_S", 0.5)
    with pytest.raises(NoPicture, match="takes longer"):
        await draw(storage, tiff, "radar")
    assert not [child for child in psutil.Process().children() if HANGS in child.cmdline()]


async def test_it_knows_nothing_of_ours(storage, tiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFSYS_DATABASE_URL", "postgresql://secret")
    instead(monkeypatch, TELLS)
    with pytest.raises(NoPicture) as caught:
        await draw(storage, tiff, "radar")
    assert "OPENBLAS_NUM_THREADS" in str(caught.value)
    assert "REFSYS" not in str(caught.value)


async def test_it_may_not_read_on_for_ever(storage, tiff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "MOST_READ", 10_000)
    with pytest.raises(NoPicture, match="without reading more than 10000 bytes"):
        await draw(storage, tiff, "radar")


async def test_more_memory_than_it_may_have_is_a_reason_and_no_harm(storage) -> None:
    """A JPEG 2000 that says it has 12000 x 12000 pixels of three times 16 bits, of which none is there."""
    sizes = struct.pack(">HIIIIIIIIH", 0, 12_000, 12_000, 0, 0, 12_000, 12_000, 0, 0, 3) + b"\x0f\1\1" * 3
    coding = struct.pack(">BBHBBBBBB", 0, 0, 1, 0, 0, 4, 4, 0, 1)
    steps = b"\x40\x48"
    markers = [(0xFF51, sizes), (0xFF52, coding), (0xFF5C, steps)]
    stream = b"\xff\x4f" + b"".join(struct.pack(">HH", mark, len(body) + 2) + body for mark, body in markers)
    storage.put(
        "a.jp2", stream + struct.pack(">HHHIBB", 0xFF90, 10, 0, 0, 0, 1) + b"\xff\x93" + bytes(64) + b"\xff\xd9"
    )
    with pytest.raises(NoPicture, match="out of memory"):
        await draw(storage, "a.jp2", "jpeg2000")


async def test_a_raster_that_is_not_there_is_told(storage) -> None:
    with pytest.raises(MissingObject):
        await draw(storage, "nothing", "radar")
