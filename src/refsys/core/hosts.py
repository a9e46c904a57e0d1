"""Hosts as servers listen on them and as URLs name them."""

from __future__ import annotations

import ipaddress


def host_in_url(host: str) -> str:
    """How a URL on this machine names what listens on `host`: IPv6 in brackets (RFC 3986 3.2.2), "all" as loopback."""
    try:
        address = ipaddress.ip_address(host or "127.0.0.1")
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else str(address)
