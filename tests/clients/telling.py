"""How a client's program tells what it did: one line of JSON for each action. Needs nothing but Python's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

#: How long a watcher waits for what it watches for.
PATIENCE_S = 60.0


class Failed(Exception):
    """What came is not what should have come."""


def arguments() -> tuple[str, str, str, Path]:
    """URL of the system, user, password, and a folder to work in."""
    url, user, password, folder = sys.argv[1:5]
    Path(folder).mkdir(parents=True, exist_ok=True)
    return url, user, password, Path(folder)


def tell(action: str, *, ok: bool, detail: str = "") -> None:
    print(json.dumps({"action": action, "ok": ok, "detail": detail}), flush=True)


@contextlib.contextmanager
def doing(action: str) -> Iterator[list[str]]:
    """Tell how the block ended; what is put into the list is told with it."""
    details: list[str] = []
    try:
        yield details
    except Exception as error:
        traceback.print_exc()
        tell(action, ok=False, detail=f"{type(error).__name__}: {error}"[:300])
    else:
        tell(action, ok=True, detail=", ".join(details))


def expect(truth: Any, what: str) -> None:
    if not truth:
        raise Failed(what)


def watch(product: str, look: Callable[[], Any]) -> Any:
    """Have a product offered to the system, and look until something is found."""
    expect(not look(), f"{product} was there before")
    print(json.dumps({"offer": product}), flush=True)
    return wait_until(look, PATIENCE_S, f"{product} is seen")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def check_zip(path: Path) -> int:
    """How many files are in it; all of them are as their CRC says."""
    with zipfile.ZipFile(path) as package:
        expect(package.testzip() is None, f"{path.name} has a broken member")
        return len(package.namelist())
