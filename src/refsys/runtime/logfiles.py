"""Log files of supervised processes: each process appends to its own; the supervisor puts them aside by size."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_TAIL_BYTES = 32 * 1024


def rotate(path: Path, *, limit_bytes: int, keep: int) -> bool:
    """Where the file is larger than the limit: copy it to `<name>.1` (and .1 to .2 …), then cut it to nothing.

    The writer goes on with its descriptor (opened for appending), so that no program has to be told. A line written
    between the copy and the cut is lost.
    """
    try:
        if path.stat().st_size <= limit_bytes:
            return False
        for number in range(keep - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        if keep:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError as error:
        log.warning("log.rotation_failed", file=str(path), error=str(error))
        return False
    return True


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"
