"""Where a stranger's domain may lead a server, and where not."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from browserid_sasl.discovery.public_addresses import is_public

PUBLIC = [
    "1.0.0.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "3ffe::1",
    "3fff:1000::1",
]
# The blocks of IANA's registries that lead nowhere, or into somebody's own network.
SPECIAL = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
    *("100::/64", "100:0:0:1::/64", "200::/7", "400::/6", "2001::/32", "2001:2::/48"),
    *("2001:10::/28", "2001:20::/28", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    *("4000::/3", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]
# How an IPv4 address is wrapped in an IPv6 address: the bits it is moved by, and what is added.
WRAPPINGS = {
    "compatible": (0, "::"),
    "mapped": (0, "::ffff:0:0"),
    "translated": (0, "::ffff:0:0:0"),
    "NAT64": (0, "64:ff9b::"),
    "local NAT64": (0, "64:ff9b:1::"),
    "6to4": (80, "2002::"),
    "Teredo's server": (64, "2001::"),
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("block", SPECIAL)
def test_no_address_of_a_special_block_is_public(block: str) -> None:
    network = ip_network(block)
    for address in (network[0], network[1], network[-2], network[-1]):
        assert not is_public(address), address


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_no_ipv4_address_inside_an_ipv6_address_is_public(wrapping: str, inner: str) -> None:
    moved, prefix = WRAPPINGS[wrapping]
    whole = IPv6Address(int(IPv6Address(prefix)) + (int(IPv4Address(inner)) << moved))
    assert not is_public(whole)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%eth0", "::1%1"])
def test_no_address_with_a_zone_is_public(address: str) -> None:
    assert not is_public(ip_address(address))
