"""SASL messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from browserid_sasl.sasl import gs2
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.gs2 import BindingFlag
from browserid_sasl.sasl.server import ServerMechanism
from fuzz.target import Target
from fuzz.worlds import acceptor, recorded, world
from tests.support.sasl import BINDINGS, EXPORTER, make_client
from tests.support.world import fixed_environment


def _server() -> ServerMechanism:
    return ServerMechanism(acceptor, channel_bindings=BINDINGS)


def _client(**options: Any) -> ClientMechanism:
    return make_client(world(), tickets=None, environment=fixed_environment("client"), **options)


def _answer(octets: bytes) -> None:
    client = _client()
    client.step()
    client.step(octets)


def _first_messages() -> Iterator[bytes]:
    yield _client(authzid="bob,the=builder").step()
    yield _client(flag=BindingFlag.USED, binding=EXPORTER).step()
    yield from recorded("initiator")


def _answers() -> Iterator[bytes]:
    answer = _server().step(_client().step())
    assert answer is not None
    yield answer
    yield from recorded("acceptor")


TARGETS: Final = (
    Target(
        "sasl-gs2-header",
        gs2.split,
        lambda: (b"p=tls-exporter,a=a=2Cb=3Dc,c,token", b"F,n,,c", b"y,a=\xc3\xa9,c,"),
    ),
    Target("sasl-server", lambda octets: _server().step(octets), _first_messages),
    Target("sasl-client", _answer, _answers),
)
