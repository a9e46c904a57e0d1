"""Having a picture drawn in a process of its own: bytes go to it as it asks for them, a small JPEG comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Final

from refsys.core.errors import RefsysError
from refsys.distribution.quicklooks.child import MESSAGE, MOST_AT_ONCE
from refsys.infra.storage import Reader, Storage

MEDIA_TYPE: Final = "image/jpeg"
#: Seconds that a picture may take, and bytes of the raster that may be read for it.
TIME_S: Final = 120.0
MOST_READ: Final = 512 * 2**20
_MOST_BYTES: Final = 2**20
_PROGRAM: Final = (sys.executable, "-I", "-m", "refsys.distribution.quicklooks.child")


class NoPicture(RefsysError):
    """No picture can be made of a raster."""


async def draw(storage: Storage, key: str, rule: str) -> bytes:
    """A JPEG of the raster under `key`, drawn by `rule` (drawing.RULES).

    Raises NoPicture that says why there is none: no image, too large, too slow; MissingObject.
    """
    reader = await asyncio.to_thread(storage.open, key)
    try:
        async with asyncio.timeout(TIME_S):
            return await _drawn(reader, key, rule)
    except TimeoutError:
        raise NoPicture(f"takes longer than {TIME_S:.0f} s to draw", subject=key) from None
    finally:
        reader.close()


async def _drawn(reader: Reader, key: str, rule: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *_PROGRAM,
        rule,
        str(reader.size_bytes),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        # one thread; and nothing of ours, least of all secrets
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": os.defpath},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        return await _served(reader, key, process.stdin, process.stdout)
    except (asyncio.IncompleteReadError, ConnectionError):
        code = await process.wait()
        raise NoPicture(f"cannot be drawn: the process for it ended with {code}", subject=key) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _served(reader: Reader, key: str, to_it: asyncio.StreamWriter, of_it: asyncio.StreamReader) -> bytes:
    read_bytes = 0
    while True:
        kind, first, second = MESSAGE.unpack(await of_it.readexactly(MESSAGE.size))
        if kind != b"R":
            return await _answer(kind, first, key, of_it)
        read_bytes += second
        if second > MOST_AT_ONCE or read_bytes > MOST_READ:
            raise NoPicture(f"cannot be drawn without reading more than {MOST_READ} bytes", subject=key)
        data = await asyncio.to_thread(reader.read_at, first, second)
        if len(data) != second:
            raise NoPicture(f"ends at {first + len(data)} bytes", subject=key)
        to_it.write(data)
        await to_it.drain()


async def _answer(kind: bytes, length: int, key: str, of_it: asyncio.StreamReader) -> bytes:
    if length > _MOST_BYTES:
        raise NoPicture(f"gives a picture of {length} bytes", subject=key)
    answer = await of_it.readexactly(length)
    if kind != b"P":
        raise NoPicture(f"cannot be drawn: {answer.decode(errors='replace')}", subject=key)
    if not (answer.startswith(b"\xff\xd8\xff") and answer.endswith(b"\xff\xd9")):
        raise NoPicture("gives something that is no JPEG", subject=key)
    return answer
