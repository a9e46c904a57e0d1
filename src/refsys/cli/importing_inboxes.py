"""What `refsys config import-inboxes` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from refsys.core.errors import ConfigurationError
from refsys.ingestion.reference.writing import import_inboxes


def write_inboxes(files: Sequence[Path], output: Path | None, secrets: Path | None, values: Sequence[str]) -> int:
    """Write the TOML and say on standard error what is left to do; returns the exit code.

    Raises ConfigurationError where a file cannot be understood, or `output` exists.
    """
    given = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--value {text}: is not NAME=VALUE")
        given[name] = value
    try:
        toml, inboxes = import_inboxes(files, given, secrets)
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(error.filename)) from error
    if not inboxes:
        raise ConfigurationError(
            "no inbox is in there", advice="inboxes are properties ingestion-trigger.polling.NAME.directory and others"
        )
    if output is None:
        typer.echo(toml, nl=False)
    else:
        _write(output, toml)
    unusable = [inbox for inbox in inboxes if inbox.problem]
    to_fill = sum(len(inbox.access.to_fill) for inbox in inboxes if not inbox.problem)
    typer.echo(
        f"{len(inboxes) - len(unusable)} inboxes translated, {to_fill} values to be filled in, "
        f"{len(unusable)} inboxes not usable as they are",
        err=True,
    )
    for inbox in unusable:
        typer.echo(f"{inbox.title}: {inbox.problem}", err=True)
    return 1 if unusable else 0


def _write(output: Path, text: str) -> None:
    try:
        output.touch(0o600, exist_ok=False)
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot be written: {error.strerror}", subject=str(output)) from error
