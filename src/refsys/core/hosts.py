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


def is_loopback(host: str) -> bool:
    """Whether only this machine is reached at a host: `localhost`, or an address of `is_loopback_address`."""
    return host.lower() == "localhost" or is_loopback_address(host)


def is_loopback_address(text: str) -> bool:
    """Whether it is one of 127.0.0.0/8, or ::1; also as IPv4 in IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
