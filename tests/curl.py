"""The curl lines that we show people, run as they stand; on a machine without curl, what they say is done."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import httpx


def run_curl(line: str, folder: Path, variables: Mapping[str, str] | None = None) -> bytes:
    """Run a line in a folder, its variables expanded by a shell; returns what it prints."""
    expanded = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {line}"], env=variables or {}, capture_output=True, check=True
    )
    words = [word.decode() for word in expanded.stdout.split(b"\0")[:-1]]
    assert words[0] == "curl"
    if not shutil.which("curl"):
        return _by_hand(words[1:], folder)
    done = subprocess.run([*words, "--silent", "--show-error", "--fail"], capture_output=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _by_hand(words: Sequence[str], folder: Path) -> bytes:
    parser = argparse.ArgumentParser()
    parser.add_argument("-G", action="store_true")
    parser.add_argument("-C")
    parser.add_argument("-o")
    parser.add_argument("--data-urlencode", action="append", default=[])
    parser.add_argument("url")
    asked = parser.parse_args(words)
    pairs = (option.partition("=") for option in asked.data_urlencode)
    query = "&".join(f"{name}={quote(value, safe='')}" for name, _, value in pairs)
    target = folder / (asked.o or "")
    before = target.read_bytes() if asked.C and target.is_file() else b""
    headers = {"Range": f"bytes={len(before)}-"} if before else {}
    answer = httpx.get(asked.url + ("?" + query if query else ""), headers=headers).raise_for_status()
    assert answer.status_code == (206 if before else 200)
    if asked.o is None:
        return answer.content
    target.write_bytes(before + answer.content)
    return b""
