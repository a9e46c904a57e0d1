"""Geometries in a `$filter`: `SRID=4326;POLYGON((lon lat, …))`."""

from __future__ import annotations

import re

from refsys.core.areas import Area
from refsys.distribution.odata.errors import ODataError
from refsys.distribution.odata.tokens import Token, fail
from refsys.distribution.wkt import GEOMETRIES, WktError, read_geometry

_SRID = re.compile(r"\s*SRID\s*=\s*(\d{1,9})\s*;", re.IGNORECASE | re.ASCII)
_NAME = re.compile(rf"\s*(?:{'|'.join(GEOMETRIES)})\b", re.IGNORECASE)


def area_from(token: Token) -> Area:
    """The area of a token `geography'…'`. Raises ODataError with the position of what is wrong."""
    text, at = token.text[:-1], token.text.index("'") + 1
    if srid := _SRID.match(text, at):
        if int(srid[1]) != 4326:
            raise fail(token.start + at, "SRID=4326", f"SRID={srid[1]}")
        at = srid.end()
    if not _NAME.match(text, at):
        at += len(text[at:]) - len(text[at:].lstrip())
        found = ascii(text[at : at + 20].strip()) if text[at:] else "the end"
        raise fail(token.start + at, f"SRID=4326; and one of {', '.join(GEOMETRIES)}", found)
    try:
        (area,), end = read_geometry(text, at)
    except WktError as error:
        raise ODataError(f"$filter, at position {token.start + error.at + 1}: {error.message}") from error
    if rest := text[end:].strip():
        raise fail(token.start + len(text) - len(text[end:].lstrip()), "the closing quote", ascii(rest[:20]))
    return area
