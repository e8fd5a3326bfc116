"""Names with made-up addresses, as the discovery of identity providers sees them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.dialing import Dialer

DOMAIN = "example.test"
PUBLIC = "8.8.8.8"


class Network:
    """Names with made-up addresses, all of which lead to one port of loopback."""

    def __init__(self, port: int, names: Mapping[str, Sequence[str]]) -> None:
        self._port = port
        self._names = names
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._names[host]

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.dialled.append(address)
        return socket.create_connection(("127.0.0.1", self._port), timeout)

    @property
    def dialer(self) -> Dialer:
        return Dialer(self.resolve, self.connect)


def fetcher(
    ca_file: Path | None,
    network: Network,
    *,
    timeout_ms: int = 5_000,
    max_size: int = 65_536,
    max_lookups: int = 64,
    private_hosts: tuple[str, ...] = (),
    authorities: dict[str, AuthorityOverride] | None = None,
) -> HttpsFetcher:
    """A fetcher that uses a network."""
    discovery = DiscoveryConfig(
        timeout_ms=timeout_ms,
        max_size=max_size,
        max_lookups=max_lookups,
        ca_file=ca_file,
        private_hosts=private_hosts,
    )
    return HttpsFetcher(discovery, authorities or {}, dialer=network.dialer)
