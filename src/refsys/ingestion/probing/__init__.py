"""What a station understands, found out by a handful of harmless requests, and its profile for the settings."""

from __future__ import annotations

from refsys.core.errors import ConfigurationError
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.infra.stations.client import client_of
from refsys.ingestion.probing.model import Report, Seen
from refsys.ingestion.probing.odata import probe_odata
from refsys.ingestion.probing.servers import probe_edip, probe_xbip

__all__ = ["Report", "Seen", "probe"]


async def probe(inbox: InboxSettings, settings: Settings) -> Report:
    """Ask the station of an inbox. Raises ConfigurationError for an inbox without a station, and RefsysError where the
    station cannot be asked at all."""
    if inbox.type == "edip":
        return await probe_edip(inbox, settings)
    if inbox.type not in ("prip", "cadip", "lta", "xbip"):
        raise ConfigurationError(f"is a {inbox.type}: there is no station to ask", subject=f"inbox {inbox.id}")
    # refusals are what is looked for: they must not end it
    patient = settings.station_of(inbox).model_copy(update={"breaker_failures": 1000})
    others = tuple(station for station in settings.station if station.name != patient.name)
    settings = settings.model_copy(update={"station": (*others, patient)})
    inbox = inbox.model_copy(update={"station": patient.name})
    stations = Stations(settings)
    try:
        async with client_of(inbox, settings, stations) as client:
            return await (probe_xbip if inbox.type == "xbip" else probe_odata)(inbox, client)
    finally:
        await stations.close()
