"""The recorded exchanges through mech_browserid.so, by Debian's python3-gssapi.

Its arguments are names of exchanges. This process is the agent and the acceptor too, with the
clock, the keys and the stores of each exchange, so that what the library gives out is what was
recorded. The environment says where both listen (BROWSERID_AGENT, BROWSERID_ACCEPTOR).
"""

from __future__ import annotations

import base64
import os
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gssapi
from gssapi.raw import ChannelBindings

from browserid_sasl.acceptor import answers, requests
from browserid_sasl.acceptor.answers import Answer, Challenge, Success
from browserid_sasl.agent.service import protocol
from browserid_sasl.gss import acceptor as gss
from browserid_sasl.gss import tokens
from browserid_sasl.gss.mechanisms import Mechanism
from browserid_sasl.gss.plain import PlainAcceptor, PlainInitiator
from browserid_sasl.gss.told import told_of
from browserid_sasl.wire.octets import encode
from tests.support import vectors
from tests.support.vectors import Vector


class Acceptor(socketserver.StreamRequestHandler):
    """The host's, of which one exchange is asked at a time."""

    vector: Vector

    def handle(self) -> None:
        self.wfile.write(b"VERSION\t1\t2\nMECH\tX\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n")
        running: PlainAcceptor | None = None
        for line in self.rfile:
            asked = requests.parse(line.decode().rstrip("\n"))
            if isinstance(asked, requests.Begin):
                one = vectors.make_acceptor(self.vector)
                running = PlainAcceptor([self.vector.mechanism], _Given(one))
                self._answer(asked.id, running, asked.initial or b"")
            elif isinstance(asked, requests.Continue) and running:
                self._answer(asked.id, running, asked.message or b"")

    def _answer(self, id: int, running: PlainAcceptor, token: bytes) -> None:
        output = running.step(token)
        answer: Answer = Challenge(output or b"")
        if running.complete:
            context = running.context
            told = list(told_of(context, with_key=True))
            who = context.identity
            answer = Success(who, who, output, None, False, context.mutual, {}, told)
        self.wfile.write(answers.line(id, answer, extended=True))


class _Given:
    """Gives the acceptor that there is, whatever the mechanism."""

    def __init__(self, one: gss.Acceptor) -> None:
        self._one = one

    def __call__(self, mechanism: Mechanism) -> gss.Acceptor:
        return self._one


class Agent(socketserver.StreamRequestHandler):
    """The person's, likewise."""

    vector: Vector

    def handle(self) -> None:
        self.wfile.write(protocol.greeting(1, "0"))
        running: PlainInitiator | None = None
        for line in self.rfile:
            asked = protocol.read_request(line.decode().rstrip("\n"))
            if asked and asked.verb == "INIT":
                one = vectors.make_initiator(self.vector)
                running = PlainInitiator(self.vector.mechanism, one)
                self._answer(asked.number, running, running.step())
            elif asked and running:
                self._answer(asked.number, running, running.step(asked.octets))

    def _answer(self, number: int, running: PlainInitiator, output: bytes | None) -> None:
        told: Mapping[str, str] = {}
        if running.complete:
            told = dict(told_of(running.context, with_key=True))
        word = "OK" if running.complete else "CONT"
        self.wfile.write(protocol.answer(word, number, encode(output or b""), **told))


@contextmanager
def serving(handler: type[socketserver.StreamRequestHandler], variable: str) -> Iterator[None]:
    with socketserver.ThreadingUnixStreamServer(os.environ[variable], handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


# The two sides


def initiator(vector: Vector) -> Any:
    """The initiating side, through the library, until it has been told all that was recorded."""
    oid = gssapi.OID.from_int_seq(".".join(map(str, vector.mechanism.oid)))
    host = f"{vector.target.service}@{vector.target.host}"
    binding = vectors.claimed_binding(vector)
    context = gssapi.SecurityContext(
        name=gssapi.Name(host, gssapi.NameType.hostbased_service),
        mech=oid,
        usage="initiate",
        flags=[],
        channel_bindings=ChannelBindings(application_data=binding) if binding else None,
    )
    recorded = sent_by_initiator(vector)
    made = [context.step()]
    for token in vector.messages("acceptor"):
        made.append(context.step(token) or b"")
    assert [each for each in made if each] == recorded, "the recorded tokens"
    assert context.complete
    return context


def sent_by_initiator(vector: Vector) -> list[bytes]:
    first, *others = vector.messages("initiator")
    return [tokens.wrap_initial(vector.mechanism.oid, first), *others]


def acceptor(vector: Vector) -> Any:
    """The accepting side."""
    bound = vector.channel_binding
    context = gssapi.SecurityContext(
        usage="accept",
        channel_bindings=ChannelBindings(application_data=bound) if bound else None,
    )
    made = [context.step(token) or b"" for token in sent_by_initiator(vector)]
    answers = [each for each in made if each]
    for ours, theirs in zip(answers, vector.messages("acceptor"), strict=True):
        vectors.assert_same_answer(ours, theirs)
    assert context.complete
    assert str(context.initiator_name) == vector.data["expect"]["subject"]
    return context


def moved(context: Any) -> Any:
    """The same, exported and imported."""
    return gssapi.SecurityContext(token=context.export())


# Messages


def protect(vector: Vector, ends: Mapping[str, Any]) -> int:
    """Each recorded token: opened by the other side, and made again if nothing in it is random."""
    rows = vector.data.get("protection", [])
    for row in rows:
        sender = ends[row["from"]]
        receiver = ends["acceptor" if row["from"] == "initiator" else "initiator"]
        message, token = row["msg"].encode(), base64.b64decode(row["token"])
        if row["op"] == "mic":
            receiver.verify_signature(message, token)
            assert sender.get_signature(message) == token, row
        else:
            opened = receiver.unwrap(token)
            assert (opened.message, opened.encrypted) == (message, row["op"] == "wrap_conf"), row
            made = sender.wrap(message, row["op"] == "wrap_conf").message
            assert len(made) == len(token), row
            assert row["op"] == "wrap_conf" or made == token, row
    return len(rows)


def main() -> None:
    with serving(Acceptor, "BROWSERID_ACCEPTOR"), serving(Agent, "BROWSERID_AGENT"):
        for name in sys.argv[1:]:
            vector = vectors.load(name)
            Acceptor.vector = Agent.vector = vector
            ends = {"initiator": initiator(vector), "acceptor": acceptor(vector)}
            if vector.mechanism.curve:
                ends = {side: moved(context) for side, context in ends.items()}
            print(f"{name}: {protect(vector, ends)} messages", flush=True)


if __name__ == "__main__":
    main()
