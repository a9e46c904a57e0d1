"""What a WebDAV server says of a collection: an answer of PROPFIND, read while it comes (RFC 4918 9.1, 13, 14)."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from lxml import etree

from refsys.core.errors import InvalidProduct
from refsys.core.times import parse_instant
from refsys.infra.xml import ElementStream

#: The body of a PROPFIND that asks for what a `DavEntry` holds.
PROPFIND: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)
_DAV: Final = "{DAV:}"
_HREF, _STATUS, _PROPSTAT, _PROP, _COLLECTION = (
    _DAV + name for name in ("href", "status", "propstat", "prop", "collection")
)
_STATUS_LINE: Final = re.compile(r"HTTP/\S+\s+(\d{3})\b", re.ASCII)
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
        self._subject = subject
        self._stream = ElementStream(f"{_DAV}response", subject=subject)

    def feed(self, data: bytes) -> Iterator[DavEntry]:
        """The entries that end in these bytes. Raises InvalidProduct or HostileInput."""
        for response in self._stream.feed(data):
            yield from _entries(response)

    def close(self) -> None:
        """Raises InvalidProduct where the answer is not whole, or no multistatus."""
        root = self._stream.close()
        if root.tag != f"{_DAV}multistatus":
            raise InvalidProduct(f"is no multistatus, but {root.tag!a:.100}", subject=self._subject)


def _entries(response: etree._Element) -> Iterator[DavEntry]:
    """What a response tells: mostly of one href, with properties; of some, with a status."""
    hrefs: list[str] = []
    status, properties = 200, None
    for child in response:
        if child.tag == _HREF:
            hrefs.append((child.text or "").strip())
        elif child.tag == _STATUS:
            status = _status(child.text or "")
        elif child.tag == _PROPSTAT:
            found, code = None, 200
            for part in child:
                if part.tag == _PROP:
                    found = part
                elif part.tag == _STATUS:
                    code = _status(part.text or "")
            # what a server does not know comes in a group of its own, with 404
            properties = found if code == 200 and found is not None else properties
    for href in hrefs:
        yield _entry(href, properties, status)


def _entry(href: str, properties: etree._Element | None, status: int) -> DavEntry:
    try:
        # most are absolute paths, which need no more than this
        is_plain = href.startswith("/") and not href.startswith("//") and "?" not in href and "#" not in href
        path = unquote(href if is_plain else urlsplit(href).path, errors="strict")
    except ValueError:
        path = "\0"
    if properties is None:
        return DavEntry(path.rstrip("/"), status=status)
    told = {each.tag: each for each in properties}
    size, modified, tag = (_text(told, name) for name in ("getcontentlength", "getlastmodified", "getetag"))
    kind = told.get(f"{_DAV}resourcetype")
    is_collection = kind is not None and any(each.tag == _COLLECTION for each in kind)
    return DavEntry(
        path=path.rstrip("/"),
        # a length of -1 is how some tell collections
        is_folder=is_collection or path.endswith("/") or size == "-1",
        size_bytes=int(size) if _NUMBER.fullmatch(size) else None,
        modified_at=_moment(modified),
        tag=tag[:200],
        status=status,
    )


def _text(told: Mapping[str, etree._Element], name: str) -> str:
    found = told.get(_DAV + name)
    return "" if found is None else (found.text or "").strip()


@functools.lru_cache(100)
def _status(text: str) -> int:
    told = _STATUS_LINE.match(text.strip())
    return int(told[1]) if told else 200


@functools.lru_cache(10_000)
def _moment(text: str) -> datetime | None:
    """The date of HTTP, or ISO 8601 as some servers write it; None where it is neither."""
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return parse_instant(text)
    return None
