"""`refsys station serve | probe | scoreboard`: simulate one, ask one what it understands, see how all do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from refsys.cli.scoreboard import scoreboard
from refsys.cli.station_probe import probe

if TYPE_CHECKING:
    from refsys.simulation.files import FileStation
    from refsys.simulation.passes import Mishaps, Pass, Schedule
    from refsys.simulation.station import ArchiveKind, Basic, CadipStation, OAuth2
    from refsys.simulation.station.server import HttpStation
    from refsys.simulation.switches import Protocol, Setup

#: Of the first satellite's first pass.
_FIRST_ORBIT: Final = 56_552

app = typer.Typer(help="How ground stations do, what one understands; simulate one.", no_args_is_help=True)
app.command()(probe)
app.command()(scoreboard)


@app.command()
def serve(
    folder: Annotated[Path | None, typer.Argument(help="folder whose products are offered, at any depth")] = None,
    protocol: Annotated[str, typer.Option(help="prip, cadip, lta, xbip or edip")] = "prip",
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on; 0 = a free one")] = 0,
    auth: Annotated[str, typer.Option(help="none, basic or oauth2")] = "none",
    user: Annotated[str, typer.Option(help="user name that is asked for (basic, oauth2)")] = "",
    password: Annotated[str, typer.Option(help="password that is asked for (basic, oauth2)")] = "",
    tls: Annotated[Path | None, typer.Option(help="PEM file with key and certificate: https, FTPS")] = None,
    implicit: Annotated[bool, typer.Option("--implicit", help="edip: TLS from the first byte")] = False,
    archive: Annotated[str, typer.Option(help="how folders are delivered: zip, tar or tgz")] = "zip",
    deflate: Annotated[bool, typer.Option("--deflate", help="compress the files in a zip")] = False,
    passes: Annotated[int, typer.Option(help="downlink passes to play (cadip, xbip, edip)", min=0)] = 0,
    satellite: Annotated[list[str] | None, typer.Option(help="that sends, in turn with others; default S1A")] = None,
    speed: Annotated[float, typer.Option(help="how many times faster than a real pass of 128 s")] = 1.0,
    every: Annotated[float, typer.Option(help="seconds from the start of a pass to that of the next")] = 60.0,
    channel_bytes: Annotated[int, typer.Option(help="bytes of each of the two channels")] = 204_400_000,
    block_bytes: Annotated[int, typer.Option(help="bytes of a full block")] = 20_440_000,
    relay: Annotated[bool, typer.Option("--relay", help="passes come by a relay satellite (EDRS)")] = False,
    fault: Annotated[list[str] | None, typer.Option(help="what it does wrong: NAME or NAME=VALUE")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="print every fault, and end")] = False,
) -> None:
    """Offer products, or acquisition sessions, as a station does.

    AUXIP and PRIP (prip), LTA (lta) and CADIP (cadip) by OData over HTTP, XBIP (xbip) by WebDAV, EDIP (edip) by FTP;
    Ctrl-C ends it.

    FOLDER is watched (prip, lta). Move products into it rather than copy them: a product is offered once nothing in it
    has changed for two seconds, and offered anew when something changes.
    """
    import asyncio
    import logging
    from datetime import UTC, datetime

    import uvloop

    from refsys.core.errors import ConfigurationError
    from refsys.simulation.passes import Pass
    from refsys.simulation.serving import make_station
    from refsys.simulation.switches import PROTOCOLS, Setup, throw

    if list_faults:
        _print_faults()
        return
    _check_choice("--protocol", protocol, PROTOCOLS)
    _check_choice("--archive", archive, ("zip", "tar", "tgz"))
    if deflate and archive != "zip":
        raise ConfigurationError(f"--deflate is for --archive zip, not for {archive}")
    if not 0 <= port <= 65535:
        raise ConfigurationError(f"--port {port} is no port", advice="0 to 65535; 0 = a free one")
    chosen, setup = cast("Protocol", protocol), Setup()
    _check_offers(chosen, folder, passes)
    if relay and not passes:
        raise ConfigurationError("--relay is for --passes")
    if implicit:
        if protocol != "edip" or tls is None:
            raise ConfigurationError("--implicit is for --protocol edip with --tls")
        setup.attributes["implicit"] = True
    if relay and chosen != "cadip":
        setup.arguments["layout"] = "edrs"
    for text in fault or ():
        throw(setup, chosen, text)
    serving = make_station(
        chosen,
        setup,
        folder=folder,
        host=host,
        port=port,
        auth=_auth(auth, user, password),
        certificate=tls,
        archive=cast("ArchiveKind", archive),
        deflate=deflate,
    )
    downlinks = []
    if passes:
        first = Pass(
            satellite="",
            orbit=0,
            start=datetime.now(UTC),
            channel_bytes=channel_bytes,
            block_bytes=block_bytes,
            relay=relay,
        )
        downlinks = _downlinks(first, satellite or ["S1A"], passes, every, speed)
    # what it says at a stop about connections that are still open
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(serving, chosen, folder, downlinks, setup))


async def _serve(
    station: HttpStation | FileStation, protocol: Protocol, folder: Path | None, downlinks: list[Pass], setup: Setup
) -> None:
    import asyncio
    import contextlib
    import signal

    from refsys.simulation.station import Station

    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    async with station:
        offers = []
        if isinstance(station, Station):
            await asyncio.to_thread(station.look)
            offers.append(f"{len(station.offered())} products of {folder}")
        elif folder is not None:
            offers.append(f"files of {folder}")
        if downlinks:
            offers.append(f"{len(downlinks)} passes from {downlinks[0].session_id}")
        typer.echo(f"station at {station.url}   {' and '.join(offers)}   Ctrl-C ends it\n")
        typer.echo(f"to fetch from it, add to the settings file:\n\n{_inbox(station, protocol)}")
        with contextlib.ExitStack() as playing:
            if downlinks:
                schedule = _schedule(cast("CadipStation | FileStation", station), downlinks, setup.mishaps)
                await asyncio.to_thread(playing.enter_context, schedule)
            await asked.wait()


def _inbox(station: HttpStation | FileStation, protocol: Protocol) -> str:
    """The settings of an inbox for it, as TOML."""
    from refsys.simulation.station import Basic, OAuth2

    inbox = {"id": "station", "type": protocol, "url": station.url}
    auth = {}
    match station.auth:
        case Basic(user, password):
            auth = {"kind": "basic", "user": user, "password": password}
        case OAuth2() as oauth2:
            auth = {"kind": "oauth2", "user": oauth2.user, "password": oauth2.password, "token_url": station.token_url}
    lines = ["[[inbox]]", *_assignments(inbox)]
    if station.certificate is not None:
        lines.append("verify_tls = false")
    return "\n".join([*lines, "", "[inbox.auth]", *_assignments(auth)] if auth else lines)


def _assignments(values: dict[str, str]) -> list[str]:
    import orjson

    # a JSON string is a TOML string, but for DEL
    return [f"{name} = {orjson.dumps(text).decode()}".replace("\x7f", "\\u007f") for name, text in values.items()]


def _schedule(station: CadipStation | FileStation, downlinks: list[Pass], mishaps: Mishaps) -> Schedule:
    from refsys.simulation.passes import Schedule

    schedule = Schedule()
    for number, downlink in enumerate(downlinks):
        schedule.add(downlink, station, mishaps.flaws(downlink, number))
    return schedule


def _downlinks(first: Pass, satellites: list[str], count: int, every_s: float, speed: float) -> list[Pass]:
    from refsys.core.errors import ConfigurationError
    from refsys.simulation.passes import passes
    from refsys.simulation.station import CADU_BYTES

    if speed <= 0 or every_s < 0:
        raise ConfigurationError("--speed is above 0, --every at least 0")
    if min(first.channel_bytes, first.block_bytes) < CADU_BYTES:
        raise ConfigurationError(f"--channel-bytes and --block-bytes are at least one CADU, {CADU_BYTES}")
    if bad := [name for name in satellites if not re.fullmatch(r"[A-Z]\w{2}", name, re.ASCII)]:
        raise ConfigurationError(f"--satellite {bad[0]}: is no satellite such as S1A")
    orbits = {name: _FIRST_ORBIT + 1000 * number for number, name in enumerate(satellites)}
    return list(passes(first.faster(speed), orbits, every_s=every_s, count=count))


def _check_offers(protocol: Protocol, folder: Path | None, passes: int) -> None:
    from refsys.core.errors import ConfigurationError

    products = protocol in ("prip", "lta")
    if products and folder is None:
        raise ConfigurationError(f"--protocol {protocol} needs FOLDER, whose products are offered")
    if products and passes:
        raise ConfigurationError(f"--passes is for cadip, xbip and edip, not for {protocol}")
    if protocol == "cadip" and folder is not None:
        raise ConfigurationError("--protocol cadip offers sessions, not FOLDER", advice="use --passes")
    if not products and folder is None and not passes:
        raise ConfigurationError(f"--protocol {protocol} needs --passes", advice="--passes 3 plays three downlinks")


def _print_faults() -> None:
    from refsys.simulation.switches import SWITCHES

    for each in SWITCHES:
        name = f"{each.name}={each.value}" if each.value else each.name
        default = f" (without a value {each.default})" if each.value else ""
        typer.echo(f"{name:26}{' '.join(each.protocols):27}{each.meaning}{default}")


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
