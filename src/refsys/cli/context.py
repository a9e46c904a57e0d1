"""What every command shares: the global options, and the settings they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from refsys.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from refsys.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """The global options as given."""

    config: Path | None = None
    state: Path | None = None
    settings: tuple[str, ...] = ()


def options_of(context: typer.Context) -> Options:
    found = context.find_root().obj
    return found if isinstance(found, Options) else Options()


def load(context: typer.Context, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force: `overrides` (a command's own flags) > --set > --state > environment > file > default.

    Raises ConfigurationError listing everything that is wrong.
    """
    from refsys.infra.settings import load_settings

    options = options_of(context)
    flags: dict[str, Any] = {}
    if options.state is not None:
        flags["state_dir"] = str(options.state)
    for word in options.settings:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"--set {word}: is not NAME=VALUE", advice="for example --set http.port=8080")
        flags[name.strip()] = value
    return load_settings(options.config, flags | dict(overrides or {}))
