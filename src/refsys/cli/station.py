"""`refsys station serve FOLDER`: a simulated ground station in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from refsys.simulation.station import ArchiveKind, Basic, OAuth2, Station

app = typer.Typer(help="Simulate a ground station.", no_args_is_help=True)


@app.callback()
def station() -> None:
    """Simulate a ground station."""


@app.command()
def serve(
    folder: Annotated[Path, typer.Argument(help="folder whose products are offered, at any depth")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on; 0 = a free one")] = 0,
    auth: Annotated[str, typer.Option(help="none, basic or oauth2")] = "none",
    user: Annotated[str, typer.Option(help="user name that is asked for (basic, oauth2)")] = "",
    password: Annotated[str, typer.Option(help="password that is asked for (basic, oauth2)")] = "",
    archive: Annotated[str, typer.Option(help="how folders are delivered: zip, tar or tgz")] = "zip",
    deflate: Annotated[bool, typer.Option("--deflate", help="compress the files in a zip")] = False,
) -> None:
    """Offer the products of a folder as a station does.

    As AUXIP and PRIP do, by OData over HTTP; Ctrl-C ends it.

    FOLDER is watched. Move products into it rather than copy them: a product is offered once nothing in it has changed
    for two seconds, and offered anew when something changes.
    """
    import asyncio
    import logging

    import uvloop

    from refsys.core.errors import ConfigurationError
    from refsys.simulation.station import Station

    _check_choice("--archive", archive, ("zip", "tar", "tgz"))
    if deflate and archive != "zip":
        raise ConfigurationError(f"--deflate is for --archive zip, not for {archive}")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"--port {port} is no port", advice="0 to 65535; 0 = a free one")
    serving = Station(
        folder,
        host=host,
        port=port,
        auth=_auth(auth, user, password),
        archive=cast("ArchiveKind", archive),
        deflate=deflate,
        settle_s=2.0,
    )
    # what it says at a stop about connections that are still open
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(serving, folder))


async def _serve(station: Station, folder: Path) -> None:
    import asyncio
    import signal

    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    async with station:
        await asyncio.to_thread(station.look)
        typer.echo(f"station at {station.url}   {len(station.offered())} products of {folder}   Ctrl-C ends it\n")
        typer.echo(f"to fetch from it, add to the settings file:\n\n{_inbox(station)}")
        await asked.wait()


def _inbox(station: Station) -> str:
    """The settings of an inbox for it, as TOML."""
    from refsys.simulation.station import Basic, OAuth2

    inbox = {"id": "station", "type": "prip", "url": station.url}
    auth = {}
    match station.auth:
        case Basic(user, password):
            auth = {"kind": "basic", "user": user, "password": password}
        case OAuth2() as oauth2:
            auth = {"kind": "oauth2", "user": oauth2.user, "password": oauth2.password, "token_url": station.token_url}
    lines = ["[[inbox]]", *_assignments(inbox)]
    return "\n".join([*lines, "", "[inbox.auth]", *_assignments(auth)] if auth else lines)


def _assignments(values: dict[str, str]) -> list[str]:
    import orjson

    # a JSON string is a TOML string, but for DEL
    return [f"{name} = {orjson.dumps(text).decode()}".replace("\x7f", "\\u007f") for name, text in values.items()]


def _auth(kind: str, user: str, password: str) -> Basic | OAuth2 | None:
    from refsys.core.errors import ConfigurationError
    from refsys.simulation.station import Basic, OAuth2

    _check_choice("--auth", kind, ("none", "basic", "oauth2"))
    if kind == "none":
        if user or password:
            raise ConfigurationError("--user and --password need --auth basic or --auth oauth2")
        return None
    if not (user and password):
        raise ConfigurationError(f"--auth {kind} needs --user and --password")
    return Basic(user, password) if kind == "basic" else OAuth2(user=user, password=password)


def _check_choice(option: str, text: str, choices: tuple[str, ...]) -> None:
    from refsys.core.errors import ConfigurationError

    if text not in choices:
        raise ConfigurationError(f"{option} {text}: is not one of {', '.join(choices)}")
