"""Connections to hosts whose names come from strangers.

A name is resolved once, every address is judged, and the connection goes to an address that was
judged: a second, different answer from the name's DNS servers is never asked for. What follows
on the connection ends at a deadline, however slowly the other side drips.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from browserid_sasl.discovery.public_addresses import Address, is_public
from browserid_sasl.discovery.rooms import Room, no_room
from browserid_sasl.errors import Code, DiscoveryError, NoProviderError

Resolver = Callable[[str], Sequence[str]]
"""Names to addresses in text form. Raises OSError."""
Connector = Callable[[tuple[str, int], float], socket.socket]
"""Opens a TCP connection to an address and port within a time (s). Raises OSError."""

_NAMES: Final = 64

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA})
"""What name servers say of a name, and not that they say nothing just now."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which everything has to be over.

    :param at: s on the monotonic clock.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self.at

    def remaining(self) -> float:
        """Seconds left, more than 0.

        :raises TimeoutError: none are.
        """
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time is up")
        return seconds


def system_resolver(host: str) -> list[str]:
    """Ask the system's resolver."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens connections within a deadline.

    :param resolver: names to addresses.
    :param connector: addresses to connections.
    :param names: room for the names that are being resolved.
    """

    resolver: Resolver = system_resolver
    connector: Connector = socket.create_connection
    names: Room = field(default_factory=lambda: Room(_NAMES, _NAMES))

    def dial(self, host: str, port: int, deadline: Deadline, *, private: bool) -> socket.socket:
        """Connect to one of the host's addresses.

        :param private: whether addresses that are not public are permitted.
        :raises NoProviderError: http-error: it has no address, or refuses connections.
        :raises DiscoveryError: http-error: a forbidden address, or nobody answers there;
            unavailable: too many names are being resolved.
        """
        addresses = self._resolve(host, deadline)
        # What was looked at is what is connected to: a name that is resolved again could lead
        # elsewhere by then. All of them have to do, or a stranger's list of names would say of our
        # own network who answers.
        if not private:
            _check_public(host, addresses)
        failure: OSError = TimeoutError("no address answered")
        refused = 0
        for tried, address in enumerate(addresses):
            try:
                share = deadline.remaining() / (len(addresses) - tried)
                return self.connector((str(address), port), share)
            except OSError as error:
                failure = error
                refused += isinstance(error, ConnectionRefusedError)
        raise (NoProviderError if refused == len(addresses) else DiscoveryError)(
            Code.HTTP_ERROR,
            f"no connection to {host} port {port} can be made ({_reason(failure)})",
            "see whether the identity provider is running and the network is up",
        )

    def _resolve(self, host: str, deadline: Deadline) -> list[Address]:
        try:
            names = self._resolve_in_time(host, deadline)
            return list(dict.fromkeys(map(ip_address, names)))
        except (OSError, ValueError) as error:
            unknown = isinstance(error, socket.gaierror) and error.errno in _NO_SUCH_NAME
            raise (NoProviderError if unknown else DiscoveryError)(
                Code.HTTP_ERROR,
                f"the name {host} cannot be resolved ({_reason(error)})",
                "see whether the domain is spelled right and the network is up",
            ) from None

    def _resolve_in_time(self, host: str, deadline: Deadline) -> Sequence[str]:
        # The system's resolver takes no timeout, so it is left behind in a thread when it is slow.
        # The thread keeps its place until it ends: there are never more of them than places.
        answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()
        leave = self.names.enter(host)

        def ask() -> None:
            try:
                answers.put(self.resolver(host))
            except (OSError, ValueError) as error:
                answers.put(error)
            finally:
                leave()

        try:
            threading.Thread(target=ask, name="resolve", daemon=True).start()
        except RuntimeError:
            leave()
            raise no_room(host) from None
        try:
            answer = answers.get(timeout=deadline.remaining())
        except queue.Empty:
            raise TimeoutError("the name servers do not answer") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def _check_public(host: str, addresses: Sequence[Address]) -> None:
    for address in addresses:
        if not is_public(address):
            raise DiscoveryError(
                Code.HTTP_ERROR,
                f"{host} has the address {address}, which is not a public one",
                f"if {host} is a host of your own network, add it to `private_hosts` in the "
                "configuration's [discovery] section",
            )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
