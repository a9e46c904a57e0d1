"""A station by its protocol and its faults by name, with a folder to offer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from refsys.core.errors import ConfigurationError
from refsys.simulation.station import ArchiveKind, Basic, CadipStation, LtaStation, Station
from refsys.simulation.station.auth import Auth
from refsys.simulation.station.content import Lying
from refsys.simulation.station.server import HttpStation

if TYPE_CHECKING:
    from refsys.simulation.files import FileStation
    from refsys.simulation.switches import Protocol, Setup


def make_station(
    protocol: Protocol,
    setup: Setup,
    *,
    folder: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    auth: Auth = None,
    certificate: Path | None = None,
    archive: ArchiveKind = "zip",
    deflate: bool = False,
    settle_s: float = 2.0,
) -> HttpStation | FileStation:
    """A station that was not started yet. Raises ConfigurationError for what its protocol does not have."""
    if certificate is not None and not certificate.is_file():
        raise ConfigurationError("is no file with a key and a certificate", subject=str(certificate))
    given = {"host": host, "port": port, "certificate": certificate, **setup.arguments}
    station: HttpStation | FileStation
    match protocol:
        case "prip" | "lta":
            kind = Station if protocol == "prip" else LtaStation
            station = kind(folder, auth=auth, archive=archive, deflate=deflate, settle_s=settle_s, **given)
        case "cadip":
            station = CadipStation(auth=auth, **given)
        case _:
            if auth is not None and not isinstance(auth, Basic):
                raise ConfigurationError(f"{protocol} knows no tokens", advice="ask for a user and a password (basic)")
            station = _file_station(protocol)(auth=auth, **given)
            for name, value in setup.attributes.items():
                setattr(station, name, value)
            if folder is not None:
                _put_everything(station, folder)
    if isinstance(station, HttpStation):
        station.speak(**setup.dialect)
    for order in setup.script:
        order(station.faults)
    return station


def _file_station(protocol: Protocol) -> type[FileStation]:
    try:
        from refsys.simulation.files import EdipStation, XbipStation
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is not installed, which a simulated {protocol} station is made of",
            advice="install refsys with the extra demo: pip install 'refsys[demo]'",
        ) from error
    return XbipStation if protocol == "xbip" else EdipStation


def _put_everything(station: FileStation, folder: Path) -> None:
    """Offer every file of a folder as it lies now, below NOMINAL. Links are passed by."""
    if not folder.is_dir():
        raise ConfigurationError("is not a folder", subject=str(folder), advice="name the folder to offer")
    for parent, _folders, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                station.put(f"NOMINAL/{path.relative_to(folder).as_posix()}", Lying(path))
