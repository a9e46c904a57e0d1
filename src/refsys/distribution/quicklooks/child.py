"""The process that draws one picture: `python -I -m refsys.distribution.quicklooks.child RULE SIZE`.

Rasters are hostile: it has limits on memory and time, opens no file, knows no secret, and asks its parent for bytes.

    child → parent  R offset length     these bytes of the raster, please: they come, and nothing else
                    P length 0, bytes   the picture, at the end
                    E length 0, bytes   why there is none (UTF-8), at the end
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from typing import Final

MESSAGE: Final = struct.Struct("<cQQ")
#: The most bytes that one message asks for.
MOST_AT_ONCE: Final = 16 * 2**20

_MEMORY: Final = 2**30
_CPU_S: Final = 30


def main() -> None:
    rule, size_bytes = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def read(offset: int, length: int) -> bytes:
        data = b""
        while len(data) < (wanted := min(length, size_bytes - offset)):
            at, piece = offset + len(data), min(wanted - len(data), MOST_AT_ONCE)
            _say(MESSAGE.pack(b"R", at, piece))
            data += _hear(piece)
        return data

    try:
        from refsys.distribution.quicklooks.drawing import RULES

        answer, kind = RULES[rule](read, size_bytes), b"P"
    except Exception as error:
        # whatever a raster may cause: the parent tells it
        answer, kind = f"{type(error).__name__}: {error}"[:500].encode(), b"E"
    _say(MESSAGE.pack(kind, len(answer), 0) + answer)


def _say(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _hear(length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = os.read(0, length - len(data))
        if not more:
            # the parent is gone, or has enough of it
            os._exit(1)
        data += more
    return data


if __name__ == "__main__":
    main()
