"""What every command shares: the global options, wherever they stand, and the settings they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from refsys.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from refsys.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Options:
    """The global options as given."""

    config: Path | None = None
    state: Path | None = None
    settings: tuple[str, ...] = ()


#: The global options; each takes one value.
GLOBAL: Final = ("--config", "-c", "--state", "-s", "--set")


class Commands(TyperGroup):
    """Takes the global options behind the command too: `refsys up --config FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, global_first(args))


def global_first(words: Sequence[str]) -> list[str]:
    """The words of a command line, the global options before all others. Behind `--` nothing is an option."""
    first: list[str] = []
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return [*first, *rest, word, *left]
        is_global = word.partition("=")[0] in GLOBAL
        target = first if is_global and (left or "=" in word) else rest
        target.append(word)
        if target is first and "=" not in word:
            first.append(left.pop(0))
    return first + rest


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
