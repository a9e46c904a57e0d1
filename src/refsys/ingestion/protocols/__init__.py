"""The ways to products: one module for each kind of inbox, behind `refsys.ingestion.model.Source`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from refsys.ingestion.model import Source

if TYPE_CHECKING:
    from refsys.infra.settings import InboxSettings, Settings


async def open_source(inbox: InboxSettings, settings: Settings) -> Source:
    """The source of an inbox; close it when it is no longer needed."""
    if inbox.type == "folder":
        from refsys.ingestion.protocols.folder import FolderSource

        return FolderSource(inbox)
    from refsys.ingestion.protocols.prip import PripSource

    return await PripSource.open(inbox, settings)
