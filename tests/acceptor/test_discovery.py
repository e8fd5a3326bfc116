"""Logins that need a provider's document, and those that do not and must not wait for it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import trustme

from browserid_sasl.jose.keys import PrivateKey
from tests.support.acceptor import Daemon, Host, Program
from tests.support.https import ScriptedServer, answer, scripted_server, write_ca
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import DOMAIN, Person
from tests.support.services import AES128
from tests.support.world import support_document

Start = Callable[..., Daemon]
FAR = "far.test"


@dataclass
class Provider:
    """A provider that is not pinned.

    :param key: its.
    :param server: publishes it.
    :param document: what that says now.
    :param section: of the configuration that says how to reach it.
    """

    key: PrivateKey
    server: ScriptedServer
    document: list[bytes]
    section: str

    def person(self, name: str = "carol") -> Person:
        return Person(f"{name}@{FAR}", self.key, FAR)

    def publish(self, key: PrivateKey) -> None:
        self.document[:] = [json.dumps(support_document(key)).encode()]


@pytest.fixture
def far(host: Host) -> Iterator[Provider]:
    """A provider on loopback, which the host's configuration says how to reach."""
    key = PrivateKey.generate("ES256")
    authority = trustme.CA()
    document = [json.dumps(support_document(key)).encode()]
    certificate = authority.issue_cert("127.0.0.1")

    def respond(wire: ssl.SSLSocket) -> None:
        answer(document[0])(wire)

    with scripted_server(certificate, respond) as server:
        section = f"""
            [authorities."{FAR}"]
            url = "https://127.0.0.1:{server.port}"
            ca_file = "{write_ca(authority, host.folder)}"
            """
        host.configure(section, allow=(DOMAIN, FAR), workers=1)
        yield Provider(key, server, document, section)


@dataclass
class Silence:
    """Providers that take connections and never say a word.

    :param listener: takes them.
    """

    listener: socket.socket

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def person(self, number: int) -> Person:
        domain = f"silent{number}.test"
        return Person(f"x@{domain}", PrivateKey.generate("ES256"), domain)

    def sections(self, count: int) -> str:
        return "\n".join(
            f'[authorities."silent{n}.test"]\nurl = "https://127.0.0.1:{self.port}"'
            for n in range(count)
        )


@pytest.fixture
def silence() -> Iterator[Silence]:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as listener:
        yield Silence(listener)


def log_in(host: Host, person: Person | None = None) -> str:
    with Program(host.socket) as program:
        reply = program.log_in(host.mechanism(person=person), bid="1")
        return reply.verb


def test_a_document_is_fetched_and_then_used_again(host: Host, far: Provider, start: Start) -> None:
    daemon = start(host)
    assert log_in(host, far.person()) == "OK"
    assert log_in(host, far.person()) == "OK"
    assert len(far.server.requests) == 1
    assert f"user=<carol@{FAR}>" in daemon.log


def test_all_who_wait_for_a_document_go_on_with_it(host: Host, far: Provider, start: Start) -> None:
    start(host)
    with Program(host.socket) as program:
        for id in range(10):
            mechanism = host.mechanism(person=far.person(f"p{id}"))
            program.begin(id, AES128, mechanism.step(None), bid="1")
        assert {program.reply().verb for _ in range(10)} == {"OK"}
    assert len(far.server.requests) == 1


def test_a_key_that_is_new_is_fetched(host: Host, far: Provider, start: Start) -> None:
    start(host)
    assert log_in(host, far.person()) == "OK"
    far.key = PrivateKey.generate("ES256")
    far.publish(far.key)
    assert log_in(host, far.person()) == "OK"
    assert len(far.server.requests) == 2
    # What was withdrawn stays so, and is not asked for again at once.
    assert log_in(host, Person(f"x@{FAR}", PrivateKey.generate("ES256"), FAR)) == "FAIL"
    assert len(far.server.requests) <= 3


def test_a_certificate_asked_for_after_a_ticket_may_need_a_document_too(
    host: Host, far: Provider, start: Start
) -> None:
    """The document is needed by the second message of the exchange."""
    client = host.client(person=far.person())
    daemon = start(host)
    with Program(host.socket) as program:
        assert program.log_in(client.start_with(AES128), bid="1").verb == "OK"
    daemon.kill()
    for file in (host.folder / "server").glob("server.db*"):
        file.unlink()
    start(host)
    with Program(host.socket) as program:
        mechanism = client.start_with(AES128)
        program.begin(1, AES128, mechanism.step(None), bid="1")
        program.proceed(1, mechanism.step(program.reply().data))
        assert program.reply().verb == "OK"
    assert len(far.server.requests) == 2


def test_the_rest_do_not_wait_for_a_provider_that_says_nothing(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure("[discovery]\ntimeout = 20\n" + silence.sections(50), allow=("*",), workers=1)
    start(host)
    person = host.realm.person()
    with Program(host.socket) as slow, Program(host.socket) as program:
        for id in range(50):
            mechanism = host.mechanism(person=silence.person(id))
            slow.begin(id, AES128, mechanism.step(None), bid="1")
        begun = time.monotonic()
        for id in range(20):
            assert program.log_in(host.mechanism(person=person), id, bid="1").verb == "OK"
        assert time.monotonic() - begun < 15  # what discovery may take is more
        # On the same connection neither.
        slow.begin(99, AES128, host.mechanism(person=person).step(None), bid="1")
        assert slow.reply().id == 99


def test_a_provider_that_says_nothing_is_a_temporary_failure(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure("[discovery]\ntimeout = 1\n" + silence.sections(1), allow=("*",), workers=1)
    daemon = start(host)
    with Program(host.socket) as program:
        mechanism = host.mechanism(person=silence.person(0))
        program.begin(1, AES128, mechanism.step(None), bid="1", rip="192.0.2.1")
        reply = program.reply()
    assert "temp" in reply.parameters
    assert reply.parameters["reason"] == "temporary failure, try again later"
    assert reply.parameters["bid_code"] == "http-error"
    assert "login undecided: rip=192.0.2.1" in daemon.log


def test_who_goes_while_a_document_is_fetched_is_forgotten(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure("[discovery]\ntimeout = 2\n" + silence.sections(1), allow=("*",), workers=1)
    daemon = start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism(person=silence.person(0)).step(None))
        program.begin(2, AES128, None)
        program.reply()
    wait_until(lambda: daemon.log.count("login abandoned") == 2, "noticing it")
    time.sleep(2.5)
    assert log_in(host) == "OK"


def test_who_speaks_out_of_turn_while_a_document_is_fetched_is_refused(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure("[discovery]\ntimeout = 5\n" + silence.sections(1), allow=("*",), workers=1)
    start(host)
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism(person=silence.person(0)).step(None), bid="1")
        program.proceed(1, b"more")
        assert program.reply().parameters["bid_code"] == "bad-context-token"


@pytest.mark.option("acceptor.lookups")
def test_so_many_documents_are_fetched_at_the_same_time(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure(
        "[discovery]\ntimeout = 20\n" + silence.sections(10), allow=("*",), workers=1, lookups=3
    )
    start(host)
    silence.listener.settimeout(PATIENCE)
    with Program(host.socket) as program, ExitStack() as taken:
        for id in range(10):
            mechanism = host.mechanism(person=silence.person(id))
            program.begin(id, AES128, mechanism.step(None), bid="1")
        for _ in range(3):
            taken.enter_context(silence.listener.accept()[0])
        silence.listener.settimeout(1)
        with pytest.raises(TimeoutError):
            silence.listener.accept()


def test_a_strangers_provider_is_asked_nothing(host: Host, far: Provider, start: Start) -> None:
    host.configure(far.section, workers=1)
    daemon = start(host)
    with Program(host.socket) as program:
        mechanism = host.mechanism(person=far.person("stranger"))
        program.begin(1, AES128, mechanism.step(None), bid="1", rip="192.0.2.1")
        reply = program.reply()
    assert reply.parameters["bid_code"] == "no-local-mapping"
    assert "temp" not in reply.parameters
    assert far.server.requests == []
    assert f"code=no-local-mapping claimed=<stranger@{FAR}>" in daemon.log


def test_who_has_no_word_for_a_temporary_failure_hears_none_of_a_provider_either(
    host: Host, silence: Silence, start: Start
) -> None:
    host.configure("[discovery]\ntimeout = 1\n" + silence.sections(1), allow=("*",), workers=1)
    start(host)
    with Program(host.socket, minor=0) as program:
        program.begin(1, AES128, host.mechanism(person=silence.person(0)).step(None), bid="1")
        with pytest.raises(ConnectionError):
            program.reply()
