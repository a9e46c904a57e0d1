"""Other hubs that commands ask: their address without secrets, and a client that signs in as an inbox does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from refsys.core.errors import ConfigurationError

if TYPE_CHECKING:
    from refsys.infra.settings import Settings
    from refsys.infra.stations.client import StationClient


@asynccontextmanager
async def asking(settings: Settings, url: str, inbox_id: str) -> AsyncIterator[tuple[str, StationClient]]:
    """The hub's URL, fit to be shown, and a client. Raises ConfigurationError where the two cannot be meant."""
    from urllib.parse import urlsplit, urlunsplit

    from refsys.infra.settings import AuthSettings
    from refsys.infra.stations import Stations
    from refsys.infra.stations.client import StationClient

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{url[:200]!a} is no http URL")
    # a password in a URL would be remembered with it
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    inbox = next((inbox for inbox in settings.inbox if inbox.id == inbox_id), None)
    if inbox_id and inbox is None:
        raise ConfigurationError(f"there is no inbox {inbox_id}")
    stations = Stations(settings)
    async with StationClient(
        parts.hostname,
        inbox.auth if inbox else AuthSettings(),
        url=inbox.url if inbox else shown,
        connect_timeout_s=settings.fetch.connect_timeout_s,
        read_timeout_s=settings.fetch.read_timeout_s,
        verify_tls=inbox.verify_tls if inbox else True,
        shared=stations.of(inbox) if inbox else None,
    ) as client:
        yield shown, client
    await stations.close()
