"""`refsys up`: the whole system in the foreground."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="address to listen on (http.host)")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on (http.port)")] = None,
) -> None:
    """Start everything in one process tree; Ctrl-C stops it."""
    import asyncio

    from refsys.cli.context import load
    from refsys.infra.logs import configure_logs
    from refsys.missions import load_types
    from refsys.runtime.services import logs_folder

    flags = {"http.host": host, "http.port": port}
    settings = load(context, {name: value for name, value in flags.items() if value is not None})
    load_types(settings.type_tables)  # what is wrong with them is said before anything starts
    configure_logs(
        level=settings.log.level, process="supervisor", file=logs_folder(settings.state_dir) / "supervisor.log"
    )
    asyncio.run(_up(settings))


async def _up(settings: object) -> None:
    import asyncio
    import signal

    from refsys.infra.settings import Settings
    from refsys.runtime.services import logs_folder
    from refsys.runtime.supervisor import Supervisor

    assert isinstance(settings, Settings)
    supervisor = Supervisor(settings)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def ask() -> None:
        if asked.is_set():
            supervisor.kill_roles()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, ask)
    asking = asyncio.create_task(asked.wait())
    try:
        starting = asyncio.create_task(supervisor.start())
        await asyncio.wait([starting, asking], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return
        starting.result()
        typer.echo(f"refsys is up at {supervisor.url}   logs: {logs_folder(supervisor.state_dir)}   Ctrl-C stops it")
        watching = asyncio.create_task(supervisor.wait())
        await asyncio.wait([watching, asking], return_when=asyncio.FIRST_COMPLETED)
        has_failed = watching.done()  # asked now: stopping ends what is watched
        typer.echo("stopping …", err=True)
        await supervisor.stop()
        if has_failed:
            watching.result()
        watching.cancel()
    finally:
        asking.cancel()
