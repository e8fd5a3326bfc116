"""One connection without a socket: what is answered when, and what is not."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from browserid_sasl.acceptor.batch import Batch, answer_to
from browserid_sasl.acceptor.conversation import (
    LOGIN_PATIENCE,
    LOOKUP_PATIENCE,
    MAX_LOGINS,
    Conversation,
)
from browserid_sasl.acceptor.journal import Journal
from browserid_sasl.acceptor.log import Priority
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.api import Client
from browserid_sasl.config import AuthorityOverride, ListenerConfig, ServerConfig, StoreConfig
from browserid_sasl.discovery.arrivals import DocumentName
from browserid_sasl.errors import Code, DiscoveryError
from browserid_sasl.gss.ports import Outcome
from browserid_sasl.gss.steps import Errand, Recording
from browserid_sasl.wire.peer import Peer
from tests.support.sample_programs import Person
from tests.support.services import AES128
from tests.support.site import DOMAIN, Site
from tests.support.world import key

GREETED = b"VERSION\t1\t2\nCPID\t1\n"


class FakeHost:
    """A worker that notes what it is asked.

    :param servers: of its configuration.
    """

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.log: list[str] = []
        self.journal = Journal(self._write)
        self.now = 1000.0
        self.room = True
        self.logins = 0
        self.sent: list[str] = []
        self.documents: list[tuple[DocumentName, Callable[[], None]]] = []
        self.batch = Batch()
        self.records_at_once = True

    def _write(self, priority: Priority, text: str) -> None:
        self.log.append(text)

    def clock(self) -> float:
        return self.now

    def has_room(self) -> bool:
        return self.room

    def count(self, change: int) -> None:
        self.logins += change

    def stepped(self, servers: Servers) -> None:
        assert servers is self.servers

    def wait_for(self, servers: Servers, name: DocumentName, proceed: Callable[[], None]) -> bool:
        self.documents.append((name, proceed))
        return True

    def record(self, recording: Recording, proceed: Callable[[Outcome], None]) -> None:
        self.batch.add(recording, proceed)
        if self.records_at_once:
            self.batch.record()

    def ask(self, errand: Errand, proceed: Callable[[object], None]) -> None:
        proceed(answer_to(errand))

    def send(self, data: bytes) -> None:
        self.sent += data.decode().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    """A worker for one domain that is pinned and one that is not."""
    config = Site(tmp_path).config
    far = AuthorityOverride(url="https://127.0.0.1:1")
    return FakeHost(
        Servers(
            replace(
                config,
                store=StoreConfig(backend="memory"),
                server=ServerConfig(allow=(DOMAIN, "far.test")),
                authorities=dict(config.authorities) | {"far.test": far},
            ),
            "localhost",
        )
    )


def converse(host: FakeHost, greeted: bytes = GREETED) -> Conversation:
    conversation = Conversation(host, ListenerConfig(), Peer(1, 2))
    conversation.receive(greeted)
    return conversation


def begin(id: int, message: bytes | None = None, *further: str) -> bytes:
    fields = ["AUTH", str(id), AES128, "service=imap", *further]
    if message is not None:
        fields.append(f"resp={base64.b64encode(message).decode()}")
    return "\t".join(fields).encode() + b"\n"


def message_of(host: FakeHost, domain: str = DOMAIN) -> bytes:
    """A first message of somebody of a domain."""
    person = Person(f"alice@{domain}", key("idp"), domain)
    client = Client(host.servers.config, "imap", "localhost", credentials=person)
    return client.start_with(AES128).step(None)


def test_a_login_takes_one_line_each_way(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(7, message_of(host), "bid"))
    [answer] = host.sent
    assert answer.startswith(f"OK\t7\tuser=alice@{DOMAIN}\t")
    assert host.logins == conversation.logins == 0


def test_lines_may_come_in_pieces(host: FakeHost) -> None:
    conversation = converse(host, b"")
    for octet in GREETED + begin(7):
        conversation.receive(bytes((octet,)))
    assert host.sent == ["CONT\t7\t"]


def test_who_waits_for_ever_is_forgotten_without_a_word(host: FakeHost) -> None:
    """There are programs that take each line for the answer that they wait for."""
    conversation = converse(host)
    conversation.receive(begin(1))
    host.now += LOGIN_PATIENCE - 1
    conversation.expire()
    assert host.logins == 1
    host.now += 2
    conversation.expire()
    assert host.logins == 0
    assert host.sent == ["CONT\t1\t"]
    assert "login abandoned" in host.log[-1]
    conversation.receive(b"CONT\t1\tYWJj\n")
    assert host.sent[-1].startswith("FAIL\t1\t")


def test_each_message_has_its_own_time(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(1))
    host.now += LOGIN_PATIENCE - 1
    conversation.receive(b"CONT\t1\tYWJj\n")
    host.now += 2
    conversation.expire()
    assert "login abandoned" not in host.log[-1]


def test_a_document_that_does_not_come_is_a_temporary_failure(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(1, message_of(host, "far.test"), "bid"))
    [(name, proceed)] = host.documents
    assert name == DocumentName("far.test", "far.test")
    assert host.sent == []
    host.now += LOOKUP_PATIENCE + 1
    conversation.expire()
    assert "\ttemp\t" in host.sent[-1]
    assert host.logins == 0
    # It may still come: nobody waits for it any more.
    with host.servers.documents.handing(name, DiscoveryError(Code.HTTP_ERROR, "late")):
        proceed()
    assert len(host.sent) == 1


def test_nothing_is_remembered_of_a_step_that_needs_a_document(host: FakeHost) -> None:
    conversation = converse(host)
    message = message_of(host, "far.test")
    for id in (1, 2):
        conversation.receive(begin(id, message, "bid"))
    failure = DiscoveryError(Code.HTTP_ERROR, "the provider is down")
    for name, proceed in host.documents:
        with host.servers.documents.handing(name, failure):
            proceed()
    assert [line.split("\t")[:2] for line in host.sent] == [["FAIL", "1"], ["FAIL", "2"]]
    assert all("\ttemp\t" in line for line in host.sent)
    assert all("code=http-error" in line for line in host.log)


@pytest.mark.parametrize(("minor", "over"), [(0, True), (1, False), (2, False), (3, False)])
def test_a_temporary_failure_is_told_by_silence_where_there_is_no_word_for_it(
    host: FakeHost, minor: int, over: bool
) -> None:
    host.room = False
    conversation = converse(host, f"VERSION\t1\t{minor}\n".encode())
    conversation.receive(begin(1, b"n,,c,x"))
    assert conversation.over is over
    assert bool(host.sent) is not over


def test_but_not_while_others_are_under_way(host: FakeHost) -> None:
    conversation = converse(host, b"VERSION\t1\t0\n")
    conversation.receive(begin(1))
    host.room = False
    conversation.receive(begin(2))
    assert not conversation.over
    assert host.sent[-1].startswith("FAIL\t2\ttemp")


def test_a_refusal_is_told_in_any_version(host: FakeHost) -> None:
    conversation = converse(host, b"VERSION\t1\t0\n")
    conversation.receive(begin(1, b"n,,c,x"))
    conversation.receive(b"CONT\t1\t\n")
    assert not conversation.over
    assert host.sent[-1].startswith("FAIL\t1\treason=")


def test_a_first_message_that_is_no_base64_is_refused_and_logged(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(1, None, "rip=192.0.2.1", "bid", "resp=???"))
    assert "bid_code=invalid-base64" in host.sent[-1]
    assert host.log[-1].startswith("login refused: rip=192.0.2.1 service=imap")
    assert host.logins == 0


def test_a_request_that_a_program_cannot_have_meant_is_in_the_log(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(1, None, "rip=192.0.2.1", "rip=192.0.2.2"))
    assert host.sent[-1].startswith("FAIL\t1\t")
    assert "program 1/2 is not understood" in host.log[-1]


def test_whoever_writes_an_equals_sign_for_nothing_gets_one(host: FakeHost) -> None:
    conversation = converse(host)
    conversation.receive(begin(1, None, "resp=="))
    conversation.receive(begin(2, None, "resp="))
    assert host.sent == ["CONT\t1\t=", "CONT\t2\t"]


def test_logins_of_a_connection_that_closes_are_over(host: FakeHost) -> None:
    conversation = converse(host)
    for id in range(5):
        conversation.receive(begin(id))
    conversation.close()
    assert host.logins == 0
    assert len([line for line in host.log if "login abandoned" in line]) == 5


def test_there_are_so_many_at_most(host: FakeHost) -> None:
    conversation = converse(host)
    for id in range(MAX_LOGINS + 5):
        conversation.receive(begin(id))
    assert host.logins == MAX_LOGINS
    assert sum(line.startswith("FAIL") for line in host.sent) == 5


_PIECES = st.sampled_from(
    [
        b"AUTH", b"CONT", b"CANCEL", b"VERSION", b"CPID", b"\t", b"\n", b"1", b"2", b"\x01", b"=",
        b"resp=", b"service=imap", b"bid", b"bid_cb.x=", b"bid_opt.allow=*", b"YWJj", b"#",
        AES128.encode(), b"biwsYyx4", b"channel_binding=", b"\0", b"\xff", b"rip=::1",
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_PIECES | st.binary(max_size=8), max_size=60), st.booleans())
def test_whatever_comes_is_answered_or_ends_the_connection(
    host: FakeHost, pieces: list[bytes], greeted: bool
) -> None:
    host.sent.clear()
    before = host.logins
    conversation = converse(host, GREETED if greeted else b"")
    for piece in pieces:
        if not conversation.over:
            conversation.receive(piece)
    conversation.close()
    assert host.logins == before
    words = ("OK\t", "CONT\t", "FAIL\t", "ERROR\t")
    assert all(line.startswith(words) for line in host.sent)
