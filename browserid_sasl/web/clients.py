"""Which client a request comes from, and what counts as one client."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_IPV6_SITE = 64


class Proxies:
    """The proxies before the server, whose word is taken for the address a client has.

    Nobody else's is: anybody can write such a header.

    :param networks: their addresses and networks.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(map(ip_network, networks))

    def __contains__(self, address: object) -> bool:
        """Whether one of them has this address, in the form of `plain_address`; none has none."""
        if not address or not self._networks:
            return False
        parsed = ip_address(str(address))
        return any(parsed in network for network in self._networks)

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """The address of the client a request comes from.

        :param peer: the other end of the connection, in the form of `plain_address`; empty if that
            is not known.
        :param forwarded: the values of the request's X-Forwarded-For headers, in their order.
        :returns: what the outermost proxy says, or where it says nothing that is an address, its
            own address. It is an IP address, or empty as `peer` is.
        """
        client = peer
        hops = [hop for value in forwarded for hop in value.split(",")]
        # Each proxy has added whom it was asked by at the end; what a client wrote stands before.
        while client in self and hops:
            said = _said(hops.pop())
            if said is None:
                break
            client = said
        return client


def plain_address(text: str) -> str:
    """An IP address as it is logged and compared: an IPv4-mapped one as IPv4, without a zone.

    :raises ValueError: it is none.
    """
    return str(_parsed(text.partition("%")[0]))


def network_of(client: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 an IPv6 host can choose from.

    :raises ValueError: it is no IP address.
    """
    address = _parsed(client.partition("%")[0])
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_SITE), strict=False))
    return str(address)


def _parsed(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _said(hop: str) -> str | None:
    """The address in a part of X-Forwarded-For, with which some proxies write a port."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1 and "." in text:
        text = text.partition(":")[0]
    try:
        return None if "%" in text else str(_parsed(text))
    except ValueError:
        return None
