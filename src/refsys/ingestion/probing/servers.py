"""What WebDAV and FTP servers of stations understand (spec/ingestion 7, 8)."""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import ssl
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from refsys.core.errors import InvalidProduct, RefsysError
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.stations.client import CONNECTION_ERRORS, StationClient
from refsys.ingestion.probing.model import Report, clock_difference
from refsys.ingestion.protocols.edip import server_of
from refsys.ingestion.protocols.ftpclient import FtpClient, sign_in
from refsys.ingestion.protocols.multistatus import PROPFIND, DavEntry, MultiStatus

_TIMEOUT_S: Final = 60.0
#: Most entries of a listing that are looked at.
_MOST: Final = 1000
_PIECE: Final = 64 * 2**10


async def probe_xbip(inbox: InboxSettings, client: StationClient) -> Report:
    """Raises RefsysError where the folder cannot be listed at all."""
    report, url = Report(), inbox.url.rstrip("/") + "/"
    entries, told = await _listed(client, url, "1", report)
    report.see("PROPFIND Depth: 1", told)
    try:
        deep, told = await _listed(client, url, "infinity", None)
    except RefsysError as error:
        deep, told = [], f"refused: {error.message[:120]}; folders are listed one by one"
    report.see("PROPFIND Depth: infinity", told)
    file = next((entry for entry in (*entries, *deep) if not entry.is_folder and entry.status == 200), None)
    if file is None:
        report.see("a file", "there is none to be asked for")
        return report
    address = urljoin(url, quote(file.path))
    try:
        async with asyncio.timeout(_TIMEOUT_S), client.get(address, {"Range": "bytes=0-0"}) as response:
            report.see("Range", "understood" if response.status == 206 else f"ignored, answered {response.status}")
            report.see("ETag", response.headers.get("ETag", "none"))
    except (RefsysError, *CONNECTION_ERRORS) as error:
        report.see("Range", f"refused: {error!s:.120}")
    return report


async def _listed(client: StationClient, url: str, depth: str, report: Report | None) -> tuple[list[DavEntry], str]:
    """The first entries, and what to tell. The rest of a long listing is left alone."""
    headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8", "Accept": "application/xml, text/xml"}
    reader, entries = MultiStatus(client.station), list[DavEntry]()
    try:
        async with asyncio.timeout(_TIMEOUT_S), client.ask("PROPFIND", url, headers, PROPFIND) as response:
            if report is not None:
                report.see("clock", clock_difference(response.headers))
            if response.status != 207:
                raise InvalidProduct(f"answered {response.status}", subject=client.station)
            async for piece in response.content.iter_chunked(_PIECE):
                entries += reader.feed(piece)
                if len(entries) > _MOST:
                    return entries, f"understood, more than {_MOST} entries"
            reader.close()
    except CONNECTION_ERRORS as error:
        raise client.unreachable(error) from error
    return entries, f"understood, {len(entries)} entries"


async def probe_edip(inbox: InboxSettings, settings: Settings) -> Report:
    """Raises RefsysError where one cannot sign in."""
    return await asyncio.to_thread(_probe_ftp, inbox, settings)


def _probe_ftp(inbox: InboxSettings, settings: Settings) -> Report:
    report, server = Report(), server_of(inbox, settings)
    client = FtpClient(server)
    try:
        control = sign_in(server)
    except (OSError, EOFError, ValueError, ftplib.Error) as error:
        raise client.error(error, "signing in") from error
    with contextlib.closing(control):
        report.see("signing in", f"done, security {server.security}")
        report.see("FEAT", ", ".join(sorted(control.features)) or "not understood")
        report.see(
            "MLSD", "understood" if control.has_mlsd else "not understood: LIST is read, with times to the minute"
        )
        report.see("REST", "understood" if _knows_rest(control) else "not understood: what is cut begins anew")
        path = unquote(urlsplit(inbox.url).path).strip("/")
        try:
            if path:
                control.cwd(path)
            connection = control.ntransfercmd("MLSD" if control.has_mlsd else "LIST")[0]
        except ftplib.Error as error:
            report.see("a listing", f"refused: {client.error(error, path).message[:120]}")
            return report
        with connection:
            told = "without TLS" if server.security != "none" else "in the clear, as the control connection"
            if isinstance(connection, ssl.SSLSocket):
                told = "TLS, " + (
                    "the session is taken up" if connection.session_reused else "with a session of its own"
                )
            report.see("data connections", told)
    return report


def _knows_rest(control: ftplib.FTP) -> bool:
    try:
        control.voidcmd("TYPE I")
        is_known = control.sendcmd("REST 1").startswith("350")
        control.sendcmd("REST 0")
    except ftplib.error_perm:
        return False
    return is_known
