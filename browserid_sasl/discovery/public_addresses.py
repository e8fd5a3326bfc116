"""Which IP addresses are those of hosts on the public Internet.

`ipaddress.is_global` is not asked: it answers differently from one version of Python to the next,
and takes several forms of private IPv4 addresses inside IPv6 addresses for public ones.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

# From https://www.iana.org/assignments/iana-ipv4-special-registry (updated 2025-10-09), all that
# is not globally reachable there, and https://www.iana.org/assignments/ipv4-address-space.
_SPECIAL_IPV4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private use, RFC 1918
        "100.64.0.0/10",  # shared address space of providers, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link local, RFC 3927; clouds have their secrets here
        "172.16.0.0/12",  # private use, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890, the reachable anycasts too
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, withdrawn by RFC 7526
        "192.168.0.0/16",  # private use, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112, and limited broadcast, RFC 919
    )
)

# From https://www.iana.org/assignments/ipv6-address-space: all unicast addresses that are given
# out. Outside it are ::/96 (IPv4-compatible), ::ffff:0:0/96 (IPv4-mapped), ::ffff:0:0:0/96
# (IPv4-translated), 64:ff9b::/96 and 64:ff9b:1::/48 (NAT64), 100::/64 (discard), 5f00::/16
# (segment routing), fc00::/7 (unique local), fe80::/10 (link local), fec0::/10 (site local) and
# ff00::/8 (multicast). An IPv4 address in one of these forms is not judged for itself: what a
# translator or a tunnel makes of it is known to nobody here.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

# From https://www.iana.org/assignments/iana-ipv6-special-registry (updated 2025-10-09), all in it
# that is not globally reachable, or that wraps an IPv4 address.
_SPECIAL_IPV6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments, RFC 2928: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation, RFC 3849
        "2002::/16",  # 6to4, RFC 3056
        "3fff::/20",  # documentation, RFC 9637
    )
)


def is_public(address: Address) -> bool:
    """Whether the address is that of a host on the public Internet."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_IPV4)
    # An address with a zone (RFC 4007) is one of a link of this host's.
    if address.scope_id is not None or address not in _GLOBAL_UNICAST:
        return False
    return not any(address in block for block in _SPECIAL_IPV6)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its address alone: what a name leads to can change."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
