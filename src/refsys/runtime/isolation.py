"""Whether this machine can run processors apart from the system: as another user, in namespaces of their own.

What it says was tried, not looked up: namespaces may be compiled in and still be forbidden by a container or a sysctl.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Isolation:
    """`how`: in words, what processors would run under; "" where nothing is available."""

    available: bool
    how: str
    is_root: bool
    namespaces: bool
    user_namespaces: bool
    bubblewrap: bool


def look() -> Isolation:
    """Try it (tens of milliseconds)."""
    is_root = os.geteuid() == 0
    namespaces = is_root and _works(["unshare", "--mount", "--pid", "--net", "--fork", "true"])
    user_namespaces = _works(["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--fork", "true"])
    bubblewrap = _works(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"])
    ways = {
        "another user, in namespaces of its own (started as root)": namespaces,
        "another user (started as root)": is_root,
        "bubblewrap": bubblewrap,
        "user namespaces": user_namespaces,
    }
    how = next((way for way, there in ways.items() if there), "")
    return Isolation(bool(how), how, is_root, namespaces, user_namespaces, bubblewrap)


def _works(words: list[str]) -> bool:
    if sys.platform != "linux" or shutil.which(words[0]) is None:
        return False
    try:
        return subprocess.run(words, capture_output=True, timeout=_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
