"""Links of our own: whoever has one may download one product for a while, as the user who asked for it.

A download of hours outlives every token; a browser and a plain downloader have none. The link is good for `$value`,
`$zip` and all files of its product, on every root.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from refsys.distribution.paging import InvalidToken, read_token, write_token

#: The query parameter that carries it.
PARAMETER: Final = "link"
#: Bytes of a product, whose id is found; no link gives another link.
_BYTES: Final = re.compile(
    r"[^(]*/Products\('?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'?\)/(?:.*/)?\$(?:value|zip)", re.IGNORECASE
)


def write_link(secret: bytes, product: UUID, user: str, until: datetime) -> str:
    """The text that lets its bearer download a product as `user`, until an instant."""
    return write_token(secret, (user, until), _about(product))


def read_link(secret: bytes, text: str, path: str) -> str:
    """The user as whom the path (decoded) of a request may be downloaded. Raises InvalidToken."""
    found = _BYTES.fullmatch(path)
    if found is None:
        raise InvalidToken("links are for the bytes of a product")
    try:
        user, until = read_token(secret, text, _about(UUID(found[1])))
    except InvalidToken as error:
        raise InvalidToken("it is not for this product, or not whole") from error
    if datetime.now(UTC) > until:
        raise InvalidToken("it is over; ask for another one")
    return str(user)


def valid_until(seconds: float) -> datetime:
    """In whole seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def _about(product: UUID) -> str:
    return f"download {product}"
