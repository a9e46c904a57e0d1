"""`refsys`: global options, sub-commands, errors as one line.

Exit codes: 0 done; 1 it failed, or (status) the system is not well; 2 the command line or the settings are wrong;
3 no system is running where one was expected; 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from refsys.cli.context import Commands, Options
from refsys.core.errors import ConfigurationError, RefsysError

#: The commands in the order of `refsys --help`; each has a module of this package with `register(app)` or `app`.
COMMANDS: Final = (
    "demo",
    "up",
    "status",
    "product",
    "types",
    "aux",
    "blast-radius",
    "visibility",
    "hold",
    "audit",
    "feed",
    "downloads",
    "subscription",
    "pass",
    "why-not",
    "inbox",
    "session",
    "parked",
    "replay",
    "import",
    "compare",
    "config",
    "user",
    "migrate",
    "serve",
    "station",
)
#: Modules that cannot be named as their commands are.
_MODULES: Final = {
    "aux": "auxiliaries",
    "blast-radius": "blast_radius",
    "import": "importing",
    "pass": "passes",
    "why-not": "why_not",
}


class _InOrder(Commands):
    """Lists the commands as COMMANDS does."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if name in self.commands]


app = typer.Typer(
    cls=_InOrder,
    help="The Copernicus Reference System: from a station to a user with one command.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from refsys import __version__

        typer.echo(f"refsys {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="settings file (TOML)", envvar="REFSYS_CONFIG")
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", "-s", help="state folder; default .refsys")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="one setting, for example http.port=8080")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    context.obj = Options(config=config, state=state, settings=tuple(setting or ()))


def _register() -> None:
    for name in COMMANDS:
        module = importlib.import_module(f"refsys.cli.{_MODULES.get(name, name)}")
        if hasattr(module, "register"):
            module.register(app)
        else:
            app.add_typer(module.app, name=name)


_register()


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a name or sign that the terminal has no letter for is no reason to end
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except ConfigurationError as error:
        _fail(str(error), 2)
    except RefsysError as error:
        _fail(str(error), getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _is_of_database(error):
            raise
        _fail(f"the database: {error} (`refsys status` looks at it, `refsys migrate` brings its schema up to date)", 1)


def _fail(told: str, code: int) -> None:
    print(f"refsys: {told}", file=sys.stderr)
    sys.exit(code)


def _is_of_database(error: Exception) -> bool:
    """Whether the driver raised it; where nothing was asked of a database it was not even imported."""
    driver = sys.modules.get("asyncpg")
    return driver is not None and isinstance(error, driver.PostgresError | driver.InterfaceError)
