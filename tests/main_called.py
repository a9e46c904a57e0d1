"""The command as its script calls it, in this process: quicker than a program by its imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from refsys.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    stdout: str
    stderr: str


def caller(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Call it in `folder` with these words and, of our variables, these alone; it has to end with `code`."""

    def call(*words: str | Path, code: int = 0, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("REFSYS_")]:
                patch.delenv(name)
            for name, text in environ.items():
                patch.setenv(name, text)
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["refsys", *map(str, words)])
            with pytest.raises(SystemExit) as ended:
                main()
        told = capsys.readouterr()
        assert (ended.value.code or 0) == code, told.out + told.err
        return Done(told.out, told.err)

    return call
