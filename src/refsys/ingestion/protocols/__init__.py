"""The ways to products: one module for each kind of inbox, behind `refsys.ingestion.model.Source`."""

from __future__ import annotations

from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations import Stations
from refsys.ingestion.model import Source
from refsys.ingestion.protocols.cadip import CadipSource
from refsys.ingestion.protocols.edip import EdipSource
from refsys.ingestion.protocols.folder import FolderSource
from refsys.ingestion.protocols.lta import LtaSource
from refsys.ingestion.protocols.prip import PripSource
from refsys.ingestion.protocols.s3 import S3Source
from refsys.ingestion.protocols.xbip import XbipSource


async def open_source(inbox: InboxSettings, settings: Settings, stations: Stations | None = None) -> Source:
    """The source of an inbox; close it when it is no longer needed. Without `stations` it is alone with its limits."""
    stations = stations or Stations(settings)
    if inbox.type == "folder":
        return FolderSource(inbox)
    if inbox.type == "xbip":
        return await XbipSource.connect(inbox, settings, stations)
    if inbox.type == "edip":
        return EdipSource(inbox, settings, stations.of(inbox))
    if inbox.type == "s3":
        return S3Source(inbox, settings, stations.of(inbox))
    if inbox.type == "cadip":
        return await CadipSource.connect(inbox, settings, stations)
    if inbox.type == "lta":
        return await LtaSource.connect(inbox, settings, stations)
    return await PripSource.connect(inbox, settings, stations)
