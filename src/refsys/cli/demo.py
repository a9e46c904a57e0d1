"""`refsys demo`: the main job, before your eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    products: Annotated[
        Path | None,
        typer.Option("--products", "-p", help="folder with products of your own; else small samples are made"),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="download everything again, compare it byte for byte, and end")
    ] = False,
    state: Annotated[Path | None, typer.Option("--state", "-s", help="state folder; default .refsys/demo")] = None,
    timeout: Annotated[float, typer.Option(help="seconds after which what is not finished is told")] = 600.0,
) -> None:
    """Products go from a simulated station to a user.

    Exit code 0: all products of known types arrived (and, with --once, came back as they were).
    """
    import asyncio

    from refsys.cli.context import load, options_of
    from refsys.cli.demonstration.show import Plan, show
    from refsys.cli.terminal import open_console
    from refsys.infra.logs import configure_logs
    from refsys.runtime.services import logs_folder

    chosen = state or options_of(context).state or Path(".refsys/demo")
    settings = load(context, {"state_dir": str(chosen)})
    # the terminal is for the show; what happens is in the log
    configure_logs(
        level=settings.log.level,
        process="supervisor",
        stream_level="error",
        file=logs_folder(settings.state_dir) / "supervisor.log",
    )
    good = asyncio.run(show(settings, Plan(products, once, timeout), open_console()))
    raise typer.Exit(0 if good else 1)
