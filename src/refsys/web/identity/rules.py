"""Which right a request needs, by its path alone, and what those may who do not sign in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from refsys.core.hosts import is_loopback
from refsys.core.principals import Right
from refsys.infra.settings import Settings

#: What every client may reach without signing in: tokens, health, and what has guards of its own.
_OPEN: Final = re.compile(r"/(auth|health|operations)(/.*)?|/metrics")
_BYTES: Final = re.compile(r".*/\$(value|zip|link)")
#: Pictures of products belong to the search: clients show them in lists.
_PICTURE: Final = re.compile(r".*/(assets|quicklooks)\([^/]*\)/\$value")
_SUBSCRIPTIONS: Final = re.compile(r".*/subscriptions(\(.*|/.*)?")
#: A route may find its pattern before a line feed at the end, and around one in the middle.
_UNSEEN: Final = re.compile(r"[\x00-\x20\x7f]")
_ANONYMOUS: Final = {"all": frozenset(Right), "search": frozenset({Right.SEARCH}), "none": frozenset[Right]()}


def needed_right(path: str) -> Right | None:
    """What a request for a decoded path needs, whatever its method; None = nothing.

    Upper and lower case, control characters, a final slash and a second encoding make no difference: what a route
    might understand as bytes of a product counts as such.
    """
    plain = _UNSEEN.sub("", path.replace("%24", "$")).rstrip("/").lower()
    if _OPEN.fullmatch(plain):
        return None
    if _SUBSCRIPTIONS.fullmatch(plain):
        return Right.SUBSCRIBE
    if _BYTES.fullmatch(plain) and not _PICTURE.fullmatch(plain):
        return Right.DOWNLOAD
    return Right.SEARCH


def anonymous_choice(settings: Settings) -> str:
    """`all`, `search` or `none`: `auth.anonymous`, with `auto` decided."""
    if settings.auth.anonymous != "auto":
        return settings.auth.anonymous
    hosts = [settings.http.host, urlsplit(settings.http.public_url).hostname or "localhost"]
    return "all" if all(is_loopback(host) for host in hosts) else "search"


def anonymous_rights(settings: Settings) -> frozenset[Right]:
    """What those may who do not sign in."""
    return _ANONYMOUS[anonymous_choice(settings)]
