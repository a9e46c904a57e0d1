"""Hosts as servers listen on them and as URLs name them."""

from __future__ import annotations

import ipaddress
from typing import Final

# RFC 6890 and its registry, what Python 3.11 does not know yet: protocol assignments, the 6to4 relay, reserved
_SPECIAL: Final = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4")))
# IPv4 by NAT64 (RFC 6052), and all of IPv6 that is given out for unicast (RFC 4291)
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_UNICAST: Final = ipaddress.ip_network("2000::/3")


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


def is_public_address(text: str) -> bool:
    """Whether it is a unicast address of the public internet.

    IPv6 that stands for IPv4 is none, but by NAT64 where the IPv4 address is one; neither is a name.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in net for net in _SPECIAL)
    if address in _TRANSLATED:
        return is_public_address(str(ipaddress.IPv4Address(address.packed[-4:])))
    if address.teredo is not None or address.sixtofour is not None:
        # tunnels end at an IPv4 address that we would have to trust: nobody serves there
        return False
    return address in _UNICAST and address.is_global
