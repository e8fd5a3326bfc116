"""A name server of the tests' own, which says what it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

SILENT = "silent"
"""In place of records: no answer at all."""

BROKEN = "broken"
"""In place of records: an answer that says that there is none to be had."""

Zone = Mapping[str, Sequence[str] | str]
"""Records of SRV in text form by name, without the dot at its end."""


class NameServer:
    """A name server on loopback.

    :param zone: what it knows.
    """

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.asked: list[str] = []

    def serve(self) -> None:
        """Answer until there is an empty question."""
        while True:
            octets, sender = self._socket.recvfrom(65_535)
            if not octets:
                return
            answer = self._answer(dns.message.from_wire(octets))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        name = query.question[0].name
        text = name.to_text(omit_final_dot=True)
        self.asked.append(text)
        answer = dns.message.make_response(query, recursion_available=True)
        records = self._zone.get(text, ())
        if records == SILENT:
            return None
        if records == BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", "SRV", list(records)))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    @property
    def resolver(self) -> dns.asyncresolver.Resolver:
        """What asks it."""
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        return resolver

    def end(self) -> None:
        """Have `serve` return."""
        self._socket.sendto(b"", self._socket.getsockname())

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()


@contextmanager
def name_server(zone: Zone) -> Iterator[NameServer]:
    """A name server that knows this, until the end of the block."""
    server = NameServer(zone)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()
        server.close()
