"""The lines that programs send to the acceptor and the agent."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, cast

from browserid_sasl.acceptor import requests
from browserid_sasl.acceptor.contexts import with_service
from browserid_sasl.agent.service import protocol
from browserid_sasl.agent.service.clients import Clients
from browserid_sasl.agent.service.clients import Target as Wanted
from browserid_sasl.agent.service.session import Session
from browserid_sasl.api import Client
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.wire.lines import LineBuffer, escape, unescape
from fuzz.target import Target
from fuzz.worlds import initiator, world
from tests.support.sasl import make_client
from tests.support.world import AES128, ALICE


def _first_token() -> bytes:
    """A context's, in base64."""
    token = PlainInitiator(AES128, initiator()).step()
    assert token is not None
    return base64.b64encode(token)


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
            _begin_context(request)


def _begin_context(request: requests.Begin) -> None:
    """What a program of GSS-API asks, which may leave the service to the client's token."""
    if request.is_context:
        with suppress(BrowserIDError):
            assert request.bound is None or isinstance(request.bound, bytes)
            assert with_service(request).service


class _Nobody:
    """Somebody's clients, who has no identity."""

    def get(self, target: Wanted) -> Client:
        raise LocalProtocolError(Code.NO_DEFAULT_IDENTITY, f"nobody is signed in for {target.host}")


class _People:
    """The clients of somebody in the small world."""

    identity = ALICE

    def get(self, target: Wanted) -> Client:
        return cast(Client, self)

    def initiate(self, name: str, **further: object) -> PlainInitiator:
        return PlainInitiator(mechanism_by_name(name), initiator())

    def start(self, names: Sequence[str], **further: object) -> ClientMechanism:
        return make_client(world(), tickets=None)

    start_with = start


def _be_session(octets: bytes) -> None:
    """Contexts in the small world, asked for by their verbs. No answer is of an internal error."""
    for clients in (_Nobody(), _People()):
        session = Session(cast(Clients, clients))
        for line in _lines(octets):
            request = protocol.read_request(line)
            if request and session.knows(request.verb):
                for answer in session.answer(request, again=True):
                    assert answer.count(b"\n") == 1, answer
                    assert b"internal error" not in answer, answer


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
            b"AUTH\t1\tBROWSERID-AES128\tservice=\tbid=1\tbid_context=1\tbid_host=a.test"
            b"\tbid_bound=AAEC\tresp=" + _first_token() + b"\n",
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
    Target(
        "services-agent-context",
        _be_session,
        lambda: (
            b"WHO\t1\tauthname=alice\n",
            b"INIT\t1\tBROWSERID-AES128\tcontext=1\tservice=imap\thost=mail.example.com"
            b"\tflags=306\tbound=AAEC\nCONT\t1\tbixh\nCANCEL\t1\n",
            b"INIT\t1\nINIT\t2\tBROWSERID\tcontext=1\tflags=4294967296\tchallenge=\n",
        ),
    ),
)
