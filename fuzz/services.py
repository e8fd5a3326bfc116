"""The lines that programs send to the acceptor and the agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from browserid_sasl.acceptor import requests
from browserid_sasl.agent.service import protocol
from browserid_sasl.wire.lines import LineBuffer, escape, unescape
from fuzz.target import Target


def _lines(octets: bytes) -> Iterator[str]:
    """As they come from a socket, in two parts."""
    buffer = LineBuffer()
    middle = len(octets) // 2
    for part in (octets[:middle], octets[middle:]):
        yield from buffer.feed(part)


def _ask_acceptor(octets: bytes) -> None:
    for line in _lines(octets):
        request = requests.parse(line)
        if isinstance(request, requests.Begin):
            assert request.remote.isascii()
            assert request.host is not None
            assert request.options is not None
            assert request.bindings is not None


def _ask_agent(octets: bytes) -> None:
    for line in _lines(octets):
        request = protocol.read_request(line)
        if request:
            assert request.octets is not None
            for value in request.values.values():
                assert unescape(escape(value)) == value


TARGETS: Final = (
    Target(
        "services-acceptor",
        _ask_acceptor,
        lambda: (
            b"VERSION\t1\t2\nCPID\t7\n",
            b"AUTH\t1\tBROWSERID-AES128\tservice=smtp\tnologin\trip=192.0.2.1\tresp=bixh\n",
            b"AUTH\t1\tBROWSERID\tservice=imap\tbid=1\tbid_host=mail.example.org"
            b"\tbid_cb.tls-unique=AAEC\tbid_cb_critical\tbid_opt.strip_domain=a\x01t\tresp=\n",
            b"CONT\t1\tbixh\nCONT\t1\t#\tchannel_binding=AAEC\nCANCEL\t1\n",
        ),
    ),
    Target(
        "services-agent",
        _ask_agent,
        lambda: (
            b"VERSION\tbrowserid-agent\t1\n",
            b"INIT\t1\tBROWSERID-AES128\tservice=imap\thost=mail.example.org\tauthname=a\x01tb"
            b"\tcb.tls-unique=AAEC\tcb_flag=used\tchallenge=\n",
            b"CONT\t1\tbixh\nCANCEL\t1\nLOGIN\t2\talice@example.org\nLIST\t3\n",
        ),
    ),
)
