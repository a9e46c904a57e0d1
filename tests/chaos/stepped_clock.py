"""A real PostgreSQL whose clock can be stepped: libfaketime is loaded into the server, and into nothing else.

Workers keep the machine's clock: what is compared between processes is to be PostgreSQL's alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from refsys.runtime import embedded
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.runtime.pginstall import Account, Installation, find_installation

_PLAIN = """#!/bin/sh
exec {program} "$@"
"""
_MISLED = """#!/bin/sh
export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={file} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1
exec {program} "$@"
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """The server's clock; `file` tells the server how far it is off, in seconds."""

    file: Path

    def step(self, by_s: int) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(f"{by_s:+d}\n")
        new.replace(self.file)


@contextlib.contextmanager
def run(folder: Path) -> Iterator[tuple[Clock, EmbeddedPostgres]]:
    """Start a server in `folder`; its clock begins with the machine's."""
    programs = Path(tempfile.mkdtemp(prefix="refsys-test-clock-"))  # where the server's user can read
    programs.chmod(0o755)
    clock = Clock(programs / "clock")
    clock.step(0)

    def misled(account: Account) -> Installation:
        real = find_installation(account)
        words = {"library": shutil.copy(_library(), programs), "file": clock.file}
        for name, script in (("initdb", _PLAIN), ("postgres", _MISLED)):
            (programs / name).write_text(script.format(program=real.bin / name, **words))
            (programs / name).chmod(0o755)
        return replace(real, bin=programs)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(embedded, "find_installation", misled)
            server = EmbeddedPostgres(folder, durable=False)
            server.start()
        try:
            yield clock, server
        finally:
            server.stop()
    finally:
        shutil.rmtree(programs)


def _library() -> Path:
    spec = importlib.util.find_spec("libfaketime")
    assert spec is not None, "libfaketime is among the development dependencies"
    assert spec.origin is not None
    return Path(spec.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
