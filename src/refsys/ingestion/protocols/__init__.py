"""The ways to products: one module for each kind of inbox, behind `refsys.ingestion.model.Source`."""

from __future__ import annotations

from typing import cast

from refsys.infra.settings import InboxSettings, Settings
from refsys.ingestion.model import Source
from refsys.ingestion.protocols.cadip import CadipSource
from refsys.ingestion.protocols.folder import FolderSource
from refsys.ingestion.protocols.prip import PripSource


async def open_source(inbox: InboxSettings, settings: Settings) -> Source:
    """The source of an inbox; close it when it is no longer needed."""
    if inbox.type == "folder":
        return cast(Source, FolderSource(inbox))
    if inbox.type == "cadip":
        return cast(Source, await CadipSource.connect(inbox, settings))
    return cast(Source, await PripSource.connect(inbox, settings))
