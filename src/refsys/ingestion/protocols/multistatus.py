"""What a WebDAV server says of a collection: an answer of PROPFIND, read while it comes (RFC 4918 9.1, 13, 14)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from lxml import etree

from refsys.core.times import parse_instant
from refsys.infra.xml import ElementStream

#: The body of a PROPFIND that asks for what a `DavEntry` holds.
PROPFIND: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)
_STATUS: Final = re.compile(r"HTTP/\S+\s+(\d{3})\b", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DavEntry:
    """One response: `path` is that of its href, decoded, without a slash at the end; a NUL where it is none.

    `status` is 200, or what the server says instead of properties.
    """

    path: str
    is_folder: bool = False
    size_bytes: int | None = None
    modified_at: datetime | None = None
    tag: str = ""
    status: int = 200


class MultiStatus:
    """Reads an answer piece by piece."""

    def __init__(self, subject: str) -> None:
        self._stream = ElementStream("{DAV:}response", subject=subject)

    def feed(self, data: bytes) -> Iterator[DavEntry]:
        """The entries that end in these bytes. Raises InvalidProduct or HostileInput."""
        for response in self._stream.feed(data):
            properties, status = _properties(response)
            for href in response.iterfind("{DAV:}href"):
                yield _entry((href.text or "").strip(), properties, status)

    def close(self) -> None:
        """Raises InvalidProduct where the answer is not whole."""
        self._stream.close()


def _properties(response: etree._Element) -> tuple[etree._Element | None, int]:
    status = _status(response)
    found = None
    for group in response.iterfind("{DAV:}propstat"):
        # what a server does not know comes in a group of its own, with 404
        if _status(group) == 200:
            found = group.find("{DAV:}prop")
    return found, status if found is None or status != 200 else 200


def _status(element: etree._Element) -> int:
    told = _STATUS.match((element.findtext("{DAV:}status") or "").strip())
    return int(told[1]) if told else 200


def _entry(href: str, properties: etree._Element | None, status: int) -> DavEntry:
    try:
        path = unquote(urlsplit(href).path, errors="strict")
    except ValueError:
        path = "\0"
    if properties is None:
        return DavEntry(path.rstrip("/"), status=status)
    size = (properties.findtext("{DAV:}getcontentlength") or "").strip()
    is_collection = properties.find("{DAV:}resourcetype/{DAV:}collection") is not None
    return DavEntry(
        path=path.rstrip("/"),
        is_folder=is_collection or path.endswith("/") or size == "-1",
        size_bytes=int(size) if _NUMBER.fullmatch(size) else None,
        modified_at=_moment((properties.findtext("{DAV:}getlastmodified") or "").strip()),
        tag=(properties.findtext("{DAV:}getetag") or "").strip()[:200],
        status=status,
    )


def _moment(text: str) -> datetime | None:
    """The date of HTTP, or ISO 8601 as some servers write it; None where it is neither."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return parse_instant(text)
    return None
